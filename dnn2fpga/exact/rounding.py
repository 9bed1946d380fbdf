"""Rounding of sources: all modes of QKeras, HGQ2, QONNX, ONNX and TensorFlow Lite, exactly."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from dnn2fpga.tensors.conversion import ROUND


class RoundingMode(enum.Enum):
    """The integer that a real number becomes. Ties are numbers half-way between two integers."""

    HALF_EVEN = "half_even"  # to nearest, ties to even: NumPy, TensorFlow, QKeras, QONNX ROUND, AP_RND_CONV
    HALF_UP = "half_up"  # to nearest, ties up: AP_RND
    HALF_DOWN = "half_down"  # to nearest, ties down: AP_RND_MIN_INF
    HALF_AWAY = "half_away"  # to nearest, ties away from 0: C's round, AP_RND_INF, QONNX HALF_UP
    HALF_TOWARDS = "half_towards"  # to nearest, ties towards 0: AP_RND_ZERO, QONNX HALF_DOWN
    FLOOR = "floor"  # AP_TRN
    CEILING = "ceiling"
    TOWARDS_ZERO = "towards_zero"  # AP_TRN_ZERO, QONNX DOWN
    AWAY_FROM_ZERO = "away_from_zero"  # QONNX UP

    def first(self, code: int) -> tuple[Fraction, bool]:
        """Return the least number that becomes ``code`` or more, and whether it does so itself."""
        return _FIRST[self](code)

    def of(self, x: Fraction) -> int:
        """Return the integer that an exact number becomes."""
        code = math.floor(x) - 1
        while self._reaches(x, code + 1):
            code += 1
        return code

    def _reaches(self, x: Fraction, code: int) -> bool:
        least, inclusive = self.first(code)
        return x > least or (inclusive and x == least)

    def round(self, x: np.ndarray) -> np.ndarray:
        """Return float64 numbers, rounded."""
        return ROUND[self.value](x)


def _half(code: int) -> Fraction:
    return Fraction(2 * code - 1, 2)


# The least number that becomes a code, and whether it belongs to it.
_FIRST: dict[RoundingMode, Callable[[int], tuple[Fraction, bool]]] = {
    RoundingMode.HALF_EVEN: lambda code: (_half(code), code % 2 == 0),
    RoundingMode.HALF_UP: lambda code: (_half(code), True),
    RoundingMode.HALF_DOWN: lambda code: (_half(code), False),
    RoundingMode.HALF_AWAY: lambda code: (_half(code), code > 0),
    RoundingMode.HALF_TOWARDS: lambda code: (_half(code), code <= 0),
    RoundingMode.FLOOR: lambda code: (Fraction(code), True),
    RoundingMode.CEILING: lambda code: (Fraction(code - 1), False),
    RoundingMode.TOWARDS_ZERO: lambda code: (Fraction(code), True) if code > 0 else (Fraction(code - 1), False),
    RoundingMode.AWAY_FROM_ZERO: lambda code: (Fraction(code - 1), False) if code > 0 else (Fraction(code), True),
}
