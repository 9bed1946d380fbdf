"""The solver against plain integer products, and the exactness of every interval and metric."""

import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtl_lib import adder_solver
from rtl_lib.adder_graph import AdderGraph, Node, Output
from rtl_lib.adder_schedule import latency, schedule
from rtl_lib.adder_solver import solve
from rtl_lib.formats import Format
from rtl_lib.signed_digits import canonical_signed_digits


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, list[tuple[int, int]]]:
    """Weights, bias and input intervals."""
    inputs, outputs = draw(st.integers(1, 7)), draw(st.integers(1, 6))
    largest = 2 ** draw(st.integers(1, 15))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    weights = rng.integers(-largest, largest, (inputs, outputs)) * (
        rng.random((inputs, outputs)) < draw(st.floats(0, 1))
    )
    shape = draw(st.sampled_from(["any", "zero", "one power", "negative column", "equal columns"]))
    if shape == "zero":
        weights[:] = 0
    elif shape == "one power":
        weights[:] = 0
        weights[-1, -1] = draw(st.sampled_from([1, -1])) * largest
    elif shape == "negative column":
        weights[:, 0] = -abs(weights[:, 0]) - 1
    elif shape == "equal columns":
        weights[:] = weights[:, :1]
    bias = rng.integers(-largest, largest, outputs) * draw(st.integers(0, 1))
    form = Format(draw(st.booleans()), draw(st.integers(2, 16)))
    bounds = np.sort(rng.integers(form.minimum, form.maximum + 1, (inputs, 2)), axis=1)
    if draw(st.booleans()):
        bounds[:] = form.minimum, form.maximum
    return weights, bias, [(int(low), int(high)) for low, high in bounds]


def random_inputs(intervals: list[tuple[int, int]], count: int = 16) -> np.ndarray:
    rng = np.random.default_rng(0)
    low, high = np.array(intervals).T
    return rng.integers(low, high + 1, (count, len(intervals)))


@settings(max_examples=300, deadline=None)
@given(problems(), st.booleans(), st.integers(0, 2))
def test_graph_is_the_matrix_product(problem, share, extra_depth):
    weights, bias, intervals = problem
    graph = solve(weights, intervals, bias, share, extra_depth)
    x = random_inputs(intervals)
    np.testing.assert_array_equal(graph.evaluate(x), x @ weights + bias)


def coefficients(graph: AdderGraph) -> tuple[np.ndarray, np.ndarray]:
    """Every value as a linear function of the inputs, by superposition: ``[values, inputs]``, and its constant."""
    every_value = tuple(Output(k, 0) for k in range(graph.first_node + len(graph.nodes)))
    values = dataclasses.replace(graph, outputs=every_value)
    constants = values.evaluate(np.zeros(len(graph.inputs), int))
    return (values.evaluate(np.eye(len(graph.inputs), dtype=int)) - constants).T, constants


@settings(max_examples=200, deadline=None)
@given(problems())
def test_intervals_are_exact(problem):
    weights, bias, intervals = problem
    graph = solve(weights, intervals, bias)
    factors, constants = coefficients(graph)
    ends = factors[:, :, None] * np.array(intervals)
    expected = np.stack([ends.min(axis=2).sum(axis=1), ends.max(axis=2).sum(axis=1)], axis=1) + constants[:, None]
    assert expected.tolist() == [list(interval) for interval in graph.intervals()]


@settings(max_examples=100, deadline=None)
@given(problems())
def test_depth_stays_near_the_logarithm(problem):
    weights, bias, intervals = problem
    terms = np.count_nonzero(canonical_signed_digits(weights), axis=(0, 2)) + (bias != 0)
    # One level more for a column of negative terms, or for the different biases of equal columns.
    assert solve(weights, intervals, bias).depth <= max(int(n - 1).bit_length() for n in [*terms, 1]) + 1


@pytest.mark.parametrize(
    ("weights", "adders"),
    [
        ([[0, 0], [0, 0]], 0),
        ([[64]], 0),  # a power of two is a wire
        ([[7]], 1),  # 8x - x
        ([[-7]], 1),  # x - 8x: no negation
        ([[5, 10, 5, 40]], 1),  # shared over columns and shifts
        ([[3, 3], [-5, -5]], 3),  # one column twice
        ([[-1]], 1),  # the negation that cannot be avoided
        ([[1, -1], [-1, 1]], 2),  # each subtracts, none negates
    ],
)
def test_number_of_adders(weights, adders):
    weights = np.array(weights)
    assert solve(weights, [(0, 255)] * len(weights)).adders == adders


def test_sharing_pays():
    weights = np.random.default_rng(0).normal(0, 30, (27, 8)).round().astype(int)
    alone, shared = (solve(weights, [(0, 255)] * 27, share=share) for share in (False, True))
    assert shared.adders < 0.75 * alone.adders
    assert shared.adder_bits < 0.8 * alone.adder_bits
    assert shared.depth == alone.depth


def test_large_matrices_are_solved_in_blocks(monkeypatch):
    monkeypatch.setattr(adder_solver, "PAIR_BUDGET", 500)
    weights = np.random.default_rng(0).integers(-128, 128, (40, 6))
    intervals = [(-128, 127)] * 40
    graph = solve(weights, intervals)
    x = random_inputs(intervals)
    np.testing.assert_array_equal(graph.evaluate(x), x @ weights)
    assert graph.adders < solve(weights, intervals, share=False).adders


def test_adder_bits_leave_out_wires():
    u8 = (0, 255)
    cases = [
        (Node(0, 1, 0, 0, False, (0, 510)), 9),
        (Node(0, 1, 0, 3, False, (0, 2295)), 9),  # a + 8b: the low 3 bits are a's
        (Node(0, 1, 0, 3, True, (-2040, 255)), 9),  # a - 8b: the same
        (Node(0, 1, 3, 0, True, (-255, 2040)), 12),  # 8a - b: borrows from the start
        (Node(0, 1, 0, 8, False, (0, 65535)), 0),  # a + 256b: nothing overlaps
    ]
    for node, bits in cases:
        assert AdderGraph((u8, u8), (), (node,), (Output(2, 0),)).adder_bits == bits


@pytest.mark.parametrize("levels_per_register", [1, 2, 3, 7])
def test_schedule_orders_values_and_limits_levels(levels_per_register):
    weights = np.random.default_rng(1).integers(-128, 128, (12, 5))
    graph = solve(weights, [(0, 255)] * 12, np.arange(5))
    plan = schedule(graph, levels_per_register)
    assert len(plan.banks) == latency(graph.depth, levels_per_register) == -(-graph.depth // levels_per_register)
    available = set(range(len(graph.inputs)))
    constants = {v for v in range(graph.first_node) if graph.is_constant(v)}
    for stage, bank in enumerate(plan.banks):
        level = dict.fromkeys(available | constants, 0)
        for value, node in enumerate(graph.nodes, start=graph.first_node):
            if plan.stages[value] == stage:
                level[value] = 1 + max(level[node.left], level[node.right])
        assert max(level.values()) <= levels_per_register
        assert set(bank) <= set(level)
        available = set(bank)
    assert {output.value for output in graph.outputs} <= available
    assert plan.register_bits(graph) == sum(graph.formats()[v].width for bank in plan.banks for v in bank)


DIGEST = """
import hashlib, numpy
from rtl_lib.adder_solver import solve
weights = numpy.random.default_rng(0).integers(-128, 128, (20, 10))
print(hashlib.sha256(repr(solve(weights, [(0, 255)] * 20, weights[0])).encode()).hexdigest())
"""


def test_same_graph_under_every_hash_seed():
    digests = {
        subprocess.run(
            [sys.executable, "-c", DIGEST], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


def test_a_planted_fault_shows():
    weights = np.random.default_rng(2).integers(1, 128, (6, 3))
    graph = solve(weights, [(0, 255)] * 6)
    x = random_inputs(list(graph.inputs))
    for k, node in enumerate(graph.nodes):
        broken = list(graph.nodes)
        broken[k] = dataclasses.replace(node, subtract=not node.subtract)
        assert (dataclasses.replace(graph, nodes=tuple(broken)).evaluate(x) != x @ weights).any()


@given(st.lists(st.integers(-(2**40), 2**40), max_size=20))
def test_signed_digits(numbers):
    digits = canonical_signed_digits(np.array(numbers, np.int64)).astype(np.int64)
    assert digits.shape[:1] == (len(numbers),)
    assert (digits @ (1 << np.arange(digits.shape[1]))).tolist() == numbers
    assert not (digits[:, 1:] * digits[:, :-1]).any()


def test_signed_digits_refuse_what_could_wrap():
    with pytest.raises(OverflowError, match=r"numbers must be below 2\^61 in magnitude"):
        canonical_signed_digits(np.array([2**61]))
