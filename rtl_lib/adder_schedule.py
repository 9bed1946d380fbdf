"""Where the registers of an adder graph go.

Stage ``t`` is the logic between register bank ``t`` and bank ``t + 1``; the inputs enter stage 0 without a register and the outputs leave from
the last bank. A value is computed in one stage, and every bank up to its last reader holds it once, whatever the number of readers.
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
    """``stages``: the stage that computes each value; ``banks[t]``: the values that the registers after stage ``t`` hold, in order."""

    stages: tuple[int, ...]
    banks: tuple[tuple[int, ...], ...]

    def register_bits(self, graph: AdderGraph) -> int:
        formats = graph.formats()
        return sum(formats[value].width for bank in self.banks for value in bank)


def schedule(graph: AdderGraph, levels_per_register: int = 3) -> Schedule:
    """Every node as early as possible, ``levels_per_register`` adder levels a stage."""
    stages = [max(level - 1, 0) // levels_per_register for level in graph.levels()]
    banks = latency(graph.depth, levels_per_register)
    last = list(stages)
    for stage, node in zip(stages[graph.first_node :], graph.nodes, strict=True):
        for operand in (node.left, node.right):
            last[operand] = max(last[operand], stage)
    for output in graph.outputs:
        last[output.value] = banks
    held = [
        tuple(v for v, stage in enumerate(stages) if stage <= t < last[v] and not graph.is_constant(v))
        for t in range(banks)
    ]
    return Schedule(tuple(stages), tuple(held))
