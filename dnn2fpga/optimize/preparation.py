"""Preparation of the problem that the stages work on, from a model, data and settings: pruned (when asked) and
calibrated.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dnn2fpga.data import Data
from dnn2fpga.graph.float import Graph
from dnn2fpga.optimize.calibration import calibrate
from dnn2fpga.optimize.checkpoints import Checkpoints, key_of
from dnn2fpga.optimize.post_training import Quantization
from dnn2fpga.optimize.problem import Problem
from dnn2fpga.optimize.pruning import prune, zeros_kept
from dnn2fpga.optimize.settings import Optimization
from dnn2fpga.progress import Progress
from dnn2fpga.version import __version__

PRUNING = "pruning"  # its checkpoint


def prepare(
    graph: Graph,
    data: Data,
    test: Data | None,
    quantization: Quantization,
    optimization: Optimization,
    folder: Path,
    progress: Progress,
) -> tuple[Problem, Checkpoints]:
    """:param folder: where finished stages are kept, for this very model, data and settings."""
    # The user's own settings are not changed, whatever their value: they are part of the question.
    asked = (repr(quantization), repr(sorted(quantization.model_fields_set)), repr(optimization))
    key = key_of(graph, (data, test), (__version__, *asked))
    checkpoints = Checkpoints(folder, key)
    pruned, masks = graph, zeros_kept(graph, quantization)
    if optimization.pruning.is_asked:
        finished = checkpoints.load_arrays(PRUNING, graph)
        pruned, masks = finished or _prune(graph, data, quantization, optimization, progress)
        if finished is None:
            checkpoints.save_arrays(PRUNING, pruned, masks)
    samples = data.sample(quantization.calibration_samples).x
    statistics = calibrate(pruned, samples, progress=progress)
    problem = Problem(graph, pruned, statistics, quantization, optimization, data, test, masks, progress)
    return problem, checkpoints


def _prune(
    graph: Graph, data: Data, quantization: Quantization, optimization: Optimization, progress: Progress
) -> tuple[Graph, dict[str, np.ndarray]]:
    epochs = optimization.pruning.epochs
    training = optimization.training.model_copy(update={"epochs": epochs}) if epochs else None
    result = prune(graph, data, optimization.pruning, training, quantization, progress)
    return result.graph, result.masks
