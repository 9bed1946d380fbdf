"""Adder graphs against plain integer products, and the exactness of every interval, width and count of theirs."""

import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest
from adder_problems import Problem, every_value, many_bits, problems
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rtl_lib.matrix.parallel import adder_solver
from rtl_lib.matrix.parallel.adder_builder import GraphBuilder
from rtl_lib.matrix.parallel.adder_graph import AdderGraph
from rtl_lib.matrix.parallel.adder_solver import solve
from rtl_lib.matrix.parallel.adder_sums import Carry, Operand, Sum
from rtl_lib.matrix.parallel.adder_values import Constant, Input, Interval, Table, trailing_zeros
from rtl_lib.matrix.parallel.signed_digits import adjacent_signed_digits, canonical_signed_digits

U8, S8, BIT = (0, 255), (-128, 127), (0, 1)
ANY = st.one_of(problems(), many_bits())


def solved(weights: object, interval: Interval = U8, **options: object) -> AdderGraph:
    matrix = np.array(weights)
    return solve(matrix, [interval] * len(matrix), **{k: np.array(v) for k, v in options.items()})  # type: ignore[arg-type]


@settings(max_examples=300)
@given(ANY, st.booleans())
def test_graph_is_the_matrix_product(problem: Problem, share: bool) -> None:
    x = problem.inputs()
    assert problem.solve(share).evaluate(x).tolist() == problem.expected(x).tolist()


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize(
    ("intervals", "weights"),
    [
        ([(0, 0)], [[28]]),
        ([(0, 0)], [[-3, 12]]),
        ([(5, 5), (5, 5)], [[16], [-16]]),
        ([(3, 3), (0, 9)], [[7], [1]]),
        ([(-5, -5), (0, 0)], [[7], [64]]),
        ([(1, 1), (0, 1)], [[-128], [1]]),
    ],
)
def test_inputs_that_are_constant(intervals: list[Interval], weights: list[list[int]], share: bool) -> None:
    """Their digits may lie above all bits of the output."""
    zero = np.zeros(len(weights[0]), int)
    for multipliers in (zero + 1, zero + 6):
        problem = Problem(np.array(weights), intervals, zero, multipliers, zero)
        x = problem.inputs()
        assert problem.solve(share).evaluate(x).tolist() == problem.expected(x).tolist()


@settings(max_examples=150)
@given(ANY)
def test_output_intervals_are_exact(problem: Problem) -> None:
    graph = problem.solve()
    assert [output.interval for output in graph.outputs] == problem.output_intervals
    reached = graph.evaluate(problem.inputs())
    ends = zip(reached.min(axis=0).tolist(), reached.max(axis=0).tolist(), strict=True)
    assert list(ends) == problem.output_intervals


@settings(max_examples=150)
@given(ANY, st.booleans())
def test_every_value_keeps_what_it_declares(problem: Problem, share: bool) -> None:
    graph = problem.solve(share)
    x = problem.inputs()
    for value, taken in zip(graph.values, every_value(graph, x), strict=True):
        low, high = value.interval
        assert 0 <= low <= taken.min() <= taken.max() <= high < 1 << value.width
        assert not (taken & ~value.bits).any()
        assert value.bits < 1 << value.width


@settings(max_examples=100)
@given(problems(most_inputs=2))
def test_intervals_of_what_is_neither_cut_nor_parted_are_exact(problem: Problem) -> None:
    graph, x = problem.solve(), problem.inputs()
    assume(len(x) > 100 or len(problem.intervals) == 1)
    whole: list[bool] = []
    for value, taken in zip(graph.values, every_value(graph, x), strict=True):
        if isinstance(value, Sum):
            parts = [(o, graph.values[o.value]) for o in (value.left, value.right)]
            whole += [
                all(whole[o.value] and o.bits == operand.bits for o, operand in parts)
                and (value.carry is None or graph.values[value.carry.value].is_constant)
                and value.interval[1] < (1 << value.width) - 1
            ]
        else:
            whole.append(True)
        assert not whole[-1] or (taken.min(), taken.max()) == value.interval


@settings(max_examples=150)
@given(ANY, st.booleans())
def test_sums_are_built_as_carry_chains_can_be(problem: Problem, share: bool) -> None:
    graph = problem.solve(share)
    for k, value in enumerate(graph.values):
        assert all(operand < k for operand in value.operands)
        if isinstance(value, Sum):
            assert not value.left.inverted
            assert value.constant_left == graph.values[value.left.value].is_constant
            overlap = value.left.places & value.right.places
            if value.carry:
                assert value.carry.place <= trailing_zeros(overlap) or not overlap
                assert value.carry.bit < graph.values[value.carry.value].width
            for part in (value.left, value.right):
                assert part.bits & ~graph.values[part.value].bits == 0


@settings(max_examples=150)
@given(ANY)
def test_depth_stays_near_the_logarithm(problem: Problem) -> None:
    terms = np.count_nonzero(canonical_signed_digits(problem.weights), axis=(0, 2)).max(initial=0)
    factors = np.count_nonzero(canonical_signed_digits(problem.multipliers), axis=1).max(initial=1)
    # A tree of the terms and the constant, one of the multiplier's digits, one level for what the columns share.
    bound = int(terms).bit_length() + max(1, int(factors).bit_length()) * bool((problem.multipliers != 1).any())
    assert problem.solve().depth <= bound + 1


@pytest.mark.parametrize(
    ("weights", "interval", "options", "adders", "luts"),
    [
        ([[0, 0], [0, 0]], U8, {}, 0, 0),
        ([[64]], U8, {}, 0, 0),  # a power of two is a wire
        ([[64]], S8, {}, 0, 0),  # counted from its minimum, and back
        ([[1], [256]], U8, {}, 0, 0),  # nothing overlaps
        ([[5]], (3, 3), {}, 0, 0),
        ([[3]], U8, {}, 1, 7),  # x + 2x: 7 bits meet
        ([[7]], U8, {}, 1, 8),  # 8x + ~x + 1: the constant, before the chain, fills its low places
        ([[-7]], U8, {}, 1, 5),  # x + ~8x; the 1 enters before the chain, the range of bits is the output's
        ([[5, 10, 5, 40]], U8, {}, 1, 6),  # shared over columns and shifts
        ([[5, -5]], U8, {}, 2, 6),  # an inverter and a constant
        ([[-1]], U8, {}, 1, 0),
        ([[1]], U8, {"bias": [3]}, 1, 0),  # one operand: a carry chain without LUTs
        ([[1], [1], [1]], U8, {}, 2, 15),  # x's lowest bit enters before the other sum: 8 bits meet, then 7
        ([[1, -1], [-1, 1]], U8, {}, 2, 8),  # one difference, both signs
        ([[1]], U8, {"multipliers": [5]}, 1, 6),
        ([[9]], U8, {"multipliers": [0], "offsets": [7]}, 0, 0),
    ],
)
def test_number_of_adders(
    weights: object, interval: Interval, options: dict[str, object], adders: int, luts: int
) -> None:
    graph = solved(weights, interval, **options)
    assert (graph.adders, graph.luts) == (adders, luts)


def test_sharing_pays() -> None:
    weights = np.random.default_rng(0).normal(0, 30, (27, 8)).round().astype(int)
    alone, shared = (solve(weights, [U8] * 27, share=share) for share in (False, True))
    assert shared.adders < 0.75 * alone.adders
    assert shared.luts < 0.8 * alone.luts
    assert shared.depth == alone.depth


def test_large_matrices_are_solved_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adder_solver, "PAIR_BUDGET", 500)
    weights = np.random.default_rng(0).integers(-128, 128, (40, 6))
    zero = np.zeros(6, int)
    problem = Problem(weights, [S8] * 40, zero, zero + 1, zero)
    blocks, x = problem.solve(), problem.inputs()
    assert blocks.evaluate(x).tolist() == problem.expected(x).tolist()
    assert blocks.luts < problem.solve(share=False).luts
    monkeypatch.undo()
    assert problem.solve().luts < blocks.luts


def test_distinct_bits_in_a_block_larger_than_the_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are values after all inputs, so they need a block as well."""
    monkeypatch.setattr(adder_solver, "PAIR_BUDGET", 2)
    weights = np.random.default_rng(1).integers(-9, 9, (21, 4))
    zero = np.zeros(4, int)
    problem = Problem(weights, [BIT] * 20 + [U8], zero, zero + 1, zero)
    x = problem.inputs()
    assert problem.solve().evaluate(x).tolist() == problem.expected(x).tolist()


A, B = Operand(0, 255, 0), Operand(1, 255, 0)


@pytest.mark.parametrize(
    ("left", "right", "carry", "constant", "start", "luts", "chain_bits", "levels"),
    [
        (A, B, None, False, 0, 8, 9, 1),
        (A, B._replace(shift=3), None, False, 3, 5, 9, 1),  # a + 8b: the low 3 bits are a's
        (A, B._replace(shift=3, inverted=True), None, False, 3, 5, 9, 1),
        (A._replace(shift=3), B._replace(inverted=True), None, False, 3, 5, 9, 1),  # no borrow from below
        (A, B._replace(shift=8), None, False, None, 0, 0, 0),  # a + 256b: wires
        (A, B._replace(shift=3), Carry(2, 0, 3), False, 3, 5, 9, 1),  # free
        (A, B._replace(shift=3), Carry(2, 4, 1), False, 1, 5, 11, 1),  # but the chain starts where it enters
        (A._replace(bits=254), B, None, False, 1, 7, 8, 1),  # a's lowest bit is added elsewhere
        (A._replace(bits=0b1001), B, None, True, 0, 0, 9, 1),  # a constant meets wires
    ],
)
def test_cost_of_a_sum(
    left: Operand,
    right: Operand,
    carry: Carry | None,
    constant: bool,
    start: int | None,
    luts: int,
    chain_bits: int,
    levels: int,
) -> None:
    width = max(left.places, right.places).bit_length() + 1 - (start is None)
    value = Sum(left, right, carry, constant, False, (0, (1 << width) - 1), width)
    assert (value.start, value.luts, value.chain_bits, value.levels) == (start, luts, chain_bits, levels)
    lanes = (Input(k, 0, 255) for k in range(3))
    graph = AdderGraph(3, (*lanes, value), ())
    assert (graph.luts, graph.chain_bits, graph.adders) == (luts, chain_bits, levels)


def test_a_carry_above_the_first_overlap_is_refused() -> None:
    builder = GraphBuilder([U8, U8, U8])
    with pytest.raises(ValueError, match="a carry must enter at or below the first place where the operands overlap"):
        builder.sum(A, B, Carry(2, 0, 1))


@pytest.mark.parametrize(("low", "high"), [(0, 0), (3, 3), (-5, -5), (-1, 0), (-1, -1), (5, 9), (-8, 7), (-3, 200)])
def test_inputs_count_from_a_power_of_two_below_their_interval(low: int, high: int) -> None:
    value = Input(0, low, high)
    x = np.arange(low, high + 1)[:, None]
    taken = value.evaluate(x, [])
    assert (taken.min(), taken.max()) == value.interval
    assert taken.min() >= 0
    assert taken.max() < 1 << value.width
    assert value.offset & (value.offset - 1) == 0
    assert bool(value.offset) == (low < 0)


def test_tables() -> None:
    table = Table.of(((0, 3), (2, -5), (1, 1)))
    assert (table.offset, table.interval, table.width, table.luts) == (5, (0, 9), 4, 4)
    assert Table.of(((0, 1),)).luts == 0  # a wire
    x = np.array([[0, 0, 0], [1, 0, 0], [0, 0, 1], [1, 1, 1]])
    assert table.evaluate(x, []).tolist() == [5, 8, 0, 4]


@settings(max_examples=80)
@given(many_bits())
def test_one_bit_inputs_are_right(problem: Problem) -> None:
    graph, x = problem.solve(), problem.inputs()
    assert graph.evaluate(x).tolist() == problem.expected(x).tolist()
    for value in graph.values:
        if isinstance(value, Table):
            assert len(value.weights) <= Table.LANES
            assert all(problem.intervals[lane] == BIT for lane, _ in value.weights)


def test_tables_are_used_where_they_are_cheaper() -> None:
    rng = np.random.default_rng(3)
    weights = rng.integers(-100, 100, (12, 2))
    graph = solve(weights, [BIT] * 12)
    tables = [value for value in graph.values if isinstance(value, Table)]
    assert len(tables) == 4  # two of six inputs for each output
    assert graph.luts < sum(value.width for value in tables) + 2 * 12
    wide = solve(weights, [(0, 3)] * 12)
    assert not any(isinstance(value, Table) for value in wide.values)
    # Two outputs' worth of what is equal is shared; a table would be one for each.
    shared = solve(np.eye(2, dtype=int), [BIT, BIT])
    assert not any(isinstance(value, Table) for value in shared.values)


DIGEST = """
import hashlib, numpy
from rtl_lib.matrix.parallel.adder_solver import solve
weights = numpy.random.default_rng(0).integers(-128, 128, (20, 10))
graph = solve(weights, [(0, 255)] * 15 + [(0, 1)] * 5, weights[0], weights[1], weights[2])
print(hashlib.sha256(repr(graph).encode()).hexdigest())
"""


def test_same_graph_under_every_hash_seed() -> None:
    digests = {
        subprocess.run(
            [sys.executable, "-c", DIGEST], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


def broken(value: object) -> list[object]:
    """The value with one thing wrong, in every way that fits it."""
    match value:
        case Sum(right=right, carry=carry):
            wrong: list[object] = [dataclasses.replace(value, right=right._replace(inverted=not right.inverted))]
            wrong += [dataclasses.replace(value, left=value.left._replace(shift=value.left.shift + 1))]
            return wrong + ([dataclasses.replace(value, carry=None, constant_carry=False)] if carry else [])
        case Constant(number=number) if number:
            return [Constant(number ^ (number & -number))]
        case Table(weights=((lane, weight), *rest)):
            return [Table(((lane, weight + 1), *rest), value.offset)]
    return []


def test_a_planted_fault_shows() -> None:
    rng = np.random.default_rng(2)
    intervals = [U8] * 5 + [BIT] * 9
    problem = Problem(
        rng.integers(-127, 128, (14, 3)), intervals, rng.integers(0, 99, 3), np.ones(3, int), np.zeros(3, int)
    )
    graph, x = problem.solve(), problem.inputs()
    kinds = set()
    for k, value in enumerate(graph.values):
        for wrong in broken(value):
            faulty = dataclasses.replace(graph, values=(*graph.values[:k], wrong, *graph.values[k + 1 :]))  # type: ignore[arg-type]
            assert (faulty.evaluate(x) != problem.expected(x)).any(), (value, wrong)
            kinds.add(type(value))
    assert kinds == {Sum, Constant, Table}
    assert any(isinstance(value, Sum) and value.carry for value in graph.values)


NUMBERS = st.lists(st.integers(-(2**40), 2**40), max_size=20)


@given(NUMBERS)
def test_canonical_signed_digits(numbers: list[int]) -> None:
    digits = canonical_signed_digits(np.array(numbers, np.int64)).astype(np.int64)
    assert digits.shape[:1] == (len(numbers),)
    assert (digits @ (1 << np.arange(digits.shape[1]))).tolist() == numbers
    assert not (digits[:, 1:] * digits[:, :-1]).any()


@given(st.one_of(NUMBERS, st.lists(st.integers(-300, 300), max_size=40)))
def test_adjacent_signed_digits_are_as_few(numbers: list[int]) -> None:
    canonical = canonical_signed_digits(np.array(numbers, np.int64))
    digits = adjacent_signed_digits(np.array(numbers, np.int64))
    assert digits.shape == canonical.shape
    assert set(digits.ravel().tolist()) <= {-1, 0, 1}
    assert (digits.astype(np.int64) @ (1 << np.arange(digits.shape[1]))).tolist() == numbers
    assert np.count_nonzero(digits, axis=1).tolist() == np.count_nonzero(canonical, axis=1).tolist()


def test_adjacent_signed_digits_avoid_differences() -> None:
    digits = adjacent_signed_digits(np.array([3, -3, 6, 11, 7]))
    assert digits.tolist() == [[1, 1, 0, 0, 0], [-1, -1, 0, 0, 0], [0, 1, 1, 0, 0], [1, 1, 0, 1, 0], [-1, 0, 0, 1, 0]]


def test_signed_digits_refuse_what_could_wrap() -> None:
    with pytest.raises(OverflowError, match=r"numbers must be below 2\^61 in magnitude"):
        canonical_signed_digits(np.array([2**61]))
