"""Vectors of exact numbers: NumPy arrays of ``Fraction``. A float32 or float64 is one exactly."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import numpy as np


def rationals(values: Any) -> np.ndarray:
    """Return integers, floats or fractions (a number, or an array of any shape) as an array of ``Fraction``.

    :raises ValueError: when one is not finite.
    """
    array = np.asarray(values)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError("a number is not finite")
    exact = np.empty(array.shape, object)
    exact.reshape(-1)[:] = [Fraction(value) for value in array.reshape(-1).tolist()]
    return exact


def common_step(values: Iterable[Fraction]) -> Fraction:
    """Return the largest number of which all values are integer multiples; 1 where all are 0."""
    used = [value for value in values if value]
    if not used:
        return Fraction(1)
    denominator = math.lcm(*(value.denominator for value in used))
    return Fraction(math.gcd(*(int(value * denominator) for value in used)), denominator)


def integers(values: np.ndarray) -> np.ndarray:
    """Return exact integers (``Fraction`` of denominator 1) as an array of int64.

    :raises ValueError: when one is no integer.
    :raises OverflowError: when one does not fit.
    """
    if any(value.denominator != 1 for value in values.reshape(-1)):
        raise ValueError("a number is not an integer")
    return np.array([int(value) for value in values.reshape(-1)], np.int64).reshape(values.shape)


def is_dyadic(value: Fraction) -> bool:
    """Return whether a number is an integer over a power of two."""
    return value.denominator & (value.denominator - 1) == 0


def floats(values: np.ndarray) -> np.ndarray:
    """Return the nearest float64 of every number."""
    return values.astype(np.float64)
