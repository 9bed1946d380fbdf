"""The summands that one output has for itself: their tree, its signs, and the constant of the output.

Adding unsigned numbers costs one LUT for every bit that disappears, and one for every carry chain into which no carry
enters. So every chain accepts a bit: the lowest bit of another summand of the same sign, which is then missing where
that summand is added, or a one of the constant.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from rtl_lib.matrix.parallel.adder_builder import BITS, GraphBuilder, Term
from rtl_lib.matrix.parallel.adder_graph import cost
from rtl_lib.matrix.parallel.adder_sums import Carry, Operand
from rtl_lib.matrix.parallel.adder_values import trailing_zeros

# The summands that are compared before two are joined.
PARTNERS = 32


@dataclass(eq=False)
class Summand:
    """A summand in the plan of a tree: a term, the constant (neither term nor parts), or the sum of two others.

    ``low`` and ``top``: the places that it covers; for sums ``top`` is an estimate.
    """

    level: int
    low: int
    top: int
    negative: bool = False
    term: Term | None = None
    parts: tuple[Summand, ...] = ()
    has_constant: bool = False
    taken: int = 0  # low bits of a term that other sums have taken in
    carry: Carry | None = None  # the carry into a sum; its place counts from the output's lowest bit

    @property
    def order(self) -> tuple[int, int, int, tuple[int, ...]]:
        return self.level, self.low, self.top, self.term or ()

    @property
    def is_constant(self) -> bool:
        return self.has_constant and not self.parts


def overlap(a: Summand, b: Summand) -> int:
    """Two summands are good partners when they share many places."""
    return min(a.top, b.top) - max(a.low, b.low)


def compactness(a: Summand, b: Summand) -> int:
    """Two summands are good partners when their sum is narrow."""
    return min(a.low, b.low) - max(a.top, b.top)


Partnership = Callable[[Summand, Summand], int]


def _leaf(builder: GraphBuilder, term: Term) -> Summand:
    top = term.shift + builder.widths[term.value]
    return Summand(builder.levels[term.value], term.shift, top, term.negative, term)


def _joined(a: Summand, b: Summand) -> Summand:
    """Return the plan of a sum. Of two signs it has the one that leaves fewer bits to invert alone; with the constant
    in it it is positive.
    """
    has_constant = a.has_constant or b.has_constant
    negative = a.negative
    if a.negative != b.negative:
        plus, minus = (b, a) if a.negative else (a, b)
        negative = not has_constant and plus.top - plus.low < minus.top - minus.low
    meet = overlap(a, b) > 0
    return Summand(
        level=max(a.level, b.level) + meet,
        low=min(a.low, b.low),
        top=max(a.top, b.top) + meet,
        negative=negative,
        parts=(a, b),
        has_constant=has_constant,
    )


def plan(builder: GraphBuilder, terms: list[Term], constant: Summand | None, partnership: Partnership) -> Summand:
    """Always joins the two summands that arrive first; of equally early ones the best partners."""
    waiting = [_leaf(builder, term) for term in terms] + ([constant] if constant else [])
    waiting.sort(key=lambda summand: summand.order)
    while len(waiting) > 1:
        first, earliest = waiting.pop(0), waiting[0].level
        near = [k for k, other in enumerate(waiting[:PARTNERS]) if other.level == earliest]
        second = waiting.pop(max(near, key=lambda k: partnership(first, waiting[k])))
        insort(waiting, _joined(first, second), key=lambda summand: summand.order)
    return waiting[0]


def _sums(root: Summand) -> list[Summand]:
    """All sums of a tree, parts first."""
    return [s for part in root.parts for s in _sums(part)] + ([root] if root.parts else [])


def take_bits(root: Summand) -> None:
    """Assign to the carry chains the lowest bits of other terms of their sign, each to the first chain that fits."""
    sums = _sums(root)
    # Every term with the sum that adds it, and what it meets there.
    places = [(part, s, s.parts[1 - k]) for s in sums for k, part in enumerate(s.parts) if part.term is not None]
    for chain in sums:
        a, b = chain.parts
        chain.low = min(a.low, b.low)
        if overlap(a, b) <= 0 or a.is_constant or b.is_constant:
            continue
        start = max(a.low, b.low)
        fitting = [
            term
            for term, home, other in places
            if home is not chain
            and term.negative == chain.negative
            and term.level < chain.level
            and term.low <= start
            and not other.is_constant
            and other.low <= term.low < other.top
            and term.low + 1 < term.top
        ]
        if fitting:
            term = max(fitting, key=lambda term: term.low)
            value, shift, _ = term.term  # type: ignore[misc]
            chain.carry = Carry(value, term.taken, shift + term.taken)
            chain.low = min(chain.low, term.low)
            term.taken += 1
            term.low += 1


class OutputSum(NamedTuple):
    value: int
    shift: int
    level: int
    luts: int
    chain_bits: int


@dataclass(frozen=True)
class Problem:
    """``target`` + the linear parts of all terms, modulo ``2^width``, as an unsigned number.

    ``depth``: adder levels not to be exceeded; ``load``: ``sum(2^level)`` of the terms and one for the constant.
    """

    builder: GraphBuilder
    terms: list[Term]
    target: int
    width: int
    depth: int
    load: int


def output_sum(problem: Problem) -> OutputSum:
    """The cheapest of some trees."""
    # The constant may arrive as late as the depth allows, or take part from the start.
    latest = max(0, (1 << problem.depth) - problem.load + 1).bit_length() - 1
    options = []
    for level in sorted({0, max(0, latest)}):
        for partnership in (overlap, compactness):
            constant = Summand(level, 0, problem.width, has_constant=True)
            root = plan(problem.builder, problem.terms, constant, partnership)
            take_bits(root)
            options += _variants(problem, root)
    return min(options, key=lambda o: (max(0, o.level - problem.depth), cost(o.luts, o.chain_bits), o.level, o.value))


def total(builder: GraphBuilder, terms: list[Term]) -> Term:
    """The sum of all terms without a constant, of either sign."""
    root = plan(builder, terms, None, overlap)
    take_bits(root)
    value = _Emission(builder).operand(root)
    return Term(value.value, value.shift, root.negative)


@dataclass(eq=False)
class _Emission:
    """Builds the values of a plan and counts what they cost. Shifts and places count from the output's lowest bit."""

    builder: GraphBuilder
    luts: int = 0
    chain_bits: int = 0

    def operand(self, node: Summand) -> Operand:
        """The summand as an operand that is not inverted; its sign is the plan's."""
        if node.term is not None:
            return Operand(
                node.term.value, self.builder.bits[node.term.value] >> node.taken << node.taken, node.term.shift
            )
        a, b = node.parts if node.parts[0].negative == node.negative else node.parts[::-1]
        left, right, inverted = self.operand(a), self.operand(b), b.negative != node.negative
        carry = node.carry or self.builder.carry_of(left, right._replace(inverted=inverted))
        return self.sum(left, right, inverted, carry)

    def sum(
        self, left: Operand, right: Operand, inverted: bool, carry: Carry | None = None, limit: int = BITS
    ) -> Operand:
        shift = min(left.shift, right.shift, carry.place if carry else BITS)
        value = self.builder.sum(
            left._replace(shift=left.shift - shift),
            right._replace(shift=right.shift - shift, inverted=inverted),
            carry and carry._replace(place=carry.place - shift),
            limit - shift,
        )
        built = self.builder.values[value]
        self.luts += built.luts
        self.chain_bits += built.chain_bits
        return Operand(value, self.builder.bits[value], shift)


class _Item(NamedTuple):
    """A term that is added to the sum that has the constant."""

    value: Operand
    negative: bool
    carry: Carry | None


def _variants(problem: Problem, root: Summand) -> list[OutputSum]:
    """The output with its constant at each possible place of its path."""
    emission = _Emission(problem.builder)
    items: list[_Item] = []
    node = root
    while node.parts:
        inner, other = node.parts if node.parts[0].has_constant else node.parts[::-1]
        items.append(_Item(emission.operand(other), other.negative, node.carry))
        node = inner
    items.reverse()
    # The constants that unsigned numbers leave over. (A carry is a bit taken out of another operand, so it does not
    # count.)
    excess = sum(problem.builder.constant_part(item.value._replace(inverted=item.negative)) for item in items)
    constant = (problem.target - excess) % (1 << problem.width)
    # Nothing but the constant can come before something that is subtracted.
    constant_first = not items or items[0].negative
    positions = range(1) if constant_first else range(1, len(items) + 1)
    return [_with_constant(problem, emission, items, constant, position) for position in positions]


def _with_constant(problem: Problem, start: _Emission, items: list[_Item], constant: int, position: int) -> OutputSum:
    """The items one after the other, and the constant before the one at ``position``."""
    builder, width = problem.builder, problem.width
    emission = _Emission(builder, start.luts, start.chain_bits)
    carries = [item.carry for item in items]
    for k, item in enumerate(items):
        # The highest one of the constant that may still enter before the chain; a subtraction accepts any.
        lowest = trailing_zeros(item.value.places)
        ones = constant & ((2 << lowest) - 1)
        if k and carries[k] is None and (ones or item.negative):
            place = ones.bit_length() - 1 if ones else lowest
            constant = (constant - (1 << place)) % (1 << width)
            carries[k] = Carry(builder.constant(1), 0, place)
    total: Operand | None = None
    for k, item in enumerate(items):
        if k == position:
            total = _add_constant(emission, total, constant, width)
        if total is None and not item.negative:
            total = item.value
        else:
            left = total or Operand(builder.constant(0), 0, 0)
            total = emission.sum(left, item.value, item.negative, carries[k], width)
    if position == len(items):
        total = _add_constant(emission, total, constant, width)
    total = total or Operand(builder.constant(0), 0, 0)
    return OutputSum(total.value, total.shift, builder.levels[total.value], emission.luts, emission.chain_bits)


def _add_constant(emission: _Emission, total: Operand | None, constant: int, width: int) -> Operand | None:
    """Add the constant. Its lowest one that meets a bit enters before the carry chain."""
    if constant == 0:
        return total
    builder, carry = emission.builder, None
    if total is not None and constant & total.places:
        place = trailing_zeros(constant & total.places)
        carry = Carry(builder.constant(1), 0, place)
        constant -= 1 << place
    number = Operand(builder.constant(constant), constant, 0)
    return number if total is None else emission.sum(number, total, False, carry, width)
