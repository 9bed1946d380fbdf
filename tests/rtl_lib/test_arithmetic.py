"""Scalar arithmetic against exact fractions; the same body on Python integers, NumPy arrays and Amaranth values."""

from __future__ import annotations

from fractions import Fraction
from itertools import product, takewhile
from pathlib import Path

import numpy as np
import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator
from fraction_rules import fitted, requantized, rounded
from hypothesis import given
from hypothesis import strategies as st

from rtl_lib.core import arithmetic
from rtl_lib.core.arithmetic import Overflow, Rounding
from rtl_lib.core.formats import Format

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "arithmetic.md"

INPUT = Format(True, 7)
INPUTS = range(INPUT.minimum, INPUT.maximum + 1)
BOUNDS = [(-8, 7), (0, 15), (-4, 3)]
# (multiplier, shift, offset): no shift, a shift that drops everything, ties, negative multiplier.
SCALES = [(1, 0, 0), (1, 1, 0), (1, 3, 0), (1, 9, 0), (3, 2, 1), (-5, 4, -7), (7, 5, 16), (0, 2, 3)]


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("shift", range(10))
def test_shift_right_is_exact_rounding(shift, rounding):
    for x in range(-600, 600):
        assert arithmetic.shift_right(x, shift, rounding) == rounded(Fraction(x, 2**shift), rounding)


@pytest.mark.parametrize("overflow", Overflow)
@pytest.mark.parametrize("bounds", BOUNDS)
def test_fit(bounds, overflow):
    for x in range(-100, 100):
        assert arithmetic.fit(x, *bounds, overflow) == fitted(x, *bounds, overflow)


@pytest.mark.parametrize("overflow", Overflow)
@pytest.mark.parametrize("rounding", Rounding)
def test_requantize_on_all_three_number_types(rounding, overflow):
    cases = list(product(SCALES, BOUNDS))
    right = [[requantized(x, *scale, *bounds, rounding, overflow) for scale, bounds in cases] for x in INPUTS]

    python = [
        [arithmetic.requantize(x, *scale, *bounds, rounding, overflow) for scale, bounds in cases] for x in INPUTS
    ]
    assert python == right

    x = np.array(INPUTS, np.int64)
    columns = [arithmetic.requantize(x, *scale, *bounds, rounding, overflow) for scale, bounds in cases]
    assert np.array_equal(np.stack(columns, axis=1), right)

    assert simulated(cases, rounding, overflow) == right


def simulated(cases, rounding, overflow) -> list[list[int]]:
    """Simulate all cases in one circuit, all inputs one after the other."""
    m = Module()
    i = Signal(INPUT.shape)
    outputs = [Signal(Format.containing(*bounds).shape, name=f"o_{k}") for k, (_, bounds) in enumerate(cases)]
    for o, (scale, bounds) in zip(outputs, cases, strict=True):
        m.d.comb += o.eq(arithmetic.requantize(i, *scale, *bounds, rounding, overflow))
    results = []

    async def bench(ctx):
        for x in INPUTS:
            ctx.set(i, x)
            results.append([ctx.get(o) for o in outputs])

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()
    return results


@pytest.mark.parametrize("rounding", Rounding)
def test_one_shift_a_lane(rounding):
    x, shift = np.arange(-40, 40).reshape(-1, 4), np.array([0, 1, 2, 5])
    right = [[rounded(Fraction(int(v), 2 ** int(s)), rounding) for v, s in zip(row, shift, strict=True)] for row in x]
    assert np.array_equal(arithmetic.shift_right(x, shift, rounding), right)


@given(
    st.integers(-(2**40), 2**40), st.integers(-(2**16), 2**16), st.integers(0, 46), st.integers(-(2**50), 2**50),
    st.sampled_from(Rounding), st.sampled_from(Overflow), st.integers(2, 16), st.booleans(),
)  # fmt: skip
def test_wide_numbers(x, multiplier, shift, offset, rounding, overflow, width, signed):
    f = Format(signed, width)
    bounds = (f.minimum, f.maximum)
    exact = rounded(Fraction(x * multiplier + offset, 2**shift), rounding)
    if overflow is Overflow.WRAP:
        exact = exact % 2**width  # the oracle's loop would take for ever
    right = fitted(exact, *bounds, overflow)
    assert arithmetic.requantize(x, multiplier, shift, offset, *bounds, rounding, overflow) == right
    array = np.array([x], np.int64)
    assert arithmetic.requantize(array, multiplier, shift, offset, *bounds, rounding, overflow)[0] == right


def rows_of_the_document(first_column: str) -> list[list[str]]:
    """The table of docs/arithmetic.md whose header starts with ``first_column``, header first."""
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith(f"| {first_column} |"))
    table = list(takewhile(lambda line: line.startswith("|"), lines[start:]))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    return [rows[0], *rows[2:]]


def test_the_rounding_table_of_the_document():
    header, *rows = rows_of_the_document("rounding")
    numbers = [Fraction(cell) for cell in header[3:]]
    assert len(numbers) >= 6
    assert {row[0].split("`")[1] for row in rows} == {rounding.value for rounding in Rounding}
    for row in rows:
        rounding = Rounding(row[0].split("`")[1])
        right = [int(cell) for cell in row[3:]]
        assert [rounded(v, rounding) for v in numbers] == right
        assert [arithmetic.shift_right(int(v * 4), 2, rounding) for v in numbers] == right


def test_the_overflow_modes_of_the_document():
    _, *rows = rows_of_the_document("overflow")
    assert {row[0].split("`")[1] for row in rows} == {overflow.value for overflow in Overflow}
    assert [arithmetic.fit(9, -8, 7, o) for o in Overflow] == [7, 7, -7]
    assert [arithmetic.fit(-9, -8, 7, o) for o in Overflow] == [-8, -7, 7]


def test_whole_ranges():
    whole = {(0, 2**n - 1) for n in range(5)} | {(-(2 ** (n - 1)), 2 ** (n - 1) - 1) for n in range(1, 5)}
    bounds = [(low, high) for low in range(-9, 10) for high in range(low, 17)]
    assert {both for both in bounds if arithmetic.is_whole_range(*both)} == whole
    low, high = np.array(bounds).T
    assert arithmetic.is_whole_range(low, high).sum() == len(whole)
