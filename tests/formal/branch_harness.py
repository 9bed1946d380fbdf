"""A component with several streams between the most hostile sources and sinks that the contract allows.

As in ``stream_harness``, the numbers are constants and no two beats of a stream are alike, so that a beat that was
lost, repeated, reordered or given to the wrong input shows as a wrong one. The proofs by induction hold for ever: the
invariants tell them what they must know about the inside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from amaranth.hdl import Array, Assert, Assume, Cat, Const, Cover, Elaboratable, Module, Mux, Signal, Value
from amaranth.hdl._ast import AnySeq  # not exported, but its back end supports it
from stage_induction import Opened
from stream_harness import _count, _table

from rtl_lib.core.pipeline import Registers
from rtl_lib.core.stream import StreamComponent
from rtl_lib.streams.fork_stage import ForkStage


class BranchHarness(Elaboratable):
    """
    :param inputs, outputs: of every stream, ``[beats, lanes]``; the sources send them over and over.
    """

    def __init__(self, component: StreamComponent, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> None:
        self.component = Opened(component)
        self.right_inputs = [_table(x, beat) for x, beat in zip(inputs, component.input_beats, strict=True)]
        self.right_outputs = [_table(y, beat) for y, beat in zip(outputs, component.output_beats, strict=True)]
        # Numbers of the next beats.
        self.sent = [Signal(range(len(x) + 1), name=f"sent_{k}") for k, x in enumerate(inputs)]
        self.received = [Signal(range(len(y) + 1), name=f"received_{k}") for k, y in enumerate(outputs)]
        self.knows_inside = True  # whether the invariants are asserted too

    def goes_on(self) -> Value:
        """Return whether the component can accept or offer a beat now, if its neighbours let it."""
        return Const(1)

    def invariants(self, inside: Mapping[str, Signal]) -> list[Value]:
        """Return the invariants inside the component that a proof by induction must know."""
        return []

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.component = self.component
        for i, sent, right in zip(self.component.inputs, self.sent, self.right_inputs, strict=True):
            _source(m, i, sent, right)
        for o, received, right in zip(self.component.outputs, self.received, self.right_outputs, strict=True):
            _sink(m, o, received, right)
        m.d.comb += Assert(self.goes_on())
        if self.knows_inside:
            m.d.comb += [Assert(invariant) for invariant in self.invariants(self.component.signals)]
        m.d.comb += Cover(Cat(o.valid & o.ready for o in self.component.outputs).all() & (self.received[0] == 3))
        return m


def _source(m: Module, i: Any, sent: Signal, right: Array) -> None:
    """Model a source that pauses at any time; garbage while ``valid`` is low."""
    payload, waits = i.payload.as_value(), Signal()
    m.d.comb += [i.valid.eq(AnySeq(1)), payload.eq(Mux(i.valid, right[sent], AnySeq(len(payload))))]
    m.d.sync += waits.eq(i.valid & ~i.ready)
    m.d.comb += Assume(i.valid | ~waits)
    _count(m, sent, i.valid & i.ready, len(right))


def _sink(m: Module, o: Any, received: Signal, right: Array) -> None:
    """``valid`` stays until the transfer, with the same payload, and does not wait for ``ready``; every beat is the
    right one.
    """
    payload = o.payload.as_value()
    waits, before, never_ready = Signal(), Signal(len(payload)), Signal(init=1)
    m.d.comb += o.ready.eq(AnySeq(1))
    m.d.sync += [waits.eq(o.valid & ~o.ready), before.eq(payload), never_ready.eq(never_ready & ~o.ready)]
    with m.If(waits):
        m.d.comb += [Assert(o.valid), Assert(payload == before)]
    with m.If(o.valid):
        m.d.comb += Assert(payload == right[received])
    m.d.comb += Cover(o.valid & never_ready & ~o.ready)
    _count(m, received, o.valid & o.ready, len(right))


class ForkInduction(BranchHarness):
    """The two registers hold the beats that were sent and that not every reader has received; a reader that has taken
    the slave's beat is one ahead of it.
    """

    def __init__(self, fork: ForkStage, beats: np.ndarray) -> None:
        super().__init__(fork, [beats], [beats] * fork.readers)
        self.beats = len(beats)

    def goes_on(self) -> Value:
        return self.component.i.ready | Cat(o.valid for o in self.component.outputs).any()

    def invariants(self, inside: Mapping[str, Signal]) -> list[Value]:
        slave_full, master_full, taken = inside["slave_full"], inside["master_full"], inside["taken"]
        (sent,), (right,) = self.sent, self.right_inputs
        slave = _back(sent, slave_full + master_full, self.beats)  # the number of the beat in the slave
        after = _forward(slave, 1, self.beats)
        right_ones = [received == Mux(slave_full & taken[k], after, slave) for k, received in enumerate(self.received)]
        return [
            slave_full | ~master_full,
            sent < self.beats,
            *right_ones,
            slave_full | ~taken.any(),
            ~taken.all(),  # what all have taken has left
            ~slave_full | (inside["slave"] == right[slave]),
            ~master_full | (inside["master"] == right[after]),
        ]


class JoinInduction(BranchHarness):
    """The registers hold the results of the beats that were sent last; of every input as many were taken as belong to
    those results.

    :param sent: by input, how many of its beats were taken before each output beat: ``[output beats]``.
    :param stages: by name of a register, in stream order: what it holds of each output beat.
    :param counters: by name of a counter of the component, its value before each output beat.
    """

    def __init__(
        self,
        join: Registers,
        inputs: Sequence[np.ndarray],
        output: np.ndarray,
        sent: Sequence[np.ndarray],
        stages: Sequence[Mapping[str, np.ndarray]],
        counters: Mapping[str, np.ndarray],
    ) -> None:
        super().__init__(join, inputs, [output])
        self.taken_before, self.stages, self.counters = sent, stages, counters
        self.beats = len(output)

    def goes_on(self) -> Value:
        i, o = self.component.inputs, self.component.o
        all_there = Cat(stream.valid for stream in i).all() & o.ready
        return Cat(stream.ready for stream in i).any() | ~all_there

    def invariants(self, inside: Mapping[str, Signal]) -> list[Value]:
        occupied, (received,) = inside["occupied"], self.received
        held = sum(occupied)
        entering = _forward(received, held, self.beats)  # the number of the output beat that enters next
        found = [received < self.beats]
        found += [sent == _numbers(taken)[entering] for sent, taken in zip(self.sent, self.taken_before, strict=True)]
        found += [inside[name] == _numbers(values)[entering] for name, values in self.counters.items()]
        for stage, registers in enumerate(self.stages):
            number = _forward(received, sum(occupied[stage + 1 :], Const(0)), self.beats)
            found += [
                ~occupied[stage] | (inside[name] == _numbers(values)[number]) for name, values in registers.items()
            ]
        return found


def _numbers(values: np.ndarray) -> Array:
    return Array(Const(int(v)) for v in values)


def _forward(number: Value, by: Value | int, period: int) -> Value:
    total = number + by
    return Mux(total >= period, total - period, total)


def _back(number: Value, by: Value, period: int) -> Value:
    return Mux(number >= by, number - by, number + period - by)
