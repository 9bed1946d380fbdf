"""Faults that only a network with branches can have, planted in real Verilog: each is found, and named.

The bundle says what the right network does; its Verilog is generated from something else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module, Mux, Signal
from fixed_graph import SKIP, STEM, branches

from dnn2fpga.generate import bundle as bundle_writer
from dnn2fpga.generate.accelerator import Accelerator
from dnn2fpga.graph.dag import Dag, Node
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.layers.quantized import QuantizedLayer
from dnn2fpga.plan.fifos import is_alive
from dnn2fpga.plan.hardware_plan import HardwarePlan, plan
from dnn2fpga.plan.layout import lay_out
from dnn2fpga.plan.planner import completed
from dnn2fpga.plan.schedule import Schedule
from dnn2fpga.plan.settings import EdgeFifo, PlanSettings
from dnn2fpga.plan.streams import Boundary, Edge
from dnn2fpga.verify.verifier import PROTOCOL_TESTS, VerificationReport, check_protocol
from rtl_lib.streams.fifo import Fifo
from rtl_lib.streams.fork_stage import ForkStage

pytestmark = [pytest.mark.simulation, pytest.mark.usefixtures("simulator"), pytest.mark.xdist_group("branches")]

GRAPH = branches()


class DroppingFork(ForkStage):
    """Marks the ninth beat as taken by its first reader, to whom it was never offered."""

    def offer(self, m: Module, full: Signal, free: Signal) -> None:
        first, leaves, count = self.outputs[0], Signal(), Signal(8)
        taken = Signal(self.readers)
        served = [taken[k] | output.ready for k, output in enumerate(self.outputs)]
        skipped = count == 8
        served[0] = Mux(skipped, 1, served[0])
        m.d.comb += [output.valid.eq(full & ~taken[k]) for k, output in enumerate(self.outputs)]
        with m.If(skipped):
            m.d.comb += first.valid.eq(0)
        m.d.comb += [leaves.eq(served[0] & served[1]), free.eq(leaves | ~full)]
        m.d.sync += [taken[k].eq(~free & reader) for k, reader in enumerate(served)]
        with m.If(full & leaves & (count != 255)):
            m.d.sync += count.eq(count + 1)


@cache
def right_plan() -> HardwarePlan:
    return plan(GRAPH, completed(GRAPH, PlanSettings()))


def fresh(plan: HardwarePlan, graph: QuantizedGraph = GRAPH) -> HardwarePlan:
    """The plan with components that nothing was made of yet."""
    return plan.model_copy(update={"layout": lay_out(graph, plan.settings)})


@pytest.fixture(scope="module")
def build_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("builds")


@pytest.fixture
def verify(tmp_path: Path, build_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., VerificationReport]:
    """Verifies a bundle whose Verilog is made by a changed plan, and all else by the right one."""

    def run(change: Callable[[HardwarePlan], HardwarePlan] = fresh) -> VerificationReport:
        monkeypatch.setattr(bundle_writer, "Accelerator", lambda plan: Accelerator(change(plan)))
        bundle_writer.write_bundle(GRAPH, right_plan(), tmp_path / "bundle")
        return check_protocol(tmp_path / "bundle", build_dir)

    return run


def with_fifo(monkeypatch: pytest.MonkeyPatch, beats: int) -> None:
    """The FIFO of the skip edge holds ``beats`` beats in the Verilog, whatever was planned."""
    right = Boundary.fifo_of

    def fifo_of(self: Boundary, edge: Edge) -> Fifo | None:
        return Fifo(self.beat, beats) if edge.key[:2] == SKIP else right(self, edge)

    monkeypatch.setattr(Boundary, "fifo_of", fifo_of)


def planned_depth() -> int:
    (fifo,) = (one for one in right_plan().settings.fifos if (one.tensor, one.reader) == SKIP)
    return fifo.beats


def drain_depth() -> int:
    """The fewest beats with which nothing can hang."""

    def alive(beats: int) -> bool:
        fifo = EdgeFifo(tensor=SKIP[0], reader=SKIP[1], beats=beats)
        return is_alive(Schedule(GRAPH, PlanSettings(fifos=(fifo,))))

    return next(beats for beats in range(2, planned_depth() + 1) if alive(beats))


def test_the_right_network_passes_every_test(verify: Callable[..., VerificationReport]) -> None:
    report = verify()
    assert report.passed, report.messages
    assert report.tests == PROTOCOL_TESTS
    assert report.latency_cycles["measured"] == report.latency_cycles["predicted"]


def swapped_inputs(plan: HardwarePlan) -> HardwarePlan:
    boundaries = [b.model_copy(update={"inputs": b.inputs[::-1]}) if b.name == "merged" else b for b in plan.boundaries]
    return fresh(plan).model_copy(update={"boundaries": tuple(boundaries)})


def wrong_relative_scale(plan: HardwarePlan) -> HardwarePlan:
    def change(node: Node[QuantizedLayer]) -> Node[QuantizedLayer]:
        layer = node.layer
        return replace(
            node,
            layer=layer.model_copy(update={"multiplier": np.ones_like(layer.multiplier)})
            if node.name == "merged"
            else layer,
        )

    nodes = tuple(change(node) for node in GRAPH.nodes)
    return fresh(plan, replace(GRAPH, dag=Dag(GRAPH.dag.inputs, nodes, GRAPH.dag.outputs)))


@pytest.mark.parametrize("change", [swapped_inputs, wrong_relative_scale])
def test_a_wrong_join_is_found(
    change: Callable[[HardwarePlan], HardwarePlan], verify: Callable[..., VerificationReport]
) -> None:
    report = verify(change)
    assert not report.passed
    assert report.messages[0].startswith("layer 'merged' (weighted_sum): frame 0, beat")
    assert "expected" in report.messages[0]


def test_a_beat_dropped_in_one_branch_of_a_fork_is_found(
    verify: Callable[..., VerificationReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Boundary.separator

    def separator(self: Boundary) -> Any:
        return DroppingFork(self.beat, len(self.edges)) if self.name == STEM else right(self)

    monkeypatch.setattr(Boundary, "separator", separator)
    report = verify()
    assert not report.passed
    # The branch that lost the beat, not the fork, whose beats are all right, nor the join.
    assert report.messages[0].startswith("layer 'body' (conv2d): frame 0, beat")


def test_a_fifo_one_too_short_for_the_throughput_is_found(
    verify: Callable[..., VerificationReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_fifo(monkeypatch, planned_depth() - 1)
    report = verify()
    assert not report.passed
    assert "as predicted" in report.messages[0] or "deadlock" in report.messages[0]


def test_a_fifo_one_too_short_to_be_alive_hangs_and_the_join_is_named(
    verify: Callable[..., VerificationReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    beats = drain_depth() - 1
    assert beats < planned_depth()
    with_fifo(monkeypatch, beats)
    report = verify()
    assert not report.passed
    deadlocks = [message for message in report.messages if "deadlock" in message]
    assert deadlocks
    words = "layer 'merged' (weighted_sum): deadlock: it waits for a beat of layer 'body' (conv2d) while the FIFO of "
    assert deadlocks[0].startswith(words)
