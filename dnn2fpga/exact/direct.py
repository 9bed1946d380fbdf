"""Requantizers where all scales are powers of two apart: the source's own rounding, written down as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from dnn2fpga.exact.accumulator import WIDEST_PRODUCT, Requantizer
from dnn2fpga.exact.encoding import Lane
from dnn2fpga.exact.pieces import Chain, Halves, applied
from dnn2fpga.exact.rationals import is_dyadic
from dnn2fpga.exact.rounding import RoundingMode
from rtl_lib.core.arithmetic import Overflow, Rounding

LARGEST_MULTIPLIER_BITS = 31


def _nothing(shift: int) -> int:
    return 0


def _half(shift: int) -> int:
    return (1 << shift) >> 1


def _below_half(shift: int) -> int:
    return max(((1 << shift) >> 1) - 1, 0)


def _below_one(shift: int) -> int:
    return (1 << shift) - 1


# What is added before the low bits are dropped: to numbers from 0 on, and to negative ones.
_ADDED = {
    RoundingMode.HALF_UP: (_half, _half),
    RoundingMode.HALF_DOWN: (_below_half, _below_half),
    RoundingMode.HALF_AWAY: (_half, _below_half),
    RoundingMode.HALF_TOWARDS: (_below_half, _half),
    RoundingMode.FLOOR: (_nothing, _nothing),
    RoundingMode.CEILING: (_below_one, _below_one),
    RoundingMode.TOWARDS_ZERO: (_nothing, _below_one),
    RoundingMode.AWAY_FROM_ZERO: (_below_one, _nothing),
    RoundingMode.HALF_EVEN: (_nothing, _nothing),  # a rounding of the hardware
}


@dataclass(frozen=True)
class Dyadic:
    """``fit((a * multiplier + offset) / 2^shift, low, high)`` of one lane; ``negative`` for ``a < 0``."""

    multiplier: int
    offset: int
    shift: int
    low: int
    high: int
    negative: tuple[int, int]
    half_even: bool

    @classmethod
    def of(
        cls, pieces: Chain, lane: Lane, rounding: RoundingMode, zero_point_first: bool, *, wraps: bool
    ) -> Dyadic | None:
        """Return the requantizer of a lane; None where its numbers are no powers of two apart, or it is another
        function.
        """
        line, *rest = pieces
        if len(rest) > 1:
            return None
        first, then = (lane.zero_point, 0) if zero_point_first else (0, lane.zero_point)

        def code(x: Fraction) -> int:
            return rounding.of(x / lane.scale + first) + then

        if not line.slope:
            same = code(applied(rest, line.offset))
            return cls(0, same, 0, lane.low, lane.high, (0, same), half_even=False)
        slope, start = line.slope / lane.scale, line.offset / lane.scale
        halves = rest[0].halves(wraps=wraps) if rest else Halves()
        if halves is None:
            return None
        negative_slope, low, high = slope * halves.below, lane.low, lane.high
        if halves.low is not None:  # a clamp of the codes does the same
            low = min(max(low, code(halves.low)), high)
        if halves.high is not None:
            high = max(min(high, code(halves.high)), low)
        if all(number.denominator == 1 for number in (slope, negative_slope, start)):
            rounding = RoundingMode.FLOOR  # there is nothing to round
        split = negative_slope != slope or rounding in _BY_SIGN
        if split and (slope <= 0 or not 0 <= start < slope or (start and negative_slope not in (0, slope))):
            return None  # the sign of the accumulator is not that of the number
        return cls._written(slope, negative_slope, start, lane, rounding, zero_point_first, (low, high))

    @classmethod
    def _written(
        cls,
        slope: Fraction,
        negative_slope: Fraction,
        start: Fraction,
        lane: Lane,
        rounding: RoundingMode,
        zero_point_first: bool,
        ends: tuple[int, int],
    ) -> Dyadic | None:
        numbers = (slope, negative_slope, start)
        if not all(map(is_dyadic, numbers)):
            return None
        scale = max(number.denominator for number in numbers)
        shift, multiplier = scale.bit_length() - 1, int(slope * scale)
        even = rounding is RoundingMode.HALF_EVEN and shift > 0
        if even and lane.zero_point % 2 and not zero_point_first:
            return None  # a tie would go to the other code
        if zero_point_first and lane.zero_point and rounding in _BY_SIGN:
            return None
        offset, below = int(start * scale) + (lane.zero_point << shift), int(start * scale * bool(negative_slope))
        below += lane.zero_point << shift
        added = _ADDED[rounding]
        other = int(negative_slope * scale), below + added[1](shift) * bool(negative_slope)
        if max(abs(multiplier), abs(other[0])).bit_length() > LARGEST_MULTIPLIER_BITS:
            return None
        if max(shift, abs(offset).bit_length(), abs(other[1]).bit_length()) > WIDEST_PRODUCT:
            return None
        return cls(multiplier, offset + added[0](shift), shift, *ends, other, even)


_BY_SIGN = {mode for mode, (positive, negative) in _ADDED.items() if positive is not negative}


def direct(lanes: Sequence[Dyadic | None], overflow: Overflow) -> Requantizer | None:
    """Return the requantizer of all lanes; None where one has none."""
    found = [lane for lane in lanes if lane is not None]
    even = any(lane.half_even for lane in found)
    if len(found) < len(lanes) or (even and not all(lane.half_even or not lane.shift for lane in found)):
        return None

    def column(values: Sequence[int]) -> np.ndarray:
        return np.array(values, np.int64)

    has_two = any((lane.multiplier, lane.offset) != lane.negative for lane in found)
    return Requantizer(
        multiplier=column([lane.multiplier for lane in found]),
        shift=column([lane.shift for lane in found]),
        offset=column([lane.offset for lane in found]),
        low=column([lane.low for lane in found]),
        high=column([lane.high for lane in found]),
        rounding=Rounding.HALF_EVEN if even else Rounding.FLOOR,
        overflow=overflow,
        negative=tuple(column(part) for part in zip(*(lane.negative for lane in found), strict=True))
        if has_two
        else None,  # type: ignore[arg-type]
    )
