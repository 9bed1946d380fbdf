"""Quantizers in floating point."""

from __future__ import annotations

import numpy as np
import pytest

from dnn2fpga.exact.encoding import Encoding
from dnn2fpga.layers.quantizer import Quantizer


@pytest.mark.parametrize("bits", [8, 29])
def test_codes_that_float32_does_not_tell_apart_stay_float64(bits: int) -> None:
    scale, most = 2.0**-20, 2 ** (bits - 1) - 1
    layer = Quantizer("q", Encoding.of(scale, -most - 1, most))
    found = layer.compute(np.full((1, 1), 1e3, np.float32))
    assert found == min(1e3, most * scale)
    assert (found.dtype == np.float64) == (bits > 24)
    with np.errstate(all="raise"):
        assert layer.compute(np.full((1, 1), 1e9))[0, 0] == most * scale
