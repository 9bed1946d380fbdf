"""The graph with every join in it, as simulated Verilog."""

from __future__ import annotations

from pathlib import Path

import joined
import pytest
from simulated import simulate
from specimens import Specimen

from dnn2fpga.optimize.post_training import Quantization
from dnn2fpga.plan.settings import PlanSettings


@pytest.mark.simulation
@pytest.mark.usefixtures("simulator")
def test_every_beat_and_every_cycle(tmp_path: Path) -> None:
    """Among them sequencers, a gate, repacked vectors, a requantized input, and a layer in two nodes."""
    settings = Quantization(activation_bits=6, weight_bits=4)
    specimen = Specimen(joined.every_join(), settings, PlanSettings(), "random", 1, -1.0)
    outcome = simulate(specimen, specimen.quantize(), tmp_path / "network", tmp_path / "build", ["random", "burst"])
    assert outcome.beats > 0
    kinds = [boundary.kind for boundary in outcome.manifest.boundaries]
    assert {"weighted_sum", "product", "extremum", "concatenate", "reshape"} <= set(kinds)
