"""Models of larq, with their own signs, to the simulated Verilog: numbers around images, sums through a max pooling,
batch normalization before ``Flatten``; sums that a quantizer and a shortcut in floating point read.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dnn2fpga import flow
from dnn2fpga.config import Verification
from dnn2fpga.data import Data
from dnn2fpga.read.settings import ReadSettings

SAMPLES = Path(__file__).parents[1] / "front_ends" / "samples"
FRAMES = 4


@pytest.mark.simulation
@pytest.mark.usefixtures("simulator")
@pytest.mark.parametrize("sample", ["larq_conv", "larq_depthwise"])
def test_every_boundary_is_equal(sample: str, tmp_path: Path) -> None:
    x, work = np.load(SAMPLES / sample / "io.npz")["x"][:FRAMES], tmp_path / "work"
    flow.quantize(
        SAMPLES / sample / "model.h5", work=work, reading=ReadSettings(input_format="u8.8")
    )  # the pictures are n / 256
    manifest = flow.generate(work)
    protocol, bulk = flow.verify(work, Data({"input": x}), verification=Verification(jobs=1))
    assert protocol.messages == bulk.messages == ()
    assert protocol.passed
    assert bulk.passed
    beats = sum(boundary.beats for boundary in manifest.boundaries)
    assert bulk.beats_compared == FRAMES * (beats + sum(port.beats for port in manifest.outputs))
