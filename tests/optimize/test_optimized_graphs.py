"""Every stage of the optimizer on a graph with forks and joins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from joined import Growing, samples
from judged import problem_of

from dnn2fpga.data import Data
from dnn2fpga.graph.float import Graph
from dnn2fpga.layers.concatenate import Concatenate
from dnn2fpga.layers.pooling import GlobalAverage
from dnn2fpga.layers.weighted_sum import WeightedSum
from dnn2fpga.optimize.partial import partial_candidates, sensitivity
from dnn2fpga.optimize.post_training import Quantization
from dnn2fpga.optimize.problem import Problem
from dnn2fpga.optimize.settings import Optimization, PartialSettings, SearchSettings, TrainingSettings
from dnn2fpga.optimize.training_aware import train_quantized
from dnn2fpga.optimize.width_search import search_widths, searched_widths
from dnn2fpga.passes.simplify import simplify

TRAINING = TrainingSettings(epochs=2, batch=32)


def graph() -> Graph:
    """A residual block, and two tensors that share an encoding."""
    g = Growing({"image": (6, 6, 2)})
    stem = g.relu("relu", g.conv("stem", "image", 4))
    sum = g.relu("relu_of_sum", g.add(WeightedSum("sum", (1.0, 1.0)), stem, g.conv("a", stem, 4)))
    rows = g.add(Concatenate("rows", 0), g.conv("b", sum, 3), g.conv("c", sum, 3, size=1))
    return simplify(g.graph(g.dense("last", g.add(GlobalAverage("mean"), rows), 3)))


@pytest.fixture(scope="module")
def problem() -> Problem:
    network = graph()
    x = samples(network, 200)["image"]
    data = Data(x, network.run(x).argmax(axis=1))
    return problem_of(network, test=data, target=Optimization(max_drop=1), data=data)


def test_partial_quantization(problem: Problem) -> None:
    settings = PartialSettings(most_tries=2)
    start = Quantization(weight_bits=2, activation_bits=4)
    lost = sensitivity(problem, settings, start)
    assert list(lost) == ["stem", "a", "b", "c", "last"]
    candidates = list(partial_candidates(problem, settings, start))
    for candidate in candidates:
        widths = {name: tensor.width for name, tensor in candidate.model.tensors.items()}
        assert widths["b"] == widths["c"] == (16 if {"b", "c"} & set(candidate.result.kept_out) else 4)
    assert len(candidates) == 2


def test_widths_of_tensors_that_share_an_encoding_are_searched_once(problem: Problem, tmp_path: Path) -> None:
    settings = SearchSettings(trials=8, weight_bits=(8, 4), activation_bits=(8, 4, 3))
    searched = [name for name, key in searched_widths(problem, settings) if key == "activation_bits"]
    assert searched == ["stem", "a", "sum", "b", "mean"]
    found = search_widths(problem, settings, TRAINING, tmp_path)
    for point in found.result.points:
        assert point.widths["b"]["activation_bits"] == point.widths["c"]["activation_bits"]
    tensors = found.chosen.model.tensors
    assert tensors["b"].numbers_like(tensors["c"])


def test_training(problem: Problem) -> None:
    """The trained integers are those of the hardware, with scales that were learned together."""
    settings = Quantization(weight_bits=4, activation_bits=4, scales="free")  # type: ignore[arg-type]
    model, _ = train_quantized(problem, TRAINING.model_copy(update={"learn_ranges": True}), settings)
    tensors = model.tensors
    assert tensors["b"].numbers_like(tensors["c"])
    assert tensors["rows"].numbers_like(tensors["c"])
    assert np.isfinite(model.predict(samples(problem.graph))).all()
