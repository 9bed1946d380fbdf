"""Sums that a source computes in floating point and never quantizes, on a grid that is as fine as float32."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from dnn2fpga.exact.accumulator import WIDEST_PRODUCT, Accumulator, Requantizer
from dnn2fpga.exact.direct import LARGEST_MULTIPLIER_BITS
from dnn2fpga.exact.encoding import Encoding
from dnn2fpga.exact.fit import LARGEST_SHIFT
from dnn2fpga.exact.pieces import Bounds, Line, Piece, applied
from dnn2fpga.tensors.basics import Unsupported

PRECISION = 24  # bits of a float32 number
FAR = Fraction(1 << 200)  # beyond every sum


def as_binary32(sums: Accumulator) -> tuple[Requantizer, Encoding]:
    """Return the last step that rounds sums to integers, and what these mean: a step is the last place of the largest
    of all sums, as a float32 number, so that none is further from the exact sum than a half of it (and 1/64).

    :raises Unsupported: where other functions than a line and a clamp follow the sums.
    """
    ends = [(int(low), int(high)) for low, high in zip(sums.low, sums.high, strict=True)]
    if not all(isinstance(first, Line) and all(isinstance(p, Bounds) for p in rest) for first, *rest in sums.pieces):
        raise Unsupported("what it computes is not rounded by any quantizer; quantize it in the source")
    reals = [abs(applied(pieces, Fraction(a))) for pieces, both in zip(sums.pieces, ends, strict=True) for a in both]
    step = Fraction(2) ** (_exponent(max(reals)) - PRECISION)
    lanes = np.array([_lane(pieces, both, step) for pieces, both in zip(sums.pieces, ends, strict=True)], np.int64)
    last = Requantizer(*lanes.T)
    if not last.is_exact(sums.low, sums.high):
        raise Unsupported("its exact results are too wide; quantize them in the source")
    return last, Encoding.of(step, last.low, last.high)


def _lane(pieces: tuple[Piece, ...], ends: tuple[int, int], step: Fraction) -> tuple[int, int, int, int, int]:
    """Multiplier, shift, offset, and the bounds of the codes."""
    line, *rest = pieces
    assert isinstance(line, Line)
    slope, start = line.slope / step, line.offset / step
    reach = max(abs(end) for end in ends).bit_length() + 1
    bits = min(LARGEST_MULTIPLIER_BITS, WIDEST_PRODUCT - 2 - reach)
    shift = min(bits - max(_exponent(abs(slope)), 0), WIDEST_PRODUCT - 2 - max(_exponent(abs(start)), 0), LARGEST_SHIFT)
    if shift < 0:
        raise Unsupported("its exact results are too wide; quantize them in the source")
    multiplier, offset = round(slope * (1 << shift)), round(start * (1 << shift)) + ((1 << shift) >> 1)
    bounds = [_code(applied(rest, far), step) for far in (-FAR, FAR)]
    codes = [min(max((a * multiplier + offset) >> shift, bounds[0]), bounds[1]) for a in ends]
    return multiplier, shift, offset, min(codes), max(codes)


def _code(real: Fraction, step: Fraction) -> int:
    return int((real / step + Fraction(1, 2)) // 1)


def _exponent(number: Fraction) -> int:
    """The least ``e`` with ``number < 2^e``, of a number that is not below 0."""
    exponent = number.numerator.bit_length() - number.denominator.bit_length()
    return exponent + (number >= Fraction(2) ** exponent)
