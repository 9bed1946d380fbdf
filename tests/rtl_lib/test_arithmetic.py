"""The scalar functions against an oracle in exact fractions, transcribed from docs/arithmetic.md, for all three
kinds of numbers.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from amaranth.hdl import Module, Signal, signed
from amaranth.sim import Simulator

from rtl_lib.arithmetic import Overflow, Rounding, requantize, shift_right
from rtl_lib.formats import Format

VALUES = range(-128, 128)
CASES = [(multiplier, shift, offset) for multiplier in (1, 3, 4, -5) for shift in (0, 1, 3) for offset in (0, 2)]
BOUNDS = {Overflow.SATURATE: (-8, 7), Overflow.SATURATE_SYMMETRIC: (-8, 7), Overflow.WRAP: (-8, 7)}


def rounded(value: Fraction, rounding: Rounding) -> int:
    if rounding is Rounding.FLOOR:
        return math.floor(value)
    if rounding is Rounding.HALF_UP:
        return math.floor(value + Fraction(1, 2))
    return round(value)  # Python's own: nearest, ties to even


def fitted(value: int, low: int, high: int, overflow: Overflow) -> int:
    if overflow is Overflow.WRAP:
        return (value - low) % (high - low + 1) + low
    if overflow is Overflow.SATURATE_SYMMETRIC and low == -high - 1:
        low = -high
    return min(max(value, low), high)


@pytest.mark.parametrize("overflow", Overflow)
@pytest.mark.parametrize("rounding", Rounding)
def test_requantize_is_the_documented_formula_on_integers_arrays_and_hardware(
    rounding: Rounding, overflow: Overflow
) -> None:
    low, high = BOUNDS[overflow]
    value = Signal(signed(8))
    results = [Signal(signed(4), name=f"result_{k}") for k in range(len(CASES))]
    m = Module()
    for (multiplier, shift, offset), result in zip(CASES, results, strict=True):
        m.d.comb += result.eq(requantize(value, multiplier, shift, offset, low, high, rounding, overflow))
    expected = {
        v: [fitted(rounded(Fraction(v * p + o, 2**s), rounding), low, high, overflow) for p, s, o in CASES]
        for v in VALUES
    }

    for v in VALUES:
        assert [requantize(v, p, s, o, low, high, rounding, overflow) for p, s, o in CASES] == expected[v]
    array = np.arange(-128, 128)
    for k, (p, s, o) in enumerate(CASES):
        got = requantize(array, np.int64(p), np.int64(s), o, low, high, rounding, overflow)
        assert got.tolist() == [expected[v][k] for v in VALUES]

    async def bench(ctx):  # type: ignore[no-untyped-def]
        for v in VALUES:
            ctx.set(value, v)
            await ctx.delay(1e-9)
            assert [ctx.get(result) for result in results] == expected[v]

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize(
    ("rounding", "results"),
    [
        (Rounding.HALF_UP, [2, 1, 0, -1, 1, -1]),
        (Rounding.HALF_EVEN, [2, 0, 0, -2, 1, -1]),
        (Rounding.FLOOR, [1, 0, -1, -2, 0, -1]),
    ],
)
def test_the_numbers_of_the_table_in_the_documentation(rounding: Rounding, results: list[int]) -> None:
    quarters = [6, 2, -2, -6, 3, -3]
    assert [shift_right(q, 2, rounding) for q in quarters] == results


@pytest.mark.parametrize(
    ("low", "high", "format"),
    [(0, 0, "u1"), (0, 255, "u8"), (0, 256, "u9"), (-1, 0, "s1"), (-128, 127, "s8"), (-129, 0, "s9"), (-1, 128, "s9")],
)
def test_the_narrowest_format_holds_the_interval(low: int, high: int, format: str) -> None:
    found = Format.containing(low, high)
    assert str(found) == format
    assert found.contains(low, high)
    assert not found.contains(found.minimum - 1, high)
    assert not found.contains(low, found.maximum + 1)
