"""The parallel engine: a constant matrix and its requantization as one adder graph, one vector per cycle.

No multipliers and no memories. Bias, offset, the half that rounds up, and everything that unsigned arithmetic leaves
over are one constant for every output; a multiplier is a few digits more of the same graph. The registers lie where the
fewest bits cross (``adder_schedule``); the last ones hold results::

    i.payload ─ adders ─▐ bank 0 ▌─ adders ─▐ bank 1 ▌─ ... ─ adders ─ clamp ─▐ result ▌─ o.payload
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from amaranth.hdl import Cat, Module, Signal, Value

from rtl_lib.core.features import Features, Kind, pipeline_features
from rtl_lib.core.formats import Format
from rtl_lib.core.pipeline import Pipeline, PipelineBuilder
from rtl_lib.elementwise.epilogue import Finish, finishes
from rtl_lib.elementwise.requantize import Requantize, narrow
from rtl_lib.matrix.constant_matrix import ConstantMatrix
from rtl_lib.matrix.parallel.adder_graph import AdderGraph, Output
from rtl_lib.matrix.parallel.adder_schedule import Schedule, latency, schedule
from rtl_lib.matrix.parallel.adder_solver import solve
from rtl_lib.matrix.parallel.adder_values import Interval, extended
from rtl_lib.matrix.parallel.live_register_bits import held_bits

# The values in one wide register: Amaranth's netlists take at most 2^16 bits a signal.
BANK_VALUES = 512


@dataclass(frozen=True, eq=False)
class ParallelEngine:
    """``requantize(matrix(x))`` in hardware: adders, then for every output a shift and a clamp."""

    matrix: ConstantMatrix
    requantize: Requantize

    @cached_property
    def finishes(self) -> list[Finish]:
        """The epilogue of each output's sum: its factor, its offset, and what is done to it then."""
        return finishes(self.requantize)

    @cached_property
    def graph(self) -> AdderGraph:
        """The sums before the shift."""
        multipliers = np.array([finish.multiplier for finish in self.finishes])
        offsets = np.array([finish.offset for finish in self.finishes])
        return solve(self.matrix.weights, self.matrix.input_intervals, self.matrix.bias, multipliers, offsets)

    @property
    def luts(self) -> int:
        """Predicted: the carry chains, and one for each result bit."""
        return self.graph.luts + self.requantize.output_beat.layout.size

    def latency(self, levels_per_register: int) -> int:
        return latency(self.graph.depth, levels_per_register)

    def create(self, levels_per_register: int) -> ParallelPipeline:
        return ParallelPipeline(self, levels_per_register)


def engine_features(
    requantize: Requantize,
    finishes: Sequence[Finish],
    intervals: Sequence[Interval],
    latency: int,
    luts: float,
    chains: float,
    held: float,
) -> Features:
    """
    :param intervals: of every output before its shift.
    :param luts, chains: of the adder graph: LUTs, and places of carry chains that have none.
    :param held: live register bits in all banks but the last.
    """
    bill = pipeline_features(latency).add(Kind.ADDER_GRAPH, luts).add(Kind.CHAIN, chains)
    bill.add(Kind.REGISTER, held + requantize.output_beat.layout.size)
    for finish, interval in zip(finishes, intervals, strict=True):
        bill += finish.features(Format.containing(*interval).width, requantize.output_format.width)
    return bill


class ParallelPipeline(Pipeline):
    """The hardware of a ``ParallelEngine``."""

    def __init__(self, engine: ParallelEngine, levels_per_register: int) -> None:
        self.engine = engine
        self.schedule: Schedule = schedule(engine.graph, levels_per_register)
        super().__init__(engine.matrix.input_beat, engine.requantize.output_beat, engine.latency(levels_per_register))

    def features(self) -> Features:
        graph = self.engine.graph
        finishes, intervals = self.engine.finishes, [output.interval for output in graph.outputs]
        held = held_bits(graph, self.schedule, [finish.shift for finish in finishes])
        chains = graph.chain_bits - graph.luts
        return engine_features(self.engine.requantize, finishes, intervals, self.latency, graph.luts, chains, held)

    def datapath(self, m: Module, build: PipelineBuilder, lanes: list[Value]) -> list[Value]:
        graph, form = self.engine.graph, self.engine.requantize.output_format
        wires = graph_wires(m, build, graph, self.schedule, lanes)
        results = []
        for k, (output, finish) in enumerate(zip(graph.outputs, self.engine.finishes, strict=True)):
            total = Signal(Format.containing(*output.interval).shape, name=f"total_{k}")
            m.d.comb += total.eq(_output_wires(output, wires[output.value]))
            results.append(build.register(narrow(m, finish.wires(total), form), f"result_{k}"))
        return results


def graph_wires(
    m: Module, build: PipelineBuilder, graph: AdderGraph, schedule: Schedule, lanes: list[Value]
) -> dict[int, Value]:
    """The values of a graph in its last stage."""
    members: list[list[int]] = [[] for _ in schedule.banks]
    wires: dict[int, Value] = {}
    for k, value in enumerate(graph.values):
        if value.is_constant:
            wires[k] = value.wires(lanes, wires.__getitem__)
        else:
            members[schedule.stages[k]].append(k)
    constants = dict(wires)
    for stage, bank in enumerate(schedule.banks):
        for k in members[stage]:
            # A wire of its own: an expression with several readers would be written out for each of them.
            wire = Signal(graph.values[k].width, name=f"value_{k}")
            m.d.comb += wire.eq(graph.values[k].wires(lanes, wires.__getitem__))
            wires[k] = wire
        if stage < len(schedule.banks) - 1:
            wires = constants | _register(build, bank, wires, f"bank_{stage}")
    return wires


def _register(build: PipelineBuilder, bank: tuple[int, ...], wires: dict[int, Value], name: str) -> dict[int, Value]:
    """The values of a bank, one cycle later. Amaranth emits few wide registers faster than many narrow ones."""
    held: dict[int, Value] = {}
    for first in range(0, len(bank), BANK_VALUES):
        values = bank[first : first + BANK_VALUES]
        stored = build.register(Cat(wires[value] for value in values), f"{name}_{first // BANK_VALUES}")
        offset = 0
        for value in values:
            held[value] = stored[offset : offset + len(wires[value])]
            offset += len(held[value])
    return held


def _output_wires(output: Output, value: Value) -> Value:
    """An output in two's complement: its base is the place of the sign."""
    bits = extended(value.shift_left(output.shift), Format.containing(*output.interval).width)
    return Cat(bits[:-1], ~bits[-1]).as_signed() if output.base else bits
