"""The master-slave stage that separates layers: a register slice (skid buffer) of two registers."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from amaranth.hdl import Module, Signal

from rtl_lib.core.features import Features, Kind
from rtl_lib.core.stream import Beat, StreamComponent
from rtl_lib.core.timing import BeatModel, StageModel


class Stage(StreamComponent):
    """Two registers: the slave offers a beat to whoever reads it, the master captures one more while that one waits.

    A subclass says when the slave's beat has left.
    """

    @abstractmethod
    def offer(self, m: Module, full: Signal, free: Signal) -> None:
        """Drive the ``valid`` of the outputs, and ``free``: the slave is empty, or its beat leaves in this cycle."""

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        master = Signal(self.input_beat.layout, reset_less=True)
        slave = Signal(self.input_beat.layout, reset_less=True)
        master_full = Signal()
        slave_full = Signal()
        slave_free = Signal()
        self.offer(m, slave_full, slave_free)
        m.d.comb += self.i.ready.eq(~master_full)
        m.d.comb += [output.payload.eq(slave) for output in self.outputs]
        with m.If(slave_free):
            m.d.sync += slave_full.eq(master_full | self.i.valid)
            m.d.sync += master_full.eq(0)
            with m.If(master_full):
                m.d.sync += slave.eq(master)
            with m.Else():
                m.d.sync += slave.eq(self.i.payload)
        with m.Elif(self.i.valid & self.i.ready):
            m.d.sync += master_full.eq(1)
        with m.If(self.i.ready):
            m.d.sync += master.eq(self.i.payload)
        return m


class MasterSlaveStage(Stage):
    """A register slice (skid buffer) of two registers between layers (the master-slave flip-flops of Tourad and
    Eleuldj, Fig. 3).

    The slave presents a beat to the next layer. The master captures one more beat while the slave's is still waiting,
    so neither ``ready`` nor ``valid`` nor ``payload`` passes combinationally, at one beat per cycle. Latency one
    cycle::

        i.payload   A  B  C  .  .
        o.payload      A  A  B  C        (o.ready low in the first of A's cycles)
        master               B           captured because the slave was not taken
    """

    def __init__(self, beat: Beat) -> None:
        super().__init__(beat, beat)

    def features(self) -> Features:
        bits = self.input_beat.layout.size
        return Features().add(Kind.REGISTER, 2 * bits + 2).add(Kind.GATE, bits + 4).add(Kind.HANDSHAKE, 1)

    def beat_model(self) -> BeatModel:
        return StageModel()

    def offer(self, m: Module, full: Signal, free: Signal) -> None:
        m.d.comb += [free.eq(self.o.ready | ~full), self.o.valid.eq(full)]
