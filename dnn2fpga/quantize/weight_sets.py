"""Weight sets: which integers the weights of a layer may be. A set is its sorted list of levels."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np


class WeightSet(enum.Enum):
    """Sources: binary and ternary, Aarrestad et al., section 5; power of two and additive power of two, the joint
    optimization paper. Two's complement is what many tools' integers are.
    """

    INTEGER = "integer"
    TWOS_COMPLEMENT = "twos_complement"
    BINARY = "binary"
    TERNARY = "ternary"
    POWER_OF_TWO = "power_of_two"
    ADDITIVE_POWER_OF_TWO = "additive_power_of_two"


@dataclass(frozen=True)
class Levels:
    """The integers that a quantizer may give: all from ``low`` to ``high``, or those that are ``listed``."""

    low: int
    high: int
    listed: tuple[int, ...] | None = None

    @classmethod
    def of(cls, integers: list[int]) -> Levels:
        return cls(min(integers), max(integers), tuple(sorted(set(integers))))

    @cached_property
    def borders(self) -> np.ndarray:
        """Between two listed levels; a number on the border goes up (half up)."""
        listed = np.asarray(self.listed, np.float64)
        return (listed[1:] + listed[:-1]) / 2

    def nearest(self, x: np.ndarray) -> np.ndarray:
        """The nearest level of each number, half up, as float64."""
        if self.listed is None:
            return np.clip(np.floor(x + 0.5), self.low, self.high)
        return np.asarray(self.listed, np.float64)[np.searchsorted(self.borders, x, side="right")]

    def contain(self, integers: np.ndarray) -> bool:
        if self.listed is not None:
            return bool(np.isin(integers, self.listed).all())
        return bool(self.low <= integers.min(initial=self.low) and integers.max(initial=self.low) <= self.high)


def levels_of(weight_set: WeightSet, bits: int) -> Levels:
    """The levels that ``bits`` bits can name; raises ``ValueError`` for a width that the set does not have."""
    fewest, most, levels = _SETS[weight_set]
    if not fewest <= bits <= most:
        possible = f"{fewest} to {most} bits" if fewest < most else f"{fewest} bit{'s' * (fewest > 1)}"
        raise ValueError(f"weight set '{weight_set.value}' has {possible}, not {bits}")
    return levels(bits)


def _integers(bits: int) -> Levels:
    """Symmetric: the lowest code is not used. One bit is {-1, +1}."""
    largest = (1 << (bits - 1)) - 1
    return Levels(-largest, largest) if bits > 1 else Levels.of([-1, 1])


def _twos_complement(bits: int) -> Levels:
    """All codes."""
    return Levels(-1 << (bits - 1), (1 << (bits - 1)) - 1)


def _powers_of_two(bits: int) -> Levels:
    """0 and ±2^k: the sign and 2^(bits - 1) - 1 exponents."""
    return _signed([1 << k for k in range((1 << (bits - 1)) - 1)])


def _additive_powers_of_two(bits: int) -> Levels:
    """± the sum of two powers of two (or of one, or none), each with half of the bits. Their exponents interleave,
    as in Li, Dong and Wang (ICLR 2020), so that no sum occurs twice.
    """
    second = (1 << (bits - 1) // 2) - 1
    first = (1 << bits - 1 - (bits - 1) // 2) - 1
    top = max(2 * first - 2, 2 * second - 1)
    terms = [[0, *(1 << (start - 2 * k) for k in range(n))] for start, n in ((top, first), (top - 1, second))]
    return _signed([a + b for a in terms[0] for b in terms[1]])


def _signed(magnitudes: list[int]) -> Levels:
    return Levels.of([0, *magnitudes, *(-m for m in magnitudes)])


# The fewest and the most bits of each set (so that levels stay within 16 bits), and its levels.
_SETS: dict[WeightSet, tuple[int, int, Callable[[int], Levels]]] = {
    WeightSet.INTEGER: (1, 16, _integers),
    WeightSet.TWOS_COMPLEMENT: (2, 16, _twos_complement),
    WeightSet.BINARY: (1, 1, _integers),
    WeightSet.TERNARY: (2, 2, _integers),
    WeightSet.POWER_OF_TWO: (2, 5, _powers_of_two),
    WeightSet.ADDITIVE_POWER_OF_TWO: (3, 7, _additive_powers_of_two),
}
