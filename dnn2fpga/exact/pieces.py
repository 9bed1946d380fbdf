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
class Numbers:
    """Exact numbers ``numerators / denominator``, many at once: far faster than fractions.

    :param numerators: Python's integers in an array.
    :param denominator: above 0.
    """

    numerators: np.ndarray
    denominator: int

    @classmethod
    def of(cls, values: Sequence[Fraction]) -> Numbers:
        """Bring numbers to their common denominator."""
        denominator = math.lcm(*(value.denominator for value in values))
        scaled = [value.numerator * (denominator // value.denominator) for value in values]
        return cls(np.array(scaled, object), denominator)


class Piece(ABC):
    """A function that never decreases, or never increases."""

    @abstractmethod
    def apply(self, x: Numbers) -> Numbers:
        """Return its results."""

    @abstractmethod
    def before(self, borders: Numbers) -> Numbers:
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
    def falls(self) -> bool:
        """Whether it never increases; else it never decreases."""
        return False

    @property
    def is_exact(self) -> bool:
        """Whether results are exact numbers; else they are float64, computed as the source does."""
        return True


@dataclass(frozen=True)
class Line(Piece):
    """``x * slope + offset``."""

    slope: Fraction
    offset: Fraction

    def apply(self, x: Numbers) -> Numbers:
        (rise, run), (start, unit) = self.slope.as_integer_ratio(), self.offset.as_integer_ratio()
        return Numbers(x.numerators * (rise * unit) + start * run * x.denominator, x.denominator * run * unit)

    def numerically(self, x: np.ndarray) -> np.ndarray:
        return x * float(self.slope) + float(self.offset)

    def then(self, following: Piece) -> tuple[Piece, ...]:
        if following.is_exact and not self.slope:
            return (Line(Fraction(0), applied((following,), self.offset)),)
        if isinstance(following, Line):
            return (Line(self.slope * following.slope, applied((following,), self.offset)),)
        return super().then(following)

    @property
    def falls(self) -> bool:
        return self.slope < 0

    def before(self, borders: Numbers) -> Numbers:
        return Line(1 / self.slope, -self.offset / self.slope).apply(borders)


@dataclass(frozen=True)
class Bounds(Piece):
    """``min(max(x, low), high)``. As what follows is monotone, its bounds can as well be those of the codes: `before`
    leaves them to `Steps`.
    """

    low: Fraction | None
    high: Fraction | None

    def apply(self, x: Numbers) -> Numbers:
        for bound, pick in ((self.low, np.maximum), (self.high, np.minimum)):
            if bound is not None:
                unit = bound.denominator
                picked = pick(x.numerators * unit, bound.numerator * x.denominator)
                x = Numbers(picked, x.denominator * unit)
        return x

    def numerically(self, x: np.ndarray) -> np.ndarray:
        low, high = (end if bound is None else float(bound) for bound, end in zip(self.bounds, UNBOUNDED, strict=True))
        return np.clip(x, low, high)

    def before(self, borders: Numbers) -> Numbers:
        return borders

    @property
    def bounds(self) -> tuple[Fraction | None, Fraction | None]:
        return self.low, self.high


@dataclass(frozen=True)
class Bend(Piece):
    """``x`` from 0 on, and ``x * slope`` below it, with a slope above 0."""

    slope: Fraction

    def apply(self, x: Numbers) -> Numbers:
        rise, run = self.slope.as_integer_ratio()
        return Numbers(x.numerators * np.where(x.numerators >= 0, run, rise), x.denominator * run)

    def numerically(self, x: np.ndarray) -> np.ndarray:
        return np.where(x >= 0, x, x * float(self.slope))

    def before(self, borders: Numbers) -> Numbers:
        return Bend(1 / self.slope).apply(borders)


@dataclass(frozen=True)
class Curve(Piece):
    """A real function, as its source computes it.

    :param name: of the function.
    :param function: float64 → float64; it never decreases.
    """

    name: str
    function: Callable[[np.ndarray], np.ndarray]

    def apply(self, x: Numbers) -> Numbers:
        results = self.function((x.numerators / x.denominator).astype(np.float64))
        return Numbers.of([Fraction(float(result)) for result in results])

    def before(self, borders: Numbers) -> Numbers:
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


def all_applied(pieces: Sequence[Piece], x: Numbers) -> Numbers:
    """Return what all pieces make of numbers, the first one first."""
    for piece in pieces:
        x = piece.apply(x)
    return x


def applied(pieces: Sequence[Piece], x: Fraction) -> Fraction:
    """Return what all pieces make of a number, the first one first."""
    result = all_applied(pieces, Numbers.of([x]))
    return Fraction(int(result.numerators[0]), result.denominator)
