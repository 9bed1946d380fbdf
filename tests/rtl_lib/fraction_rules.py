"""Rounding and clamping in exact fractions, from docs/arithmetic.md: the oracle of the operators."""

from __future__ import annotations

import math
from fractions import Fraction

from rtl_lib.core.arithmetic import Overflow, Rounding


def rounded(value: Fraction, rounding: Rounding) -> int:
    if rounding is Rounding.FLOOR:
        return math.floor(value)
    if rounding is Rounding.HALF_UP:
        return math.floor(value + Fraction(1, 2))
    below = math.floor(value)
    part = value - below
    if part == Fraction(1, 2):
        return below if below % 2 == 0 else below + 1
    return below if part < Fraction(1, 2) else below + 1


def fitted(value: int, low: int, high: int, overflow: Overflow) -> int:
    if overflow is Overflow.WRAP:
        while value < low:
            value += high - low + 1
        while value > high:
            value -= high - low + 1
        return value
    if overflow is Overflow.SATURATE_SYMMETRIC and low == -high - 1:
        low = -high
    return min(max(value, low), high)


def requantized(x, multiplier, shift, offset, low, high, rounding, overflow) -> int:
    return fitted(rounded(Fraction(x * multiplier + offset, 2**shift), rounding), low, high, overflow)
