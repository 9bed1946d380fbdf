"""Counts frames and cycles beside a stream design, and marks packets: runs of frames that travel as one transfer."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl_lib.core.formats import index_signal

PACKET_BITS = 16  # of the number of frames in a packet
IN_FLIGHT_BITS = 16  # a design holds fewer frames at once than this can count


class FrameWatch(wiring.Component):
    """Looks on; the beats pass elsewhere.

    ``taken``: an input beat passes, with ``taken_tlast`` beside it. ``given``: an output beat passes, ``given_last``
    for the last of a frame. A packet is ``packet`` frames (0 is taken as 1); ``new_packets`` starts the next one now.

    ``latency``: cycles from the first input beat to the last output beat of a frame. One frame is timed at a time, so
    of frames that overlap some are passed over. ``interval``: cycles between the last output beats of the last two
    frames.
    """

    def __init__(self, input_beats: int) -> None:
        self.input_beats = input_beats
        super().__init__(
            {
                "run": In(1),
                "restart_cycles": In(1),
                "taken": In(1),
                "taken_tlast": In(1),
                "given": In(1),
                "given_last": In(1),
                "packet": In(PACKET_BITS),
                "new_packets": In(1),
                "between_frames": Out(1),
                "busy": Out(1),
                "ends_packet": Out(1),  # the output frame under way is the last of its packet
                "tlast_early": Out(1),
                "tlast_missing": Out(1),
                "frames_in": Out(32),
                "frames_out": Out(32),
                "cycles": Out(64),
                "latency": Out(32),
                "interval": Out(32),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        frame_out = Signal()
        m.d.comb += frame_out.eq(self.given & self.given_last)
        frame_begins = self._input(m)
        m.d.comb += [
            self.busy.eq(~self.between_frames | (self.frames_in != self.frames_out)),
            self.ends_packet.eq(self._packet_position(m, "out", frame_out)),
        ]
        with m.If(frame_out):
            m.d.sync += self.frames_out.eq(self.frames_out + 1)
        with m.If(self.restart_cycles):
            m.d.sync += self.cycles.eq(0)
        with m.Elif(self.run):
            m.d.sync += self.cycles.eq(self.cycles + 1)
        self._latency(m, frame_begins, frame_out)
        self._interval(m, frame_out)
        return m

    def _input(self, m: Module) -> Signal:
        """Counts input beats, and compares the sender's ``tlast`` with them; returns whether a frame begins."""
        beat = index_signal(self.input_beats)
        begins, last, ends = Signal(), Signal(), Signal()
        m.d.comb += [
            self.between_frames.eq(beat == 0),
            begins.eq(self.taken & self.between_frames),
            last.eq(beat == self.input_beats - 1),
            ends.eq(self.taken & last),
        ]
        with m.If(self.taken):
            m.d.sync += beat.eq(Mux(last, 0, beat + 1))
        with m.If(ends):
            m.d.sync += self.frames_in.eq(self.frames_in + 1)
        expected = Signal()
        m.d.comb += [
            expected.eq(last & self._packet_position(m, "in", ends)),
            self.tlast_early.eq(self.taken & self.taken_tlast & ~expected),
            self.tlast_missing.eq(self.taken & ~self.taken_tlast & expected),
        ]
        return begins

    def _packet_position(self, m: Module, side: str, frame_ends: Signal) -> Signal:
        """Whether the frame under way on one side is the last of its packet."""
        frame = Signal(PACKET_BITS, name=f"frame_of_packet_{side}")
        is_last = Signal(name=f"last_of_packet_{side}")
        m.d.comb += is_last.eq(frame + 1 >= self.packet)
        with m.If(frame_ends):
            m.d.sync += frame.eq(Mux(is_last, 0, frame + 1))
        with m.If(self.new_packets):
            m.d.sync += frame.eq(0)
        return is_last

    def _latency(self, m: Module, frame_begins: Signal, frame_out: Signal) -> None:
        timing, arrives = Signal(), Signal()
        stopwatch = Signal(32, reset_less=True)
        timed_frame = Signal(IN_FLIGHT_BITS, reset_less=True)
        m.d.comb += arrives.eq(timing & frame_out & (self.frames_out[:IN_FLIGHT_BITS] == timed_frame))
        m.d.sync += stopwatch.eq(stopwatch + 1)
        with m.If(arrives):
            m.d.sync += [self.latency.eq(stopwatch), timing.eq(0)]
        with m.If(frame_begins & (~timing | arrives)):
            m.d.sync += [stopwatch.eq(1), timed_frame.eq(self.frames_in), timing.eq(1)]

    def _interval(self, m: Module, frame_out: Signal) -> None:
        stopwatch = Signal(32, reset_less=True)
        has_predecessor = Signal()
        m.d.sync += stopwatch.eq(stopwatch + 1)
        with m.If(frame_out):
            m.d.sync += [stopwatch.eq(1), has_predecessor.eq(1)]
            with m.If(has_predecessor):
                m.d.sync += self.interval.eq(stopwatch)
