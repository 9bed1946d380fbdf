"""The requantization of a folded engine: ``pe`` sums a turn, each lane with the constants of the output it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from amaranth.hdl import Array, Const, Module, Mux, Signal, Value

from rtl_lib.core.features import Features
from rtl_lib.core.formats import Format, index_signal
from rtl_lib.core.pipeline import Pipeline, PipelineBuilder
from rtl_lib.core.stream import Beat
from rtl_lib.elementwise.epilogue import Finish
from rtl_lib.elementwise.requantize import narrow
from rtl_lib.matrix.folded.features import FinishShape


class TurnFinish(Pipeline):
    """Registers: [the product with a multiplier,] the result.

    :param finishes: of every output in turn, ``pe`` a turn; the last turn may lack some.
    """

    def __init__(self, finishes: Sequence[Finish], pe: int, input_format: Format, output_format: Format) -> None:
        self.finishes = finishes
        self.turns = -(-len(finishes) // pe)
        self.multiplies = any(finish.multiplier != 1 for finish in finishes)
        super().__init__(Beat(input_format, pe), Beat(output_format, pe), latency=2 if self.multiplies else 1)

    def features(self) -> Features:
        lanes, output = self.input_beat.lanes, self.output_beat.format
        return FinishShape(self.finishes, lanes, self.input_beat.format, output).features()

    def datapath(self, m: Module, build: PipelineBuilder, lanes: list[Value]) -> list[Value]:
        turn = index_signal(self.turns)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += turn.eq(Mux(turn == self.turns - 1, 0, turn + 1))
        later = build.register(turn, "turn_of_product") if self.multiplies else turn
        results = []
        for k, lane in enumerate(lanes):
            own = [self.finishes[min(t * len(lanes) + k, len(self.finishes) - 1)] for t in range(self.turns)]
            value = lane
            if self.multiplies:
                value = build.register(lane * constant_of(turn, [f.multiplier for f in own]), f"product_{k}")
                value = value + constant_of(later, [f.offset for f in own])
            results.append(build.register(self._fitted(m, value, later, own, k), f"result_{k}"))
        return results

    def _fitted(self, m: Module, value: Value, turn: Value, own: list[Finish], lane: int) -> Value:
        """Shift and clamp; outputs that share them share the logic."""
        total = Signal(value.shape(), name=f"total_{lane}")
        m.d.comb += total.eq(value)
        kinds = [replace(finish, multiplier=1, offset=0) for finish in own]
        distinct = list(dict.fromkeys(kinds))
        fitted = [narrow(m, kind.wires(total), self.output_beat.format) for kind in distinct]
        if len(fitted) == 1:
            return fitted[0]
        return Array(fitted)[constant_of(turn, [distinct.index(kind) for kind in kinds])]


def constant_of(index: Value, constants: Sequence[int]) -> Value:
    """``constants[index]``."""
    shape = Format.containing(min(constants), max(constants)).shape
    if len(set(constants)) == 1:
        return Const(constants[0], shape)
    return Array([Const(constant, shape) for constant in constants])[index]
