"""Requantize: from an accumulator's scale to the next tensor's, with the activation's clamp for free.

``y = fit(round((x * multiplier + offset) / 2**shift), low, high)`` lane by lane (docs/arithmetic.md). A multiplier
that is a power of two is wires; another one is written as a plain product, from which Vivado and yosys infer a DSP
block. Inputs below 0 may have a multiplier and an offset of their own, a second *line*: that is one product with a
choice of two constants by the sign.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import or_

import numpy as np
from amaranth.hdl import Module, Mux, Signal, Value

from rtl_lib.core import arithmetic
from rtl_lib.core.arithmetic import Overflow, Rounding
from rtl_lib.core.features import Amount, Features, Kind, clamp_features, pipeline_features
from rtl_lib.core.formats import Format
from rtl_lib.core.lane_map import LaneMap
from rtl_lib.core.operator import Beatwise
from rtl_lib.core.pipeline import Pipeline, PipelineBuilder
from rtl_lib.core.stream import Beat

Sizes = tuple[Amount, ...]


@dataclass(frozen=True)
class Line:
    """The line ``x * multiplier + offset``."""

    multiplier: int
    offset: int

    @property
    def multiplies(self) -> bool:
        """True if it needs a real multiplication: a power of two is wires, and 0 is nothing."""
        return self.multiplier < 0 or bool(self.multiplier & (self.multiplier - 1))


@dataclass(frozen=True, eq=False)
class Requantize(Beatwise):
    """Element-wise requantization.

    :param multiplier, shift, offset: int64 ``[lanes]``.
    :param low, high: the clamp, one number for all lanes or one per lane. With ``WRAP``, the range of each lane is that
        of all numbers of some bits.
    :param negative_multiplier, negative_offset: int64 ``[lanes]``, for inputs below 0; absent: the same line.
    :param lane_map: which input lane each lane requantizes; absent: its own.
    :raises OverflowError: where integers of 64 bits would not be exact.
    """

    input_format: Format
    output_format: Format
    multiplier: np.ndarray
    shift: np.ndarray
    offset: np.ndarray
    low: int | np.ndarray
    high: int | np.ndarray
    rounding: Rounding = Rounding.HALF_UP
    overflow: Overflow = Overflow.SATURATE
    negative_multiplier: np.ndarray | None = None
    negative_offset: np.ndarray | None = None
    lane_map: LaneMap | None = None

    def __post_init__(self) -> None:
        if not self.multiplier.shape == self.shift.shape == self.offset.shape == (self.lanes,):
            raise ValueError("multiplier, shift and offset must be vectors of the same length")
        if (self.negative_multiplier is None) != (self.negative_offset is None):
            raise ValueError("negative_multiplier and negative_offset must both be given, or none of them")
        if len(self.read_lanes.sources) != self.lanes:
            raise ValueError(f"multiplier must have one entry for each of the {len(self.read_lanes.sources)} sources")
        if any(of.shape != (self.lanes,) for of in self.negative or ()):
            raise ValueError(
                f"negative_multiplier and negative_offset must have one entry for each of {self.lanes} lanes"
            )
        if (self.shift < 0).any():
            raise ValueError("shift must not be negative; use a larger multiplier")
        low, high = int(self.clamp[0].min()), int(self.clamp[1].max())
        if not self.output_format.contains(low, high):
            raise ValueError(f"the clamp [{low}, {high}] must lie in the output format {self.output_format}")
        if self.overflow is Overflow.WRAP and not arithmetic.is_whole_range(*self.clamp).all():
            raise ValueError("with overflow 'wrap', low … high of a lane must be all numbers of some bits")
        lines = [line for k in range(self.lanes) for line in self.lines(k)]
        bits = self.input_format.width + max(abs(line.multiplier).bit_length() for line in lines)
        bits = max(bits, *(abs(line.offset).bit_length() for line in lines), int(self.shift.max())) + 1
        if bits > 62:
            raise OverflowError(f"a product of {bits} bits does not fit 64-bit integers exactly")

    @classmethod
    def handing_on(cls, beat: Beat) -> Requantize:
        """The one that changes nothing."""
        one, f = np.ones(beat.lanes, np.int64), beat.format
        return cls(f, f, one, 0 * one, 0 * one, f.minimum, f.maximum, overflow=Overflow.WRAP)

    @property
    def lanes(self) -> int:
        return len(self.multiplier)

    @property
    def input_beats(self) -> tuple[Beat, ...]:
        return (Beat(self.input_format, self.read_lanes.inputs),)

    @property
    def output_beat(self) -> Beat:
        return Beat(self.output_format, self.lanes)

    @cached_property
    def read_lanes(self) -> LaneMap:
        """The lane of the input that each lane reads."""
        return self.lane_map or LaneMap.all(self.lanes)

    @cached_property
    def clamp(self) -> tuple[np.ndarray, np.ndarray]:
        """``low`` and ``high`` of every lane."""
        low, high = (np.broadcast_to(np.asarray(bound, np.int64), (self.lanes,)) for bound in (self.low, self.high))
        return low, high

    @property
    def negative(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Multiplier and offset for inputs below 0."""
        if self.negative_multiplier is None or self.negative_offset is None:
            return None
        return self.negative_multiplier, self.negative_offset

    def lines(self, k: int) -> tuple[Line, Line]:
        """Return the lines of a lane: for inputs of at least 0, and for those below."""
        line = Line(int(self.multiplier[k]), int(self.offset[k]))
        if self.negative is None or not self.input_format.signed:
            return line, line
        multiplier, offset = self.negative
        return line, Line(int(multiplier[k]), int(offset[k]))

    @property
    def has_two_lines(self) -> bool:
        """True if the sign of the input makes a difference in any lane."""
        return any(line != below for line, below in map(self.lines, range(self.lanes)))

    @cached_property
    def multiplies(self) -> bool:
        """True if any lane needs a real multiplication."""
        return any(line.multiplies for k in range(self.lanes) for line in self.lines(k))

    @property
    def luts(self) -> float:
        """Predicted: a rounding increment and a clamp, each one for every result bit (products are DSP blocks)."""
        return 2 * self.output_beat.layout.size

    def compute(self, x: np.ndarray) -> np.ndarray:
        """``[..., input lanes]`` → ``[..., lanes]`` in the output format's dtype."""
        y = arithmetic.requantize(
            self.read_lanes.of(x.astype(np.int64)) if self.lane_map else x.astype(np.int64),
            self.multiplier,
            self.shift,
            self.offset,
            self.low,
            self.high,
            self.rounding,
            self.overflow,
            self.negative,
        )
        return y.astype(self.output_format.dtype)

    def create(self) -> RequantizePipeline:
        return RequantizePipeline(self)

    @property
    def latency(self) -> int:
        """Registers: [the product,] the result."""
        return 2 if self.multiplies else 1

    def datapath(self, m: Module, build: PipelineBuilder, lanes: list[Value]) -> list[Value]:
        """The results, ``latency`` registers after ``lanes``."""
        results = []
        for k, lane in enumerate(self.read_lanes.of_list(lanes)):
            rounded = self._rounded(build, lane, k)
            fitted = arithmetic.fit(rounded, int(self.clamp[0][k]), int(self.clamp[1][k]), self.overflow)
            results.append(build.register(narrow(m, fitted, self.output_format), f"result_{k}"))
        return results

    def _rounded(self, build: PipelineBuilder, lane: Value, k: int) -> Value:
        line, below, shift, rounding = self._smallest(k)
        product, negative = _product(lane, line.multiplier, below.multiplier), lane < 0
        if self.multiplies:
            product = build.register(product, f"product_{k}")
        if line.offset == below.offset:
            return arithmetic.shift_right(product + line.offset, shift, rounding)
        if self.multiplies:
            negative = build.register(negative, f"negative_{k}")
        return arithmetic.shift_right(product + Mux(negative, below.offset, line.offset), shift, rounding)

    def _smallest(self, k: int) -> tuple[Line, Line, int, Rounding]:
        """Lines, shift and rounding of a lane. The offsets of two lines hold what rounds half up."""
        (line, below), shift = self.lines(k), int(self.shift[k])
        if line == below:
            return line, below, shift, self.rounding
        multipliers, offsets = [line.multiplier, below.multiplier], [line.offset, below.offset]
        multipliers, offsets, shift, rounding = simplified(multipliers, offsets, shift, self.rounding)
        line, below = map(Line, multipliers, offsets)
        return line, below, shift, rounding

    def datapath_features(self, product: Sizes = ()) -> Features:
        """Return what ``datapath`` consists of.

        :param product: bits of the factors and of the product, where the numbers come right from a multiplier.
        """
        bill = Features().add(Kind.REGISTER, self.output_beat.layout.size)
        for k in range(self.lanes):
            bill += self._lane_features(*self._smallest(k), () if self.multiplies else product)
        return bill

    def _lane_features(self, line: Line, below: Line, shift: int, rounding: Rounding, product: Sizes) -> Features:
        width, bill = self.input_format.width, Features()
        multiplier = max(line.multiplier, below.multiplier, key=abs)
        bits = width + abs(multiplier).bit_length() - 1
        one_factor = line.multiplier == below.multiplier
        real = line.multiplies or below.multiplies
        if real:
            factor = abs(multiplier).bit_length()
            bill.add(Kind.PRODUCT, 1, width, factor + 1, width + factor)
            bits += 1
        else:
            bill.add(Kind.REGISTER, bits * self.multiplies)
            bill.add(Kind.GATE, bits * (not one_factor))
        adds = line.offset != 0 or below.offset != 0 or (shift > 0 and rounding is not Rounding.FLOOR)
        one_offset = line.offset == below.offset
        bill.add(Kind.REGISTER, self.multiplies and not one_offset)
        # A choice of two constants is a wire from the sign, an inverted one, or a constant in every bit.
        of_wires = Kind.CONSTANT_ADDER if one_offset else Kind.ADDER
        in_block = real or (product and one_offset)
        bill.add(Kind.OFFSET if in_block else of_wires, (bits + 1) * adds, *product)
        bill.add(Kind.EVEN, bits * (rounding is Rounding.HALF_EVEN and shift > 0))
        clamp = clamp_features(
            max(bits + adds - shift, 1),
            self.output_format.width,
            signed_sum=adds and self.output_format.signed,
            one_sided=not self.input_format.signed and all(one.multiplier > 0 <= one.offset for one in (line, below)),
        )
        return bill + clamp * (self.overflow is not Overflow.WRAP)


def simplified(
    multipliers: Sequence[int], offsets: Sequence[int], shift: int, rounding: Rounding
) -> tuple[list[int], list[int], int, Rounding]:
    """The same rounded results of ``(x * multiplier + offset) / 2^shift``, and of any sum or maximum of such numbers
    over 2^shift, from smaller constants: rounding half up is an addition, and low bits that only offsets have never
    reach the result. (To a sum belongs one offset.)
    """
    of_all = reduce(or_, multipliers)
    if rounding is Rounding.HALF_UP:
        offsets, rounding = [offset + (1 << shift >> 1) for offset in offsets], Rounding.FLOOR
    common = min(shift, (of_all & -of_all).bit_length() - 1) if rounding is Rounding.FLOOR and of_all else 0
    return [m >> common for m in multipliers], [o >> common for o in offsets], shift - common, rounding


class RequantizePipeline(Pipeline):
    """Hardware of ``Requantize``."""

    def __init__(self, spec: Requantize) -> None:
        self.spec = spec
        super().__init__(spec.input_beat, spec.output_beat, spec.latency)

    def features(self) -> Features:
        return pipeline_features(self.latency) + self.spec.datapath_features()

    def datapath(self, m: Module, build: PipelineBuilder, lanes: list[Value]) -> list[Value]:
        return self.spec.datapath(m, build, lanes)


def _times(value: Value, constant: int) -> Value:
    """``value * constant``; a power of two as wires."""
    if constant > 0 and constant & (constant - 1) == 0:
        return value << (constant.bit_length() - 1)
    return value * constant


def _product(value: Value, constant: int, for_negative: int) -> Value:
    """``value`` times one of two constants, by its sign; one multiplier at most."""
    if constant == for_negative:
        return _times(value, constant)
    if Line(constant, 0).multiplies or Line(for_negative, 0).multiplies:
        return value * Mux(value < 0, for_negative, constant)
    return Mux(value < 0, _times(value, for_negative), _times(value, constant))


def narrow(m: Module, value: Value, format: Format) -> Signal:
    """``value``, known to lie in ``format``, as a signal of exactly that format."""
    result = Signal(format.shape)
    m.d.comb += result.eq(value)
    return result
