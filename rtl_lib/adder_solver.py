"""From a constant matrix to an adder graph: ``solve``.

Canonical signed digits, then greedy sharing (``common_subexpressions``), then for every output a tree that always joins
the summands that arrive first (the idea: da4ml, arXiv 2507.04535). The result depends on the numbers only: no
randomness, no hash order.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rtl_lib.adder_builder import GraphBuilder, Term
from rtl_lib.adder_graph import AdderGraph, Interval
from rtl_lib.common_subexpressions import DigitColumns
from rtl_lib.signed_digits import canonical_signed_digits

# The pairs of digits that sharing looks at, 1 to 2 µs each. Larger matrices are shared in blocks of rows, each on its
# own.
PAIR_BUDGET = 8_000_000
# The summands that are compared before two are joined.
PARTNERS = 32


def solve(
    weights: np.ndarray,
    inputs: Sequence[Interval],
    bias: np.ndarray | None = None,
    share: bool = True,
    extra_depth: int = 0,
) -> AdderGraph:
    """The adder graph of ``x @ weights + bias``.

    :param weights: integers ``[inputs, outputs]``.
    :param inputs: the interval of every input.
    :param bias: integers ``[outputs]``.
    :param share: whether outputs may share subexpressions; without it every output is a tree of its own.
    :param extra_depth: adder levels more than the deepest output needs, which leaves sharing more room.
    """
    weights = np.asarray(weights, np.int64)
    offsets = np.zeros(weights.shape[1], np.int64) if bias is None else np.asarray(bias, np.int64)
    sums = _distinct_sums(weights, offsets)
    columns = [_terms(canonical_signed_digits(weights[:, s.column])) for s in sums]
    builder = GraphBuilder(list(inputs), [0, *offsets.tolist()])
    if share:
        loads = [len(terms) + (s.offset != 0) for s, terms in zip(sums, columns, strict=True)]
        depth = max((_depth(load) for load in loads), default=0) + extra_depth
        columns = _share(builder, columns, loads, depth)
    outputs: dict[int, Term] = {}
    for s, terms in zip(sums, columns, strict=True):
        total = _sum(builder, terms, s.offset)
        for output, offset in s.outputs.items():
            outputs[output] = _sum(builder, [total], offset)
    return builder.finish([outputs[k] for k in range(len(outputs))])


class _Sum(NamedTuple):
    """A column with the offset that all its outputs have, and what each of them adds to that."""

    column: int
    offset: int
    outputs: dict[int, int]


def _distinct_sums(weights: np.ndarray, offsets: np.ndarray) -> list[_Sum]:
    """Equal columns once."""
    groups: dict[bytes, list[int]] = {}
    for k, column in enumerate(np.ascontiguousarray(weights.T)):
        groups.setdefault(column.tobytes(), []).append(k)
    sums = []
    for outputs in groups.values():
        common = int(offsets[outputs[0]]) if len(set(offsets[outputs].tolist())) == 1 else 0
        sums.append(_Sum(outputs[0], common, {k: int(offsets[k]) - common for k in outputs}))
    return sums


def _sum(builder: GraphBuilder, terms: list[Term], offset: int) -> Term:
    """The sum of all terms and a constant, not negated."""
    # Nothing but negative terms are subtracted from the constant, even when that is 0.
    if offset or all(term.negative for term in terms):
        terms = [*terms, builder.constant(offset)]
    return _tree(builder, terms)


def _terms(digits: np.ndarray) -> list[Term]:
    """The summands of one column, from its digits ``[inputs, positions]``."""
    return [Term(int(k), int(s), bool(digits[k, s] < 0)) for k, s in np.argwhere(digits)]


def _depth(load: int) -> int:
    """The depth of the best tree over terms with levels ``l`` and ``load = sum(2^l)``."""
    return max(load - 1, 0).bit_length()


def _share(builder: GraphBuilder, columns: list[list[Term]], loads: list[int], depth: int) -> list[list[Term]]:
    """The columns with common patterns replaced by shared values."""
    pairs = sum(len(terms) ** 2 for terms in columns) // 2
    rows = -(-len(builder.inputs) // max(1, -(-pairs // PAIR_BUDGET)))
    blocks = [DigitColumns(builder, depth, loads) for _ in range(0, len(builder.inputs), rows)]
    for column, terms in enumerate(columns):
        for term in terms:
            blocks[term.value // rows].fill(column, [term])
    for block in blocks:
        block.share()
    return [[term for block in blocks for term in block.terms(column)] for column in range(len(columns))]


def _tree(builder: GraphBuilder, terms: list[Term]) -> Term:
    """Joins the two earliest summands until one is left; of equally early ones, two that share many bit positions."""
    waiting = sorted(_arrival(builder, term) for term in terms)
    positives = sum(not term.negative for term in terms)
    while len(waiting) > 1:
        first = waiting.pop(0)
        second = waiting.pop(_partner(first, waiting))
        a, b = first.term, second.term
        # The last positive summand must leave a positive result.
        joined = builder.join(a, b, positive=positives == 1 and a.negative != b.negative)
        positives += (not joined.negative) - (not a.negative) - (not b.negative)
        insort(waiting, _arrival(builder, joined))
    return waiting[0].term


class _Arrival(NamedTuple):
    """A summand with its level and the bit positions ``[shift, top)`` that it covers."""

    level: int
    shift: int
    top: int
    term: Term


def _arrival(builder: GraphBuilder, term: Term) -> _Arrival:
    return _Arrival(builder.levels[term.value], term.shift, term.shift + builder.widths[term.value], term)


def _partner(first: _Arrival, waiting: list[_Arrival]) -> int:
    """The index of the best one to join with: none is earlier, and few adder bits have only one operand."""

    def overlap(index: int) -> int:
        other = waiting[index]
        return min(first.top, other.top) - max(first.shift, other.shift)

    earliest = waiting[0].level
    near = (index for index, other in enumerate(waiting[:PARTNERS]) if other.level == earliest)
    return max(near, key=overlap)
