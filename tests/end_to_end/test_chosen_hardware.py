"""Engines, folding and stages that the user chose: the bundle still does what its plan and its integers say."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from simulated import simulate
from small_networks import network
from specimens import Specimen

from dnn2fpga.graph.float import Graph
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


# A pooling layer brings bursts to a layer that is folded for the average rate: there a FIFO stands.
FOLDED = {"conv_0": {"engine": "folded", "pe": 2, "simd": 9}, "conv_2": {"engine": "folded", "pe": 1, "simd": 6}}
PLANNED: dict[str, dict[str, object]] = {
    "with a FIFO": {"layers": FOLDED},
    "two pixels per beat": {"pixels": 2, "goal": {}},
    "four pixels per beat, folded": {"pixels": 4, "goal": {"interval_cycles": 400}},
    "a reuse factor for all": {"goal": {"reuse_factor": 6}},
}


@pytest.mark.simulation
@pytest.mark.usefixtures("simulator")
@pytest.mark.parametrize("name", PLANNED)
def test_planned_hardware_does_what_the_plan_says(name: str, tmp_path: Path) -> None:
    """Under stalls too."""
    quantized = network((12, 12, 1), [4, "pool", 6, "pool", "flat", 5])
    graph = Graph.chain("planned", "input", (12, 12, 1), [])
    settings = PlanSettings.model_validate(PLANNED[name])
    specimen = Specimen(graph, Quantization(), settings, "full", 1, 0.0)
    outcome = simulate(specimen, quantized, tmp_path / "network", tmp_path / "build")
    assert outcome.beats > 0
    boundaries = outcome.plan.boundaries
    assert boundaries[0].pixels == settings.pixels
    assert any(b.fifo for b in boundaries) == (name == "with a FIFO")
    assert any(b.folding for b in boundaries)
    intervals = {"two pixels per beat": 72, "four pixels per beat, folded": 400}
    assert outcome.plan.interval_cycles <= intervals.get(name, 1 << 20)
