"""The networks with two lines and their kin as simulated Verilog."""

from __future__ import annotations

from pathlib import Path

import pytest
import step_networks
from simulated import simulate
from specimens import Specimen

from dnn2fpga.graph.dag import Dag
from dnn2fpga.graph.float import Graph
from dnn2fpga.optimize.post_training import Quantization
from dnn2fpga.plan.settings import PlanSettings

NO_GRAPH = Graph("none", {"image": (1,)}, Dag(("image",), (), ("image",)))  # of a specimen, only the rest is read
FOLDED = {"engine": "folded", "pe": 2}


@pytest.mark.simulation
@pytest.mark.usefixtures("simulator")
@pytest.mark.parametrize(
    ("name", "pixels", "layers"),
    [("two_lines", 2, {}), ("steps", 1, {"conv": FOLDED}), ("shared", 1, {"own": FOLDED})],
)
def test_every_beat_and_every_cycle(name: str, pixels: int, layers: dict[str, object], tmp_path: Path) -> None:
    plan = PlanSettings.model_validate({"pixels": pixels, "layers": layers})
    specimen = Specimen(NO_GRAPH, Quantization(), plan, "random", 1, -1.0)
    quantized = step_networks.NETWORKS[name](0)
    outcome = simulate(specimen, quantized, tmp_path / "network", tmp_path / "build", ["random", "burst"])
    assert outcome.beats > 0
