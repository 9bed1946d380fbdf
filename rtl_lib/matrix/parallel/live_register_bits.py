"""The number of registers that a scheduled adder graph really needs: synthesis removes bits that nobody reads any more
(of some values only a carry is used) and bits that are stored twice (below the start of its carry chain a sum passes
bits on).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import singledispatch
from typing import Any

from rtl_lib.matrix.parallel.adder_graph import AdderGraph
from rtl_lib.matrix.parallel.adder_schedule import Schedule
from rtl_lib.matrix.parallel.adder_sums import Sum
from rtl_lib.matrix.parallel.adder_values import GraphValue

Bit = tuple[int, int]  # number of a value, place


def held_bits(graph: AdderGraph, schedule: Schedule, dropped: Sequence[int]) -> int:
    """Return the live register bits of all banks but the last.

    :param dropped: low bits of every output that are shifted out.
    """
    last_read = _last_read(graph, schedule, dropped)
    total = 0
    for stage, bank in enumerate(schedule.banks):
        bits = ((value, place) for value in bank for place in range(graph.values[value].width))
        held = {_source(graph, bit) for bit in bits if last_read.get(bit, -1) > stage}
        total += len(held - {None})
    return total


def _last_read(graph: AdderGraph, schedule: Schedule, dropped: Sequence[int]) -> dict[Bit, int]:
    """Return for every bit that is read the last stage in which it is."""
    result: dict[Bit, int] = {}

    def read(value: int, mask: int, stage: int) -> None:
        for place in _places(mask):
            result[value, place] = max(result.get((value, place), -1), stage)

    for output, shift in zip(graph.outputs, dropped, strict=True):
        low = max(shift - output.shift, 0)
        read(output.value, (1 << graph.values[output.value].width) - 1 >> low << low, len(schedule.banks) - 1)
    for k in reversed(range(len(graph.values))):
        value = graph.values[k]
        mask = sum(1 << place for place in range(value.width) if (k, place) in result)
        for operand, bits in _reads(value, mask):
            read(operand, bits, schedule.stages[k])
    return result


def _places(mask: int) -> Iterator[int]:
    return (place for place in range(mask.bit_length()) if mask >> place & 1)


@singledispatch
def _reads(value: GraphValue, mask: int) -> list[tuple[int, int]]:
    """The operands with masks of what is read of them when ``mask`` is read of the value."""
    return []


@_reads.register
def _(value: Sum, mask: int) -> list[tuple[int, int]]:
    start = value.width if value.start is None else value.start
    places, carries = mask, []
    if mask >> start:
        places |= (1 << mask.bit_length()) - (1 << start)
        carries = [(value.carry.value, 1 << value.carry.bit)] if value.carry else []
    return [*carries, *((part.value, places >> part.shift & part.bits) for part in (value.left, value.right))]


def _source(graph: AdderGraph, bit: Bit) -> Any:
    """Return where a bit comes from, through sums that only pass it on; None: it is a constant."""
    inverted = False
    while True:
        number, place = bit
        value = graph.values[number]
        if value.is_constant:
            return None
        passed = _passed(value, place)
        if not passed:
            return number, place, inverted
        operand, place, inverts = passed[0]
        if operand < 0:
            return None
        bit, inverted = (operand, place), inverted ^ inverts


@singledispatch
def _passed(value: GraphValue, place: int) -> list[tuple[int, int, bool]]:
    """The operand's bit that the value's bit is, if it is one; operand -1: the bit is a constant."""
    return []


@_passed.register
def _(value: Sum, place: int) -> list[tuple[int, int, bool]]:
    if value.start is not None and place >= value.start:
        return []
    found = [
        (part.value, place - part.shift, part.inverted)
        for part in (value.left, value.right)
        if part.places >> place & 1
    ]
    return found or [(-1, 0, False)]
