"""A requantizer as what it is for its source: the codes of one lane's accumulators, as a list of steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from dnn2fpga.exact.pieces import ExactPiece, Numbers, Piece, Reach, all_applied, applied

Code = Callable[[Fraction], int]
MOST_STEPS = 1 << 12  # that are looked for one by one


@dataclass(frozen=True, eq=False)
class Steps:
    """The codes of the accumulators ``low`` … ``high``, which never decrease; of ``-high`` … ``-low`` read backwards,
    where ``mirrored``.

    :param first: the code of ``low``.
    :param at: ``[codes - 1]`` int64, sorted: the least accumulators whose codes are ``first + 1``, ``first + 2``, ….
    :param least, most: the codes at which the result saturates, so that it may as well reach beyond them.
    :param margin: how far the number that is nearest to a border between two codes, but not on it, is from that border,
        in codes; at most a half. None where it was not looked for.
    """

    low: int
    high: int
    first: int
    at: np.ndarray
    least: int
    most: int
    mirrored: bool = False
    margin: float | None = None

    @property
    def last(self) -> int:
        """The code of ``high``."""
        return self.first + len(self.at)

    def codes(self, accumulators: np.ndarray) -> np.ndarray:
        """Return the codes (int64) of accumulators (of the lane: not mirrored)."""
        order = -accumulators if self.mirrored else accumulators
        return self.first + np.searchsorted(self.at, order, side="right")

    @classmethod
    def of_line(cls, multiplier: int, offset: int, shift: int, low: int, high: int, least: int, most: int) -> Steps:
        """Return the steps of ``floor((a * multiplier + offset) / 2^shift)``, which is at least ``least`` and at most
        ``most``.
        """
        if mirrored := multiplier < 0:
            multiplier, low, high = -multiplier, -high, -low
        first, last = (min(max((a * multiplier + offset) >> shift, least), most) for a in (low, high))
        reached = (np.arange(first + 1, last + 1) << shift) - offset
        return cls(low, high, first, -(-reached // max(multiplier, 1)), least, most, mirrored)

    @classmethod
    def of_functions(
        cls,
        function: Callable[[np.ndarray], np.ndarray],
        low: np.ndarray,
        high: np.ndarray,
        least: np.ndarray,
        most: np.ndarray,
    ) -> list[Steps]:
        """Find the steps of every lane of a function by bisection, all at once.

        :param function: int64 ``[..., lanes]`` → int64.
        :param low, high: the accumulators ``[lanes]``.
        :param least, most: where the codes saturate, ``[lanes]``.
        :raises ValueError: when a lane is seen to be not monotone, or has too many steps.
        """
        ends = np.stack([function(low), function(high)])
        if (steps := int(np.abs(ends[0] - ends[1]).max(initial=0))) > MOST_STEPS:
            raise ValueError(f"has {steps:,} codes, which no power of two relates to its input; at most {MOST_STEPS:,}")
        mirrored = ends[0] > ends[1]
        sign, (first, last) = np.where(mirrored, -1, 1), (ends.min(axis=0), ends.max(axis=0))
        low, high = np.where(mirrored, -high, low), np.where(mirrored, -low, high)
        codes = first + 1 + np.arange(int((last - first).max(initial=0)))[:, np.newaxis]
        below, reached = np.broadcast_to(low, codes.shape), np.broadcast_to(high, codes.shape)
        while (reached - below > 1).any():
            middle = below + (reached - below) // 2
            values = function(middle * sign)
            if ((values < first) | (values > last)).any():
                raise ValueError("its codes neither rise nor fall throughout")
            is_reached = values >= codes
            reached, below = np.where(is_reached, middle, reached), np.where(is_reached, below, middle)
        return [
            cls(
                low=int(low[k]),
                high=int(high[k]),
                first=int(first[k]),
                at=reached[: last[k] - first[k], k].astype(np.int64),
                least=int(least[k]),
                most=int(most[k]),
                mirrored=bool(mirrored[k]),
            )
            for k in range(len(low))
        ]

    @classmethod
    def of_function(
        cls, function: Callable[[np.ndarray], np.ndarray], low: int, high: int, least: int, most: int
    ) -> Steps:
        """Find the steps of a function (int64 → int64) of one lane."""
        bounds = (np.array([bound], np.int64) for bound in (low, high, least, most))
        return cls.of_functions(function, *bounds)[0]

    @classmethod
    def of_pieces(
        cls,
        pieces: Sequence[ExactPiece],
        code: Code,
        reach: Callable[[int], Reach],
        low: int,
        high: int,
        ends: tuple[int, int],
        unit: Fraction,
    ) -> Steps:
        """Find the steps of a quantizer after exact functions, each from its border.

        :param code: the quantizer's code of a real number.
        :param reach: the real numbers whose code is at least a given one.
        :param ends: the codes at which the quantizer saturates.
        :param unit: the real number between two codes.
        """
        least, most = _bounded(pieces, code, ends)

        def of(accumulator: int) -> int:
            return min(max(code(applied(pieces, Fraction(accumulator))), least), most)

        first, last = of(low), of(high)
        mirrored = first > last
        if mirrored:
            low, high, first, last = -high, -low, last, first
        codes = np.arange(max(first, ends[0] + 1), min(last + 1, ends[1]) + 1)
        conditions = [reach(code) for code in codes.tolist()]
        borders = Numbers.of([condition.bound for condition in conditions])
        inside = (codes > first) & (codes <= last)
        exclusive = np.array([not condition.inclusive for condition in conditions], bool)
        at = _places(Numbers(borders.numerators[inside], borders.denominator), exclusive[inside], pieces, mirrored)
        near = np.full((2, len(codes)), [[low], [high]], object)
        near[:, inside] = at - 1, at
        margin = _margin(all_applied(pieces, Numbers(-near if mirrored else near, 1)), borders, unit)
        return cls(low, high, first, at.astype(np.int64), least, most, mirrored, margin)


def _places(borders: Numbers, exclusive: np.ndarray, pieces: Sequence[ExactPiece], mirrored: bool) -> np.ndarray:
    """The least accumulator after each border."""
    if not borders.numerators.size:
        return borders.numerators
    for piece in reversed(pieces):
        borders = piece.before(borders)
    numerators = -borders.numerators if mirrored else borders.numerators
    return numerators // borders.denominator + (exclusive | (numerators % borders.denominator != 0))


def _margin(reals: Numbers, borders: Numbers, unit: Fraction) -> float | None:
    """The distance of the number that is nearest to its border, but not on it, in units."""
    distances = np.abs(reals.numerators * borders.denominator - borders.numerators * reals.denominator)
    distances = distances[distances != 0]
    if not distances.size:
        return None
    return float(min(Fraction(distances.min(), reals.denominator * borders.denominator) / unit, Fraction(1, 2)))


def _bounded(pieces: Sequence[Piece], code: Code, ends: tuple[int, int]) -> tuple[int, int]:
    """The ends of the codes: at the quantizer's bounds, or at what it makes of a clamp's."""
    least, most = ends
    for k, piece in enumerate(pieces):
        rest = pieces[k + 1 :]
        low, high = (None if bound is None else applied(rest, bound) for bound in piece.bounds)
        rising = sum(piece.falls for piece in rest) % 2 == 0
        for bound, lowest in ((low, rising), (high, not rising)):
            if bound is None:
                continue
            if lowest:
                least = min(max(least, code(bound)), most)
            else:
                most = max(min(most, code(bound)), least)
    return least, most
