"""The harness on a hand-written design: green when all is well, and red in the right place for every planted fault."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import run
from bulk import run_bulk
from errors import BundleError, ToolError
from reference_bundle import FAULTS, FRAMES, SIM, manifest, write_manifest, write_vectors
from simulator import require_simulator

require_simulator()

pytestmark = pytest.mark.simulation

# fault → the test that must find it, the layer that must be named, and what must be said
PLANTED = {
    "constant": ("no_stalls", "center", "frame 0, beat 0, row 0, column 0, channel 0: expected -63, got -62"),
    "swapped": ("no_stalls", "affine", "the same values in other lanes"),
    "dropped": ("no_stalls", "center", "frame 1, beat 2, row 0, column 2, channel 0"),
    "duplicated": ("burst_stalls", "affine", "a beat was repeated?"),
    "tlast": ("source_stalls", "m_axis", "m_axis_tlast must be 0, not 1"),
    "unstable": ("sink_stalls", "m_axis", "m_axis_tdata changed while it waited for m_axis_tready"),
    "tvalid": ("random_stalls", "m_axis", "m_axis_tvalid fell before m_axis_tready came"),
    "stuck": ("random_stalls", "row_sum", "beat 0 of frame 1 never came, while layer 'center'"),
    "no_reset": ("reset_in_mid_frame", "row_sum", "frame 0, beat 0, row 0, column 0"),
    "slow": ("no_stalls", "input", "layer 'affine' (dense), kept it waiting"),
}
# a bulk run starts from one reset, and measures cycles only without stalls
BULK_STALLS = {"slow": "none", "tlast": "none", "duplicated": "burst"}


def cocotb(bundle: Path, build_dir: Path, fault: str = "none", **options: Any) -> dict[str, Any]:
    return run.run_tests(bundle, build_dir=build_dir, plusargs=[f"FAULT={FAULTS[fault]}"], **options)


def bulk(bundle: Path, build_dir: Path, fault: str = "none", **options: Any) -> dict[str, Any]:
    vectors = bundle / "sim" / "vectors"
    return run_bulk(bundle, vectors, build_dir=build_dir, plusargs=[f"FAULT={FAULTS[fault]}"], **options)


def test_all_tests_pass_and_measure_what_was_predicted(bundle: Path, build_dir: Path) -> None:
    results = cocotb(bundle, build_dir)
    assert [test["name"] for test in results["tests"]] == list(run.TESTS[:7])
    assert results["passed"], [test["message"] for test in results["tests"]]
    plain = results["tests"][0]
    assert plain["beats_compared"] == [6 * FRAMES, 6 * FRAMES, 6 * FRAMES, 2 * FRAMES]
    assert plain["output_beats_compared"] == [2 * FRAMES]
    assert plain["first_cycles"] == [0, 2, 4, 8]
    assert plain["last_cycles"] == [5, 7, 9, 11]
    assert plain["interval_cycles"] == [6, 6, 6, 6]
    assert plain["latency_cycles"] == 11


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_named(bundle: Path, build_dir: Path, fault: str) -> None:
    name, layer, words = PLANTED[fault]
    results = cocotb(bundle, build_dir, fault, tests=[name], seed=3)
    (test,) = results["tests"]
    assert not results["passed"]
    assert test["fault"]["layer"] == layer
    assert words in test["message"]
    assert f"--plusarg FAULT={FAULTS[fault]} --seed 3 --test {name}" in test["fault"]["command"]


@pytest.mark.parametrize("fault", [fault for fault in PLANTED if fault != "no_reset"])
def test_a_planted_fault_is_named_by_a_bulk_run(bundle: Path, build_dir: Path, fault: str) -> None:
    write_vectors(bundle / "sim" / "vectors", frames=200)
    results = bulk(bundle, build_dir, fault, stalls=BULK_STALLS.get(fault, "random"))
    _, layer, words = PLANTED[fault]
    assert not results["passed"]
    assert results["tests"][0]["fault"]["layer"] == layer
    assert words in results["tests"][0]["message"]


@pytest.mark.parametrize("stalls", ["none", "burst"])
def test_a_bulk_run_compares_every_beat(bundle: Path, build_dir: Path, stalls: str) -> None:
    write_vectors(bundle / "sim" / "vectors", frames=301)
    seen: list[tuple[int, int]] = []
    results = bulk(bundle, build_dir, stalls=stalls, jobs=3, progress=lambda done, total: seen.append((done, total)))
    (test,) = results["tests"]
    assert results["passed"], test["message"]
    assert test["beats_compared"] == [6 * 301, 6 * 301, 6 * 301, 2 * 301]
    assert test["output_beats_compared"] == [2 * 301]
    assert seen[-1] == (301, 301)
    if stalls == "none":
        assert (test["latency_cycles"], test["interval_cycles"]) == (11, [6, 6, 6, 6])


def test_builds_share_the_runtime_of_verilator(bundle: Path, build_dir: Path) -> None:
    cocotb(bundle, build_dir, tests=["no_stalls"])
    bulk(bundle, build_dir)
    kept = sorted(path.name.partition("-")[0] for path in build_dir.glob("runtime-*/*"))
    assert kept == ["verilated", "verilated_dpi", "verilated_threads", "verilated_vpi"]


@pytest.mark.parametrize("key", ["first_cycle", "last_cycle", "interval_cycles"])
def test_a_wrong_prediction_fails(bundle: Path, build_dir: Path, key: str) -> None:
    data = manifest()
    data["boundaries"][2][key] += 1
    write_manifest(bundle, data)
    for results in (cocotb(bundle, build_dir, tests=["no_stalls"]), bulk(bundle, build_dir, jobs=1)):
        assert not results["passed"]
        assert results["tests"][0]["fault"]["layer"] == "center"
        assert f"{key} must be {data['boundaries'][2][key]} as predicted" in results["tests"][0]["message"]


def test_a_wrong_latency_of_the_network_fails(bundle: Path, build_dir: Path) -> None:
    write_manifest(bundle, manifest() | {"latency_cycles": 12})
    results = cocotb(bundle, build_dir, tests=["no_stalls"])
    assert "latency_cycles of the network must be 12 as predicted, not 11" in results["tests"][0]["message"]


def test_a_wrong_vector_fails_at_its_boundary(bundle: Path, build_dir: Path) -> None:
    file = bundle / "sim" / "vectors" / "boundary_affine.bin"
    data = bytearray(file.read_bytes())
    data[-2] ^= 1  # the last number of the last frame
    file.write_bytes(data)
    for results in (cocotb(bundle, build_dir, tests=["no_stalls"]), bulk(bundle, build_dir)):
        fault = results["tests"][0]["fault"]
        assert (fault["layer"], fault["frame"], fault["position"]) == (
            "affine",
            FRAMES - 1,
            {"row": 1, "column": 2, "channel": 1},
        )


def test_boundaries_that_are_not_there_fail(bundle: Path, build_dir: Path) -> None:
    data = manifest()
    edge = {"tensor": "row_sum", "fifo": 0}
    data["boundaries"].append(data["boundaries"][3] | {"index": 4, "tensor": "ghost", "inputs": [edge]})
    data["outputs"][0]["tensor"] = "ghost"
    write_manifest(bundle, data)
    vectors = bundle / "sim" / "vectors"
    shutil.copy(vectors / "boundary_row_sum.bin", vectors / "boundary_ghost.bin")
    results = cocotb(bundle, build_dir, tests=["no_stalls"])
    assert not results["passed"]
    assert "boundary_ghost_" in results["tests"][0]["message"]
    assert "not found" in results["tests"][0]["message"]
    with pytest.raises(ToolError, match=r"network\.boundary_ghost_\w+ was not found in the design"):
        bulk(bundle, build_dir)


def test_a_harness_that_is_killed_or_cannot_write_is_no_verdict(
    bundle: Path, build_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bulk(bundle, build_dir)  # builds it
    monkeypatch.setattr("bulk._plan", lambda *_: "not a plan")
    with pytest.raises(ToolError, match=r"the simulation broke off\n.*plan.txt: is not complete"):
        bulk(bundle, build_dir)


def test_verilog_that_does_not_compile_is_a_tool_error(bundle: Path, tmp_path: Path) -> None:
    (bundle / "rtl" / "accelerator.v").write_text("module accelerator (input aclk; endmodule")
    with pytest.raises(ToolError, match="syntax error"):
        bulk(bundle, tmp_path)


def test_the_folder_works_as_shipped(bundle: Path, build_dir: Path) -> None:
    """Copied into a bundle and started as a script, with an environment that would mislead cocotb and make."""
    shutil.copytree(SIM, bundle / "sim", dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "build"))
    command = [
        sys.executable,
        bundle / "sim" / "run.py",
        "--build-dir",
        build_dir,
        "--results",
        bundle / "results.json",
    ]
    command += ["--test", "no_stalls"]
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "MAKEFLAGS": "w -- WAVES=1", "WAVES": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd="/", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("pass  no_stalls ")
    assert json.loads((bundle / "results.json").read_text())["passed"]
    done = subprocess.run(
        [*command, "--plusarg", "FAULT=1"], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 1
    assert "FAIL  no_stalls" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_an_unknown_test_is_an_error(bundle: Path, build_dir: Path) -> None:
    with pytest.raises(BundleError, match="a test must be one of"):
        cocotb(bundle, build_dir, tests=["no_stals"])
