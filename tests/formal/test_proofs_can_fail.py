"""The proofs can fail: each fault is found, and by the question that is there for it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Cat, Module, Mux, Signal, Value
from primitives import NUMBERS, PRIMITIVES, STAGE
from prover import Mode, prove, translate
from stream_harness import StreamHarness

from rtl_lib.core.stream import Beat, StreamComponent


class Register(StreamComponent):
    """A correct stage of one register; a subclass spoils one line of it."""

    def __init__(self) -> None:
        super().__init__(Beat(NUMBERS, 2), Beat(NUMBERS, 2))
        self.full = Signal()

    def ready(self, m: Module) -> Value:
        return self.o.ready | ~self.full

    def valid(self, m: Module) -> Value:
        return self.full

    def payload(self, m: Module, stored: Value) -> Value:
        return stored

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        stored = Signal(self.input_beat.layout.size)
        m.d.comb += [
            self.i.ready.eq(self.ready(m)),
            self.o.valid.eq(self.valid(m)),
            self.o.payload.as_value().eq(self.payload(m, stored)),
        ]
        with m.If(self.i.ready & self.i.valid):
            m.d.sync += [stored.eq(self.i.payload.as_value()), self.full.eq(1)]
        with m.Elif(self.o.ready & self.o.valid):
            m.d.sync += self.full.eq(0)
        return m


class DropsABeatWhenStalled(Register):
    def ready(self, m: Module) -> Value:
        return Value.cast(1)


class RepeatsABeat(Register):
    def valid(self, m: Module) -> Value:
        again = Signal()
        m.d.sync += again.eq(self.full & self.o.ready & ~self.i.valid)
        return self.full | again


class TakesAValidBack(Register):
    def valid(self, m: Module) -> Value:
        late = Signal()
        m.d.sync += late.eq(self.full & ~self.o.ready & ~late)
        return self.full & ~late


class ChangesAWaitingPayload(Register):
    def payload(self, m: Module, stored: Value) -> Value:
        waited = Signal()
        m.d.sync += waited.eq(self.full & ~self.o.ready)
        return Mux(waited, ~stored, stored)


class SwapsLanes(Register):
    def payload(self, m: Module, stored: Value) -> Value:
        half = len(stored) // 2
        return Cat(stored[half:], stored[:half])


class ShowsTheInputItself(Register):
    """A payload that is not stored is garbage as soon as the source pauses."""

    def payload(self, m: Module, stored: Value) -> Value:
        return self.i.payload.as_value()


class GetsStuck(Register):
    """A mutant that consumes nothing more after a stall of four cycles."""

    def ready(self, m: Module) -> Value:
        stalled = Signal(range(5))
        with m.If(stalled < 4):
            m.d.sync += stalled.eq(Mux(self.full & ~self.o.ready, stalled + 1, 0))
        return super().ready(m) & (stalled < 4)


class ValidWaitsForReady(Register):
    def valid(self, m: Module) -> Value:
        return self.full & self.o.ready


class HalfSpeed(Register):
    def ready(self, m: Module) -> Value:
        return ~self.full


FOUND_BY_BMC = [
    DropsABeatWhenStalled,
    RepeatsABeat,
    TakesAValidBack,
    ChangesAWaitingPayload,
    SwapsLanes,
    ShowsTheInputItself,
    GetsStuck,
]
FOUND_BY_COVER = [ValidWaitsForReady, HalfSpeed]

pytestmark = pytest.mark.formal


def holds(component: StreamComponent, folder: Path, mode: Mode) -> bool:
    translate(StreamHarness(component, STAGE), folder)
    return prove(folder, 14, mode).holds


@pytest.mark.parametrize("mode", [Mode.BMC, Mode.COVER], ids=["bmc", "cover"])
def test_the_register_without_a_fault_is_right(mode: Mode, tmp_path: Path) -> None:
    assert holds(Register(), tmp_path, mode)


@pytest.mark.parametrize("fault", FOUND_BY_BMC)
def test_bmc_finds(fault: type[Register], tmp_path: Path) -> None:
    assert not holds(fault(), tmp_path, Mode.BMC)


@pytest.mark.parametrize("fault", FOUND_BY_COVER)
def test_cover_finds_what_bmc_cannot(fault: type[Register], tmp_path: Path) -> None:
    assert holds(fault(), tmp_path, Mode.BMC)
    assert not holds(fault(), tmp_path, Mode.COVER)


@pytest.mark.parametrize("name", ["frame_sum_of_3", "gatherer_by_3", "windows_same"])
def test_a_single_wrong_number_of_the_last_beat_is_found(name: str, tmp_path: Path) -> None:
    """The depth is large enough to see the whole of the first frame."""
    primitive = PRIMITIVES[name]
    outputs = primitive.promise.outputs.copy()
    first_frame = {"frame_sum_of_3": 1, "gatherer_by_3": 1, "windows_same": len(outputs) // 2}[name]
    outputs[first_frame - 1, -1] ^= 1
    wrong = dataclasses.replace(primitive.promise, outputs=outputs)
    translate(StreamHarness(primitive.create(), wrong), tmp_path)
    assert not prove(tmp_path, 15, Mode.BMC).holds
