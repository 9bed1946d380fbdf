"""A component between the most hostile source and sink that the stream contract allows, and what must never (or can) happen.

The source sends ``values``: constants that the solver chooses, one for each input beat of a few frames, over and over. So the right payload
of every output beat is known, and a beat that was lost, repeated, reordered or damaged shows as a wrong one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Array, Assert, Assume, Cat, ClockDomain, Cover, Elaboratable, Module, Mux, Signal, Value
from amaranth.hdl._ast import AnyConst, AnySeq  # not exported, but supported by the RTLIL back end

from rtl_lib.stream import StreamComponent

Payload = list[Value]  # by lane


@dataclass(frozen=True)
class Expected:
    """An output beat: its payload, and the input beat after which it is due (no input after that one may be needed for it)."""

    payload: Payload
    due_after: int


@dataclass(frozen=True, kw_only=True)
class Promise:
    """What a component promises besides the contract, in cycles."""

    input_beats: int  # of the frames that are checked
    expected: Callable[[list[Payload]], Sequence[Expected]]  # output beats of these frames, from their input beats
    # A due output comes, and a waiting input is taken, after at most this many cycles in which the sink was ready.
    patience: int
    # So many input, and output, beats can pass in successive cycles.
    input_streak: int
    output_streak: int


class StreamHarness(Elaboratable):
    def __init__(self, component: StreamComponent, promise: Promise) -> None:
        self.component = component
        self.promise = promise
        self.sent = Signal(range(promise.input_beats))  # beats since the start, in the period of the source
        self.values = [
            [AnyConst(component.input_beat.format.width) for _ in range(component.input_beat.lanes)]
            for _ in range(promise.input_beats)
        ]

    def invariants(self) -> list[Value]:
        """More assertions: what a proof by induction must know about the inside of the component."""
        return []

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.domains.sync = ClockDomain(reset_less=True)  # the proof starts from the initial state; nobody resets later
        m.submodules.component = component = self.component
        i, o = component.i, component.o
        taken, given = Signal(), Signal()
        m.d.comb += [taken.eq(i.valid & i.ready), given.eq(o.valid & o.ready)]
        self._source(m, taken)
        m.d.comb += o.ready.eq(AnySeq(1))
        self._contract(m)
        self._payloads(m, taken, given)
        self._throughput(m, taken, given)
        for invariant in self.invariants():
            m.d.comb += Assert(invariant)
        return m

    def _source(self, m: Module, taken: Value) -> None:
        """Any pauses; while ``valid`` is low, garbage."""
        i = self.component.i
        beats = Array(Cat(*beat) for beat in self.values)
        m.d.comb += [
            i.valid.eq(AnySeq(1)),
            i.payload.as_value().eq(Mux(i.valid, beats[self.sent], AnySeq(len(i.payload.as_value())))),
        ]
        waits = Signal()
        m.d.sync += waits.eq(i.valid & ~i.ready)
        m.d.comb += Assume(i.valid | ~waits)
        with m.If(taken):
            m.d.sync += self.sent.eq(Mux(self.sent == self.promise.input_beats - 1, 0, self.sent + 1))

    def _contract(self, m: Module) -> None:
        """``valid`` stays until the transfer, with the same payload; and it does not wait for ``ready``."""
        o = self.component.o
        waits, never_ready = Signal(), Signal(init=1)
        before = Signal(len(o.payload.as_value()))
        m.d.sync += [
            waits.eq(o.valid & ~o.ready),
            before.eq(o.payload.as_value()),
            never_ready.eq(never_ready & ~o.ready),
        ]
        with m.If(waits):
            m.d.comb += [Assert(o.valid), Assert(o.payload.as_value() == before)]
        m.d.comb += Cover(o.valid & never_ready & ~o.ready)

    def _payloads(self, m: Module, taken: Value, given: Value) -> None:
        """Every output beat is the right one, comes only when it is due, and then comes soon."""
        promise, o = self.promise, self.component.o
        values = [[self._typed(lane) for lane in beat] for beat in self.values]
        expected = promise.expected(values)
        lanes = [
            Array([self._narrow(m, beat.payload[k]) for beat in expected])
            for k in range(self.component.output_beat.lanes)
        ]
        received = Signal(range(len(expected)))
        with m.If(given):
            m.d.sync += received.eq(Mux(received == len(expected) - 1, 0, received + 1))
            m.d.comb += Cover(received == len(expected) - 1)
        with m.If(o.valid):
            m.d.comb += [Assert(Value.cast(o.payload[k]) == lane[received]) for k, lane in enumerate(lanes)]

        becomes_due = Array([sum(beat.due_after == n for beat in expected) for n in range(promise.input_beats)])
        owed = Signal(range(2 * len(expected) + 1))
        m.d.sync += owed.eq(owed + Mux(taken, becomes_due[self.sent], 0) - given)
        m.d.comb += Assert((owed != 0) | ~o.valid)
        self._soon(m, waiting=owed != 0, served=given)
        self._soon(m, waiting=self.component.i.valid, served=taken)

    def _soon(self, m: Module, waiting: Value, served: Value) -> None:
        """Whoever waits is served after at most ``patience`` cycles in which the sink was ready."""
        waited = Signal(range(self.promise.patience + 2))
        with m.If(served | ~waiting):
            m.d.sync += waited.eq(0)
        with m.Elif(self.component.o.ready):
            m.d.sync += waited.eq(waited + 1)
        m.d.comb += Assert(waited <= self.promise.patience)

    def _throughput(self, m: Module, taken: Value, given: Value) -> None:
        for event, length in ((taken, self.promise.input_streak), (given, self.promise.output_streak)):
            streak = Signal(range(length + 1))
            m.d.sync += streak.eq(Mux(event, Mux(streak == length, length, streak + 1), 0))
            m.d.comb += Cover(streak == length)

    def _typed(self, lane: Value) -> Value:
        return lane.as_signed() if self.component.input_beat.format.signed else lane

    def _narrow(self, m: Module, value: Value) -> Value:
        """As wide and as signed as an output lane."""
        result = Signal(self.component.output_beat.format.shape)
        m.d.comb += result.eq(value)
        return result
