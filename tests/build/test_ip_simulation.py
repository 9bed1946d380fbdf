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
import two_inputs
import two_ports
from amaranth.hdl import Const, Module, Signal, Value

from dnn2fpga.build.tops import ip_top
from dnn2fpga.build.tops.ip_top import AcceleratorIp
from dnn2fpga.build.tops.stream_port import StreamPort
from dnn2fpga.generate.manifest import read_manifest
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.optimize.calibration import calibrate
from dnn2fpga.optimize.post_training import Quantization, quantize
from dnn2fpga.plan.settings import PlanSettings
from rtl_lib.host import frame_counters
from rtl_lib.host.axi_control import AxiLiteRegisters
from rtl_lib.host.frame_counters import FrameWatch
from rtl_lib.host.frame_skew import FrameSkew

pytestmark = [pytest.mark.simulation, pytest.mark.xdist_group("packaged ip")]

FRAMES = 9
ALL_TESTS = set(re.findall(r"async def (\w+)\(dut", (Path(__file__).parent / "ip_testbench.py").read_text()))
OF_SEVERAL = {test for test in ALL_TESTS if test.startswith("several_")}
TESTS = ALL_TESTS - OF_SEVERAL
NEEDS_LONG_FRAMES = ("frames_pass_only_while_enabled", "a_wrong_tlast_is_noticed")
DESIGNS: dict[str, tuple[QuantizedGraph, PlanSettings, tuple[str, ...]]] = {
    # 8 bits in, 3 numbers of 16 bits out: padded to 64 bits
    "one pixel a beat": (tiny.quantized_graph(), PlanSettings(), ()),
    # 2 pixels of 3 channels in 64 bits; rows of 5 pixels have a surplus one
    "two pixels per beat": (small_networks.network((5, 5, 3), [2, "flat", 3]), PlanSettings(pixels=2), ()),
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
    design = ip_simulator.generated(graph, settings, FRAMES, tmp_path)
    verdicts = ip_simulator.simulate(design, tmp_path, TESTS - set(without))
    assert {test.partition("/")[0].rpartition(".")[2] for test in verdicts} == TESTS - set(without)
    assert {test: problem for test, problem in verdicts.items() if problem} == {}


# --- planted faults: what each test is there for


class EveryFrameEndsAPacket(FrameWatch):
    def _packet_position(self, m: Module, side: str, frame_ends: Signal) -> Any:
        return Const(1)


class NeverTimed(FrameWatch):
    def _latency(self, m: Module, frame_begins: Signal, frame_number: Value, frame_out: Signal) -> None:
        super()._latency(m, Signal(), frame_number, frame_out)


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
    design = ip_simulator.generated(tiny.quantized_graph(), PlanSettings(), FRAMES, tmp_path)
    assert any(ip_simulator.simulate(design, tmp_path, [test]).values())


# --- several inputs and outputs


def two_ports_design(folder: Path) -> ip_simulator.Design:
    bundle = two_ports.write_bundle(folder / "bundle")
    inputs = two_ports.random_inputs(FRAMES)
    numbers = inputs | two_ports.integer_model(inputs)
    return ip_simulator.Design(bundle, read_manifest(bundle / "manifest.json"), numbers)


def test_two_inputs_and_two_outputs_between_bus_models(tmp_path: Path) -> None:
    verdicts = ip_simulator.simulate(two_ports_design(tmp_path), tmp_path, ALL_TESTS)
    assert {test.partition("/")[0].rpartition(".")[2] for test in verdicts} == ALL_TESTS
    assert {test: problem for test, problem in verdicts.items() if problem} == {}


def test_a_generated_network_with_two_inputs_and_two_outputs(tmp_path: Path) -> None:
    """Frames of few beats: a frame may have ended before a register is written."""
    graph = quantize(two_inputs.GRAPH, calibrate(two_inputs.GRAPH, two_inputs.inputs()), Quantization())
    design = ip_simulator.generated(graph, PlanSettings(), FRAMES, tmp_path)
    tests = ALL_TESTS - set(NEEDS_LONG_FRAMES)
    verdicts = ip_simulator.simulate(design, tmp_path, tests)
    assert {test.partition("/")[0].rpartition(".")[2] for test in verdicts} == tests
    assert {test: problem for test, problem in verdicts.items() if problem} == {}


class NeverBehind(FrameSkew):
    """Each port by itself: what has begun elsewhere does not let a frame in."""

    def elaborate(self, platform: Any) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.behind.eq(0)
        return m


class FirstIsEnough(FrameSkew):
    """A frame is in, or out, where one port has it."""

    def elaborate(self, platform: Any) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.last.eq(self.first)
        return m


class SwappedOutputs(AcceleratorIp):
    """The outside of each output belongs to the other one."""

    def _signals(self, port: StreamPort, *names: str) -> list[Signal]:
        others = [other for other in self.streams.outputs if other != port]
        return super()._signals(others[0] if port in self.streams.outputs else port, *names)


@pytest.mark.parametrize(
    ("module", "name", "fault", "test"),
    [
        (frame_counters, "FrameSkew", NeverBehind, "several_a_frame_that_began_at_one_input_may_end"),
        (frame_counters, "FrameSkew", FirstIsEnough, "several_one_output_is_not_drained"),
        (ip_top, "FrameSkew", FirstIsEnough, "several_one_output_is_not_drained"),
        (ip_top, "AcceleratorIp", SwappedOutputs, "frames_pass_and_are_counted"),
    ],
)
def test_planted_faults_of_several_ports_are_found(
    module: Any, name: str, fault: Any, test: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, fault)
    monkeypatch.setattr(ip_simulator, "ip_verilog", ip_top.ip_verilog.__wrapped__)
    assert any(ip_simulator.simulate(two_ports_design(tmp_path), tmp_path, [test]).values())
