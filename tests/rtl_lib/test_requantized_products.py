"""Requantizers of both engines: two lines by the sign of the sum, and multipliers as wide as they may be."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from contract import check_operator
from fraction_rules import requantized as requantized_exactly
from small_products import product

from rtl_lib.core.arithmetic import Overflow, Rounding
from rtl_lib.core.formats import Format
from rtl_lib.core.lane_map import LaneMap
from rtl_lib.matrix.matrix_product import Engine, MatrixProduct

TWO_LINES = {  # multiplier, offset, negative multiplier, negative offset of three outputs
    "two factors": ([5, 12, 3], [3, -6, 0], [5, -2, 0], [2, 40, -7]),
    "ties away from zero": ([77, 99, 33], [0, 0, 0], [77, 99, 33], [-1, -1, -1]),
    "some of one line": ([1, 1, 7], [0, 9, 2], [1, 2, 7], [5, 0, 2]),
    "nothing below 0": ([1, 4, 8], [0, 0, 0], [0, 0, 0], [0, 0, 0]),
}


@pytest.mark.parametrize(
    "options",
    [{"engine": Engine.PARALLEL}, *({"engine": Engine.FOLDED, "pe": pe, "simd": 1} for pe in (1, 2, 3))],
    ids=["parallel", "one", "two", "three"],
)
@pytest.mark.parametrize("rounding", [Rounding.HALF_UP, Rounding.HALF_EVEN])
@pytest.mark.parametrize("name", TWO_LINES)
def test_two_lines_on_both_engines(name: str, rounding: Rounding, options: dict[str, Any]) -> None:
    multiplier, offset, below, offset_below = (np.array(of) for of in TWO_LINES[name])
    one = product(
        [[5, -15, 1], [-11, 15, 0]],
        multiplier=multiplier,
        shift=[4, 5, 3],
        offset=offset,
        bias=[7, 0, -3],
        rounding=rounding,
    )
    second = {"negative_multiplier": below, "negative_offset": offset_below}
    spec = dataclasses.replace(one, requantize=dataclasses.replace(one.requantize, **second))
    assert spec.requantize.has_two_lines
    check_operator(spec, 20, **options)
    x = np.stack(np.meshgrid(range(-16, 16), range(-16, 16)), axis=-1).reshape(1, -1, 2)
    assert spec.compute(x).tolist() == spec.requantize.compute(spec.matrix.compute(x)).tolist()
    assert spec.compute(x).tolist() != one.compute(x).tolist()


def test_an_engine_refuses_to_requantize_a_sum_twice() -> None:
    spec = product([[1, 2], [3, 4]])
    twice = dataclasses.replace(spec.requantize, lane_map=LaneMap(2, (1, 0)))
    with pytest.raises(ValueError, match="engines requantize each sum once"):
        dataclasses.replace(spec, requantize=twice)


WIDE = [  # bits of the accumulator and of the multiplier: with one more, 62 at most
    (30, 31),
    (40, 21),
    (20, 24),
]


def wide_product(accumulator: int, bits: int) -> MatrixProduct:
    """Sums that need all bits of the accumulator, and multipliers that need theirs (or one less)."""
    form = Format(True, accumulator - 5)
    largest = 1 << (bits - 1)
    return product(
        [[5, -15, 1], [-11, 15, 0]],
        form,
        multiplier=[largest | 1, 2 * largest - 1, -largest - 7],
        shift=accumulator + bits - 10,
        offset=[1 << (accumulator + bits - 12), -3, 0],
    )


@pytest.mark.parametrize("options", [{"engine": Engine.PARALLEL}, {"engine": Engine.FOLDED, "pe": 2, "simd": 1}])
@pytest.mark.parametrize(("accumulator", "bits"), WIDE)
def test_wide_multipliers(accumulator: int, bits: int, options: dict[str, Any]) -> None:
    spec = wide_product(accumulator, bits)
    assert spec.matrix.output_format == Format(True, accumulator)
    check_operator(spec, 12, **options)
    check_operator(spec.requantize, 12)
    low, high = spec.matrix.input_format.minimum, spec.matrix.input_format.maximum
    x = np.array([[low, low], [low, high], [high, low], [high, high], [1, -1], [0, 0]])
    for vector, found in zip(x.tolist(), spec.compute(x[np.newaxis])[0].tolist(), strict=True):
        for k, column in enumerate(spec.matrix.weights.T.tolist()):
            total = sum(a * w for a, w in zip(vector, column, strict=True))  # Python's integers have no end
            multiplier, shift, offset = (
                int(of[k]) for of in (spec.requantize.multiplier, spec.requantize.shift, spec.requantize.offset)
            )
            assert found[k] == requantized_exactly(
                total, multiplier, shift, offset, -128, 127, Rounding.HALF_UP, Overflow.SATURATE
            )


@pytest.mark.parametrize(("accumulator", "bits"), [(30, 32), (40, 22), (41, 21)])
def test_a_bit_more_is_refused(accumulator: int, bits: int) -> None:
    with pytest.raises(OverflowError, match="a product of 63 bits does not fit 64-bit integers exactly"):
        wide_product(accumulator, bits)
