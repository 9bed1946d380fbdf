"""The packaged IP, simulated around real accelerators with bus models that others have written (cocotbext-axi)."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import ip_simulator
import pytest
import small_networks
import tiny
from amaranth.hdl import Const, Module, Signal

from dnn2fpga.build.tops import ip_top
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.plan.settings import PlanSettings
from rtl_lib.host.axi_control import AxiLiteRegisters
from rtl_lib.host.frame_counters import FrameWatch

pytestmark = [pytest.mark.simulation, pytest.mark.xdist_group("packaged ip")]

FRAMES = 9
TESTS = set(re.findall(r"async def (\w+)\(dut", (Path(__file__).parent / "ip_testbench.py").read_text()))
NEEDS_LONG_FRAMES = ("frames_pass_only_while_enabled", "a_wrong_tlast_is_noticed")
DESIGNS: dict[str, tuple[QuantizedGraph, PlanSettings, tuple[str, ...]]] = {
    # 8 bits in, 3 numbers of 16 bits out: padded to 64 bits
    "one pixel a beat": (tiny.quantized_graph(), PlanSettings(), ()),
    # 2 pixels of 3 channels in 64 bits; rows of 5 pixels have a surplus one
    "two pixels a beat": (small_networks.network((5, 5, 3), [2, "flat", 3]), PlanSettings(pixels=2), ()),
    # a frame every cycle, many of them under way
    "one beat a frame": (small_networks.network((6,), [4, 3]), PlanSettings(), NEEDS_LONG_FRAMES),
}


@pytest.fixture(scope="module", autouse=True)
def _simulator() -> None:
    from errors import ToolError
    from toolchain import find_toolchain

    problem = None
    try:
        find_toolchain()
        import cocotbext.axi  # noqa: F401
    except ToolError as error:
        problem = f"no simulator: {error}"
    except ImportError:
        problem = "cocotbext-axi is not installed: pip install cocotbext-axi"
    if problem and os.environ.get("CI"):
        pytest.fail(problem)
    if problem:
        pytest.skip(problem)


@pytest.mark.parametrize("name", DESIGNS)
def test_between_bus_models(name: str, tmp_path: Path) -> None:
    graph, settings, without = DESIGNS[name]
    verdicts = ip_simulator.simulate(graph, settings, FRAMES, tmp_path, TESTS - set(without))
    assert {test.partition("/")[0].rpartition(".")[2] for test in verdicts} == TESTS - set(without)
    assert {test: problem for test, problem in verdicts.items() if problem} == {}


# --- planted faults: what each test is there for


class EveryFrameEndsAPacket(FrameWatch):
    def _packet_position(self, m: Module, side: str, frame_ends: Signal) -> Any:
        return Const(1)


class NeverTimed(FrameWatch):
    def _latency(self, m: Module, frame_begins: Signal, frame_out: Signal) -> None:
        super()._latency(m, Signal(), frame_out)


class ReadyFollowsReady(AxiLiteRegisters):
    def _reads(self, m: Module) -> None:
        super()._reads(m)
        m.d.comb += self.arready.eq(~self.rvalid | self.rready)


class AnswerIsWithdrawn(AxiLiteRegisters):
    def _reads(self, m: Module) -> None:
        super()._reads(m)
        m.d.sync += self.rvalid.eq(self.arvalid & self.arready)


class StrobesIgnored(AxiLiteRegisters):
    def _writes(self, m: Module) -> None:
        super()._writes(m)
        m.d.comb += self.write_mask.eq(~0)


def nothing_is_reset(_: Signal) -> Any:
    return lambda component: component


@pytest.mark.parametrize(
    ("name", "fault", "test"),
    [
        ("FrameWatch", EveryFrameEndsAPacket, "random_pauses_on_all_channels"),
        ("FrameWatch", NeverTimed, "frames_pass_and_are_counted"),
        ("AxiLiteRegisters", ReadyFollowsReady, "no_output_follows_an_input_within_a_cycle"),
        ("AxiLiteRegisters", AnswerIsWithdrawn, "random_pauses_on_all_channels"),
        ("AxiLiteRegisters", StrobesIgnored, "registers_answer_by_the_rules"),
        ("ResetInserter", nothing_is_reset, "reset_in_mid_frame"),
    ],
)
def test_planted_faults_are_found(
    name: str, fault: Any, test: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ip_top, name, fault)
    monkeypatch.setattr(ip_simulator, "ip_verilog", ip_top.ip_verilog.__wrapped__)  # not the one that is remembered
    verdicts = ip_simulator.simulate(tiny.quantized_graph(), PlanSettings(), FRAMES, tmp_path, [test])
    assert any(verdicts.values())
