"""Greedy sharing of two-term patterns ``a ± (b << s)`` (the second stage of da4ml, arXiv 2507.04535).

Every column of the matrix is a sum of signed digits ``± value << shift``. A pattern that occurs in several places is
built once; each occurrence becomes one digit of the new value. The most valuable pattern goes first, until none occurs
twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from rtl_lib.matrix.parallel.adder_builder import GraphBuilder, Term

# Patterns are counted by the million, so each is one integer, ``a * STRIDE + b * 2^9 + (shift + 128) * 2 + differ``
# (``shift`` of b minus that of a; ``differ``: opposite signs). The stride is odd because Python's dict looks at the low
# bits first, where all of a pattern's parts must count. A digit's place is ``column * 128 + shift``; shifts are below
# 64, so that a place plus the shift of a pattern is never mistaken for a place in the next column.
SHIFT_BITS = 7
PLACES = 1 << SHIFT_BITS
STRIDE = 0x3_9E37_79B1


class Digit(NamedTuple):
    """One digit's part in a pattern's number: a's ``first`` + b's ``second`` + (whether the signs differ)."""

    first: int
    second: int
    negative: bool

    @classmethod
    def of(cls, value: int, shift: int, negative: bool) -> Digit:
        return cls(value * STRIDE - 2 * shift, (value << SHIFT_BITS + 2) + 2 * (shift + PLACES), negative)


class Pattern(NamedTuple):
    """``a ± (b << shift)``. (The parts of an array of patterns are arrays.)"""

    a: Any
    b: Any
    shift: Any
    differ: Any

    @classmethod
    def decode(cls, number: Any) -> Pattern:
        a, rest = number // STRIDE, number % STRIDE
        return cls(a, rest >> SHIFT_BITS + 2, (rest >> 1) % (2 * PLACES) - PLACES, rest % 2 == 1)


class PatternQueue:
    """Patterns by worth, the most valuable first; among equals the last one put in. Worths are small integers."""

    def __init__(self) -> None:
        self.buckets: list[list[int]] = []

    def push(self, worth: int, pattern: int) -> None:
        while len(self.buckets) <= worth:
            self.buckets.append([])
        self.buckets[worth].append(pattern)

    def pop(self) -> tuple[int, int] | None:
        while self.buckets and not self.buckets[-1]:
            self.buckets.pop()
        return (len(self.buckets) - 1, self.buckets[-1].pop()) if self.buckets else None


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
        # The digits of every column by (value, shift); the signs of every value's digits by place.
        self.columns: list[dict[tuple[int, int], Digit]] = [{} for _ in loads]
        self.places: dict[int, dict[int, bool]] = {}
        # Only patterns that occur twice or more: the count of an old pattern never rises.
        self.counts: dict[int, int] = {}
        self.queue = PatternQueue()

    def fill(self, column: int, terms: Iterable[Term]) -> None:
        for value, shift, negative in terms:
            self.columns[column][value, shift] = Digit.of(value, shift, negative)
            self.places.setdefault(value, {})[column << SHIFT_BITS | shift] = negative

    def terms(self, column: int) -> list[Term]:
        return [Term(value, shift, digit.negative) for (value, shift), digit in self.columns[column].items()]

    def count(self) -> None:
        """Count all patterns and put them into the queue."""
        numbers = [np.zeros(0, np.int64)]
        for digits in self.columns:
            first, second, negative = np.array([digits[key] for key in sorted(digits)], np.int64).reshape(-1, 3).T
            i, j = np.triu_indices(len(first), 1)
            numbers.append(first[i] + second[j] + (negative[i] ^ negative[j]))
        patterns, counts = np.unique(np.concatenate(numbers), return_counts=True)
        patterns, counts = patterns[counts > 1], counts[counts > 1]
        self.counts = dict(zip(patterns.tolist(), counts.tolist(), strict=True))
        a, b, shift, _ = Pattern.decode(patterns)
        widths = np.array(self.builder.widths)
        worths = _worth(counts, widths[a], widths[b], shift, np.minimum, np.maximum)
        for number, worth in zip(patterns.tolist(), worths.tolist(), strict=True):
            self.queue.push(worth, number)

    def worth(self, pattern: Pattern, count: int) -> int:
        return _worth(count, self.builder.widths[pattern.a], self.builder.widths[pattern.b], pattern.shift)

    def share(self) -> None:
        """Replace patterns, best first, until none is left that occurs twice."""
        self.count()
        while (item := self.queue.pop()) is not None:
            worth, number = item
            if number not in self.counts:
                continue
            pattern = Pattern.decode(number)
            current = self.worth(pattern, self.counts[number])
            if current != worth:
                self.queue.push(current, number)
                continue
            found = self.occurrences(pattern)
            if len(found) > 1:
                self.replace(pattern, found)
            self.counts.pop(number, None)

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
                found.append((column, place % PLACES, negative))
        return found

    def rise(self, a: int, b: int) -> int:
        """Return how much joining two values adds to the load of a column."""
        low, high = sorted((self.builder.levels[a], self.builder.levels[b]))
        return (1 << high) - (1 << low)

    def replace(self, pattern: Pattern, found: list[tuple[int, int, bool]]) -> None:
        """Build the pattern once and put a digit of it in the place of every occurrence found."""
        a, b, shift, differ = pattern
        # The pattern with its lower operand at shift 0, and a positive.
        base = max(0, -shift)
        shared = self.builder.join(Term(a, base, False), Term(b, base + shift, differ))
        rise = self.rise(a, b)
        added: dict[int, int] = {}
        for column, a_shift, negative in found:
            self.remove(column, a, a_shift)
            self.remove(column, b, a_shift + shift)
            self.insert(column, Term(shared.value, a_shift - base, negative is not shared.negative), added)
            self.loads[column] += rise
        for number, count in added.items():
            if count > 1:
                self.counts[number] = count
                self.queue.push(self.worth(Pattern.decode(number), count), number)

    def remove(self, column: int, value: int, shift: int) -> None:
        digits, counts = self.columns[column], self.counts
        removed = digits.pop((value, shift))
        del self.places[value][column << SHIFT_BITS | shift]
        for number in _pairs(digits, (value, shift), removed):
            count = counts.get(number)
            if count is None:
                continue
            if count > 2:
                counts[number] = count - 1
            else:
                del counts[number]

    def insert(self, column: int, term: Term, added: dict[int, int]) -> None:
        for number in _pairs(self.columns[column], (term.value, term.shift), Digit.of(*term)):
            added[number] = added.get(number, 0) + 1
        self.fill(column, [term])


def _pairs(digits: dict[tuple[int, int], Digit], key: tuple[int, int], digit: Digit) -> list[int]:
    """The numbers of the patterns that one digit forms with others; the smaller (value, shift) is the pattern's a."""
    first, second, negative = digit
    return [
        first + other_second + (negative is not other_negative)
        if other_key > key
        else other_first + second + (negative is not other_negative)
        for other_key, (other_first, other_second, other_negative) in digits.items()
    ]


def _worth(count: Any, a_width: Any, b_width: Any, shift: Any, least: Any = min, most: Any = max) -> Any:
    """Return how many adder bits sharing saves where both operands have bits (elsewhere only a carry runs)."""
    return (count - 1) * most(1, least(a_width, b_width + shift) - most(0, shift))
