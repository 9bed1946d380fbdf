"""A component between the most hostile source and sink that the contract allows: what must never happen, what can.

The source sends the same few frames over and over, at times that the solver chooses; the sink pauses when the solver
wants. The numbers are constants and differ, so a beat that was lost, repeated, reordered or damaged shows as a wrong
one. No handshake looks at a number, so nothing is lost by constants, and the proofs are short. (That every number
passes unchanged is the matter of the simulations in tests/rtl_lib.)
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

import numpy as np
from amaranth.hdl import Array, Assert, Assume, Cat, Const, Cover, Elaboratable, Module, Mux, Signal, Value
from amaranth.hdl._ast import AnySeq  # not exported, but its back end supports it

from rtl_lib.core.stream import Beat, StreamComponent


@dataclass(frozen=True, kw_only=True, eq=False)
class Promise:
    """The promises of a component besides the contract: the numbers, and cycles."""

    inputs: np.ndarray  # [beats, lanes] of the frames that are sent
    outputs: np.ndarray  # [beats, lanes] of the same frames
    due_after: np.ndarray  # [output beats]: the input beat after which each is due; it may not need a later one
    # A due output leaves, and a waiting input is taken, after at most this many cycles in which the sink is ready.
    patience: int
    # So many input, and output, beats can pass in successive cycles.
    input_streak: int
    output_streak: int


class Pauses(enum.Flag):
    """The streams that may pause; proofs with fewer pauses reach further."""

    NONE = 0
    SOURCE = enum.auto()
    SINK = enum.auto()
    BOTH = SOURCE | SINK


class StreamHarness(Elaboratable):
    def __init__(self, component: StreamComponent, promise: Promise, pauses: Pauses = Pauses.BOTH) -> None:
        self.component = component
        self.promise = promise
        self.pauses = pauses
        # Numbers of the next input and output beat, and of the outputs that are due.
        self.sent = Signal(range(len(promise.inputs)))
        self.received = Signal(range(len(promise.outputs)))
        self.owed = Signal(range(2 * len(promise.outputs) + 1))
        # For how many cycles a due output, and a waiting input, have not been served by a ready sink.
        self.output_waited, self.input_waited = (Signal(range(promise.patience + 2)) for _ in range(2))
        self.right_inputs = _table(promise.inputs, component.input_beat)
        self.right_outputs = _table(promise.outputs, component.output_beat)

    def invariants(self) -> list[Value]:
        """More assertions: what a proof by induction must know about the inside of the component."""
        return []

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.component = component = self.component
        taken, given = Signal(), Signal()
        m.d.comb += [
            taken.eq(component.i.valid & component.i.ready),
            given.eq(component.o.valid & component.o.ready),
            component.o.ready.eq(AnySeq(1) if Pauses.SINK in self.pauses else 1),
        ]
        self._source(m, taken)
        self._contract(m)
        self._payloads(m, taken, given)
        _soon(
            m, self.output_waited, self.promise.patience, waiting=self.owed != 0, served=given, counts=component.o.ready
        )
        _soon(
            m,
            self.input_waited,
            self.promise.patience,
            waiting=component.i.valid,
            served=taken,
            counts=component.o.ready,
        )
        _streak(m, taken, self.promise.input_streak)
        _streak(m, given, self.promise.output_streak)
        m.d.comb += [Assert(invariant) for invariant in self.invariants()]
        return m

    def _source(self, m: Module, taken: Value) -> None:
        """Model a source that pauses at any time; garbage while ``valid`` is low."""
        i = self.component.i
        payload = i.payload.as_value()
        right = self.right_inputs[self.sent]
        if Pauses.SOURCE in self.pauses:
            m.d.comb += [i.valid.eq(AnySeq(1)), payload.eq(Mux(i.valid, right, AnySeq(len(payload))))]
        else:
            m.d.comb += [i.valid.eq(1), payload.eq(right)]
        waits = Signal()
        m.d.sync += waits.eq(i.valid & ~i.ready)
        m.d.comb += Assume(i.valid | ~waits)
        _count(m, self.sent, taken, len(self.promise.inputs))

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
        """Every output beat is the right one, and none comes before it is due."""
        promise, o = self.promise, self.component.o
        becomes_due = Array(Const(int(n)) for n in np.bincount(promise.due_after, minlength=len(promise.inputs)))
        m.d.sync += self.owed.eq(self.owed + Mux(taken, becomes_due[self.sent], 0) - given)
        _count(m, self.received, given, len(promise.outputs))
        with m.If(o.valid):
            m.d.comb += [Assert(self.owed != 0), Assert(o.payload.as_value() == self.right_outputs[self.received])]
        m.d.comb += Cover(given & (self.received == len(promise.outputs) - 1))


def _table(beats: np.ndarray, shape: Beat) -> Array:
    """The bits of each beat."""
    return Array(Cat(Const(int(n), shape.format.shape) for n in beat) for beat in beats)


def _count(m: Module, counter: Signal, event: Value, period: int) -> None:
    with m.If(event):
        m.d.sync += counter.eq(Mux(counter == period - 1, 0, counter + 1))


def _soon(m: Module, waited: Signal, patience: int, *, waiting: Value, served: Value, counts: Value) -> None:
    """Whoever waits is served after at most ``patience`` cycles that count."""
    with m.If(served | ~waiting):
        m.d.sync += waited.eq(0)
    with m.Elif(counts):
        m.d.sync += waited.eq(waited + 1)
    m.d.comb += Assert(waited <= patience)


def _streak(m: Module, event: Value, length: int) -> None:
    """The event can happen in ``length`` successive cycles."""
    streak = Signal(range(length + 1))
    m.d.sync += streak.eq(Mux(event, Mux(streak == length, length, streak + 1), 0))
    m.d.comb += Cover(streak == length)
