"""Sums that a source computes in floating point and never quantizes, as integers of as many bits as tensors have."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from dnn2fpga.exact.accumulator import WIDEST, WIDEST_PRODUCT, Accumulator, Requantizer
from dnn2fpga.exact.direct import LARGEST_MULTIPLIER_BITS
from dnn2fpga.exact.encoding import Encoding
from dnn2fpga.exact.fit import LARGEST_SHIFT
from dnn2fpga.exact.pieces import Chain, applied
from dnn2fpga.tensors.basics import Unsupported

FAR = Fraction(1 << 200)  # beyond every sum


def in_widest_tensor(sums: Accumulator) -> tuple[Requantizer, Encoding]:
    """Return the last step that rounds sums to integers on one grid, and what these mean. The grid is the finest on
    which all of the sums that can occur fit a tensor: finer than the last place of the larger ones in float32.

    :raises Unsupported: where other functions than a line and a clamp follow the sums.
    """
    ends = [(int(low), int(high)) for low, high in zip(sums.low, sums.high, strict=True)]
    if not all(piece.keeps_grid for pieces in sums.pieces for piece in pieces[1:]):
        raise Unsupported("what it computes is not rounded by any quantizer; quantize it in the source")
    reals = [abs(applied(pieces, Fraction(a))) for pieces, both in zip(sums.pieces, ends, strict=True) for a in both]
    step = Fraction(2) ** (_exponent(max(reals)) - (WIDEST - 1))
    lanes = np.array([_lane(pieces, both, step) for pieces, both in zip(sums.pieces, ends, strict=True)], np.int64)
    last = Requantizer(*lanes.T)
    if not last.is_exact(sums.low, sums.high):
        raise Unsupported("its exact results are too wide; quantize them in the source")
    return last, Encoding.of(step, last.low, last.high)


def _lane(pieces: Chain, ends: tuple[int, int], step: Fraction) -> tuple[int, int, int, int, int]:
    """Multiplier, shift, offset, and the bounds of the codes."""
    line, *rest = pieces
    slope, start = line.slope / step, line.offset / step
    reach = max(abs(end) for end in ends).bit_length() + 1
    most = min(LARGEST_MULTIPLIER_BITS, WIDEST_PRODUCT - 2 - reach)
    shift = min(most - max(_exponent(abs(slope)), 0), WIDEST_PRODUCT - 2 - max(_exponent(abs(start)), 0), LARGEST_SHIFT)
    if shift < 0:
        raise Unsupported("its exact results are too wide; quantize them in the source")
    multiplier, offset = round(slope * (1 << shift)), round(start * (1 << shift)) + ((1 << shift) >> 1)
    bits = multiplier | offset | 1 << shift
    zeros = (bits & -bits).bit_length() - 1  # at the end of all of them
    multiplier, shift, offset = multiplier >> zeros, shift - zeros, offset >> zeros
    bounds = [_code(applied(rest, far), step) for far in (-FAR, FAR)]
    codes = [min(max((a * multiplier + offset) >> shift, bounds[0]), bounds[1]) for a in ends]
    return multiplier, shift, offset, min(codes), max(codes)


def _code(real: Fraction, step: Fraction) -> int:
    return int((real / step + Fraction(1, 2)) // 1)


def _exponent(number: Fraction) -> int:
    """The least ``e`` with ``number < 2^e``, of a number that is not below 0."""
    exponent = number.numerator.bit_length() - number.denominator.bit_length()
    return exponent + (number >= Fraction(2) ** exponent)
