"""Counts frames and cycles beside a stream design, and marks packets: runs of frames that travel as one transfer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl_lib.core.formats import index_signal
from rtl_lib.host.frame_skew import SKEW_BITS, FrameSkew, suffixes

PACKET_BITS = 16  # of the number of frames in a packet
IN_FLIGHT_BITS = SKEW_BITS


@dataclass(frozen=True)
class WatchedInput:
    """Signals of a `FrameWatch` that belong to one input port."""

    beats: int
    suffix: str
    taken: Signal
    tlast: Signal
    between_frames: Signal
    at_start: Signal  # the next beat here is the first of a frame


@dataclass(frozen=True)
class WatchedOutput:
    """Signals of a `FrameWatch` that belong to one output port."""

    suffix: str
    given: Signal
    last: Signal
    ends_packet: Signal


@dataclass(frozen=True)
class _InputEvents:
    """The events of an input in this cycle: a frame begins or ends, the beat under way is the last of its frame."""

    begins: Signal
    last: Signal
    ends: Signal


class FrameWatch(wiring.Component):
    """Frame counters, which observe the ports; the beats pass elsewhere.

    ``inputs`` and ``outputs`` have the signals of each port: ``taken``, an input beat passes, with ``tlast`` beside it;
    ``given``, an output beat passes, ``last`` for the last of a frame. ``between_frames``: of no frame that has begun,
    at this input or another one, beats are still to come here. ``ends_packet``: the output frame under way is the last
    of its packet. A packet is ``packet`` frames (0 means 1); ``new_packets`` starts the next one now.

    Where there are several ports, a frame is in when all inputs have accepted it, and out when all outputs have
    produced it. ``latency``: cycles from the first input beat (at any port) to the last output beat (of the latest
    port) of a frame. One frame is timed at a time, so of frames that overlap some are passed over. ``interval``: cycles
    between the last output beats of the last two frames.

    :param input_beats: of a frame, at each input.
    :param outputs: the number of output ports.
    """

    def __init__(self, input_beats: Sequence[int], outputs: int = 1) -> None:
        ports = {"run": In(1), "restart_cycles": In(1)}
        for suffix in suffixes(len(input_beats)):
            ports |= {f"taken{suffix}": In(1), f"taken_tlast{suffix}": In(1)}
        for suffix in suffixes(outputs):
            ports |= {f"given{suffix}": In(1), f"given_last{suffix}": In(1)}
        ports |= {"packet": In(PACKET_BITS), "new_packets": In(1)}
        ports |= {f"between_frames{suffix}": Out(1) for suffix in suffixes(len(input_beats))}
        ports |= {"busy": Out(1)}
        ports |= {f"ends_packet{suffix}": Out(1) for suffix in suffixes(outputs)}
        ports |= {"tlast_early": Out(1), "tlast_missing": Out(1), "frames_in": Out(32), "frames_out": Out(32)}
        ports |= {"cycles": Out(64), "latency": Out(32), "interval": Out(32)}
        super().__init__(ports)
        self.inputs = tuple(map(self._watched_input, input_beats, suffixes(len(input_beats))))
        self.outputs = tuple(
            WatchedOutput(suffix, *(getattr(self, f"{n}{suffix}") for n in ("given", "given_last", "ends_packet")))
            for suffix in suffixes(outputs)
        )

    def _watched_input(self, beats: int, suffix: str) -> WatchedInput:
        taken, tlast, between = (getattr(self, f"{n}{suffix}") for n in ("taken", "taken_tlast", "between_frames"))
        return WatchedInput(
            beats, suffix, taken, tlast, between, Signal(name=f"at_start{suffix}") if suffix else between
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        ends = [Signal(name=f"frame_out{port.suffix}") for port in self.outputs]
        m.d.comb += [end.eq(port.given & port.last) for port, end in zip(self.outputs, ends, strict=True)]
        frame_begins, frame_number = self._inputs(m)
        frame_out = self._outputs(m, ends)
        under_way = reduce(or_, [~port.between_frames for port in self.inputs])
        m.d.comb += self.busy.eq(under_way | (self.frames_in != self.frames_out))
        with m.If(frame_out):
            m.d.sync += self.frames_out.eq(self.frames_out + 1)
        with m.If(self.restart_cycles):
            m.d.sync += self.cycles.eq(0)
        with m.Elif(self.run):
            m.d.sync += self.cycles.eq(self.cycles + 1)
        self._latency(m, frame_begins, frame_number, frame_out)
        self._interval(m, frame_out)
        return m

    def _outputs(self, m: Module, ends: Sequence[Signal]) -> Signal:
        """Follow the packets of each output; returns whether a frame is out.

        :param ends: whether a frame ends at each of them.
        """
        for port, end in zip(self.outputs, ends, strict=True):
            m.d.comb += port.ends_packet.eq(self._packet_position(m, f"out{port.suffix}", end))
        if len(ends) == 1:
            return ends[0]
        m.submodules.outputs = skew = FrameSkew(len(ends))
        m.d.comb += skew.events.eq(Cat(ends))
        return skew.last

    def _inputs(self, m: Module) -> tuple[Signal, Value]:
        """Count whole frames; return whether one begins, and its number."""
        happens = [self._input(m, port) for port in self.inputs]
        frame_in, frame_begins, number = happens[0].ends, happens[0].begins, Value.cast(self.frames_in)
        if len(happens) > 1:
            m.submodules.ends = ends = FrameSkew(len(happens))
            m.d.comb += ends.events.eq(Cat(event.ends for event in happens))
            frame_in, number = ends.last, self.frames_in + ends.skew
            frame_begins = self._beginnings(m, happens)
        with m.If(frame_in):
            m.d.sync += self.frames_in.eq(self.frames_in + 1)
        problems = [self._tlast(m, port, event) for port, event in zip(self.inputs, happens, strict=True)]
        m.d.comb += [
            self.tlast_early.eq(reduce(or_, [early for early, _ in problems])),
            self.tlast_missing.eq(reduce(or_, [missing for _, missing in problems])),
        ]
        return frame_begins, number

    def _beginnings(self, m: Module, happens: Sequence[_InputEvents]) -> Signal:
        """Relates the inputs to each other; returns whether a frame begins at the first of them."""
        m.submodules.begins = skew = FrameSkew(len(happens))
        m.d.comb += skew.events.eq(Cat(event.begins for event in happens))
        for port, behind in zip(self.inputs, skew.behind, strict=True):
            m.d.comb += port.between_frames.eq(port.at_start & ~behind)
        return skew.first

    def _input(self, m: Module, port: WatchedInput) -> _InputEvents:
        """Count the beats of an input."""
        beat = index_signal(port.beats, name=f"beat{port.suffix}")
        begins, last, ends = Signal(), Signal(), Signal()
        m.d.comb += [
            port.at_start.eq(beat == 0),
            begins.eq(port.taken & port.at_start),
            last.eq(beat == port.beats - 1),
            ends.eq(port.taken & last),
        ]
        with m.If(port.taken):
            m.d.sync += beat.eq(Mux(last, 0, beat + 1))
        return _InputEvents(begins, last, ends)

    def _tlast(self, m: Module, port: WatchedInput, event: _InputEvents) -> tuple[Value, Value]:
        """Compare the sender's ``tlast`` with the frames: it comes early, it is missing."""
        expected = Signal(name=f"expected{port.suffix}")
        m.d.comb += expected.eq(event.last & self._packet_position(m, f"in{port.suffix}", event.ends))
        return port.taken & port.tlast & ~expected, port.taken & ~port.tlast & expected

    def _packet_position(self, m: Module, side: str, frame_ends: Signal) -> Signal:
        """Return whether the frame under way on one side is the last of its packet."""
        frame = Signal(PACKET_BITS, name=f"frame_of_packet_{side}")
        is_last = Signal(name=f"last_of_packet_{side}")
        m.d.comb += is_last.eq(frame + 1 >= self.packet)
        with m.If(frame_ends):
            m.d.sync += frame.eq(Mux(is_last, 0, frame + 1))
        with m.If(self.new_packets):
            m.d.sync += frame.eq(0)
        return is_last

    def _latency(self, m: Module, frame_begins: Signal, frame_number: Value, frame_out: Signal) -> None:
        timing, arrives = Signal(), Signal()
        stopwatch = Signal(32, reset_less=True)
        timed_frame = Signal(IN_FLIGHT_BITS, reset_less=True)
        m.d.comb += arrives.eq(timing & frame_out & (self.frames_out[:IN_FLIGHT_BITS] == timed_frame))
        m.d.sync += stopwatch.eq(stopwatch + 1)
        with m.If(arrives):
            m.d.sync += [self.latency.eq(stopwatch), timing.eq(0)]
        with m.If(frame_begins & (~timing | arrives)):
            m.d.sync += [stopwatch.eq(1), timed_frame.eq(frame_number), timing.eq(1)]

    def _interval(self, m: Module, frame_out: Signal) -> None:
        stopwatch = Signal(32, reset_less=True)
        has_predecessor = Signal()
        m.d.sync += stopwatch.eq(stopwatch + 1)
        with m.If(frame_out):
            m.d.sync += [stopwatch.eq(1), has_predecessor.eq(1)]
            with m.If(has_predecessor):
                m.d.sync += self.interval.eq(stopwatch)
