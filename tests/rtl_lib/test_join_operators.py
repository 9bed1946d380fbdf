"""Sums, extrema and products of several inputs, against fractions written from docs/arithmetic.md."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction
from math import floor, prod

import numpy as np
import pytest
from branch_bench import check_join, check_streams, random_inputs, run_branching
from hypothesis import given, settings
from hypothesis import strategies as st

from rtl_lib.core.arithmetic import Overflow, Rounding
from rtl_lib.core.branch_timing import JoinPipelineModel
from rtl_lib.core.formats import Format
from rtl_lib.core.operator import Operator
from rtl_lib.elementwise.aligned import Aligned
from rtl_lib.elementwise.extremum import Extremum, Order
from rtl_lib.elementwise.product import GatedProduct, Product
from rtl_lib.elementwise.requantize import Requantize
from rtl_lib.elementwise.weighted_sum import WeightedSum
from rtl_lib.streams.pixel_rows import PixelRows

U4, S4, S5, S8, S12 = Format(False, 4), Format(True, 4), Format(True, 5), Format(True, 8), Format(True, 12)


# the oracle ------------------------------------------------------------------------------------------------------


def rounded(value: Fraction, rounding: Rounding) -> int:
    if rounding is Rounding.FLOOR:
        return floor(value)
    if rounding is Rounding.HALF_UP:
        return floor(value + Fraction(1, 2))
    return round(value)  # Python's own is to nearest, ties to even


def cast(value: int, low: int, high: int, overflow: Overflow) -> int:
    if overflow is Overflow.WRAP:
        return (value - low) % (high - low + 1) + low
    if overflow is Overflow.SATURATE_SYMMETRIC and low == -high - 1:
        low = -high
    return min(max(value, low), high)


def of_scale(value: int, spec: Aligned | Product, lane: int) -> int:
    low, high = (int(np.broadcast_to(bound, spec.lanes)[lane]) for bound in (spec.low, spec.high))
    return cast(rounded(Fraction(value, 2 ** int(spec.shift[lane])), spec.rounding), low, high, spec.overflow)


def expected_sum(spec: WeightedSum, numbers: Sequence[int], lane: int) -> int:
    total = sum(int(m) * x for m, x in zip(spec.multiplier[:, lane], numbers, strict=True))
    return of_scale(total + int(spec.offset[lane]), spec, lane)


def expected_extremum(spec: Extremum, numbers: Sequence[int], lane: int) -> int:
    parameters = zip(spec.multiplier[:, lane], spec.offset[:, lane], numbers, strict=True)
    aligned = [int(m) * x + int(o) for m, o, x in parameters]
    return of_scale(max(aligned) if spec.order is Order.MAXIMUM else min(aligned), spec, lane)


def expected_product(spec: Product, numbers: Sequence[int], lane: int) -> int:
    value = prod(x - int(z) for x, z in zip(numbers, spec.zero_point[:, lane], strict=True))
    return of_scale(value * int(spec.multiplier[lane]) + int(spec.offset[lane]), spec, lane)


EXPECTED = {WeightedSum: expected_sum, Extremum: expected_extremum, Product: expected_product}


def check_integers(spec: Aligned | Product, x: Sequence[np.ndarray]) -> None:
    found = spec.compute(*x)
    assert found.dtype == spec.output_format.dtype
    flat = [of_input.reshape(-1, spec.lanes) for of_input in x]
    for beat in range(len(flat[0])):
        for lane in range(spec.lanes):
            numbers = [int(of_input[beat, lane]) for of_input in flat]
            assert found.reshape(-1, spec.lanes)[beat, lane] == EXPECTED[type(spec)](spec, numbers, lane)


# cases -----------------------------------------------------------------------------------------------------------

FORMATS = st.sampled_from([Format(False, 1), Format(False, 4), S4, S5, Format(True, 1), S8])


@st.composite
def epilogues(draw: st.DrawFn, lanes: int) -> dict:
    output = draw(st.sampled_from([U4, S4, S8, Format(False, 1)]))
    overflow = draw(st.sampled_from(Overflow))
    low, high = output.minimum, output.maximum
    if overflow is not Overflow.WRAP and draw(st.booleans()):
        low, high = sorted(draw(st.tuples(*2 * [st.integers(low, high)])))
    return {
        "output_format": output,
        "shift": np.array(draw(st.lists(st.integers(0, 12), min_size=lanes, max_size=lanes))),
        "low": low,
        "high": high,
        "rounding": draw(st.sampled_from(Rounding)),
        "overflow": overflow,
    }


def arrays(draw: st.DrawFn, shape: tuple[int, ...], numbers: st.SearchStrategy[int]) -> np.ndarray:
    size = prod(shape)
    return np.array(draw(st.lists(numbers, min_size=size, max_size=size)), np.int64).reshape(shape)


MULTIPLIERS = st.one_of(st.sampled_from([0, 1, -1, 2, 4, -8, 64]), st.integers(-99, 99))
OFFSETS = st.one_of(st.just(0), st.integers(-3000, 3000))


@st.composite
def sums(draw: st.DrawFn) -> WeightedSum:
    formats, lanes = tuple(draw(st.lists(FORMATS, min_size=1, max_size=5))), draw(st.integers(1, 2))
    shape = len(formats), lanes
    numbers = draw(st.sampled_from([MULTIPLIERS, st.sampled_from([1, -1, 4, -2])]))  # any, or wires only
    return WeightedSum(
        input_formats=formats,
        multiplier=arrays(draw, shape, numbers),
        offset=arrays(draw, (lanes,), OFFSETS),
        **draw(epilogues(lanes)),
    )


@st.composite
def extrema(draw: st.DrawFn) -> Extremum:
    formats, lanes = tuple(draw(st.lists(FORMATS, min_size=1, max_size=5))), draw(st.integers(1, 2))
    shape = len(formats), lanes
    numbers = draw(st.sampled_from([MULTIPLIERS.map(abs), st.sampled_from([1, 4])]))
    own = draw(st.booleans())  # an offset of its own for each input
    offset = np.resize(arrays(draw, shape if own else (lanes,), OFFSETS), shape)
    return Extremum(
        input_formats=formats,
        multiplier=arrays(draw, shape, numbers),
        offset=offset,
        order=draw(st.sampled_from(Order)),
        **draw(epilogues(lanes)),
    )


@st.composite
def products(draw: st.DrawFn) -> Product:
    formats, lanes = tuple(draw(st.lists(FORMATS, min_size=2, max_size=4))), draw(st.integers(1, 2))
    shape = len(formats), lanes
    zero_point = arrays(draw, shape, st.integers(-9, 9)) if draw(st.booleans()) else np.zeros(shape, np.int64)
    return Product(
        input_formats=formats,
        zero_point=zero_point,
        multiplier=arrays(draw, (lanes,), MULTIPLIERS),
        offset=arrays(draw, (lanes,), OFFSETS),
        **draw(epilogues(lanes)),
    )


@given(st.one_of(sums(), extrema(), products()), st.integers(0, 99))
@settings(max_examples=300, deadline=None)
def test_integers(spec: Aligned | Product, seed: int) -> None:
    check_integers(spec, random_inputs(spec, [5] * len(spec.input_formats), seed))


@given(st.one_of(sums(), extrema(), products()), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_hardware(spec: Operator, seed: int) -> None:
    check_join(spec, [4] * len(spec.input_beats), seed)


def one_lane(kind: type, rounding: Rounding, overflow: Overflow, **fields: object) -> Aligned | Product:
    """Two inputs of four bits; the output has five."""
    given = {"shift": np.array([2]), "output_format": S5, "low": -16, "high": 15, **fields}
    return kind(input_formats=(S4, U4), rounding=rounding, overflow=overflow, **given)


ONE_LANE = {
    "sum": lambda *modes: one_lane(WeightedSum, *modes, multiplier=np.array([[6], [-4]]), offset=np.array([3])),
    "sum of wires": lambda *modes: one_lane(
        WeightedSum, *modes, multiplier=np.array([[1], [-4]]), offset=np.array([-5])
    ),
    "maximum": lambda *modes: one_lane(
        Extremum, *modes, multiplier=np.array([[8], [3]]), offset=np.array([[1], [-7]]), order=Order.MAXIMUM
    ),
    "minimum": lambda *modes: one_lane(
        Extremum, *modes, multiplier=np.array([[8], [4]]), offset=np.array([[2], [2]]), order=Order.MINIMUM
    ),
    "product": lambda *modes: one_lane(
        Product, *modes, zero_point=np.array([[-2], [5]]), multiplier=np.array([3]), offset=np.array([9])
    ),
}


@pytest.mark.parametrize("overflow", Overflow)
@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("name", ONE_LANE)
def test_every_pair_of_numbers(name: str, rounding: Rounding, overflow: Overflow) -> None:
    """Every pair of numbers is right in software and in hardware."""
    spec = ONE_LANE[name](rounding, overflow)
    pairs = np.array(list(itertools.product(range(-8, 8), range(16))))
    x = [pairs[np.newaxis, :, k : k + 1] for k in range(2)]
    check_integers(spec, x)
    run = run_branching(spec.create(), [of_input[0] for of_input in x])
    assert run.outputs[0].tolist() == spec.compute(*x)[0].tolist()


# several pixels, gates ---------------------------------------------------------------------------------------------


def packed(x: np.ndarray, pixels: int, columns: int) -> np.ndarray:
    return PixelRows(columns, pixels).pack(x)


@pytest.mark.parametrize("name", ["sum", "maximum", "product"])
def test_several_pixels_in_a_beat(name: str) -> None:
    spec = ONE_LANE[name](Rounding.HALF_UP, Overflow.SATURATE)
    x = random_inputs(spec, [10, 10], 3)
    wide = spec.for_pixels(3, surplus=True)
    assert wide is not None
    assert wide.pixels == 3
    y = packed(spec.compute(*x), 3, 5)
    run = run_branching(wide.create(), [packed(of_input, 3, 5).reshape(-1, 3) for of_input in x])
    counted = np.tile(PixelRows(5, 3).counted(2), (len(x[0]), 1))
    assert run.outputs[0][counted].tolist() == y.reshape(-1, 3)[counted].tolist()


def gated() -> GatedProduct:
    return GatedProduct(
        input_formats=(S5, U4),
        output_format=S8,
        zero_point=np.array([[1, 0], [-2, 3]]),
        multiplier=np.array([3, 4]),
        shift=np.array([2, 3]),
        offset=np.array([1, 0]),
        low=-128,
        high=127,
        size=(2, 5),
    )


def test_a_gate_meets_every_pixel_of_its_frame() -> None:
    spec = gated()
    assert spec.gates == (1,)
    x = random_inputs(spec, [10, 1], 1)
    whole = [x[0], np.repeat(x[1], 10, axis=1)]
    ungated = Product(**{name: getattr(spec, name) for name in Product.__dataclass_fields__})
    assert spec.compute(*x).tolist() == ungated.compute(*whole).tolist()
    check_join(spec, [10, 1])


@pytest.mark.parametrize("pixels", [2, 3, 5])
def test_a_gate_with_several_pixels_in_a_beat(pixels: int) -> None:
    spec = gated()
    x = random_inputs(spec, [10, 1], 2)
    wide = spec.for_pixels(pixels, surplus=bool(5 % pixels))
    assert wide is not None
    component = wide.create()
    assert [beat.lanes for beat in component.input_beats] == [2 * pixels, 2]
    image = PixelRows(5, pixels)
    beats = image.pack(x[0])
    run = run_branching(component, [beats.reshape(-1, 2 * pixels), x[1].reshape(-1, 2)], source_pauses=(0.3, 0.6))
    found = image.unpack(run.outputs[0].reshape(len(x[0]), -1, 2 * pixels))
    assert found.tolist() == spec.compute(*x).tolist()


# relations -----------------------------------------------------------------------------------------------------------


@given(sums().filter(lambda spec: len(spec.input_formats) == 1))
@settings(max_examples=40, deadline=None)
def test_a_sum_of_one_is_a_requantization(spec: WeightedSum) -> None:
    one = Requantize(
        spec.input_formats[0],
        spec.output_format,
        spec.multiplier[0],
        spec.shift,
        spec.offset,
        spec.low,
        spec.high,
        spec.rounding,
        spec.overflow,
    )
    (x,) = random_inputs(spec, [9], 0)
    assert spec.compute(x).tolist() == one.compute(x).tolist()
    assert spec.create().latency <= one.latency


@given(extrema().filter(lambda spec: spec.overflow is not Overflow.WRAP))
@settings(max_examples=100, deadline=None)
def test_an_extremum_is_that_of_the_requantized_inputs(spec: Extremum) -> None:
    x = random_inputs(spec, [6] * len(spec.input_formats), 0)
    parts = [
        Requantize(
            form, spec.output_format, m, spec.shift, o, spec.low, spec.high, spec.rounding, spec.overflow
        ).compute(of_input)
        for form, m, o, of_input in zip(spec.input_formats, spec.multiplier, spec.offset, x, strict=True)
    ]
    reduced = np.max(parts, axis=0) if spec.order is Order.MAXIMUM else np.min(parts, axis=0)
    assert spec.compute(*x).tolist() == reduced.tolist()


@pytest.mark.parametrize(
    ("inputs", "multiplier", "latency"),
    [(1, 1, 1), (2, 1, 2), (2, -4, 2), (4, 1, 2), (5, 1, 3), (1, 3, 2), (2, 3, 3), (8, 3, 4)],
)
def test_latency_of_a_sum(inputs: int, multiplier: int, latency: int) -> None:
    spec = WeightedSum(
        input_formats=(S5,) * inputs,
        output_format=S8,
        multiplier=np.full((inputs, 1), multiplier),
        shift=np.array([0]),
        offset=np.array([0]),
        low=-128,
        high=127,
    )
    assert spec.create().latency == latency


def test_latency_of_a_product() -> None:
    plain = ONE_LANE["product"](Rounding.HALF_UP, Overflow.SATURATE)
    assert plain.create().latency == 4  # differences, product, product with the multiplier, result
    assert gated().create().latency == 4
    fields = {name: getattr(plain, name) for name in Product.__dataclass_fields__}
    wires = Product(**{**fields, "zero_point": np.zeros((2, 1), np.int64), "multiplier": np.array([4])})
    assert wires.create().latency == 2


# the tests can fail ------------------------------------------------------------------------------------------------


class RoundsTwice(WeightedSum):
    def reduced(self, x: Sequence[np.ndarray]) -> np.ndarray:
        return super().reduced(x) // 4 * 4


class SwapsInputs(WeightedSum):
    def reduced(self, x: Sequence[np.ndarray]) -> np.ndarray:
        return super().reduced(x[::-1])


@pytest.mark.parametrize("wrong", [RoundsTwice, SwapsInputs])
def test_a_wrong_sum_is_found(wrong: type[WeightedSum]) -> None:
    right = ONE_LANE["sum"](Rounding.HALF_UP, Overflow.SATURATE)
    spec = wrong(**vars_of(right))
    x = random_inputs(spec, [6, 6], 0)
    with pytest.raises(AssertionError):
        check_streams(spec.create(), x, spec.compute(*x), 0)


def vars_of(spec: WeightedSum) -> dict:
    return {name: getattr(spec, name) for name in WeightedSum.__dataclass_fields__}


def test_a_wrong_timing_model_is_found() -> None:
    component = ONE_LANE["sum"](Rounding.HALF_UP, Overflow.SATURATE).create()
    x = np.zeros((9, 1), int)
    with pytest.raises(AssertionError, match="cycle"):
        run_branching(component, [x, x], model=JoinPipelineModel(component.latency + 1, 2))


def test_impossible_joins_are_refused() -> None:
    modes = Rounding.HALF_UP, Overflow.SATURATE
    wide = Format(True, 40)
    one = np.ones(1, np.int64)
    with pytest.raises(OverflowError, match="a sum of 63 bits does not fit 64-bit integers exactly"):
        WeightedSum(
            input_formats=(wide, wide),
            output_format=S5,
            multiplier=np.full((2, 1), 1 << 22),
            shift=one,
            offset=one,
            low=-16,
            high=15,
        )
    with pytest.raises(OverflowError, match="do not fit 64-bit integers exactly"):
        one_lane(Product, *modes, multiplier=one, offset=one, zero_point=np.array([[1 << 58], [0]]))
    with pytest.raises(ValueError, match=r"multiplier must have shape \(2, 1\), not \(1, 1\)"):
        one_lane(WeightedSum, *modes, multiplier=np.ones((1, 1), int), offset=one)
    with pytest.raises(ValueError, match=r"offset must have shape \(2, 1\), not \(1,\)"):
        one_lane(Extremum, *modes, multiplier=np.ones((2, 1), int), offset=one, order=Order.MAXIMUM)
    with pytest.raises(ValueError, match="multipliers must not be negative"):
        one_lane(Extremum, *modes, multiplier=np.array([[1], [-1]]), offset=np.zeros((2, 1), int), order=Order.MAXIMUM)
    with pytest.raises(ValueError, match=r"the clamp \[-16, 16\] must lie in the output format s5"):
        one_lane(WeightedSum, *modes, multiplier=np.ones((2, 1), int), offset=one, high=16)
    with pytest.raises(ValueError, match="shift must not be negative"):
        one_lane(WeightedSum, *modes, multiplier=np.ones((2, 1), int), offset=one, shift=-one)
    with pytest.raises(ValueError, match="a product must have at least two inputs, not 1"):
        Product(
            input_formats=(S5,),
            output_format=S5,
            zero_point=np.zeros((1, 1), int),
            multiplier=one,
            shift=one,
            offset=one,
            low=0,
            high=1,
        )
