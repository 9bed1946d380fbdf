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


@dataclass(frozen=True)
class Halves:
    """A function that a requantizer computes: ``x`` from 0 on, and ``x * below`` below it; then it is clamped to bounds
    ``low`` … ``high``, where it has some.
    """

    below: Fraction = Fraction(1)
    low: Fraction | None = None
    high: Fraction | None = None


class Piece(ABC):
    """A function that never decreases, or never increases."""

    @abstractmethod
    def apply(self, x: Numbers) -> Numbers:
        """Return its results."""

    @abstractmethod
    def numerically(self, x: np.ndarray) -> np.ndarray:
        """Return its results in float64."""

    @property
    def exact(self) -> ExactPiece | None:
        """The function, where its results are exact; None where they are float64, computed as the source does."""
        return None

    def then(self, following: Piece) -> tuple[Piece, ...]:
        """Return this and what follows it, as one function where that is one."""
        return self, following

    def after(self, line: Line) -> Chain:
        """Return a line and then this, as one function where that is one."""
        return line, self

    def halves(self, *, wraps: bool) -> Halves | None:
        """Return the function in the form that requantizers have; None where it has another one.

        :param wraps: whether codes wrap, so that they cannot be clamped instead of the numbers.
        """
        return None

    @property
    def bounds(self) -> tuple[Fraction | None, Fraction | None]:
        """The least and the largest result; None where there is none."""
        return None, None

    @property
    def falls(self) -> bool:
        """Whether it never increases; else it never decreases."""
        return False

    @property
    def keeps_grid(self) -> bool:
        """Whether results lie on every grid on which the numbers and its `bounds` lie."""
        return False

    @property
    def function_name(self) -> str | None:
        """The name of a real function; None where it is piecewise linear."""
        return None


class ExactPiece(Piece):
    """A function of exact numbers with exact results, which can be traced back."""

    @property
    def exact(self) -> ExactPiece:
        return self

    @abstractmethod
    def before(self, borders: Numbers) -> Numbers:
        """Return where the results are ``borders``."""


@dataclass(frozen=True)
class Line(ExactPiece):
    """``x * slope + offset``."""

    slope: Fraction
    offset: Fraction

    def apply(self, x: Numbers) -> Numbers:
        (rise, run), (start, unit) = self.slope.as_integer_ratio(), self.offset.as_integer_ratio()
        return Numbers(x.numerators * (rise * unit) + start * run * x.denominator, x.denominator * run * unit)

    def numerically(self, x: np.ndarray) -> np.ndarray:
        return x * float(self.slope) + float(self.offset)

    def then(self, following: Piece) -> Chain:
        if following.exact is not None and not self.slope:
            return (Line(Fraction(0), applied((following,), self.offset)),)
        return following.after(self)

    def after(self, line: Line) -> Chain:
        return (Line(line.slope * self.slope, applied((self,), line.offset)),)

    @property
    def falls(self) -> bool:
        return self.slope < 0

    def before(self, borders: Numbers) -> Numbers:
        return Line(1 / self.slope, -self.offset / self.slope).apply(borders)


@dataclass(frozen=True)
class Bounds(ExactPiece):
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

    def halves(self, *, wraps: bool) -> Halves | None:
        if not wraps:
            return Halves(low=self.low, high=self.high)
        return Halves(below=Fraction(0)) if (self.low, self.high) == (0, None) else None

    @property
    def bounds(self) -> tuple[Fraction | None, Fraction | None]:
        return self.low, self.high

    @property
    def keeps_grid(self) -> bool:
        return True


@dataclass(frozen=True)
class Bend(ExactPiece):
    """``x`` from 0 on, and ``x * slope`` below it, with a slope above 0."""

    slope: Fraction

    def apply(self, x: Numbers) -> Numbers:
        rise, run = self.slope.as_integer_ratio()
        return Numbers(x.numerators * np.where(x.numerators >= 0, run, rise), x.denominator * run)

    def numerically(self, x: np.ndarray) -> np.ndarray:
        return np.where(x >= 0, x, x * float(self.slope))

    def before(self, borders: Numbers) -> Numbers:
        return Bend(1 / self.slope).apply(borders)

    def halves(self, *, wraps: bool) -> Halves:
        return Halves(below=self.slope)


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

    def numerically(self, x: np.ndarray) -> np.ndarray:
        return self.function(x)

    @property
    def function_name(self) -> str:
        return self.name


Chain = tuple[Line, *tuple[Piece, ...]]
"""The functions of sums, one after the other: the first one is always a line."""


def extended(chain: Chain, following: Piece) -> Chain:
    """Return a chain and what follows it; the last two functions as one where that is one."""
    line, *rest = chain
    if not rest:
        return line.then(following)
    return line, *(*rest[:-1], *rest[-1].then(following))


def exactly(pieces: Sequence[Piece]) -> tuple[ExactPiece, ...] | None:
    """Return functions that are all exact; None where one is not."""
    exact = tuple(one for piece in pieces if (one := piece.exact) is not None)
    return exact if len(exact) == len(pieces) else None


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
