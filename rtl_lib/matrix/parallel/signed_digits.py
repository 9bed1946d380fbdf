"""Canonical signed digits: every integer as the sum of the fewest powers of two with signs (no two neighbours)."""

from __future__ import annotations

import numpy as np


def canonical_signed_digits(numbers: np.ndarray) -> np.ndarray:
    """The digits of integers below 2^61 in magnitude.

    :param numbers: int64 of any shape ``[...]``.
    :returns: int8 ``[..., digits]`` of -1, 0, +1, least significant first; ``sum(digit << position) == number``.
    """
    rest = np.asarray(numbers, np.int64)
    if rest.size and max(int(rest.max()), -int(rest.min())) >= 1 << 61:
        raise OverflowError("numbers must be below 2^61 in magnitude")
    digits = []
    while rest.any():
        # An odd number gets the digit that leaves a multiple of four, so that the next digit is zero.
        digit = np.where(rest & 1, 2 - (rest & 3), 0)
        digits.append(digit.astype(np.int8))
        rest = (rest - digit) >> 1
    return np.stack(digits, axis=-1) if digits else np.zeros((*rest.shape, 0), np.int8)


def adjacent_signed_digits(numbers: np.ndarray) -> np.ndarray:
    """Return as few digits as the canonical ones, but ``4 - 1`` written as ``2 + 1``: fewer differences, narrower
    sums.
    """
    digits = canonical_signed_digits(numbers)
    for place in reversed(range(digits.shape[-1] - 2)):
        low, middle, high = (digits[..., place + k] for k in range(3))
        apart = (low * high == -1) & (middle == 0)
        low[apart] = middle[apart] = high[apart]
        high[apart] = 0
    return digits
