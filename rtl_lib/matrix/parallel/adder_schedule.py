"""The placement of the registers of an adder graph: the fewest register bits for a given number of stages.

Stage ``t`` is the logic before register bank ``t`` (and after bank ``t - 1``); the inputs enter stage 0 without a
register. A value is computed in one stage, and every bank from there to its last reader holds it once, whatever the
number of readers. After the graph each output goes through one more level of logic, its *finish* (a clamp), which is in
the last stage and has the last bank for itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_matrix

from rtl_lib.matrix.parallel.adder_graph import AdderGraph


def latency(depth: int, levels_per_register: int) -> int:
    """The number of register banks for a graph of this depth and its finish."""
    if levels_per_register < 1:
        raise ValueError(f"levels_per_register must be at least 1, not {levels_per_register!r}")
    return -(-(depth + 1) // levels_per_register)


@dataclass(frozen=True)
class Schedule:
    """``stages``: the stage that computes each value; ``banks[t]``: the values that the bank of stage ``t`` holds (the
    last one only holds what follows the finish).
    """

    stages: tuple[int, ...]
    banks: tuple[tuple[int, ...], ...]

    def register_bits(self, graph: AdderGraph) -> int:
        return sum(graph.values[value].width for bank in self.banks for value in bank)


def schedule(graph: AdderGraph, levels_per_register: int = 3) -> Schedule:
    """The stages with the fewest register bits.

    A linear program in the stage of every value and of its last reader. No path of more than ``levels_per_register``
    adders may lie in one stage: the values at its ends are at least one stage apart. All constraints are differences,
    so the matrix is totally unimodular and the solution of the linear program is integer.
    """
    count, last_stage = len(graph.values), latency(graph.depth, levels_per_register) - 1
    earliest = _earliest(graph, levels_per_register)
    if not last_stage:
        return Schedule((0,) * count, ((),))
    differences = _differences(graph, levels_per_register)  # (earlier variable, later variable, distance)
    finish = 2 * count  # a variable for the stage of all finishes
    rows = np.repeat(np.arange(len(differences)), 2)
    columns = np.array([(early, late) for early, late, _ in differences]).ravel()
    matrix = coo_matrix((np.tile([1.0, -1.0], len(differences)), (rows, columns)), shape=(len(differences), finish + 1))
    widths = np.array([0 if value.is_constant else value.width for value in graph.values], float)
    lowest = np.concatenate([earliest, earliest, [last_stage]])
    highest = np.full(finish + 1, last_stage)
    for k, value in enumerate(graph.values):
        if not value.operands:
            highest[k] = 0
    solution = linprog(
        np.concatenate([-widths, widths, [0]]),
        A_ub=matrix.tocsr(),
        b_ub=[-distance for _, _, distance in differences],
        bounds=np.stack([lowest, highest], axis=1),
        method="highs-ds",
    )
    if not solution.success:
        raise RuntimeError(f"register placement has no solution: {solution.message}")
    found = np.rint(solution.x).astype(int)
    stages, last = found[:count], found[count : 2 * count]
    banks = tuple(
        tuple(v for v in range(count) if stages[v] <= bank < last[v] and not graph.values[v].is_constant)
        for bank in range(last_stage + 1)
    )
    return Schedule(tuple(int(stage) for stage in stages), banks)


def _earliest(graph: AdderGraph, levels_per_register: int) -> np.ndarray:
    return np.array([max(level - 1, 0) // levels_per_register for level in graph.levels], int)


def _differences(graph: AdderGraph, levels_per_register: int) -> list[tuple[int, int, int]]:
    """``later >= earlier + distance`` for the stages of values (k), of last readers (count + k) and of the finish."""
    values, count = graph.values, len(graph.values)
    result: list[tuple[int, int, int]] = []
    # The values that may share the stage of every value, with the adders on the longest path from there to here, both
    # ends included.
    reach: list[dict[int, int]] = []

    def depend(reader: int, operands: tuple[int, ...], levels: int) -> dict[int, int]:
        adders: dict[int, int] = {}
        for operand in operands:
            if values[operand].is_constant:
                continue
            result.append((operand, reader, 0))
            result.append((reader, count + operand, 0))
            for value, before in reach[operand].items():
                adders[value] = max(adders.get(value, 0), before + levels)
        near = {value: n for value, n in adders.items() if n <= levels_per_register}
        result.extend((value, reader, 1) for value in adders.keys() - near.keys())
        return near

    for k, value in enumerate(values):
        near = depend(k, value.operands, value.levels)
        reach.append({**near, k: value.levels} if value.operands else {})
    for output in graph.outputs:
        depend(2 * count, (output.value,), 1)
    return result
