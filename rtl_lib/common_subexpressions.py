"""Greedy sharing of two-term patterns ``a ± (b << s)`` (the second stage of da4ml, arXiv 2507.04535).

Every column of the matrix is a sum of signed digits ``± value << shift``. A pattern that occurs in several places is
built once; each occurrence becomes one digit of the new value. The most valuable pattern goes first, until none occurs
twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from rtl_lib.adder_builder import GraphBuilder, Term

# Patterns and digits are counted by the million, so both are plain integers: a pattern is (a, b, shift of b - shift of
# a, whether the signs differ), a digit's place is (column, shift).
SHIFT_BITS = 6
OFFSET = 1 << SHIFT_BITS
DIFFERENCE_BITS = SHIFT_BITS + 2
VALUE_BITS = 26


class Digit(NamedTuple):
    """A digit's share in the number of a pattern: ``first`` of a + ``second`` of b + (whether the signs differ)."""

    first: int
    second: int
    negative: bool

    @classmethod
    def of(cls, value: int, shift: int, negative: bool) -> Digit:
        return cls(
            (value << VALUE_BITS + DIFFERENCE_BITS) - (shift << 1),
            (value << DIFFERENCE_BITS) + (shift + OFFSET << 1),
            negative,
        )


class Pattern(NamedTuple):
    """``a ± (b << shift)``."""

    a: int
    b: int
    shift: int
    differ: bool

    @classmethod
    def decode(cls, number: int) -> Pattern:
        a, rest = divmod(number, 1 << VALUE_BITS + DIFFERENCE_BITS)
        b, rest = divmod(rest, 1 << DIFFERENCE_BITS)
        return cls(a, b, (rest >> 1) - OFFSET, bool(rest & 1))


class DigitColumns:
    """The digits of all columns, how often every pattern occurs, and the depth that every column has already used.

    A column whose terms have levels ``l`` can be summed at depth ``d`` exactly when ``sum(2^l) <= 2^d`` (Kraft);
    sharing raises levels, so an occurrence is replaced only where that still holds.

    :param loads: ``sum(2^l)`` of every column, with everything else that will be added to it; kept up to date.
    """

    def __init__(self, builder: GraphBuilder, depth: int, loads: list[int]) -> None:
        self.builder = builder
        self.capacity = 1 << depth
        self.loads = loads
        # For every column its digits by (value, shift); for every value the signs of its digits by place.
        self.columns: list[dict[tuple[int, int], Digit]] = [{} for _ in loads]
        self.places: dict[int, dict[int, bool]] = {}
        self.counts: dict[int, int] = {}
        # (-worth, pattern), as it was when it was put there.
        self.queue: list[tuple[int, int]] = []

    def fill(self, column: int, terms: Iterable[Term]) -> None:
        for value, shift, negative in terms:
            self.columns[column][value, shift] = Digit.of(value, shift, negative)
            self.places.setdefault(value, {})[column << SHIFT_BITS | shift] = negative

    def terms(self, column: int) -> list[Term]:
        return [Term(value, shift, digit.negative) for (value, shift), digit in self.columns[column].items()]

    def count(self) -> None:
        """Counts all patterns."""
        counts = self.counts
        for digits in self.columns:
            ordered = [digits[key] for key in sorted(digits)]
            for k, (first, _, negative) in enumerate(ordered, start=1):
                for _, second, other_negative in ordered[k:]:
                    pattern = first + second + (negative is not other_negative)
                    counts[pattern] = counts.get(pattern, 0) + 1
        self.queue = [(-self.worth(p, c), p) for p, c in counts.items() if c > 1]
        heapify(self.queue)

    def worth(self, number: int, count: int) -> int:
        """How many adder bits sharing saves where both operands have bits (elsewhere only a carry runs)."""
        a, b, shift, _ = Pattern.decode(number)
        widths = self.builder.widths
        overlap = min(widths[a], widths[b] + shift) - max(0, shift)
        return (count - 1) * max(1, overlap)

    def share(self) -> None:
        """Replaces patterns, best first, until none is left that occurs twice."""
        counts, queue = self.counts, self.queue
        while queue:
            negative_worth, number = heappop(queue)
            count = counts[number]
            if count < 2:
                continue
            worth = self.worth(number, count)
            if worth != -negative_worth:
                heappush(queue, (-worth, number))
                continue
            pattern = Pattern.decode(number)
            found = self.occurrences(pattern)
            if len(found) > 1:
                self.replace(pattern, found)
            else:
                counts[number] = 0

    def occurrences(self, pattern: Pattern) -> list[tuple[int, int, bool]]:
        """``(column, shift, sign)`` of every ``a`` whose occurrence shares no digit and keeps its column's depth."""
        a, b, shift, differ = pattern
        rise = self.rise(a, b)
        loads: dict[int, int] = {}
        used: set[int] = set()
        found = []
        b_places = self.places[b]
        for place, negative in sorted(self.places[a].items()):
            other = place + shift
            if b_places.get(other) is not (negative is not differ) or (a == b and (place in used or other in used)):
                continue
            column = place >> SHIFT_BITS
            load = loads.get(column, self.loads[column]) + rise
            if load <= self.capacity:
                loads[column] = load
                used.update((place, other))
                found.append((column, place - (column << SHIFT_BITS), negative))
        return found

    def rise(self, a: int, b: int) -> int:
        """What joining two values adds to the load of a column."""
        low, high = sorted((self.builder.levels[a], self.builder.levels[b]))
        return (1 << high) - (1 << low)

    def replace(self, pattern: Pattern, found: list[tuple[int, int, bool]]) -> None:
        a, b, shift, differ = pattern
        # The pattern with its lower operand at shift 0, and a positive.
        base = max(0, -shift)
        shared = self.builder.join(Term(a, base, False), Term(b, base + shift, differ))
        rise = self.rise(a, b)
        touched: dict[int, None] = {}
        for column, a_shift, negative in found:
            self.remove(column, a, a_shift)
            self.remove(column, b, a_shift + shift)
            self.insert(column, Term(shared.value, a_shift - base, negative is not shared.negative), touched)
            self.loads[column] += rise
        for number in touched:
            count = self.counts[number]
            if count > 1:
                heappush(self.queue, (-self.worth(number, count), number))

    def remove(self, column: int, value: int, shift: int) -> None:
        digits, counts = self.columns[column], self.counts
        first, second, negative = digits.pop((value, shift))
        del self.places[value][column << SHIFT_BITS | shift]
        for key, (other_first, other_second, other_negative) in digits.items():
            if key > (value, shift):
                counts[first + other_second + (negative is not other_negative)] -= 1
            else:
                counts[other_first + second + (negative is not other_negative)] -= 1

    def insert(self, column: int, term: Term, touched: dict[int, None]) -> None:
        digits, counts = self.columns[column], self.counts
        key, (first, second, negative) = (term.value, term.shift), Digit.of(*term)
        for other_key, (other_first, other_second, other_negative) in digits.items():
            if other_key > key:
                pattern = first + other_second + (negative is not other_negative)
            else:
                pattern = other_first + second + (negative is not other_negative)
            counts[pattern] = counts.get(pattern, 0) + 1
            touched[pattern] = None
        self.fill(column, [term])
