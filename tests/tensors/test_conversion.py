"""The host's conversion of real inputs: against the rule in exact fractions, and the same in driver and model."""

from __future__ import annotations

from dataclasses import asdict
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnn2fpga.drive.port import Port
from dnn2fpga.exact.rounding import RoundingMode
from dnn2fpga.tensors.conversion import ROUND, Conversion
from dnn2fpga.tensors.tensor import Tensor


def port_of(tensor: Tensor, conversion: Conversion) -> Port:
    fields = {
        name: getattr(tensor, name) for name in ("shape", "signed", "width", "scale", "zero_point", "lanes", "beats")
    }
    return Port.of({**fields, "pixels": 1, "lane_bits": 8, "conversion": asdict(conversion)})


@given(
    rounding=st.sampled_from(sorted(ROUND)),
    wraps=st.booleans(),
    zero_point_first=st.booleans(),
    zero_point=st.integers(-8, 7),
    exponent=st.integers(-4, 2),
    x=st.lists(st.integers(-400, 400), min_size=4, max_size=4),
)
def test_codes_are_those_of_the_rule(
    rounding: str, wraps: bool, zero_point_first: bool, zero_point: int, exponent: int, x: list[int]
) -> None:
    conversion = Conversion(rounding, wraps, zero_point_first)
    scale = 2.0**exponent
    tensor = Tensor(shape=(4,), lanes=4, signed=True, width=4, scale=scale, zero_point=zero_point)
    real = np.array([x], np.float64) / 32

    def wanted(value: int) -> int:
        level, mode = Fraction(value, 32) / Fraction(scale), RoundingMode(rounding)
        code = mode.of(level + zero_point) if zero_point_first else mode.of(level) + zero_point
        return (code + 8) % 16 - 8 if wraps else min(max(code, -8), 7)

    codes = tensor.quantize(real, conversion)
    np.testing.assert_array_equal(codes[0], [wanted(value) for value in x])
    np.testing.assert_array_equal(port_of(tensor, conversion).quantize(real), codes)


def test_a_source_that_divides_in_float32_is_followed() -> None:
    tensor = Tensor(shape=(1,), lanes=1, signed=True, width=16, scale=float(np.float32(0.1)))
    x = np.arange(-3000, 3000, dtype=np.float32)[:, None] * np.float32(0.05)
    narrow, wide = Conversion("half_even", binary32=True), Conversion("half_even")
    np.testing.assert_array_equal(tensor.quantize(x, narrow), np.rint(x / np.float32(0.1)))
    assert (tensor.quantize(x, narrow) != tensor.quantize(x, wide)).any()  # it makes a difference


def test_an_unknown_rounding_is_refused() -> None:
    with pytest.raises(ValueError, match="rounding must be one of"):
        Conversion("upwards")
