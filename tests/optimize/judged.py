"""Problems for the optimizer on tiny networks, and the steps of it that a test wants to watch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tiny

from dnn2fpga.data import Data
from dnn2fpga.graph.float import Graph
from dnn2fpga.layers.dense import Dense
from dnn2fpga.optimize.calibration import calibrate
from dnn2fpga.optimize.post_training import Quantization
from dnn2fpga.optimize.problem import Problem
from dnn2fpga.optimize.settings import Target
from dnn2fpga.passes.simplify import simplify
from dnn2fpga.task_reading import with_task

TINY = simplify(tiny.float_graph())  # 'conv' and 'dense' have weights


def decided(**settings: Any) -> Quantization:
    """Settings of which the user has given every one, so that the first stage has nothing to try."""
    return Quantization.model_validate(Quantization().model_dump() | settings)


def tiny_data(count: int = 40, labelled: bool = True) -> Data:
    """Labels are the float model's own decisions."""
    x = tiny.samples(count)
    return Data(x, TINY.run(x).argmax(axis=1) if labelled else None)


def one_sensitive_layer() -> Graph:
    """Dense layers of which only 'fine' has weights that two bits cannot hold."""

    def dense(name: str, weights: np.ndarray) -> Dense:
        return Dense(name, weights.astype(np.float32), np.zeros(weights.shape[-1], np.float32))

    layers = [
        dense("first", np.eye(6)),
        dense("fine", np.random.default_rng(0).normal(size=(6, 4))),
        dense("last", np.eye(4)),
    ]
    return simplify(Graph.chain("sensitive", "input", (6,), layers, float_parameters=90))  # type: ignore[arg-type]


def vectors(graph: Graph, count: int = 300) -> Data:
    x = np.random.default_rng(1).uniform(-1, 1, (count, *graph.input_shape)).astype(np.float32)
    return Data(x, graph.run(x).argmax(axis=1))


def problem_of(
    graph: Graph = TINY,
    test: Data | None = None,
    target: Target | None = None,
    quantization: Quantization | None = None,
    data: Data | None = None,
) -> Problem:
    data = data or Data(tiny.samples(), None)
    graph = with_task(graph, (data, test))
    return Problem(
        reference=graph,
        graph=graph,
        statistics=calibrate(graph, data.x),
        quantization=quantization or Quantization(),
        target=target or Target(),
        data=data,
        test=test,
        masks={},
        progress=lambda what, done, of: None,
    )


def calls_of(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[tuple[Any, ...]]:
    """The arguments of every call of a function, which still does its work."""
    calls: list[tuple[Any, ...]] = []
    function = getattr(owner, name)

    def spy(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        return function(*arguments, **options)

    monkeypatch.setattr(owner, name, spy)
    return calls
