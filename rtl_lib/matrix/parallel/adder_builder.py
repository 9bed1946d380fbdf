"""Builds an adder graph value by value, with the exact interval of each."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import NamedTuple

from rtl_lib.matrix.parallel.adder_graph import AdderGraph, Output
from rtl_lib.matrix.parallel.adder_sums import Carry, Operand, Sum
from rtl_lib.matrix.parallel.adder_values import Constant, GraphValue, Input, Interval, Table, trailing_zeros

# A value without its constant part as a linear function: {input: coefficient}. A bit of a value that was taken out of
# it, and added elsewhere, is a variable too, with a negative number.
LinearForm = dict[int, int]
BITS = 64  # the numbers of bit variables: -1 - (value * BITS + bit)


class Term(NamedTuple):
    """``± value << shift``, without the value's constant part: a summand."""

    value: int
    shift: int
    negative: bool


class GraphBuilder:
    """The creator of a graph's values. A value that is asked for twice is created once.

    ``constants[v]`` is the constant part of value ``v``: what it is when all inputs are 0.
    """

    def __init__(self, inputs: Sequence[Interval]) -> None:
        self.inputs = inputs
        self.values: list[GraphValue] = []
        self.bits: list[int] = []
        self.widths: list[int] = []
        self.levels: list[int] = []
        self.constants: list[int] = []
        self._forms: list[LinearForm] = []
        self._known: dict[Hashable, int] = {}
        for lane, (low, high) in enumerate(inputs):
            value = Input(lane, low, high)
            self._add(value, {lane: 1}, value.offset)

    def _add(self, value: GraphValue, form: LinearForm, constant: int) -> int:
        self.values.append(value)
        self.bits.append(value.bits)
        self.widths.append(value.width)
        self.levels.append(value.levels + max((self.levels[k] for k in value.operands), default=0))
        self.constants.append(constant)
        self._forms.append(form)
        return len(self.values) - 1

    def join(self, a: Term, b: Term) -> Term:
        """``a + b``.

        Two summands of different sign leave a choice, ``a + ~b`` or ``-(b + ~a)``: the one that inverts what uses
        its bits better; the sign passes to whoever uses the result.
        """
        shift = min(a.shift, b.shift)
        left, right = sorted((a, b), key=lambda term: (term.shift, term.value))
        inverted = a.negative != b.negative
        if inverted and (self._slack(right), right.shift) > (self._slack(left), left.shift):
            left, right = right, left
        operands = (
            Operand(left.value, self.bits[left.value], left.shift - shift),
            Operand(right.value, self.bits[right.value], right.shift - shift, inverted),
        )
        return Term(self.sum(*operands, self.carry_of(*operands)), shift, left.negative)

    def carry_of(self, left: Operand, right: Operand) -> Carry | None:
        """Return the carry into a chain that no other carry enters: the 1 of a subtraction."""
        overlap = left.places & right.places
        return Carry(self.constant(1), 0, trailing_zeros(overlap)) if right.inverted and overlap else None

    def _slack(self, term: Term) -> int:
        """Return by how much the inverse of a term is larger than it need be."""
        return (self.bits[term.value] - self.values[term.value].interval[1]) << term.shift

    def sum(self, left: Operand, right: Operand, carry: Carry | None = None, limit: int = BITS) -> int:
        """The value ``left + right + carry``, at most its low ``limit`` bits."""
        key = (left, right, carry, limit)
        if key not in self._known:
            if carry and left.places & right.places & ((1 << carry.place) - 1):
                raise ValueError("a carry must enter at or below the first place where the operands overlap")
            form: LinearForm = {}
            constant = self._accumulate(form, left) + self._accumulate(form, right)
            if carry:
                constant += self._bit(form, carry.value, carry.bit, 1 << carry.place)
            low, high = self.interval(form, constant)
            width = min(high.bit_length(), limit)
            # Bits that were taken out of a number count as independent ones: the interval may be too wide.
            interval = (0, (1 << width) - 1) if high >> width else (max(low, 0), high)
            total = Sum(
                left=left,
                right=right,
                carry=carry,
                constant_left=self.values[left.value].is_constant,
                constant_carry=carry is not None and self.values[carry.value].is_constant,
                interval=interval,
                width=width,
            )
            self._known[key] = self._add(total, {k: c for k, c in form.items() if c}, constant)
        return self._known[key]

    def _accumulate(self, form: LinearForm, operand: Operand) -> int:
        """Add the operand's linear part to a form; return its constant part."""
        factor = (-1 if operand.inverted else 1) << operand.shift
        constant = factor * self.constants[operand.value]
        for k, c in self._forms[operand.value].items():
            form[k] = form.get(k, 0) + factor * c
        for bit in range(trailing_zeros(operand.bits)):
            constant += self._bit(form, operand.value, bit, -factor << bit)
        return constant + (operand.places if operand.inverted else 0)

    def _bit(self, form: LinearForm, value: int, bit: int, factor: int) -> int:
        """Add ``factor`` times one bit of a value to a form; return the constant part of that."""
        if self.values[value].is_constant:
            return factor * (self.constants[value] >> bit & 1)
        variable = -1 - (value * BITS + bit)
        form[variable] = form.get(variable, 0) + factor
        return 0

    def constant_part(self, operand: Operand) -> int:
        """Return the value of an operand when the linear part of its value, and the bits taken out of it, are 0."""
        return self._accumulate({}, operand)

    def interval(self, form: LinearForm, constant: int = 0) -> Interval:
        """Exact, because the inputs are independent: ``x - x`` is 0, not [-255, 255]."""
        low = high = constant
        for k, c in form.items():
            least, most = self.inputs[k] if k >= 0 else (0, 1)
            low += c * (least if c > 0 else most)
            high += c * (most if c > 0 else least)
        return low, high

    def constant(self, number: int) -> int:
        """A value that is always ``number``, which is not negative."""
        if number not in self._known:
            self._known[number] = self._add(Constant(number), {}, number)
        return self._known[number]

    def table(self, weights: Sequence[tuple[int, int]]) -> Term:
        """``sum(weight * x[lane])`` of up to six one-bit inputs, given as ``(lane, weight)``, from one lookup."""
        shift = min(trailing_zeros(weight) for _, weight in weights)
        negative = weights[0][1] < 0
        normal = tuple((lane, (-weight if negative else weight) >> shift) for lane, weight in weights)
        if normal not in self._known:
            table = Table.of(normal)
            self._known[normal] = self._add(table, dict(normal), table.offset)
        return Term(self._known[normal], shift, negative)

    def finish(self, outputs: Sequence[Output]) -> AdderGraph:
        """The graph, without the values that no output needs."""
        needed: set[int] = set()
        waiting = [output.value for output in outputs]
        while waiting:
            value = waiting.pop()
            if value not in needed:
                needed.add(value)
                waiting.extend(self.values[value].operands)
        number = {value: k for k, value in enumerate(sorted(needed))}
        return AdderGraph(
            inputs=len(self.inputs),
            values=tuple(self.values[value].renumbered(number) for value in number),
            outputs=tuple(replace(output, value=number[output.value]) for output in outputs),
        )
