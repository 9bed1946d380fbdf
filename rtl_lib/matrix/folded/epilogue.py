"""The requantization of a folded engine: ``pe`` sums a turn, each lane with the constants of the output it holds."""

from __future__ import annotations

from collections.abc import Sequence

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
        self.multiplies = not all(finish.only_adds for finish in finishes)
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
                lines, below = zip(*(finish.lines for finish in own), strict=True)
                factor = _of_sign(
                    lane < 0, turn, [line.multiplier for line in lines], [line.multiplier for line in below]
                )
                value = build.register(lane * factor, f"product_{k}")
                offsets = [line.offset for line in lines], [line.offset for line in below]
                negative = lane < 0 if offsets[0] == offsets[1] else build.register(lane < 0, f"negative_{k}")
                value = value + _of_sign(negative, later, *offsets)
            results.append(build.register(self._fitted(m, value, later, own, k), f"result_{k}"))
        return results

    def _fitted(self, m: Module, value: Value, turn: Value, own: list[Finish], lane: int) -> Value:
        """Shift and clamp; outputs that share them share the logic."""
        total = Signal(value.shape(), name=f"total_{lane}")
        m.d.comb += total.eq(value)
        kinds = [finish.after_lines for finish in own]
        distinct = list(dict.fromkeys(kinds))
        fitted = [narrow(m, kind.wires(total), self.output_beat.format) for kind in distinct]
        if len(fitted) == 1:
            return fitted[0]
        return Array(fitted)[constant_of(turn, [distinct.index(kind) for kind in kinds])]


def _of_sign(negative: Value, index: Value, constants: Sequence[int], below: Sequence[int]) -> Value:
    """``below[index]`` where ``negative``, else ``constants[index]``."""
    if constants == below:
        return constant_of(index, constants)
    return Mux(negative, constant_of(index, below), constant_of(index, constants))


def constant_of(index: Value, constants: Sequence[int]) -> Value:
    """``constants[index]``."""
    shape = Format.containing(min(constants), max(constants)).shape
    if len(set(constants)) == 1:
        return Const(constants[0], shape)
    return Array([Const(constant, shape) for constant in constants])[index]
