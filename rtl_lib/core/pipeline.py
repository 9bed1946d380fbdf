"""Fixed-latency pipelines: combinational logic cut by registers that all move together.

The registers advance in every cycle in which the last one is empty or its beat is taken. One condition for the
whole pipeline keeps the control to a single gate, costs nothing in the flip-flops (they have an enable) and makes
the latency a constant.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from amaranth.hdl import Module, Signal, Value

from rtl_lib.core.stream import Beat, StreamComponent
from rtl_lib.core.timing import BeatModel, PipelineModel


class PipelineBuilder:
    """Given to a datapath: creates its registers."""

    def __init__(self, m: Module, advance: Signal) -> None:
        self.m = m
        self.advance = advance

    def register(self, value: Value, name: str = "register") -> Signal:
        """``value`` one stage later. Never reset: the valid bits tell what counts."""
        stored = Signal.like(Value.cast(value), name=name, reset_less=True)
        with self.m.If(self.advance):
            self.m.d.sync += stored.eq(value)
        return stored


class Pipeline(StreamComponent):
    """One output beat for every input beat, ``latency`` cycles later.

    A subclass gives ``latency`` and ``datapath``, which must put exactly ``latency`` registers on every path.
    """

    is_pipeline: ClassVar[bool] = True

    def __init__(self, input_beat: Beat, output_beat: Beat, latency: int) -> None:
        if latency < 1:
            raise ValueError(f"a pipeline must have at least one register, not {latency!r}")
        self.latency = latency
        super().__init__(input_beat, output_beat)

    @abstractmethod
    def datapath(self, m: Module, build: PipelineBuilder, lanes: list[Value]) -> list[Value]:
        """The output lanes as a function of the input lanes."""

    def beat_model(self) -> BeatModel:
        return PipelineModel(self.latency)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        occupied = Signal(self.latency)
        advance = Signal()
        m.d.comb += [
            advance.eq(self.o.ready | ~occupied[-1]),
            self.i.ready.eq(advance),
            self.o.valid.eq(occupied[-1]),
        ]
        with m.If(advance):
            m.d.sync += occupied.eq((occupied << 1) | self.i.valid)
        lanes = [self.i.payload[k] for k in range(self.input_beat.lanes)]
        results = self.datapath(m, PipelineBuilder(m, advance), lanes)
        m.d.comb += [self.o.payload[k].eq(result) for k, result in enumerate(results)]
        return m
