"""Builds an adder graph adder by adder, with the exact interval of every value."""

from __future__ import annotations

from typing import NamedTuple

from rtl_lib.adder_graph import AdderGraph, Interval, Node, Output
from rtl_lib.formats import Format

# A value as a linear function of the inputs: {input: coefficient}.
LinearForm = dict[int, int]


class Term(NamedTuple):
    """``± value << shift``: a summand."""

    value: int
    shift: int
    negative: bool


class GraphBuilder:
    """Creates the values of a graph. The same sum asked for twice is built once."""

    def __init__(self, inputs: list[Interval], constants: list[int]) -> None:
        self.inputs = inputs
        # Odd (or 0): powers of two are shifts.
        self.constants = sorted({c >> _trailing_zeros(c) for c in constants})
        self.nodes: list[Node] = []
        self.intervals: list[Interval] = [*inputs, *((c, c) for c in self.constants)]
        self.widths = [Format.containing(*interval).width for interval in self.intervals]
        self.levels = [0] * len(self.intervals)
        self._forms: list[LinearForm] = [{k: 1} for k in range(len(inputs))] + [{} for _ in self.constants]
        self._known: dict[tuple[int, int, int, int, bool], int] = {}

    def constant(self, number: int) -> Term:
        """A number given to the constructor, as a summand."""
        shift = _trailing_zeros(number)
        return Term(len(self.inputs) + self.constants.index(number >> shift), shift, False)

    def join(self, a: Term, b: Term, positive: bool = False) -> Term:
        """``a + b``.

        Two summands of different sign leave a choice, ``a - b`` or ``-(b - a)``. The lower one is not subtracted,
        because then its low bits are the result's; the sign passes to whoever uses the result. ``positive`` asks for a
        result that is not negated (one of the summands must then be positive).
        """
        if (b.shift, b.value) < (a.shift, a.value):
            a, b = b, a
        subtract = a.negative != b.negative
        if subtract and a.negative and (positive or a.shift == b.shift):
            a, b = b, a
        shift = min(a.shift, b.shift)
        key = (a.value, b.value, a.shift - shift, b.shift - shift, subtract)
        if key not in self._known:
            self._known[key] = self._add_node(*key)
        return Term(self._known[key], shift, a.negative)

    def _add_node(self, left: int, right: int, left_shift: int, right_shift: int, subtract: bool) -> int:
        form, interval = self._sum(left, right, left_shift, right_shift, -1 if subtract else 1)
        self.nodes.append(Node(left, right, left_shift, right_shift, subtract, interval))
        self.intervals.append(interval)
        self.widths.append(Format.containing(*interval).width)
        self.levels.append(1 + max(self.levels[left], self.levels[right]))
        self._forms.append(form)
        return len(self.intervals) - 1

    def _sum(self, left: int, right: int, left_shift: int, right_shift: int, sign: int) -> tuple[LinearForm, Interval]:
        """The linear form of a node and its exact interval: ``x - x`` is 0, not [-255, 255]."""
        (low, high), (right_low, right_high) = self.intervals[left], self.intervals[right]
        factor = sign << right_shift
        low = (low << left_shift) + min(factor * right_low, factor * right_high)
        high = (high << left_shift) + max(factor * right_low, factor * right_high)
        form = {k: c << left_shift for k, c in self._forms[left].items()}
        for k, c in self._forms[right].items():
            added, present = c * factor, form.get(k, 0)
            form[k] = present + added
            if (added < 0) != (present < 0) and present:
                # Opposite signs of one input, which cannot be at both its ends at once: their sum counts.
                for coefficient, weight in ((present, -1), (added, -1), (present + added, 1)):
                    ends = [coefficient * end for end in self.inputs[k]]
                    low += weight * min(ends)
                    high += weight * max(ends)
        return form, (low, high)

    def finish(self, outputs: list[Term]) -> AdderGraph:
        """The graph; every output must be a positive summand."""
        return AdderGraph(
            tuple(self.inputs),
            tuple(self.constants),
            tuple(self.nodes),
            tuple(Output(term.value, term.shift) for term in outputs),
        )


def _trailing_zeros(number: int) -> int:
    return (number & -number).bit_length() - 1 if number else 0
