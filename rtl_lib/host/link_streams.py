"""The accelerator's side of the host link: frames of the input stream at full speed into it, results and their latency
out of it.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl_lib.core.formats import index_signal
from rtl_lib.host.link_protocol import LATENCY_BYTES


class FrameFeeder(wiring.Component):
    """Converter of bytes to beats. A frame begins when ``start`` is high, and then consumes bytes while ``available``
    is high.

    :param beat_bytes: of ``s_axis_tdata``.
    :param beats: per frame.
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
    """Converter of beats to bytes, with the latency in cycles after every frame.

    ``began`` starts the clock that measures the latency, ``tvalid`` of the last beat stops it; one frame is in the
    accelerator at a time. A beat is accepted with its last byte, so it needs no register here.

    :param beat_bytes: of ``m_axis_tdata``.
    :param timed_outside: whether ``timing`` says when the clock stops: it counts while that is high.
    """

    def __init__(self, beat_bytes: int, timed_outside: bool = False) -> None:
        self.beat_bytes = beat_bytes
        self.timed_outside = timed_outside
        super().__init__(
            ({"timing": In(1)} if timed_outside else {})
            | {
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
        index = index_signal(max(self.beat_bytes, LATENCY_BYTES))
        cycles = Signal(8 * LATENCY_BYTES)
        in_latency = Signal()
        of_beat = Array(self.tdata[8 * k : 8 * k + 8] for k in range(self.beat_bytes))
        passes, last = Signal(), Signal()
        m.d.comb += [
            passes.eq(self.valid & self.ready),
            self.valid.eq(self.tvalid | in_latency),
            self.byte.eq(Mux(in_latency, cycles[:8], of_beat[index])),
            last.eq(index == Mux(in_latency, LATENCY_BYTES, self.beat_bytes) - 1),
            self.tready.eq(passes & last & ~in_latency),
            self.done.eq(passes & last & in_latency),
        ]
        with m.If(passes):
            m.d.sync += index.eq(Mux(last, 0, index + 1))
        with m.If(self.tready & self.tlast):
            m.d.sync += in_latency.eq(1)
        with m.If(self.done):
            m.d.sync += in_latency.eq(0)
        with m.If(self.began):
            m.d.sync += cycles.eq(1)
        with m.Elif(in_latency):
            m.d.sync += cycles.eq(Mux(self.ready, cycles[8:], cycles))
        with m.Elif(self.timing if self.timed_outside else ~(self.tvalid & self.tlast)):
            m.d.sync += cycles.eq(cycles + 1)
        return m
