"""Quantization-aware training (the third step of Tourad and Eleuldj, Algorithm 1): starts from the quantized model and
keeps its calibration, unless ranges are learned.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from dnn2fpga.data import Data
from dnn2fpga.graph.ports import Values, by_name, each
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.optimize.post_training import Quantization, choose_all, quantize
from dnn2fpga.optimize.problem import Candidate, Problem
from dnn2fpga.optimize.settings import Stage
from dnn2fpga.optimize.training import TrainingSettings, learns_from_labels, train
from dnn2fpga.optimize.training_model import CodeModel

COMPARED = 2000  # samples of the test data on which trained and integer model are compared


def training_candidates(
    problem: Problem, settings: TrainingSettings, attempts: Sequence[tuple[Quantization, tuple[str, ...]]]
) -> Iterator[Candidate]:
    """:param attempts: settings to train with, and the layers that they leave out."""
    for quantization, kept_out in attempts:
        how = _teachers(problem, settings)
        what = f"{settings.epochs} epochs {how}" + (f", {', '.join(kept_out)} left out" if kept_out else "")
        model, differing = train_quantized(problem, settings, quantization)
        yield problem.candidate(model, quantization, Stage.TRAINING_AWARE.value, what, kept_out, differing)


def train_quantized(
    problem: Problem, settings: TrainingSettings, quantization: Quantization
) -> tuple[QuantizedGraph, float | None]:
    """The integer model after training, and the fraction of its outputs that differ from the trained ones."""
    choices = choose_all(problem.graph, problem.statistics, quantization)
    model = CodeModel(problem.graph, quantization, choices, settings.learn_ranges)
    train(
        model,
        problem.data,
        settings,
        problem.reference,
        masks=problem.masks,
        what="quantization-aware training",
        progress=problem.progress,
    )
    built = quantize(model.trained(), problem.statistics, quantization, model.trained_choices())
    return built, None if problem.test is None else differing_outputs(model, built, problem.test.sample(COMPARED).x)


def _teachers(problem: Problem, settings: TrainingSettings) -> str:
    """Return in words what the outputs learn from."""
    outputs = problem.graph.outputs
    labelled = learns_from_labels(problem.data, settings, outputs)
    if labelled and len(labelled) < len(outputs):
        return f"with labels of {', '.join(labelled)}, else from the float model"
    return "with labels" if labelled else "from the float model"


def differing_outputs(trained: CodeModel, built: QuantizedGraph, x: Values) -> float:
    """The fraction of numbers of all outputs whose integers are not the same."""
    different = total = 0
    for batch in Data(x).batches(256):
        part = each(batch.x, lambda array: np.asarray(array, np.float32))
        integers = by_name(built.run(built.quantized(part)), built.outputs)
        for name, (codes, _) in trained.codes(part).items():
            different += int((np.asarray(codes).reshape(integers[name].shape) != integers[name]).sum())
            total += integers[name].size
    return different / total
