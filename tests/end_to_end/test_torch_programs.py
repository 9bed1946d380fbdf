"""PyTorch programs through the quantizer to the simulated Verilog."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dnn2fpga import flow
from dnn2fpga.config import Verification
from dnn2fpga.data import Data
from dnn2fpga.optimize.post_training import Quantization

FOLDER = Path(__file__).parents[1] / "front_ends" / "samples"
FRAMES = 6


@pytest.mark.simulation
@pytest.mark.xdist_group("torch_programs")
@pytest.mark.usefixtures("simulator")
@pytest.mark.parametrize("name", ["torch_conv", "torch_branches"])
def test_every_boundary_is_equal(name: str, tmp_path: Path) -> None:
    recorded = np.load(FOLDER / name / "io.npz")
    graph = flow.read_model(FOLDER / name / "model.pt2")
    (given,) = graph.inputs
    x, work = recorded["x"].transpose(0, 2, 3, 1), tmp_path / "work"
    flow.quantize(graph, Data({given: x}), work=work, quantization=Quantization(weight_bits=6, activation_bits=7))
    manifest = flow.generate(work)
    protocol, bulk = flow.verify(work, Data({given: x[:FRAMES]}), verification=Verification(jobs=1))
    assert protocol.messages == bulk.messages == ()
    assert protocol.passed
    assert bulk.passed
    beats = sum(boundary.beats for boundary in manifest.boundaries)
    leaving = sum(port.beats for port in manifest.outputs)
    assert bulk.beats_compared == FRAMES * (beats + leaving)
    assert "PyTorch" in (work / "model.yaml").read_text()
