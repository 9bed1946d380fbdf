"""Requantizers found for rules of sources, against the rules themselves in exact fractions, for every accumulator."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnn2fpga.exact.accumulator import Accumulator, Requantizer
from dnn2fpga.exact.encoding import Encoding
from dnn2fpga.exact.fit import fit
from dnn2fpga.exact.pieces import Bend, Bounds, Curve, Line, Piece, applied
from dnn2fpga.exact.requantizing import requantize
from dnn2fpga.exact.rounding import RoundingMode
from dnn2fpga.exact.rules import IntegerRule, Rounded
from dnn2fpga.exact.steps import Steps
from dnn2fpga.tensors.basics import Unsupported
from rtl_lib.core import arithmetic
from rtl_lib.core.arithmetic import Overflow


def nearest(x: Fraction, mode: RoundingMode) -> int:
    """What the modes mean, written down once more."""
    floor, ceiling = x.numerator // x.denominator, -(-x.numerator // x.denominator)
    if floor == ceiling:
        return floor
    away, towards = (ceiling, floor) if x > 0 else (floor, ceiling)
    ties = {
        RoundingMode.HALF_EVEN: floor if floor % 2 == 0 else ceiling,
        RoundingMode.HALF_UP: ceiling,
        RoundingMode.HALF_DOWN: floor,
        RoundingMode.HALF_AWAY: away,
        RoundingMode.HALF_TOWARDS: towards,
    }
    if mode in ties:
        rest = x - floor
        return ties[mode] if rest == Fraction(1, 2) else floor if rest < Fraction(1, 2) else ceiling
    return {
        RoundingMode.FLOOR: floor,
        RoundingMode.CEILING: ceiling,
        RoundingMode.TOWARDS_ZERO: towards,
        RoundingMode.AWAY_FROM_ZERO: away,
    }[mode]


@given(st.fractions(-20, 20, max_denominator=64), st.sampled_from(RoundingMode))
def test_rounding_modes_are_what_they_are_called(x: Fraction, mode: RoundingMode) -> None:
    assert mode.of(x) == nearest(x, mode) == int(mode.round(np.array([float(x)]))[0]) or x.denominator & (
        x.denominator - 1
    )
    assert mode.of(x) == nearest(x, mode)


def sums_of(low: int, high: int, scale: Fraction, offset: Fraction, *pieces: Piece) -> Accumulator:
    def build(*_: object) -> None:
        raise AssertionError("no layer is asked for")

    interval = (np.array([low]), np.array([high]))
    sums = Accumulator.of_line((), (1,), interval, np.array([scale]), np.array([offset]), build)
    for piece in pieces:
        sums = sums.then([piece])
    return sums


def codes_of(last: Requantizer, a: np.ndarray) -> np.ndarray:
    return arithmetic.requantize(
        a[:, None],
        last.multiplier,
        last.shift,
        last.offset,
        last.low,
        last.high,
        last.rounding,
        last.overflow,
        last.negative,
    )[:, 0]


scales = st.one_of(
    st.integers(-8, 2).map(lambda e: Fraction(2) ** e),
    st.floats(2**-10, 2, width=32).map(Fraction),
)
offsets = st.one_of(
    st.just(Fraction(0)), st.fractions(-3, 3, max_denominator=16), st.floats(-3, 3, width=32).map(Fraction)
)


@given(
    scale=scales,
    negative=st.booleans(),
    offset=offsets,
    step=scales,
    zero_point=st.integers(-5, 5),
    first=st.booleans(),
    mode=st.sampled_from(RoundingMode),
    pieces=st.sampled_from(
        [(), (Bounds(Fraction(0), None),), (Bounds(Fraction(-1), Fraction(3)),), (Bend(Fraction(1, 8)),)]
    ),
)
def test_requantizers_have_every_code_of_the_rule(
    scale: Fraction,
    negative: bool,
    offset: Fraction,
    step: Fraction,
    zero_point: int,
    first: bool,
    mode: RoundingMode,
    pieces: tuple[Piece, ...],
) -> None:
    low, high = -300, 400
    sums = sums_of(low, high, -scale if negative else scale, offset, *pieces)
    encoding = Encoding.of([step], -20, 30, zero_point)
    found = requantize(sums, encoding, Rounded(mode, zero_point_first=first))
    a = np.arange(low, high + 1)

    def wanted(k: int) -> int:
        x = applied(pieces, k * (-scale if negative else scale) + offset)
        code = nearest(x / step + zero_point, mode) if first else nearest(x / step, mode) + zero_point
        return min(max(code, -20), 30)

    expected = np.array([wanted(int(k)) for k in a])
    got = codes_of(found.last, a) if found.last else found.steps[0].codes(a)
    np.testing.assert_array_equal(got, expected)
    assert (found.low[0], found.high[0]) == (expected.min(), expected.max())


@given(
    fraction=st.integers(0, 6),
    offset=st.integers(0, 63),
    mode=st.sampled_from([RoundingMode.HALF_EVEN, RoundingMode.HALF_UP, RoundingMode.FLOOR]),
    signed=st.booleans(),
    relu=st.booleans(),
)
def test_numbers_wrap(fraction: int, offset: int, mode: RoundingMode, signed: bool, relu: bool) -> None:
    low, high = (-8, 7) if signed else (0, 15)
    pieces = (Bounds(Fraction(0), None),) if relu else ()
    sums = sums_of(-500, 500, Fraction(1, 2**fraction), Fraction(offset, 64 * 2**fraction), *pieces)
    last = requantize(sums, Encoding.of([1], low, high), Rounded(mode, Overflow.WRAP)).last
    assert last is not None
    a = np.arange(-500, 501)
    real = [Fraction(int(k), 2**fraction) + Fraction(offset, 64 * 2**fraction) for k in a]
    codes = [nearest(max(x, Fraction(0)) if relu else x, mode) for x in real]
    np.testing.assert_array_equal(codes_of(last, a), [(code - low) % 16 + low for code in codes])


def double_rounding(a: np.ndarray, multiplier: int, shift: int) -> np.ndarray:
    """TensorFlow Lite Micro: half up at 2^31, then half away from zero."""
    y = (a * multiplier + (1 << 30)) >> 31
    return (y + ((1 << shift) >> 1) - ((y < 0) & (shift > 0))) >> shift


@given(
    multiplier=st.integers(1 << 30, (1 << 31) - 1),
    shift=st.integers(3, 11),
    zero_point=st.integers(-128, 127),
    high=st.integers(1 << 10, 1 << 18),
)
def test_double_rounding_takes_one_line_or_two(multiplier: int, shift: int, zero_point: int, high: int) -> None:
    def function(a: np.ndarray) -> np.ndarray:
        return np.clip(double_rounding(a, multiplier, shift) + zero_point, -128, 127)

    rule = IntegerRule(np.array([Fraction(1, 4)]), function)
    sums = sums_of(-high, high, Fraction(1, 4), Fraction(0))
    found = requantize(sums, Encoding.of([1], -128, 127, zero_point), rule)
    assert found.last is not None
    places = np.concatenate([found.steps[0].at, found.steps[0].at - 1, [-high, high, -1, 0, 1]])
    places = places[np.abs(places) <= high]
    np.testing.assert_array_equal(codes_of(found.last, places), function(places))
    assert int(found.last.multiplier[0]).bit_length() < 31  # smaller than that of the source


def test_the_smallest_multiplier_is_found() -> None:
    steps = Steps.of_function(lambda a: np.clip((a * 48 + 64) >> 7, 0, 15), 0, 60, 0, 15)
    found = fit(steps)
    assert found is not None
    assert (found.multiplier, found.shift) == (3, 3)  # 48 / 128


def test_a_function_without_a_line_has_thresholds() -> None:
    def function(a: np.ndarray) -> np.ndarray:
        return np.searchsorted([-90, -5, -4, 0, 40, 41, 42], a, side="right")

    steps = Steps.of_function(function, -100, 100, 0, 7)
    assert fit(steps) is None
    a = np.arange(-100, 101)
    np.testing.assert_array_equal(steps.codes(a), function(a))
    np.testing.assert_array_equal(Steps.of_function(lambda k: function(-k), -100, 100, 0, 7).codes(-a), function(a))


def test_a_function_that_turns_is_refused() -> None:
    with pytest.raises(ValueError, match="neither rise nor fall"):
        Steps.of_function(lambda a: np.minimum(a, 40 - a), 0, 30, 0, 20)


def test_a_rule_for_other_integers_is_refused() -> None:
    rule = IntegerRule(np.array([Fraction(2, 3)]), lambda a: a)
    with pytest.raises(Unsupported, match="not those of the layer before"):
        requantize(sums_of(0, 9, Fraction(1, 2), Fraction(0)), Encoding.of([1], 0, 9), rule)


def test_a_real_function_is_computed_as_given() -> None:
    curve = Curve("tanh", lambda x: np.tanh(x.astype(np.float32)).astype(np.float64))
    found = requantize(
        sums_of(-200, 200, Fraction(1, 40), Fraction(0), curve), Encoding.of([Fraction(1, 16)], -16, 16), Rounded()
    )
    a = np.arange(-200, 201)
    wanted = np.rint(np.tanh((a / 40).astype(np.float32)).astype(np.float64) * 16)
    np.testing.assert_array_equal(found.steps[0].codes(a), wanted)


def test_margin_is_the_distance_from_the_nearest_border() -> None:
    sums = sums_of(0, 100, Fraction(1, 3), Fraction(0))
    found = requantize(sums, Encoding.of([1], 0, 40), Rounded())
    assert found.margin == pytest.approx(1 / 6)  # sums lie at thirds, borders at halves


@given(
    scale=st.floats(2**-9, 2, width=32).map(Fraction),
    falling=st.booleans(),
    offset=st.floats(-5, 5, width=32).map(Fraction),
    step=st.floats(2**-5, 2, width=32).map(Fraction),
    ends=st.tuples(st.integers(-300, 300), st.integers(-300, 300)),
    mode=st.sampled_from(RoundingMode),
    pieces=st.sampled_from(
        [
            (),
            (Bounds(Fraction(0), None),),
            (Bend(Fraction(1, 8)),),
            (Bounds(Fraction(0), None), Line(Fraction(-1, 3), Fraction(2)), Bounds(Fraction(0), Fraction(2))),
        ]
    ),
)
def test_margin_and_codes_are_those_of_every_sum(
    scale: Fraction,
    falling: bool,
    offset: Fraction,
    step: Fraction,
    ends: tuple[int, int],
    mode: RoundingMode,
    pieces: tuple[Piece, ...],
) -> None:
    low, high = sorted(ends)
    sums = sums_of(low, high, -scale if falling else scale, offset, *pieces)
    (found,) = Rounded(mode).steps(sums, Encoding.of([step], -20, 30, 2))
    reals = [applied(sums.pieces[0], Fraction(a)) / step for a in range(low, high + 1)]
    np.testing.assert_array_equal(
        found.codes(np.arange(low, high + 1)), [min(max(nearest(x, mode) + 2, -20), 30) for x in reals]
    )
    borders = [mode.first(code - 2)[0] for code in range(-19, 31)]
    distances = [abs(x - border) for x in reals for border in borders if x != border]
    expected = min([*distances, Fraction(1, 2)])
    assert found.margin == pytest.approx(float(expected)) or (found.margin is None and expected == Fraction(1, 2))
