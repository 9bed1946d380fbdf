"""Functions of exact numbers that a source computes between an accumulator and the codes that it becomes."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

UNBOUNDED = (-np.inf, np.inf)


@dataclass(frozen=True)
class Reach:
    """The condition ``x >= bound``; ``x > bound`` where not ``inclusive``."""

    bound: Fraction
    inclusive: bool


@dataclass(frozen=True, eq=False)
class Borders:
    """Exact numbers ``numerators / denominator``, many at once (Python's integers in an array)."""

    numerators: np.ndarray
    denominator: int

    @classmethod
    def of(cls, values: Sequence[Fraction]) -> Borders:
        """Bring numbers to their common denominator."""
        denominator = math.lcm(*(value.denominator for value in values))
        scaled = [value.numerator * (denominator // value.denominator) for value in values]
        return cls(np.array(scaled, object), denominator)


class Piece(ABC):
    """A function that never decreases, or never increases."""

    @abstractmethod
    def apply(self, x: Fraction) -> Fraction:
        """Return its result."""

    @abstractmethod
    def before(self, borders: Borders) -> Borders:
        """Return where the results are ``borders``."""

    @abstractmethod
    def numerically(self, x: np.ndarray) -> np.ndarray:
        """Return its results in float64."""

    def then(self, following: Piece) -> tuple[Piece, ...]:
        """Return this and what follows it, as one function where that is one."""
        return self, following

    @property
    def bounds(self) -> tuple[Fraction | None, Fraction | None]:
        """The least and the largest result; None where there is none."""
        return None, None

    @property
    def is_exact(self) -> bool:
        """Whether results are exact numbers; else they are float64, computed as the source does."""
        return True


@dataclass(frozen=True)
class Line(Piece):
    """``x * slope + offset``."""

    slope: Fraction
    offset: Fraction

    def apply(self, x: Fraction) -> Fraction:
        return x * self.slope + self.offset

    def numerically(self, x: np.ndarray) -> np.ndarray:
        return x * float(self.slope) + float(self.offset)

    def then(self, following: Piece) -> tuple[Piece, ...]:
        if following.is_exact and not self.slope:
            return (Line(Fraction(0), following.apply(self.offset)),)
        if isinstance(following, Line):
            return (Line(self.slope * following.slope, following.apply(self.offset)),)
        return super().then(following)

    def before(self, borders: Borders) -> Borders:
        (rise, run), (start, unit) = self.slope.as_integer_ratio(), self.offset.as_integer_ratio()
        sign = -1 if rise < 0 else 1
        above = borders.numerators * unit - start * borders.denominator
        return Borders(above * run * sign, borders.denominator * unit * rise * sign)


@dataclass(frozen=True)
class Bounds(Piece):
    """``min(max(x, low), high)``. As what follows is monotone, its bounds can as well be those of the codes: `before`
    leaves them to `Steps`.
    """

    low: Fraction | None
    high: Fraction | None

    def apply(self, x: Fraction) -> Fraction:
        x = x if self.low is None else max(x, self.low)
        return x if self.high is None else min(x, self.high)

    def numerically(self, x: np.ndarray) -> np.ndarray:
        low, high = (end if bound is None else float(bound) for bound, end in zip(self.bounds, UNBOUNDED, strict=True))
        return np.clip(x, low, high)

    def before(self, borders: Borders) -> Borders:
        return borders

    @property
    def bounds(self) -> tuple[Fraction | None, Fraction | None]:
        return self.low, self.high


@dataclass(frozen=True)
class Bend(Piece):
    """``x`` from 0 on, and ``x * slope`` below it, with a slope above 0."""

    slope: Fraction

    def apply(self, x: Fraction) -> Fraction:
        return x if x >= 0 else x * self.slope

    def numerically(self, x: np.ndarray) -> np.ndarray:
        return np.where(x >= 0, x, x * float(self.slope))

    def before(self, borders: Borders) -> Borders:
        (rise, run), numerators = self.slope.as_integer_ratio(), borders.numerators
        return Borders(np.where(numerators >= 0, numerators * rise, numerators * run), borders.denominator * rise)


@dataclass(frozen=True)
class Curve(Piece):
    """A real function, as its source computes it.

    :param name: of the function.
    :param function: float64 → float64; it never decreases.
    """

    name: str
    function: Callable[[np.ndarray], np.ndarray]

    def apply(self, x: Fraction) -> Fraction:
        return Fraction(float(self.function(np.array(float(x)))))

    def before(self, borders: Borders) -> Borders:
        raise NotImplementedError("a real function has no exact inverse")

    def numerically(self, x: np.ndarray) -> np.ndarray:
        return self.function(x)

    @property
    def is_exact(self) -> bool:
        return False


def numerically(pieces: Sequence[Piece], x: np.ndarray) -> np.ndarray:
    """Return what all pieces make of numbers, in float64, the first one first."""
    for piece in pieces:
        x = piece.numerically(x)
    return x


def applied(pieces: Sequence[Piece], x: Fraction) -> Fraction:
    """Return what all pieces make of a number, the first one first."""
    for piece in pieces:
        x = piece.apply(x)
    return x
