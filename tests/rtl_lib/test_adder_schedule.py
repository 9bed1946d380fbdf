"""Placement of registers: few levels in every stage, nothing read that no bank holds, and no bit more than need be."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from adder_problems import Problem, many_bits, problems
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rtl_lib.matrix.parallel.adder_graph import AdderGraph
from rtl_lib.matrix.parallel.adder_schedule import Schedule, latency, schedule
from rtl_lib.matrix.parallel.adder_solver import solve

LEVELS = st.integers(1, 5)


def levels_in_stage(graph: AdderGraph, stages: tuple[int, ...]) -> list[int]:
    """Return for every value the adders on the longest path to it from the registers before its stage."""
    levels: list[int] = []
    for value, stage in zip(graph.values, stages, strict=True):
        here = [levels[k] for k in value.operands if stages[k] == stage and not graph.values[k].is_constant]
        levels.append(value.levels + max(here, default=0))
    return levels


def is_possible(graph: AdderGraph, stages: tuple[int, ...], last_stage: int, levels_per_register: int) -> bool:
    """Return whether operands come first, and no stage has too many levels; the finish is one of the last stage's."""
    for value, stage in zip(graph.values, stages, strict=True):
        if any(stages[k] > stage for k in value.operands if not graph.values[k].is_constant):
            return False
    levels = levels_in_stage(graph, stages)
    finish = [1 + levels[o.value] if stages[o.value] == last_stage else 1 for o in graph.outputs]
    return max(levels + finish) <= levels_per_register


def fewest_bits(graph: AdderGraph, stages: tuple[int, ...], last_stage: int) -> int:
    """Return the register bits when every value is stored until its last reader and no longer."""
    last = list(stages)
    for k, value in enumerate(graph.values):
        for operand in value.operands:
            last[operand] = max(last[operand], stages[k])
    for output in graph.outputs:
        last[output.value] = last_stage
    return sum(value.width * (last[k] - stages[k]) for k, value in enumerate(graph.values) if not value.is_constant)


def check(graph: AdderGraph, plan: Schedule, levels_per_register: int) -> None:
    last_stage = latency(graph.depth, levels_per_register) - 1
    assert len(plan.banks) == last_stage + 1
    assert len(plan.stages) == len(graph.values)
    assert plan.banks[-1] == ()
    assert is_possible(graph, plan.stages, last_stage, levels_per_register)
    moving = {k for k, value in enumerate(graph.values) if not value.is_constant}
    held: set[int] = set()
    for stage, bank in enumerate(plan.banks):
        computed = {k for k in moving if plan.stages[k] == stage}
        assert held.isdisjoint(computed)
        needed = {k for value in computed for k in graph.values[value].operands} & moving
        if stage == last_stage:
            needed |= {output.value for output in graph.outputs} & moving
        assert needed <= held | computed
        assert set(bank) <= held | computed
        assert len(set(bank)) == len(bank)
        held = set(bank)
    assert all(plan.stages[k] == 0 for k in moving if not graph.values[k].operands)
    assert plan.register_bits(graph) == fewest_bits(graph, plan.stages, last_stage)


def as_soon_as_possible(graph: AdderGraph, levels_per_register: int) -> tuple[int, ...]:
    return tuple(max(level - 1, 0) // levels_per_register for level in graph.levels)


@settings(max_examples=150)
@given(st.one_of(problems(), many_bits()), LEVELS)
def test_every_stage_can_be_built_and_reads_what_is_there(problem: Problem, levels_per_register: int) -> None:
    graph = problem.solve()
    plan = schedule(graph, levels_per_register)
    check(graph, plan, levels_per_register)
    early = as_soon_as_possible(graph, levels_per_register)
    last_stage = len(plan.banks) - 1
    assert is_possible(graph, early, last_stage, levels_per_register)
    assert plan.register_bits(graph) <= fewest_bits(graph, early, last_stage)


@pytest.mark.parametrize("levels_per_register", [1, 2, 3, 7])
def test_a_larger_matrix(levels_per_register: int) -> None:
    weights = np.random.default_rng(1).integers(-128, 128, (16, 8))
    graph = solve(weights, [(0, 255)] * 12 + [(0, 1)] * 4, np.arange(8))
    plan = schedule(graph, levels_per_register)
    check(graph, plan, levels_per_register)
    assert len(plan.banks) == -(-(graph.depth + 1) // levels_per_register)


MOST_PLACEMENTS = 3000


@settings(max_examples=150)
@given(st.one_of(problems(most_inputs=3), many_bits()), st.integers(1, 2))
def test_no_placement_has_fewer_bits(problem: Problem, levels_per_register: int) -> None:
    graph = problem.solve()
    last_stage = latency(graph.depth, levels_per_register) - 1
    early = as_soon_as_possible(graph, levels_per_register)
    free = [
        range(early[k], last_stage + 1) if value.operands and not value.is_constant else [0]
        for k, value in enumerate(graph.values)
    ]
    assume(last_stage and np.prod([float(len(stages)) for stages in free]) <= MOST_PLACEMENTS)
    best = min(
        fewest_bits(graph, stages, last_stage)
        for stages in itertools.product(*free)
        if is_possible(graph, stages, last_stage, levels_per_register)
    )
    assert schedule(graph, levels_per_register).register_bits(graph) == best


def test_registers_wait_where_they_are_few() -> None:
    """Four 8-bit inputs, one sum: the sum of all is registered, not the inputs."""
    graph = solve(np.ones((4, 1), int), [(0, 255)] * 4)
    plan = schedule(graph, 2)
    assert len(plan.banks) == 2
    (held,) = plan.banks[0]
    assert held == graph.outputs[0].value
    assert plan.register_bits(graph) == 10


def test_the_checks_can_fail() -> None:
    graph = solve(np.ones((4, 1), int), [(0, 255)] * 4)
    plan = schedule(graph, 1)
    check(graph, plan, 1)
    with pytest.raises(AssertionError):
        check(graph, Schedule((0,) * len(plan.stages), plan.banks), 1)
    with pytest.raises(AssertionError):
        check(graph, Schedule(plan.stages, (plan.banks[0][:-1], *plan.banks[1:])), 1)


@pytest.mark.parametrize(
    ("depth", "levels", "cycles"), [(0, 1, 1), (0, 3, 1), (2, 3, 1), (3, 3, 2), (5, 2, 3), (4, 1, 5)]
)
def test_latency_counts_the_finish(depth: int, levels: int, cycles: int) -> None:
    assert latency(depth, levels) == cycles


def test_levels_per_register_must_be_positive() -> None:
    with pytest.raises(ValueError, match="levels_per_register must be at least 1, not 0"):
        latency(3, 0)
