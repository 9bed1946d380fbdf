"""The host conversions: integers made of the real numbers that enter a network. Needs nothing but NumPy: it is part of
the one file that a board gets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

HALF_UP = "half_up"
_FAR = 2.0**52  # outside of every format


def _away(x: np.ndarray) -> np.ndarray:
    return np.copysign(np.floor(np.abs(x) + 0.5), x)


# The modes by name (`exact.rounding.RoundingMode` says what they are called elsewhere).
ROUND: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    HALF_UP: lambda x: np.floor(x + 0.5),
    "half_even": np.rint,
    "half_down": lambda x: np.ceil(x - 0.5),
    "half_away": _away,
    "half_towards": lambda x: np.copysign(np.ceil(np.abs(x) - 0.5), x),
    "floor": np.floor,
    "ceiling": np.ceil,
    "towards_zero": np.trunc,
    "away_from_zero": lambda x: np.copysign(np.ceil(np.abs(x)), x),
}


@dataclass(frozen=True)
class Conversion:
    """``fit(round(x / scale) + zero_point)`` into a format; to nearest, half up, where no source says otherwise.

    :param rounding: a key of `ROUND`.
    :param wraps: whether a number outside of the format keeps its low bits; else it saturates.
    :param zero_point_first: ``round(x / scale + zero_point)`` instead.
    :param binary32: whether the division is one of float32, and the addition of a zero point before rounding.
    :param low, high: the range, one number for all lanes or one per lane, where it is not that of the format.
    """

    rounding: str = HALF_UP
    wraps: bool = False
    zero_point_first: bool = False
    binary32: bool = False
    low: int | tuple[int, ...] | None = None
    high: int | tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.rounding not in ROUND:
            raise ValueError(f"rounding must be one of {', '.join(ROUND)}, not '{self.rounding}'")
        for name, bound in (("low", self.low), ("high", self.high)):
            if any(abs(code) > _FAR for code in (bound if isinstance(bound, tuple) else (bound or 0,))):
                raise ValueError(f"{name} lies outside of every format")

    def within(self, low: np.ndarray, high: np.ndarray, minimum: int, maximum: int) -> Conversion:
        """Return the same into ``low`` … ``high`` (int64 ``[lanes]``) of a format."""
        if (low == minimum).all() and (high == maximum).all():
            return self
        return replace(self, low=tuple(low.tolist()), high=tuple(high.tolist()))

    def problem(self, lanes: int, minimum: int, maximum: int) -> str | None:
        """Return why it cannot be that of an input of so many lanes, if it cannot."""
        low, high = self._range(minimum, maximum)
        if any(bound.size not in (1, lanes) for bound in (low, high)):
            return f"low and high must be one number, or one for each of the {lanes} lanes"
        if (low > high).any() or (low < minimum).any() or (high > maximum).any():
            return f"low and high must lie in the format ({minimum} … {maximum}), in this order"
        if self.wraps and ((high - low) & (high - low + 1)).any():
            return "what wraps needs a power of two of integers from low to high"
        return None

    def _range(self, minimum: int, maximum: int) -> tuple[np.ndarray, np.ndarray]:
        low, high = (minimum if self.low is None else self.low), (maximum if self.high is None else self.high)
        return np.asarray(low, np.int64), np.asarray(high, np.int64)

    def levels(self, x: np.ndarray, scale: Any, zero_point: Any) -> np.ndarray:
        """Return whole numbers (float64), which need not lie in the format, of real ones ``[..., lanes]``.

        :param scale, zero_point: one number for all lanes, or one per lane.
        """
        kind = np.float32 if self.binary32 else np.float64
        real, zero = np.asarray(x, kind) / np.asarray(scale).astype(kind), np.asarray(zero_point, kind)
        before, after = (zero, 0) if self.zero_point_first else (0, zero.astype(np.float64))
        return np.asarray(ROUND[self.rounding]((real + before).astype(np.float64)) + after)

    def fitted(self, levels: np.ndarray, minimum: int, maximum: int) -> np.ndarray:
        """Return whole numbers ``[..., lanes]`` as those (int64) of a format."""
        whole, (low, high) = np.clip(levels, -_FAR, _FAR).astype(np.int64), self._range(minimum, maximum)
        if self.wraps:
            return np.asarray(((whole - low) & (high - low)) + low)
        return np.clip(whole, low, high)
