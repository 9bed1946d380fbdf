"""The solver of adder graphs: ``solve`` turns a constant matrix into an adder graph.

Signed digits, of columns or of the differences between columns (``column_tree``), then greedy sharing
(``common_subexpressions``), then for every output a tree of what is left
(``output_sum``) that always joins the summands that arrive first (the idea: da4ml, arXiv 2507.04535). The result
depends on the numbers only: no randomness, no hash order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from rtl_lib.core.formats import Format
from rtl_lib.matrix.parallel.adder_builder import GraphBuilder, Term
from rtl_lib.matrix.parallel.adder_graph import AdderGraph, Output, cost
from rtl_lib.matrix.parallel.adder_values import Interval, Table
from rtl_lib.matrix.parallel.column_tree import Derivation, derive
from rtl_lib.matrix.parallel.common_subexpressions import DigitColumns
from rtl_lib.matrix.parallel.output_sum import Problem, output_sum, total
from rtl_lib.matrix.parallel.signed_digits import adjacent_signed_digits, canonical_signed_digits

# The pairs of digits that sharing looks at, 1 to 2 µs each. Larger matrices are shared in blocks of rows, each on its
# own.
PAIR_BUDGET = 8_000_000
# The pairs of digits up to which other ways are tried: above, one needs too long.
SEARCH_BUDGET = 1_000_000
Digits = Callable[[np.ndarray], np.ndarray]
# The least saving that justifies a graph that is one level deeper.
LEVEL = 0.03


def solve(
    weights: np.ndarray,
    inputs: Sequence[Interval],
    bias: np.ndarray | None = None,
    multipliers: np.ndarray | None = None,
    offsets: np.ndarray | None = None,
    share: bool = True,
) -> AdderGraph:
    """The cheapest of some adder graphs of ``(x @ weights + bias) * multipliers + offsets``.

    :param weights: integers ``[inputs, outputs]``.
    :param inputs: the interval of every input.
    :param bias, multipliers, offsets: integers ``[outputs]``; default 0, 1 and 0.
    :param share: whether outputs may share subexpressions; without it every output is a tree of its own.
    """
    problem = MatrixProblem.of(weights, inputs, bias, multipliers, offsets)
    sums = _distinct_sums(problem.weights)
    found = [_solve(problem, sums, canonical_signed_digits, share)]
    one_bit = [lane for lane, (low, high) in enumerate(inputs) if (low, high) == (0, 1)]
    if len(one_bit) > 1:
        found.append(_solve(problem, sums, canonical_signed_digits, share, one_bit))
    if share and problem.pairs <= SEARCH_BUDGET:
        found.append(_solve(problem, sums, adjacent_signed_digits, share))
        derived = derive([s.weights for s in sums])
        if any(derived):
            sums = [s._replace(derivation=one) for s, one in zip(sums, derived, strict=True)]
            found.append(_solve(problem, sums, adjacent_signed_digits, share))
    least = min(graph.depth for graph in found)
    return min(found, key=lambda graph: cost(graph.luts, graph.chain_bits) * (1 + LEVEL * (graph.depth - least)))


class MatrixProblem(NamedTuple):
    """``targets``: what the outputs are when all inputs are 0."""

    weights: np.ndarray
    inputs: Sequence[Interval]
    multipliers: list[int]
    targets: list[int]

    @classmethod
    def of(
        cls,
        weights: np.ndarray,
        inputs: Sequence[Interval],
        bias: np.ndarray | None,
        multipliers: np.ndarray | None,
        offsets: np.ndarray | None,
    ) -> MatrixProblem:
        weights = np.asarray(weights, np.int64)
        outputs = weights.shape[1]
        # An input that is always the same is part of the constant.
        fixed = np.array([low == high for low, high in inputs])
        always = np.where(fixed, [low for low, _ in inputs], 0) @ weights
        b, m, o = (
            [default] * outputs if given is None else [int(number) for number in given]
            for given, default in ((bias, 0), (multipliers, 1), (offsets, 0))
        )
        targets = [(b[k] + int(always[k])) * m[k] + o[k] for k in range(outputs)]
        return cls(np.where(fixed[:, None], 0, weights), inputs, m, targets)

    @property
    def pairs(self) -> int:
        """The pairs of digits in all columns."""
        digits = np.count_nonzero(canonical_signed_digits(self.weights), axis=(0, 2))
        return int((digits.astype(np.int64) ** 2).sum()) // 2

    def interval(self, output: int) -> Interval:
        """The exact interval of one output."""
        factor = self.multipliers[output]
        ends = [
            (factor * w * low, factor * w * high)
            for w, (low, high) in zip(self.weights[:, output].tolist(), self.inputs, strict=True)
        ]
        return self.targets[output] + sum(map(min, ends)), self.targets[output] + sum(map(max, ends))


def _solve(
    problem: MatrixProblem, sums: list[_DistinctSum], digits: Digits, share: bool, looked_up: list[int] | None = None
) -> AdderGraph:
    """``looked_up``: one-bit inputs that tables take six at a time."""
    builder = GraphBuilder(problem.inputs)
    lanes = looked_up or []
    added = np.ones(len(problem.weights), bool)
    added[lanes] = False
    columns = [_terms(digits(np.where(added, s.own_weights, 0))) + _tables(builder, s.own_weights, lanes) for s in sums]
    # Each column adds a constant.
    loads = [1 + sum(1 << builder.levels[term.value] for term in terms) for terms in columns]
    for k, s in enumerate(sums):
        if s.derivation:
            loads[k] += 1 << _depth(loads[s.derivation.parent] - 1)
    depth = max((_depth(load) for load in loads), default=0)
    if share:
        columns = _share(builder, columns, loads, depth)
    outputs: dict[int, Output] = {}
    parents = {s.derivation.parent for s in sums if s.derivation}
    totals: dict[int, Term] = {}
    for k in sorted(range(len(sums)), key=lambda k: sums[k].derivation is not None):
        s, terms, load = sums[k], columns[k], loads[k]
        if s.derivation:
            parent = totals[s.derivation.parent]
            terms = [*terms, parent._replace(negative=parent.negative != s.derivation.negative)]
        scaled = any(problem.multipliers[use.output].bit_count() > 1 for use in s.uses)
        if terms and (scaled or len(s.uses) > 1 or k in parents):
            totals[k] = total(builder, terms)
            terms = [totals[k]]
            load = 1 + (1 << builder.levels[totals[k].value])
        for use in s.uses:
            factor = (
                -problem.multipliers[use.output] if use.negative else problem.multipliers[use.output]
            ) << use.shift
            moved = [
                Term(term.value, term.shift + shift, term.negative != negative)
                for _, shift, negative in _terms(canonical_signed_digits(np.array([factor])))
                for term in terms
            ]
            outputs[use.output] = _output(builder, moved, problem, use.output, load, depth)
    return builder.finish([outputs[k] for k in range(len(outputs))])


def _output(
    builder: GraphBuilder, terms: list[Term], problem: MatrixProblem, output: int, load: int, depth: int
) -> Output:
    """One output; a negative one counts from minus half of its range of bits."""
    interval = problem.interval(output)
    form = Format.containing(*interval)
    base = -form.minimum
    best = output_sum(Problem(builder, terms, problem.targets[output] + base, form.width, depth, load))
    return Output(best.value, best.shift, base, interval)


class _Use(NamedTuple):
    """Output ``± sum << shift``."""

    output: int
    shift: int
    negative: bool


class _DistinctSum(NamedTuple):
    """A column; ``derivation``: from which other one it is made."""

    weights: np.ndarray
    uses: list[_Use]
    derivation: Derivation | None = None

    @property
    def own_weights(self) -> np.ndarray:
        """The part that is left to add."""
        return self.derivation.difference if self.derivation else self.weights


def _distinct_sums(weights: np.ndarray) -> list[_DistinctSum]:
    """Columns that are equal but for their sign and a power of two, once."""
    groups: dict[bytes, _DistinctSum] = {}
    for k, column in enumerate(np.ascontiguousarray(weights.T)):
        together = int(np.bitwise_or.reduce(column))
        shift = (together & -together).bit_length() - 1 if together else 0
        negative = bool(together) and bool(column[np.flatnonzero(column)[0]] < 0)
        normal = (-column if negative else column) >> shift
        groups.setdefault(normal.tobytes(), _DistinctSum(normal, [])).uses.append(_Use(k, shift, negative))
    return list(groups.values())


def _terms(digits: np.ndarray) -> list[Term]:
    """The summands of one column, from its digits ``[inputs, positions]``."""
    return [Term(int(k), int(s), bool(digits[k, s] < 0)) for k, s in np.argwhere(digits)]


def _tables(builder: GraphBuilder, column: np.ndarray, lanes: list[int]) -> list[Term]:
    """The part of a column that comes from these one-bit inputs."""
    used = [(lane, int(column[lane])) for lane in lanes if column[lane]]
    return [builder.table(used[k : k + Table.LANES]) for k in range(0, len(used), Table.LANES)]


def _depth(load: int) -> int:
    """The depth of the best tree over terms with levels ``l`` and ``load = sum(2^l)``."""
    return max(load - 1, 0).bit_length()


def _share(builder: GraphBuilder, columns: list[list[Term]], loads: list[int], depth: int) -> list[list[Term]]:
    """The columns with common patterns replaced by shared values."""
    pairs = sum(len(terms) ** 2 for terms in columns) // 2
    count = max(1, -(-pairs // PAIR_BUDGET))
    rows = -(-len(builder.values) // count)
    blocks = [DigitColumns(builder, depth, loads) for _ in range(count)]
    for column, terms in enumerate(columns):
        for term in terms:
            blocks[term.value // rows].fill(column, [term])
    for block in blocks:
        block.share()
    return [[term for block in blocks for term in block.terms(column)] for column in range(len(columns))]
