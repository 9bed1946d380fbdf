"""The accelerator's side of the host link: frames of the input stream at full speed into it, results and their latency
out of it.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl_lib.formats import index_signal
from rtl_lib.link_protocol import LATENCY_BYTES


class FrameFeeder(wiring.Component):
    """Gathers bytes to beats. A frame begins when ``start`` is high, and then takes bytes while ``available`` is high.

    :param beat_bytes: of ``s_axis_tdata``.
    :param beats: a frame.
    """

    def __init__(self, beat_bytes: int, beats: int) -> None:
        self.beat_bytes = beat_bytes
        self.beats = beats
        super().__init__(
            {
                "start": In(1),
                "available": In(1),
                "byte": In(8),
                "take": Out(1),  # `byte` is used in this cycle; the next one must be there in the next
                "tdata": Out(8 * beat_bytes),
                "tvalid": Out(1),
                "tready": In(1),
                "tlast": Out(1),
                "began": Out(1),  # the first beat of a frame is taken
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        busy = Signal()
        beat = index_signal(self.beats)
        taken = Signal()
        m.d.comb += [
            taken.eq(self.tvalid & self.tready),
            self.tlast.eq(beat == self.beats - 1),
            self.began.eq(taken & (beat == 0)),
        ]
        with m.If(self.start):
            m.d.sync += busy.eq(1)
        with m.If(taken):
            m.d.sync += beat.eq(beat + 1)
            with m.If(self.tlast):
                m.d.sync += [beat.eq(0), busy.eq(0)]
        if self.beat_bytes == 1:
            m.d.comb += [self.tdata.eq(self.byte), self.tvalid.eq(busy & self.available), self.take.eq(taken)]
            return m
        shift = Signal(8 * self.beat_bytes)
        held = Signal(range(self.beat_bytes + 1))
        full = Signal()
        more = Signal()  # bytes of this frame that are not in the register yet
        m.d.comb += [
            full.eq(held == self.beat_bytes),
            more.eq(~(full & self.tlast)),
            self.tdata.eq(shift),
            self.tvalid.eq(full),
            self.take.eq(busy & self.available & (~full | self.tready) & more),
        ]
        with m.If(self.take):
            m.d.sync += [shift.eq(Cat(shift[8:], self.byte)), held.eq(held + 1)]
        with m.If(taken):
            m.d.sync += held.eq(self.take)
        return m


class ResultCollector(wiring.Component):
    """Beats → bytes, and behind every frame its latency in cycles.

    ``began`` starts the clock that gives the latency; one frame is in the accelerator at a time.

    :param beat_bytes: of ``m_axis_tdata``.
    """

    def __init__(self, beat_bytes: int) -> None:
        self.beat_bytes = beat_bytes
        super().__init__(
            {
                "began": In(1),
                "tdata": In(8 * beat_bytes),
                "tvalid": In(1),
                "tready": Out(1),
                "tlast": In(1),
                "byte": Out(8),
                "valid": Out(1),
                "ready": In(1),
                "done": Out(1),  # all bytes of a frame and of its latency are gone
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        bits = 8 * self.beat_bytes
        shift = Signal(max(bits, 8 * LATENCY_BYTES))
        left = Signal(range(max(self.beat_bytes, LATENCY_BYTES) + 1))
        cycles, latency = Signal(8 * LATENCY_BYTES), Signal(8 * LATENCY_BYTES)
        last = Signal()
        m.d.sync += cycles.eq(cycles + 1)
        with m.If(self.began):
            m.d.sync += cycles.eq(1)
        m.d.comb += self.byte.eq(shift[:8])
        with m.If(self.valid & self.ready):
            m.d.sync += [shift.eq(shift[8:]), left.eq(left - 1)]
        with m.FSM():
            with m.State("BEAT"):
                m.d.comb += self.tready.eq(1)
                with m.If(self.tvalid):
                    m.d.sync += [
                        shift.eq(self.tdata),
                        left.eq(self.beat_bytes),
                        last.eq(self.tlast),
                        latency.eq(cycles),
                    ]
                    m.next = "BYTES"
            with m.State("BYTES"):
                m.d.comb += self.valid.eq(1)
                with m.If(self.ready & (left == 1)):
                    m.next = "BEAT"
                    with m.If(last):
                        m.d.sync += [shift.eq(latency), left.eq(LATENCY_BYTES)]
                        m.next = "LATENCY"
            with m.State("LATENCY"):
                m.d.comb += self.valid.eq(1)
                with m.If(self.ready & (left == 1)):
                    m.d.comb += self.done.eq(1)
                    m.next = "BEAT"
        return m
