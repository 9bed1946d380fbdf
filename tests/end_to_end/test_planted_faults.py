"""Faults planted in real Verilog: ``dnn2fpga verify`` fails and names the right layer.

The bundle says what the right network does; its Verilog is generated from something else.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module
from fixed_networks import cnn

from dnn2fpga import flow
from dnn2fpga.generate import bundle as bundle_writer
from dnn2fpga.generate.accelerator import Accelerator
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.layers.quantized import QuantizedLayer
from dnn2fpga.plan.hardware_plan import HardwarePlan, plan
from dnn2fpga.plan.layout import Layout, lay_out
from dnn2fpga.plan.settings import PlanSettings
from dnn2fpga.plan.streams import Boundary
from dnn2fpga.tensors.tensor import Arithmetic
from dnn2fpga.verify import verifier
from dnn2fpga.work_folder import BUNDLE, VERIFICATION, WorkFolder
from rtl_lib.core.arithmetic import Rounding
from rtl_lib.core.stream import StreamComponent
from rtl_lib.streams.master_slave_stage import MasterSlaveStage

pytestmark = [pytest.mark.simulation, pytest.mark.usefixtures("simulator"), pytest.mark.xdist_group("cnn")]

Change = Callable[[QuantizedLayer], dict[str, Any]]


class DroppingStage(MasterSlaveStage):
    """Loses the beat that comes while both registers are full, because it does not say so."""

    def elaborate(self, platform: Any) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.i.ready.eq(1)  # the last assignment counts
        return m


def dropping_behind(layer: str) -> Callable[[Boundary], StreamComponent | None]:
    right = Boundary.separator
    return lambda boundary: DroppingStage(boundary.beat) if boundary.name == layer else right(boundary)


def blamed(work: Path) -> set[str]:
    """The layers that the failed tests name."""
    reports = json.loads((work / VERIFICATION).read_text())["reports"]
    found = (re.match(r"layer '(\w+)'", message) for report in reports for message in report["messages"])
    return {match[1] for match in found if match}


def flipped_bit(layer: Any) -> dict[str, Any]:
    weights = layer.weights.copy()
    weights.reshape(-1)[5] ^= 1
    return {"weights": weights}


def swapped_lanes(layer: Any) -> dict[str, Any]:
    order = np.array([1, 0, *range(2, layer.output.lanes)])
    return {"weights": layer.weights[..., order], "bias": layer.bias[order]}


def rounded_down(layer: Any) -> dict[str, Any]:
    return {"arithmetic": Arithmetic(rounding=Rounding.FLOOR)}


def one_too_much(layer: Any) -> dict[str, Any]:
    """The least that can go wrong: half a step is added before rounding to nearest."""
    return {"bias": layer.bias + (1 << int(layer.shift[0]) - 1)}


CHANGES: dict[str, tuple[str, Change]] = {
    "flipped weight bit of the convolution": ("conv", flipped_bit),
    "flipped weight bit in the memory of the dense layer": ("dense", flipped_bit),
    "swapped lanes": ("conv", swapped_lanes),
    "rounded down": ("dense", rounded_down),
    "rounding off by one": ("conv", one_too_much),
}
CHAIN_PATTERNS = [name for name in verifier.SLOW_PATTERNS if name not in ("starve", "refuse")]
SAID = {"swapped lanes": "the same values in other lanes"}


def write_faulty_bundle(work: Path, monkeypatch: pytest.MonkeyPatch, faulty: Layout) -> None:
    """A bundle whose Verilog is that of ``faulty``, and all else that of the right network."""
    graph = cnn()

    def faulty_accelerator(plan: HardwarePlan) -> Accelerator:
        return Accelerator(plan.model_copy(update={"layout": faulty}))

    monkeypatch.setattr(bundle_writer, "Accelerator", faulty_accelerator)
    bundle_writer.write_bundle(graph, plan(graph), work / BUNDLE)
    record_again(work)


def record_again(work: Path) -> None:
    """Record all digests as those of the faulty files, as a fault in the generator would do."""
    folder = WorkFolder(work)
    folder.record_generation(work, folder.digests_read())


@pytest.fixture(scope="session")
def verified_work(cnn_work: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The right network with its compiled simulation, which passes; not to be changed."""
    work = shutil.copytree(cnn_work, tmp_path_factory.mktemp("verified") / "work")
    (protocol,) = flow.verify(work)
    assert protocol.passed, protocol.messages
    assert protocol.beats_compared > 0
    return work


@pytest.fixture
def verified(verified_work: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil; what the right Verilog needs is compiled already."""
    return shutil.copytree(verified_work, tmp_path / "verified")


@pytest.mark.parametrize("fault", CHANGES)
def test_a_wrong_number_is_found_in_its_layer(
    fault: str, verified: Path, monkeypatch: pytest.MonkeyPatch, dnn2fpga: Callable[..., Any]
) -> None:
    name, change = CHANGES[fault]
    graph = cnn()
    layers = [layer.model_copy(update=change(layer)) if layer.name == name else layer for layer in graph.layers]
    faulty = QuantizedGraph.chain("faulty", "input", graph.input, layers)
    write_faulty_bundle(verified, monkeypatch, lay_out(faulty, PlanSettings()))
    outcome = dnn2fpga("verify", verified)
    assert outcome.code == 1
    assert blamed(verified) == {name}
    assert f"'{name}'" in outcome.out
    assert SAID.get(fault, "expected") in outcome.out


def test_a_beat_dropped_in_a_stage_is_found(
    verified: Path, monkeypatch: pytest.MonkeyPatch, dnn2fpga: Callable[..., Any]
) -> None:
    monkeypatch.setattr(Boundary, "separator", dropping_behind("pool"))
    write_faulty_bundle(verified, monkeypatch, lay_out(cnn(), PlanSettings()))
    outcome = dnn2fpga("verify", verified)
    assert outcome.code == 1
    assert blamed(verified) == {"pool"}
    assert "'pool'" in outcome.out


def test_a_beat_dropped_in_a_layer_is_found(
    verified: Path, monkeypatch: pytest.MonkeyPatch, dnn2fpga: Callable[..., Any]
) -> None:
    layout = lay_out(cnn(), PlanSettings())
    conv, pool, dense = layout.layers
    dropping = DroppingStage(dense.parts[0][1].input_beat)
    dense = replace(dense, parts=[("dropping", dropping), *dense.parts])
    write_faulty_bundle(verified, monkeypatch, replace(layout, layers=(conv, pool, dense)))
    outcome = dnn2fpga("verify", verified)
    assert outcome.code == 1
    assert blamed(verified) == {"dense"}


@pytest.mark.parametrize("key", ["first_cycle", "last_cycle", "interval_cycles"])
def test_a_wrong_prediction_fails(verified: Path, dnn2fpga: Callable[..., Any], key: str) -> None:
    manifest = json.loads((verified / BUNDLE / "manifest.json").read_text())
    manifest["boundaries"][2][key] -= 1
    (verified / BUNDLE / "manifest.json").write_text(json.dumps(manifest))
    record_again(verified)
    outcome = dnn2fpga("verify", verified)
    assert outcome.code == 1
    assert blamed(verified) == {"pool"}
    assert f"{key} must be {manifest['boundaries'][2][key]} as predicted" in outcome.out


# Designs so slow that cocotb would take an hour: every network counts as one


def test_a_slow_design_is_checked_in_the_compiled_harness(
    verified: Path, monkeypatch: pytest.MonkeyPatch, dnn2fpga: Callable[..., Any]
) -> None:
    monkeypatch.setattr(verifier, "LONGEST_INTERVAL_FOR_COCOTB", 0)
    outcome = dnn2fpga("verify", verified)
    assert outcome.code == 0, outcome.out
    (report,) = json.loads((verified / VERIFICATION).read_text())["reports"]
    assert report["passed"]
    assert report["tests"] == [f"stalls: {pattern}" for pattern in CHAIN_PATTERNS]
    manifest = json.loads((verified / BUNDLE / "manifest.json").read_text())
    for key in ("latency_cycles", "interval_cycles"):
        assert report[key] == {"predicted": manifest[key], "measured": manifest[key]}
    beats = sum(b["beats"] for b in manifest["boundaries"]) + manifest["boundaries"][-1]["beats"]
    assert report["beats_compared"] == beats * sum(verifier.SLOW_PATTERNS[pattern] for pattern in CHAIN_PATTERNS)
    assert "no resets in mid-frame were tried" in outcome.out


def test_a_wrong_number_is_found_in_the_compiled_harness(
    verified: Path, monkeypatch: pytest.MonkeyPatch, dnn2fpga: Callable[..., Any]
) -> None:
    monkeypatch.setattr(verifier, "LONGEST_INTERVAL_FOR_COCOTB", 0)
    graph = cnn()
    layers = [layer.model_copy(update=one_too_much(layer)) if layer.name == "conv" else layer for layer in graph.layers]
    faulty = QuantizedGraph.chain("faulty", "input", graph.input, layers)
    write_faulty_bundle(verified, monkeypatch, lay_out(faulty, PlanSettings()))
    outcome = dnn2fpga("verify", verified)
    assert outcome.code == 1
    assert blamed(verified) == {"conv"}


def test_a_beat_dropped_under_stalls_is_found_in_the_compiled_harness(
    verified: Path, monkeypatch: pytest.MonkeyPatch, dnn2fpga: Callable[..., Any]
) -> None:
    monkeypatch.setattr(verifier, "LONGEST_INTERVAL_FOR_COCOTB", 0)
    monkeypatch.setattr(Boundary, "separator", dropping_behind("pool"))
    write_faulty_bundle(verified, monkeypatch, lay_out(cnn(), PlanSettings()))
    assert dnn2fpga("verify", verified).code == 1
    (report,) = json.loads((verified / VERIFICATION).read_text())["reports"]
    assert blamed(verified) == {"pool"}
    assert "stalls: none" in report["tests"]  # without stalls nothing is lost


def test_a_wrong_prediction_is_found_in_the_compiled_harness(
    verified: Path, monkeypatch: pytest.MonkeyPatch, dnn2fpga: Callable[..., Any]
) -> None:
    monkeypatch.setattr(verifier, "LONGEST_INTERVAL_FOR_COCOTB", 0)
    manifest = json.loads((verified / BUNDLE / "manifest.json").read_text())
    manifest["boundaries"][2]["last_cycle"] -= 1
    (verified / BUNDLE / "manifest.json").write_text(json.dumps(manifest))
    record_again(verified)
    assert dnn2fpga("verify", verified).code == 1


def test_no_data_fails(verified: Path, tmp_path: Path, dnn2fpga: Callable[..., Any]) -> None:
    np.save(tmp_path / "none.npy", np.zeros((0, 6, 6, 1), np.float32))
    outcome = dnn2fpga("verify", verified, "--test", tmp_path / "none.npy")
    assert outcome.code == 2
    assert outcome.err.startswith("error: ")


def test_a_bundle_without_vectors_fails(verified: Path, dnn2fpga: Callable[..., Any]) -> None:
    (verified / BUNDLE / "sim" / "vectors" / "vectors.json").write_text('{"frames": 0, "source": "nothing"}')
    record_again(verified)
    outcome = dnn2fpga("verify", verified)
    assert outcome.code == 2
    assert "frames" in outcome.err


def test_the_copy_of_the_checker_in_the_bundle_is_not_run(verified: Path, dnn2fpga: Callable[..., Any]) -> None:
    for program in (verified / BUNDLE / "sim").glob("*.py"):
        program.write_text("raise SystemExit('this is for others')\n")
    record_again(verified)
    assert dnn2fpga("verify", verified).code == 0


def test_verilog_edited_by_hand_is_noticed(verified: Path, dnn2fpga: Callable[..., Any]) -> None:
    verilog = verified / BUNDLE / "rtl" / "accelerator.v"
    verilog.write_text(verilog.read_text() + "// edited\n")
    outcome = dnn2fpga("verify", verified)
    assert outcome.code == 2  # although it still does the same
    assert "rtl/accelerator.v: has changed" in outcome.err
