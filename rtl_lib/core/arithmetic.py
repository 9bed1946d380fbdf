"""Scalar integer arithmetic, written once.

Every function body here runs unchanged on Python ``int``, on ``numpy.int64`` arrays and on Amaranth ``Value``:
that is what makes the software model and the hardware the same definition (docs/arithmetic.md). Python and NumPy
shift arithmetically (towards minus infinity), and so do signed Amaranth values.
"""

from __future__ import annotations

import enum
from functools import singledispatch
from typing import Any

import numpy as np
from amaranth.hdl import Mux, Value


class Rounding(enum.Enum):
    """The treatment of the bits that a right shift drops (the names of ``ap_fixed`` in brackets)."""

    HALF_UP = "half_up"  # AP_RND: 0.5 → 1, -0.5 → 0, -1.5 → -1
    HALF_EVEN = "half_even"  # AP_RND_CONV: 0.5 → 0, 1.5 → 2, -0.5 → 0
    FLOOR = "floor"  # AP_TRN: 0.9 → 0, -0.1 → -1


class Overflow(enum.Enum):
    """The treatment of a result outside the bounds (the names of ``ap_fixed`` in brackets)."""

    SATURATE = "saturate"  # AP_SAT
    SATURATE_SYMMETRIC = "saturate_symmetric"  # AP_SAT_SYM: -2^(n-1) is not used
    WRAP = "wrap"  # AP_WRAP


def is_whole_range(low: Any, high: Any) -> Any:
    """Return whether ``low`` … ``high`` are all numbers of n bits, unsigned or in two's complement; n may be 0."""
    return (high & (high + 1) == 0) & ((low == 0) | (low == -high - 1))


@singledispatch
def select(condition: Any, when_true: Any, when_false: Any) -> Any:
    """``when_true if condition else when_false`` for every number type of this module."""
    return when_true if condition else when_false


@select.register
def _(condition: np.ndarray, when_true: Any, when_false: Any) -> Any:
    return np.where(condition, when_true, when_false)


@select.register
def _(condition: Value, when_true: Any, when_false: Any) -> Any:
    return Mux(condition, when_true, when_false)


def shift_right(value: Any, shift: Any, rounding: Rounding = Rounding.HALF_UP) -> Any:
    """``value / 2**shift`` rounded to an integer; ``shift`` is a constant (or an array of constants) of at least 0."""
    half = (1 << shift) >> 1
    if rounding is Rounding.FLOOR:
        return value >> shift
    rounded = (value + half) >> shift
    if rounding is Rounding.HALF_UP:
        return rounded
    # A tie is a remainder of exactly one half; without dropped bits (shift 0) there is none.
    remainder = value & ((1 << shift) - 1)
    tie = (remainder == half) & (half != 0)
    return rounded - select(tie, rounded & 1, 0)


def clamp(value: Any, low: Any, high: Any) -> Any:
    """``value`` limited to ``[low, high]``."""
    return select(value < low, low, select(value > high, high, value))


def fit(value: Any, low: Any, high: Any, overflow: Overflow = Overflow.SATURATE) -> Any:
    """``value`` brought into ``[low, high]``.

    ``WRAP`` keeps the low bits, so there ``[low, high]`` must be a whole range (``is_whole_range``).
    ``SATURATE_SYMMETRIC`` excludes ``low`` when ``low == -high - 1``.
    """
    if overflow is Overflow.WRAP:
        return ((value - low) & (high - low)) + low
    if overflow is Overflow.SATURATE_SYMMETRIC:
        low = select(low == -high - 1, -high, low)
    return clamp(value, low, high)


def requantize(
    accumulator: Any,
    multiplier: Any,
    shift: Any,
    offset: Any,
    low: Any,
    high: Any,
    rounding: Rounding = Rounding.HALF_UP,
    overflow: Overflow = Overflow.SATURATE,
    negative: tuple[Any, Any] | None = None,
) -> Any:
    """``fit(round((accumulator * multiplier + offset) / 2**shift))``:
    from an accumulator's scale to the next tensor's.

    :param negative: multiplier and offset for accumulators below 0; absent: the same.
    """
    if negative is not None:
        is_negative = accumulator < 0
        multiplier, offset = (select(is_negative, *both) for both in zip(negative, (multiplier, offset), strict=True))
    return fit(shift_right(accumulator * multiplier + offset, shift, rounding), low, high, overflow)
