"""Invariants for proofs by induction about the inside of a ``MasterSlaveStage``."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Elaboratable, Fragment, Module, Mux, Signal, Value
from stream_harness import Promise, StreamHarness

from rtl_lib.core.stream import StreamComponent
from rtl_lib.streams.master_slave_stage import MasterSlaveStage


class StageInduction(StreamHarness):
    """Invariants: the slave fills first; the two registers hold exactly the beats that were sent and not received."""

    def __init__(self, stage: MasterSlaveStage, promise: Promise) -> None:
        opened = Opened(stage)
        super().__init__(stage, promise)
        self.component = opened  # the harness uses its ports only
        self.opened = opened

    def invariants(self) -> list[Value]:
        inside = self.opened.signals
        slave_full, master_full = inside["slave_full"], inside["master_full"]
        beats = len(self.promise.inputs)
        after = Mux(self.received == beats - 1, 0, self.received + 1)
        after_next = Mux(after == beats - 1, 0, after + 1)
        held = slave_full + master_full
        return [
            slave_full | ~master_full,
            self.owed == held,
            self.sent == Mux(master_full, after_next, Mux(slave_full, after, self.received)),
            (self.input_waited == 0) | ~master_full,
            self.sent < beats,
            self.received < beats,
            ~slave_full | (inside["slave"] == self.right_inputs[self.received]),
            ~master_full | (inside["master"] == self.right_inputs[after]),
        ]


class Opened(Elaboratable):
    """A component whose registers can be named from outside."""

    def __init__(self, component: StreamComponent) -> None:
        self.inputs, self.outputs = component.inputs, component.outputs
        self.fragment = Fragment.get(component, None)
        statements = [one for group in self.fragment.statements.values() for one in group]
        self.signals: dict[str, Signal] = {s.name: s for one in statements for s in one._lhs_signals()}

    @property
    def i(self) -> Any:
        return self.inputs[0]

    @property
    def o(self) -> Any:
        return self.outputs[0]

    def elaborate(self, platform: Any) -> Module:
        return self.fragment
