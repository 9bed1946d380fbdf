"""The adapter between the host link, which knows one stream of bytes each way, and an accelerator with several inputs
or outputs.

A frame comes as the beats of the first input, then those of the second, and so on; a result leaves in the same way. The
accelerator may need them in any other order: one input before another, beats of two inputs in turn, or room at one
output before it proceeds at another. So each input has a buffer for a whole frame, and all of them begin to feed the
accelerator when the last is full; each output has a buffer that accepts a whole frame at once. Then the accelerator
sees sources that are always valid and sinks that are always ready, and cannot wait for the link::

    bytes of the line    a a a b b .  .  .  .  .  .  .  .
    input a              .  .  .  .  .  A  A  A  .  .  .  .
    input b              .  .  .  .  .  B  B  .  .  .  .  .
    output x             .  .  .  .  .  .  .  X  X  .  .  .
    output y             .  .  .  .  .  .  Y  .  .  .  .  .
    bytes of the result  .  .  .  .  .  .  .  .  .  x x y
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from rtl_lib.core.formats import index_signal


@dataclass(frozen=True, kw_only=True)
class LinkPort:
    """A stream of the accelerator: bytes per beat, and beats per frame."""

    beat_bytes: int
    beats: int

    @property
    def frame_bytes(self) -> int:
        return self.beat_bytes * self.beats

    @property
    def depth(self) -> int:
        """The depth of the memory for a frame, which has one address at least."""
        return max(self.beats, 2)


class InputBuffer(wiring.Component):
    """Bytes → a frame of beats, which leaves at a beat per cycle while ``feed`` is high.

    ``full``: the frame is there; a ``byte`` may be written (``write``) while it is low. ``drained``: the accelerator
    has taken the frame; then ``restart`` makes room for the next one. ``feed`` may become high in the second cycle of
    ``full``: the first beat has been read from the memory then.
    """

    def __init__(self, port: LinkPort) -> None:
        self.port = port
        super().__init__(
            {
                "byte": In(8),
                "write": In(1),
                "full": Out(1),
                "feed": In(1),
                "drained": Out(1),
                "restart": In(1),
                "tdata": Out(8 * port.beat_bytes),
                "tvalid": Out(1),
                "tready": In(1),
                "tlast": Out(1),
                "taken": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        port = self.port
        m.submodules.memory = memory = Memory(shape=8 * port.beat_bytes, depth=port.depth, init=[])
        writing, reading = memory.write_port(), memory.read_port()
        beat, place = index_signal(port.beats), index_signal(port.beat_bytes)
        begun = Signal(8 * port.beat_bytes)  # a beat, its first bytes lowest once it is complete
        complete, advances, last = Signal(), Signal(), Signal()
        m.d.comb += [
            complete.eq(self.write & (place == port.beat_bytes - 1)),
            last.eq(beat == port.beats - 1),
            writing.data.eq(Cat(begun[8:], self.byte)),
            writing.addr.eq(beat),
            writing.en.eq(complete),
            self.tdata.eq(reading.data),
            self.tvalid.eq(self.feed & ~self.drained),
            self.tlast.eq(last),
            self.taken.eq(self.tvalid & self.tready),
            advances.eq(complete | self.taken),
            reading.addr.eq(Mux(self.taken & ~last, beat + 1, Mux(self.feed, beat, 0))),
        ]
        with m.If(self.write):
            m.d.sync += [begun.eq(writing.data), place.eq(Mux(complete, 0, place + 1))]
        with m.If(advances):
            m.d.sync += beat.eq(Mux(last, 0, beat + 1))
        with m.If(complete & last):
            m.d.sync += self.full.eq(1)
        with m.If(self.taken & last):
            m.d.sync += self.drained.eq(1)
        with m.If(self.restart):
            m.d.sync += [self.full.eq(0), self.drained.eq(0)]
        return m


class FrameSplitter(wiring.Component):
    """Bytes of a frame, input after input → all inputs at the same time.

    ``i`` is a stream of bytes; ``tdata_k`` and so on are those of input k; ``began``: the first beat of the frame is
    accepted, at any of them.
    """

    def __init__(self, ports: Sequence[LinkPort]) -> None:
        self.ports = ports
        members = {"i_tdata": In(8), "i_tvalid": In(1), "i_tready": Out(1), "began": Out(1)}
        for k, port in enumerate(ports):
            members |= {f"tdata_{k}": Out(8 * port.beat_bytes), f"tvalid_{k}": Out(1), f"tready_{k}": In(1)}
            members |= {f"tlast_{k}": Out(1)}
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        buffers = [InputBuffer(port) for port in self.ports]
        feed, has_begun, restart = Signal(), Signal(), Signal()
        before: Value = Const(1)  # whether the buffers before the one at hand are full
        for k, buffer in enumerate(buffers):
            m.submodules[f"input_{k}"] = buffer
            m.d.comb += [
                buffer.byte.eq(self.i_tdata),
                buffer.write.eq(self.i_tvalid & before & ~buffer.full),
                buffer.feed.eq(feed),
                buffer.restart.eq(restart),
                buffer.tready.eq(getattr(self, f"tready_{k}")),
                getattr(self, f"tdata_{k}").eq(buffer.tdata),
                getattr(self, f"tvalid_{k}").eq(buffer.tvalid),
                getattr(self, f"tlast_{k}").eq(buffer.tlast),
            ]
            before = before & buffer.full
        taken = Cat(buffer.taken for buffer in buffers).any()
        m.d.comb += [
            self.i_tready.eq(~before),
            restart.eq(Cat(buffer.drained for buffer in buffers).all()),
            self.began.eq(taken & ~has_begun),
        ]
        m.d.sync += [feed.eq(before & ~restart), has_begun.eq((has_begun | taken) & ~restart)]
        return m


class OutputBuffer(wiring.Component):
    """A frame of beats, taken at a beat per cycle → bytes, one per cycle in which ``pass_`` is high while ``send`` is.

    ``full``: the frame is there, or ends in this cycle (``ends``). ``sent``: all its bytes are gone; then ``restart``
    makes room for the next one. ``send`` may become high in the second cycle of ``full``.
    """

    def __init__(self, port: LinkPort) -> None:
        self.port = port
        super().__init__(
            {
                "tdata": In(8 * port.beat_bytes),
                "tvalid": In(1),
                "tready": Out(1),
                "full": Out(1),
                "ends": Out(1),
                "send": In(1),
                "pass_": In(1),
                "byte": Out(8),
                "last": Out(1),
                "sent": Out(1),
                "restart": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        port = self.port
        m.submodules.memory = memory = Memory(shape=8 * port.beat_bytes, depth=port.depth, init=[])
        writing, reading = memory.write_port(), memory.read_port()
        beat, place = index_signal(port.beats), index_signal(port.beat_bytes)
        takes, passes, is_last_byte, is_last_beat = Signal(), Signal(), Signal(), Signal()
        of_beat = Array(reading.data[8 * k : 8 * k + 8] for k in range(port.beat_bytes))
        m.d.comb += [
            self.tready.eq(~self.full),
            takes.eq(self.tvalid & self.tready),
            is_last_beat.eq(beat == port.beats - 1),
            self.ends.eq(takes & is_last_beat),
            writing.data.eq(self.tdata),
            writing.addr.eq(beat),
            writing.en.eq(takes),
            passes.eq(self.send & self.pass_ & ~self.sent),
            is_last_byte.eq(place == port.beat_bytes - 1),
            self.byte.eq(of_beat[place]),
            self.last.eq(is_last_byte & is_last_beat),
            reading.addr.eq(Mux(passes & is_last_byte & ~is_last_beat, beat + 1, Mux(self.full, beat, 0))),
        ]
        with m.If(passes):
            m.d.sync += place.eq(Mux(is_last_byte, 0, place + 1))
        with m.If(takes | (passes & is_last_byte)):
            m.d.sync += beat.eq(Mux(is_last_beat, 0, beat + 1))
        with m.If(self.ends):
            m.d.sync += self.full.eq(1)
        with m.If(passes & self.last):
            m.d.sync += self.sent.eq(1)
        with m.If(self.restart):
            m.d.sync += [self.full.eq(0), self.sent.eq(0)]
        return m


class FrameMerger(wiring.Component):
    """All outputs at the same time → bytes of a result, output after output.

    ``o`` is a stream of bytes; ``tdata_k`` and so on are those of output k; ``waits``: some output has not given all of
    its frame yet, this cycle included.
    """

    def __init__(self, ports: Sequence[LinkPort]) -> None:
        self.ports = ports
        members = {"o_tdata": Out(8), "o_tvalid": Out(1), "o_tready": In(1), "o_tlast": Out(1), "waits": Out(1)}
        for k, port in enumerate(ports):
            members |= {f"tdata_{k}": In(8 * port.beat_bytes), f"tvalid_{k}": In(1), f"tready_{k}": Out(1)}
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        buffers = [OutputBuffer(port) for port in self.ports]
        all_full, sending, restart = Signal(), Signal(), Signal()
        for k, buffer in enumerate(buffers):
            m.submodules[f"output_{k}"] = buffer
            m.d.comb += [
                buffer.tdata.eq(getattr(self, f"tdata_{k}")),
                buffer.tvalid.eq(getattr(self, f"tvalid_{k}")),
                getattr(self, f"tready_{k}").eq(buffer.tready),
                buffer.restart.eq(restart),
            ]
        m.d.comb += [
            all_full.eq(Cat(buffer.full for buffer in buffers).all()),
            self.waits.eq(~Cat(buffer.full | buffer.ends for buffer in buffers).all()),
            restart.eq(Cat(buffer.sent for buffer in buffers).all()),
            self.o_tvalid.eq(sending & ~restart),
            self.o_tlast.eq(buffers[-1].send & buffers[-1].last),
        ]
        m.d.sync += sending.eq(all_full & ~restart)
        before: Value = Const(1)  # whether the buffers before the one at hand are sent
        for buffer in buffers:
            m.d.comb += [buffer.send.eq(sending & before), buffer.pass_.eq(self.o_tready)]
            with m.If(buffer.send & ~buffer.sent):
                m.d.comb += self.o_tdata.eq(buffer.byte)
            before = before & buffer.sent
        return m
