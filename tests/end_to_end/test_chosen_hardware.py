"""Engines, folding and stages that the user chose: the bundle still does what its plan and its integers say."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from simulated import simulate
from specimens import Specimen

from dnn2fpga.graph import Graph
from dnn2fpga.layers.dense import Dense
from dnn2fpga.optimize.post_training import Quantization
from dnn2fpga.plan.settings import PlanSettings

SETTINGS = {
    "stages": "runs",
    "layers": {
        "a": {"levels_per_register": 1},
        "b": {"levels_per_register": 2},
        "c": {"engine": "folded", "simd": 2},
        "e": {"engine": "folded", "simd": 4},
    },
}


@pytest.mark.simulation
@pytest.mark.usefixtures("simulator")
def test_mixed_engines_and_runs_do_what_the_plan_says(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sizes = [6, 5, 6, 4, 4, 3]
    layers = [
        Dense(name, rng.normal(size=shape), rng.normal(size=shape[1]))
        for name, shape in zip("abcde", pairwise(sizes), strict=True)
    ]
    graph = Graph.chain("mixed", "input", (6,), list(layers))
    specimen = Specimen(graph, Quantization(), PlanSettings.model_validate(SETTINGS), "random", 1, -1.0)
    outcome = simulate(specimen, specimen.quantize(), tmp_path / "network", tmp_path / "build")
    boundaries = outcome.plan.boundaries
    assert [b.engine for b in boundaries[1:]] == ["parallel", "parallel", "folded", "parallel", "folded"]
    assert [b.staged for b in boundaries[1:]] == [False, True, True, True, True]
    assert outcome.plan.interval_cycles == 3
    assert outcome.beats > 0
