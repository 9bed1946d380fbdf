"""Fixed-latency pipelines: combinational logic cut by registers that all move together.

The registers advance in every cycle in which the last one is empty or its beat is taken. One condition for the
whole pipeline keeps the control to a single gate, costs nothing in the flip-flops (they have an enable) and makes
the latency a constant.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import reduce
from operator import and_
from typing import Any, ClassVar

from amaranth.hdl import Module, Signal, Value

from rtl_lib.core.branch_timing import JoinPipelineModel
from rtl_lib.core.stream import Beat, Beats, StreamComponent
from rtl_lib.core.timing import BeatModel, JoinModel, PipelineModel


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


class Registers(StreamComponent):
    """The registers of every pipeline: ``latency`` of them, and one bit for each that says whether it holds a beat.

    A subclass says when a beat enters, and what it becomes.
    """

    is_pipeline: ClassVar[bool] = True

    def __init__(self, inputs: Beats, output_beat: Beat, latency: int) -> None:
        if latency < 1:
            raise ValueError(f"a pipeline must have at least one register, not {latency!r}")
        self.latency = latency
        super().__init__(inputs, output_beat)

    @abstractmethod
    def enters(self, m: Module, advance: Signal) -> Value:
        """Drive the ``ready`` of the inputs; return whether there is a beat to enter when the registers advance."""

    @abstractmethod
    def results(self, m: Module, build: PipelineBuilder) -> list[Value]:
        """The output lanes, exactly ``latency`` registers after the inputs."""

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        occupied = Signal(self.latency)
        advance = Signal()
        m.d.comb += advance.eq(self.o.ready | ~occupied[-1])
        entering = self.enters(m, advance)
        m.d.comb += self.o.valid.eq(occupied[-1])
        with m.If(advance):
            m.d.sync += occupied.eq((occupied << 1) | entering)
        results = self.results(m, PipelineBuilder(m, advance))
        m.d.comb += [self.o.payload[k].eq(result) for k, result in enumerate(results)]
        return m

    def _lanes(self, k: int) -> list[Value]:
        """Return the lanes of input ``k``."""
        return [self.inputs[k].payload[lane] for lane in range(self.input_beats[k].lanes)]


class Pipeline(Registers):
    """One output beat for every input beat, ``latency`` cycles later.

    A subclass defines ``latency`` and ``datapath``, which must put exactly ``latency`` registers on every path.
    """

    @abstractmethod
    def datapath(self, m: Module, build: PipelineBuilder, lanes: list[Value]) -> list[Value]:
        """The output lanes as a function of the input lanes."""

    def beat_model(self) -> BeatModel:
        return PipelineModel(self.latency)

    def enters(self, m: Module, advance: Signal) -> Value:
        m.d.comb += self.i.ready.eq(advance)
        return self.i.valid

    def results(self, m: Module, build: PipelineBuilder) -> list[Value]:
        return self.datapath(m, build, self._lanes(0))


class JoinPipeline(Registers):
    """One beat of every input in the same cycle, and one output beat for them, ``latency`` cycles later.

    An input is accepted only where all of them are there, so its ``ready`` depends on the ``valid`` of the others:
    those come from state, so there is no loop::

        i_0   A  A  B      waits for a
        i_1   .  a  b
        o        .  Aa Bb  (latency 1)

    A subclass defines ``latency`` and ``datapath``, as of ``Pipeline``.
    """

    @abstractmethod
    def datapath(self, m: Module, build: PipelineBuilder, inputs: list[list[Value]]) -> list[Value]:
        """The output lanes as a function of the lanes of every input."""

    def beat_model(self) -> JoinModel:
        return JoinPipelineModel(self.latency, len(self.input_beats))

    def enters(self, m: Module, advance: Signal) -> Value:
        arrived, fires = Signal(), Signal()
        m.d.comb += [arrived.eq(reduce(and_, [i.valid for i in self.inputs])), fires.eq(arrived & advance)]
        m.d.comb += [i.ready.eq(ready) for i, ready in zip(self.inputs, self.consumed(m, fires), strict=True)]
        return arrived

    def consumed(self, m: Module, fires: Signal) -> list[Value]:
        """Return by input whether its beat is consumed when a beat enters (``fires``)."""
        return [fires] * len(self.input_beats)

    def results(self, m: Module, build: PipelineBuilder) -> list[Value]:
        return self.datapath(m, build, [self._lanes(k) for k in range(len(self.input_beats))])
