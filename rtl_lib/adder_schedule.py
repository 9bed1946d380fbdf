"""Where the registers of an adder graph go.

Stage ``t`` is the logic before register bank ``t`` (and after bank ``t - 1``); the inputs enter stage 0 without a
register and the outputs leave from the last bank. A value is computed in one stage, and every bank from there to its
last reader holds it once, whatever the number of readers.
"""

from __future__ import annotations

from dataclasses import dataclass

from rtl_lib.adder_graph import AdderGraph


def latency(depth: int, levels_per_register: int) -> int:
    """The number of register banks; also a graph without adders has its output registers."""
    if levels_per_register < 1:
        raise ValueError(f"levels_per_register must be at least 1, not {levels_per_register!r}")
    return max(1, -(-depth // levels_per_register))


@dataclass(frozen=True)
class Schedule:
    """``stages``: the stage that computes each value; ``banks[t]``: the values that the bank of stage ``t`` holds."""

    stages: tuple[int, ...]
    banks: tuple[tuple[int, ...], ...]

    def register_bits(self, graph: AdderGraph) -> int:
        formats = graph.formats()
        return sum(formats[value].width for bank in self.banks for value in bank)


def schedule(graph: AdderGraph, levels_per_register: int = 3) -> Schedule:
    """Every node as early as possible, at most ``levels_per_register`` adders one after the other in a stage.

    (Where there is slack, a node may as well come later. A greedy pass that used this saved less than 1 % of the
    register bits; the optimum is a linear program.)
    """
    banks = latency(graph.depth, levels_per_register)
    stages = [max(level - 1, 0) // levels_per_register for level in graph.levels()]
    last = list(stages)
    for stage, node in zip(stages[graph.first_node :], graph.nodes, strict=True):
        for operand in (node.left, node.right):
            last[operand] = max(last[operand], stage)
    for output in graph.outputs:
        last[output.value] = banks
    held: list[list[int]] = [[] for _ in range(banks)]
    for value, stage in enumerate(stages):
        if not graph.is_constant(value):
            for bank in range(stage, last[value]):
                held[bank].append(value)
    return Schedule(tuple(stages), tuple(tuple(bank) for bank in held))
