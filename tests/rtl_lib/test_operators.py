"""Every operator under the contract, and its integers against loops that know nothing of how they are computed."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from contract import check_operator, random_input
from fraction_rules import fitted, rounded
from hypothesis import given, settings
from hypothesis import strategies as st

from rtl_lib.core import arithmetic
from rtl_lib.core.arithmetic import Overflow, Rounding
from rtl_lib.core.formats import Format
from rtl_lib.core.lane_map import LaneMap
from rtl_lib.core.stream import Beat
from rtl_lib.core.timing import ReduceModel
from rtl_lib.core.trace import trace_chain
from rtl_lib.elementwise.lookup_table import LookupTable
from rtl_lib.elementwise.requantize import Requantize
from rtl_lib.elementwise.select import Select
from rtl_lib.image.border_average import BorderAverage
from rtl_lib.image.frame_reduction import FrameSum
from rtl_lib.image.reduction import Reduction, WindowReduction
from rtl_lib.image.windows import Padding, Windows
from rtl_lib.matrix.constant_matrix import ConstantMatrix
from rtl_lib.matrix.folded.folding import Folding
from rtl_lib.matrix.folded.multipliers import Multiplier
from rtl_lib.matrix.folded.sums import FoldedSums, FoldedSumsComponent, WeightMemory
from rtl_lib.streams.master_slave_stage import MasterSlaveStage
from rtl_lib.streams.repack import Repack, repack

RNG = np.random.default_rng(0)
S5, U4 = Format(True, 5), Format(False, 4)


@st.composite
def windows(draw: st.DrawFn) -> Windows:
    size = draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    same = draw(st.booleans())
    largest = (5, 5) if same else size
    kernel = tuple(draw(st.integers(1, min(5, limit))) for limit in largest)
    format = draw(st.sampled_from([Format(True, 3), Format(False, 3)]))
    padding = Padding.same(size, kernel, stride) if same else Padding()
    channels = draw(st.integers(1, 2))
    fill = draw(st.sampled_from([0, format.minimum, tuple(range(1, 1 + channels))]))
    return Windows(*size, channels, format, kernel, stride, padding, fill)


@given(windows(), st.integers(0, 99))
@settings(max_examples=40)
def test_windows(operator: Windows, seed: int) -> None:
    check_operator(operator, operator.input_pixels, seed)


@given(windows())
@settings(max_examples=100)
def test_windows_hold_the_pixels_under_them(operator: Windows) -> None:
    x = random_input(operator, operator.input_pixels, 1)
    pad, (rows, columns) = operator.padding, operator.output_size
    expected = np.zeros((len(x), rows * columns, operator.output_beat.lanes), int)
    for r, c, k, j, channel in itertools.product(*map(range, (rows, columns, *operator.kernel, operator.channels))):
        y, z = r * operator.stride[0] - pad.top + k, c * operator.stride[1] - pad.left + j
        lane = (k * operator.kernel[1] + j) * operator.channels + channel
        expected[:, r * columns + c, lane] = (
            operator.fill[channel] if isinstance(operator.fill, tuple) else operator.fill
        )
        if 0 <= y < operator.height and 0 <= z < operator.width:
            expected[:, r * columns + c, lane] = x[:, y * operator.width + z, channel]
    assert operator.compute(x).tolist() == expected.tolist()


@given(windows())
@settings(max_examples=300)
def test_the_interval_of_windows_is_the_number_of_input_pixels(operator: Windows) -> None:
    """The interval is the number of input pixels for images at least as wide and high as the kernel, whatever stride
    and padding.
    """
    model = operator.create().beat_model()
    *_, exit = trace_chain([model], [(0, operator.input_pixels), (1, operator.output_windows)])
    if operator.width >= operator.kernel[1] and operator.height >= operator.kernel[0]:
        assert exit.interval_cycles == operator.input_pixels
    else:
        assert exit.interval_cycles >= operator.input_pixels


@pytest.mark.parametrize("overflow", Overflow)
@pytest.mark.parametrize("rounding", Rounding)
def test_requantize(rounding: Rounding, overflow: Overflow) -> None:
    multiplier, shift, offset = np.array([3, 5, -7, 8]), np.array([4, 0, 6, 9]), np.array([0, 5, -6, 9])
    wide = Requantize(Format(True, 12), Format(True, 6), multiplier, shift, offset, -32, 31, rounding, overflow)
    check_operator(wide, 20)
    wires = Requantize(
        Format(True, 12),
        Format(False, 6),
        np.array([4, 1]),
        np.array([3, 5]),
        np.array([0, 1]),
        0,
        63,
        rounding,
        overflow,
    )
    assert not wires.multiplies
    check_operator(wires, 20)
    low, high = np.array([-32, 0, -5, -8]), np.array([31, 31, 5, 7])
    if overflow is Overflow.WRAP:
        low, high = np.array([-32, 0, -4, 0]), np.array([31, 31, 3, 0])
    each = Requantize(Format(True, 12), Format(True, 6), multiplier, shift, offset, low, high, rounding, overflow)
    check_operator(each, 20)
    for operator in (wide, wires, each):  # lane k has parameters k
        x = random_input(operator, 5, 7)
        bounds = (np.resize(bound, operator.lanes) for bound in (operator.low, operator.high))
        parameters = zip(operator.multiplier, operator.shift, operator.offset, *bounds, strict=True)
        lanes = [arithmetic.requantize(x[..., k], *map(int, p), rounding, overflow) for k, p in enumerate(parameters)]
        assert operator.compute(x).tolist() == np.stack(lanes, axis=-1).tolist()


def two_lines(input_format: Format, rounding: Rounding, overflow: Overflow) -> Requantize:
    """Lanes: the same factor; another one; none; wires; a power of two beside none; one line."""
    multiplier, offset = np.array([5, 12, 3, 8, 4, -7]), np.array([3, -6, 0, 9, 0, 1])
    below, offset_below = np.array([5, -2, 0, 2, 0, -7]), np.array([2, 40, -7, -9, 0, 1])
    shift = np.array([4, 5, 0, 3, 2, 5])
    low, high = np.array([-32, -16, 0, -8, 0, -1]), np.array([31, 15, 31, 7, 0, 0])
    output = Format(True, 6)
    return Requantize(
        input_format, output, multiplier, shift, offset, low, high, rounding, overflow, below, offset_below
    )


@pytest.mark.parametrize("overflow", Overflow)
@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("input_format", [Format(True, 8), Format(False, 7)])
def test_requantize_on_two_lines(input_format: Format, rounding: Rounding, overflow: Overflow) -> None:
    operator = two_lines(input_format, rounding, overflow)
    assert operator.has_two_lines == input_format.signed
    check_operator(operator, 20)
    x = np.arange(input_format.minimum, input_format.maximum + 1)
    y = operator.compute(np.repeat(x, operator.lanes).reshape(1, -1, operator.lanes))
    for k in range(operator.lanes):
        parameters = operator.multiplier, operator.shift, operator.offset, operator.low, operator.high
        multiplier, shift, offset, low, high = (int(np.asarray(of)[k]) for of in parameters)
        negative = int(operator.negative_multiplier[k]), int(operator.negative_offset[k])  # type: ignore[index]
        for number, result in zip(x.tolist(), y[0, :, k].tolist(), strict=True):
            of_line = negative if number < 0 else (multiplier, offset)
            exact = Fraction(number * of_line[0] + of_line[1], 1 << shift)
            assert result == fitted(rounded(exact, rounding), low, high, overflow)


def test_two_lines_of_wires_take_one_register() -> None:
    one = np.array([1])
    leaky = Requantize(S5, S5, 8 * one, 3 * one, 0 * one, -16, 15, negative_multiplier=one, negative_offset=0 * one)
    assert leaky.latency == 1
    check_operator(leaky, 20)
    assert leaky.compute(np.array([[[-16], [-4], [-1], [0], [9]]])).reshape(-1).tolist() == [-2, 0, 0, 0, 9]


def test_ties_away_from_zero_are_two_lines() -> None:
    one = np.array([1])
    half = Requantize(S5, S5, one, one, 0 * one, -16, 15, negative_multiplier=one, negative_offset=-one)
    check_operator(half, 20)
    x = np.arange(-16, 16).reshape(1, -1, 1)
    assert half.compute(x).reshape(-1).tolist() == [int(np.copysign((abs(v) + 1) // 2, v)) for v in x.reshape(-1)]


def test_requantizing_the_same_lane_twice() -> None:
    """Lanes 0 and 2 are the second and the first quantizer of input lane 1; input lane 2 is not read."""
    numbers = np.array([1, 3, 5]), np.array([1, 2, 0]), np.array([0, -7, 2])
    lane_map = LaneMap(3, (1, 0, 1))
    operator = Requantize(S5, Format(True, 8), *numbers, -128, 127, lane_map=lane_map)
    assert (operator.input_beat.lanes, operator.output_beat.lanes) == (3, 3)
    check_operator(operator, 20)
    x = random_input(operator, 5, 2)
    alone = Requantize(S5, Format(True, 8), *numbers, -128, 127)
    assert operator.compute(x).tolist() == alone.compute(x[..., [1, 0, 1]]).tolist()
    whole = Requantize(S5, Format(True, 8), *numbers, -128, 127, lane_map=LaneMap.all(3))
    assert [one.read_lanes.changes_nothing for one in (alone, whole, operator)] == [True, True, False]


@pytest.mark.parametrize("output", [S5, U4, Format(True, 3), Format(True, 7), Format(False, 7)])
@pytest.mark.parametrize("input_format", [S5, U4])
def test_select(input_format: Format, output: Format) -> None:
    operator = Select(input_format, output, LaneMap(3, (2, 0, 2, 2)))
    check_operator(operator, 20)
    x = random_input(operator, 5, 4)
    low, count = output.minimum, output.maximum - output.minimum + 1
    for source, results in zip((2, 0, 2, 2), np.moveaxis(operator.compute(x), -1, 0), strict=True):
        assert results.tolist() == ((x[..., source] - low) % count + low).tolist()


def test_what_hands_on_changes_nothing() -> None:
    for form in (S5, U4, Format(True, 40)):
        operator = Requantize.handing_on(Beat(form, 2))
        check_operator(operator, 20)
        x = random_input(operator, 5, 3)
        assert operator.compute(x).tolist() == x.tolist()


@pytest.mark.parametrize("size", [1, 2, 4, 9])
@pytest.mark.parametrize(("reduction", "oracle"), [(Reduction.MAXIMUM, max), (Reduction.SUM, sum)])
def test_window_reduction(reduction: Reduction, oracle, size: int) -> None:  # type: ignore[no-untyped-def]
    operator = WindowReduction(S5, 3, size, reduction)
    check_operator(operator, 12)
    x = random_input(operator, 5, 2)
    expected = [[[oracle(beat[c::3].tolist()) for c in range(3)] for beat in frame] for frame in x]
    assert operator.compute(x).tolist() == expected


@pytest.mark.parametrize("beats", [1, 2, 7])
def test_frame_sum(beats: int) -> None:
    operator = FrameSum(S5, 3, beats)
    check_operator(operator, beats)
    x = random_input(operator, beats, 3)
    assert operator.compute(x).tolist() == [[[sum(frame[:, c].tolist()) for c in range(3)]] for frame in x]


@dataclass(frozen=True)
class Sums:
    """``FoldedSums`` as an operator: a beat a turn. Its sums are added up one by one here."""

    spec: FoldedSums

    @property
    def input_beat(self) -> Beat:
        return self.spec.input_beat

    @property
    def output_beat(self) -> Beat:
        return self.spec.output_beat

    def compute(self, x: np.ndarray) -> np.ndarray:
        matrix, beat = self.spec.matrix, self.spec.output_beat
        columns = list(zip(*matrix.weights.tolist(), strict=True))
        sums = [
            [
                sum(a * w for a, w in zip(vector, column, strict=True)) + b
                for column, b in zip(columns, matrix.bias.tolist(), strict=True)
            ]
            for vector in x.reshape(-1, matrix.n_inputs).tolist()
        ]
        return np.array(sums).reshape(len(x), -1, beat.lanes)

    def create(self) -> FoldedSumsComponent:
        return self.spec.create()


@pytest.mark.parametrize(
    ("pe", "simd", "lanes"), [(6, 1, 1), (6, 3, 3), (6, 12, 12), (2, 3, 3), (3, 4, 12), (1, 5, 12)]
)
@pytest.mark.parametrize("format", [S5, U4])
def test_folded_sums(format: Format, pe: int, simd: int, lanes: int) -> None:
    matrix = ConstantMatrix(RNG.integers(-8, 8, (12, 6)), RNG.integers(-99, 99, 6), format)
    operator = Sums(FoldedSums(Folding(matrix, pe, simd), lanes, Multiplier.DSP, WeightMemory.AUTO, 2))
    check_operator(operator, 12 // lanes)
    x = random_input(operator, 12 // lanes, 4)
    assert operator.compute(x).reshape(len(x), 6).tolist() == matrix.compute(x.reshape(len(x), 12)).tolist()


@pytest.mark.parametrize("format", [S5, U4])
def test_lookup_table(format: Format) -> None:
    table = RNG.integers(-8, 8, 1 << format.width)
    operator = LookupTable(format, Format(True, 4), table, 2)
    check_operator(operator, 9)
    x = np.arange(format.minimum, format.maximum + 1).reshape(1, -1, 2)
    assert operator.compute(x).reshape(-1).tolist() == table.tolist()


def test_a_lookup_table_for_each_lane() -> None:
    tables = RNG.integers(-8, 8, (3, 32))
    operator = LookupTable(S5, Format(True, 4), tables, 3)
    check_operator(operator, 20)
    x = np.repeat(np.arange(-16, 16), 3).reshape(1, -1, 3)
    assert operator.compute(x)[0].T.tolist() == tables.tolist()


@pytest.mark.parametrize(("lanes", "to"), [(6, 2), (2, 6), (4, 1), (1, 3)])
def test_repack(lanes: int, to: int) -> None:
    operator = Repack(S5, lanes, to)
    check_operator(operator, 12 // lanes)
    x = random_input(operator, 12 // lanes, 5)
    assert operator.compute(x).reshape(-1).tolist() == x.reshape(-1).tolist()


def test_repack_between_any_two_widths_goes_through_the_common_divisor() -> None:
    assert [(step.input_lanes, step.output_lanes) for step in repack(S5, 12, 8)] == [(12, 4), (4, 8)]
    assert repack(S5, 3, 3) == []


def test_border_average() -> None:
    multiplier = np.array([[5, 4, 4, 5], [3, 2, 2, 3], [5, 4, 4, 5]])
    operator = BorderAverage(Format(True, 9), Format(True, 6), 2, multiplier, 5)
    check_operator(operator, 12)
    x = random_input(operator, 12, 6)
    expected = np.clip((x * multiplier.reshape(1, 12, 1) + 16) // 32, -32, 31)
    assert operator.compute(x).tolist() == expected.tolist()


class Stage:
    """The master-slave stage as an operator: it changes nothing."""

    input_beat = output_beat = Beat(S5, 2)

    @staticmethod
    def compute(x: np.ndarray) -> np.ndarray:
        return x

    @staticmethod
    def create() -> MasterSlaveStage:
        return MasterSlaveStage(Beat(S5, 2))


def test_master_slave_stage() -> None:
    check_operator(Stage(), 20)


class OffByOne(FrameSum):
    def compute(self, x: np.ndarray) -> np.ndarray:
        return super().compute(x) + 1


class WrongTimingModel(FrameSum):
    def create(self):  # type: ignore[no-untyped-def]
        component = super().create()
        component.beat_model = lambda: ReduceModel(component.latency + 1, self.beats)
        return component


class SwapsLanes(FrameSum):
    def create(self):  # type: ignore[no-untyped-def]
        component = super().create()
        terms = component.terms
        component.terms = lambda *arguments: terms(*arguments)[::-1]
        return component


@pytest.mark.parametrize("broken", [OffByOne(S5, 3, 7), WrongTimingModel(S5, 3, 7), SwapsLanes(S5, 3, 7)])
def test_the_contract_can_fail(broken: FrameSum) -> None:
    with pytest.raises(AssertionError):
        check_operator(broken, 7)


def test_impossible_operators_are_refused() -> None:
    with pytest.raises(ValueError, match=r"kernel .* must fit into the padded image of 2×2"):
        Windows(2, 2, 1, U4, (3, 3))
    with pytest.raises(ValueError, match="padding must be smaller than the kernel"):
        Windows(4, 4, 1, U4, (2, 2), padding=Padding(2, 0, 0, 0))
    with pytest.raises(ValueError, match="one of the widths must divide the other, not 4 and 6"):
        Repack(U4, 4, 6)
    with pytest.raises(ValueError, match="a table for u4 must have 16 entries"):
        LookupTable(U4, U4, np.zeros(8, np.int64), 1)
    with pytest.raises(ValueError, match=r"for each of the 2, not shape \[3, 16\]"):
        LookupTable(U4, U4, np.zeros((3, 16), np.int64), 2)
    for sources in ((), (2,), (0, -1)):
        with pytest.raises(ValueError, match="sources must be numbers of the 2 lanes, from 0 up"):
            LaneMap(2, sources)
    one = np.ones(1, np.int64)
    with pytest.raises(ValueError, match="one entry for each of the 2 sources"):
        Requantize(S5, U4, one, one, 0 * one, 0, 15, lane_map=LaneMap(1, (0, 0)))
    with pytest.raises(ValueError, match="shift must not be negative"):
        Requantize(U4, U4, one, -one, 0 * one, 0, 15)
    with pytest.raises(OverflowError, match="does not fit 64-bit integers"):
        Requantize(Format(True, 40), U4, one << 30, one, 0 * one, 0, 15)
    second = {"negative_multiplier": one << 60, "negative_offset": 0 * one}
    with pytest.raises(OverflowError, match="does not fit 64-bit integers"):
        Requantize(S5, U4, one, one, 0 * one, 0, 15, **second)
    with pytest.raises(ValueError, match="must both be given, or none"):
        Requantize(S5, U4, one, one, 0 * one, 0, 15, negative_offset=one)
    with pytest.raises(ValueError, match="must have one entry for each of 1 lanes"):
        Requantize(S5, U4, one, one, 0 * one, 0, 15, negative_multiplier=one, negative_offset=np.ones(2, np.int64))
    with pytest.raises(ValueError, match="all numbers of some bits"):
        Requantize(S5, U4, one, one, 0 * one, 0, 14, overflow=Overflow.WRAP)
