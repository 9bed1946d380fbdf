"""The harness on a hand-written graph: several ports, a fork, joins; and the faults that only these can have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import graph_bundle
import pytest
import run
from activity import measure_activity
from bulk import run_bulk
from errors import ToolError
from graph_bundle import BEATS, FAULTS, FRAMES, INTERVAL, OUTPUTS, TENSORS
from reference_bundle import write_manifest
from simulator import require_simulator
from stalls import PATTERNS

require_simulator()

pytestmark = pytest.mark.simulation

# fault → the test that must find it, the layer that must be named, and what must be said
PLANTED = {
    "dropped": ("no_stalls", "mirror", "frame 1, beat 0, row 0, column 0, channel 0"),
    "lost": ("no_stalls", "total", "deadlock: it waits for a beat of layer 'mirror' (layer)"),
    "short": ("no_stalls", "total", "while the FIFO of 2 beats from layer 'twice' (layer) is full"),
    "swapped": ("no_stalls", "diff", "frame 0, beat 0, row 0, column 0, channel 0: expected 445, got -445"),
    "scale": ("no_stalls", "total", "frame 0, beat 0, row 0, column 0, channel 0: expected 644, got 390"),
    "tlast": ("source_stalls", "m_axis_twice", "m_axis_twice_tlast must be 0, not 1"),
    "unstable": ("sink_stalls", "m_axis_diff", "m_axis_diff_tdata changed while it waited for m_axis_diff_tready"),
    "stuck": ("random_stalls", "diff", "never came, while layer 'total' (layer) and input 'right' have delivered"),
    "early": ("no_stalls", "twice", "frame 1, beat 2, row 0, column 2, channel 0: expected 227, got 226"),
    "extra": ("no_stalls", "twice", "an extra beat came after the last beat of the last frame"),
    "repeated": ("no_stalls", "m_axis_twice", "a beat was repeated?"),
    "no_reset": ("reset_in_mid_frame", "mirror", "frame 0, beat 0, row 0, column 0"),
    "half_reset": ("no_stalls", "m_axis_twice", "m_axis_twice_tvalid must be 0 in reset"),
    "slow": ("no_stalls", "left", "as measured (layer 'twice' (layer), kept it waiting in"),
}
# A bulk run is not interrupted by resets.
ONLY_IN_TESTS = ("no_reset", "half_reset")
BULK_STALLS = {"sink_stalls": "sink", "random_stalls": "random"}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return graph_bundle.write_bundle(tmp_path / "bundle")


def cocotb(bundle: Path, build_dir: Path, fault: str = "none", **options: Any) -> dict[str, Any]:
    return run.run_tests(bundle, build_dir=build_dir, plusargs=[f"FAULT={FAULTS[fault]}"], **options)


def bulk(bundle: Path, build_dir: Path, fault: str = "none", **options: Any) -> dict[str, Any]:
    options.setdefault("vectors", bundle / "sim" / "vectors")
    return run_bulk(bundle, build_dir=build_dir, plusargs=[f"FAULT={FAULTS[fault]}"], **options)


def test_all_tests_pass_and_measure_what_was_predicted(bundle: Path, build_dir: Path) -> None:
    results = cocotb(bundle, build_dir)
    assert [test["name"] for test in results["tests"]] == list(run.TESTS)
    assert results["passed"], [test["message"] for test in results["tests"]]
    plain = results["tests"][0]
    assert plain["beats_compared"] == [BEATS * FRAMES] * len(TENSORS)
    assert plain["output_beats_compared"] == [BEATS * FRAMES] * len(OUTPUTS)
    assert plain["first_cycles"] == [first for *_, first, _ in TENSORS.values()]
    assert plain["last_cycles"] == [last for *_, last in TENSORS.values()]
    assert plain["interval_cycles"] == [INTERVAL] * len(TENSORS)
    assert plain["output_latency_cycles"] == list(OUTPUTS.values())
    assert plain["output_interval_cycles"] == [INTERVAL] * len(OUTPUTS)
    assert plain["latency_cycles"] == max(OUTPUTS.values())


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_named(bundle: Path, build_dir: Path, fault: str) -> None:
    name, layer, words = PLANTED[fault]
    results = cocotb(bundle, build_dir, fault, tests=[name], seed=3)
    (test,) = results["tests"]
    assert not results["passed"]
    assert test["fault"]["layer"] == layer, test["message"]
    assert words in test["message"]


@pytest.mark.parametrize("fault", [fault for fault in PLANTED if fault not in ONLY_IN_TESTS])
def test_a_planted_fault_is_named_by_a_bulk_run(bundle: Path, build_dir: Path, fault: str) -> None:
    name, layer, words = PLANTED[fault]
    results = bulk(bundle, build_dir, fault, stalls=BULK_STALLS.get(name, "none"), seed=3, jobs=1)
    assert not results["passed"]
    assert results["tests"][0]["fault"]["layer"] == layer, results["tests"][0]["message"]
    assert words in results["tests"][0]["message"]


def test_both_simulations_do_the_same_under_every_pattern(bundle: Path, build_dir: Path, tmp_path: Path) -> None:
    """The same frames with the same seed take the same number of cycles: every stall of every port is the same."""
    graph_bundle.write_vectors(tmp_path / "vectors", frames=100)
    tests = [f"{pattern}_stalls" if pattern != "none" else "no_stalls" for pattern in PATTERNS]
    slow = cocotb(bundle, build_dir, vectors=tmp_path / "vectors", tests=tests, seed=5)
    for pattern, test in zip(PATTERNS, slow["tests"], strict=True):
        fast = bulk(bundle, build_dir, vectors=tmp_path / "vectors", stalls=pattern, seed=5, jobs=1)["tests"][0]
        assert test["passed"], test["message"]
        assert fast["passed"], fast["message"]
        assert (pattern, test["cycles"]) == (pattern, fast["cycles"])
        assert test["beats_compared"] == fast["beats_compared"]
        assert test["output_beats_compared"] == fast["output_beats_compared"]


@pytest.mark.parametrize("key", ["latency_cycles", "interval_cycles"])
def test_a_wrong_prediction_for_an_output_fails(bundle: Path, build_dir: Path, key: str) -> None:
    data = graph_bundle.manifest()
    data["outputs"][0][key] += 1
    write_manifest(bundle, data)
    for results in (cocotb(bundle, build_dir, tests=["no_stalls"]), bulk(bundle, build_dir, jobs=1)):
        assert not results["passed"]
        assert results["tests"][0]["fault"]["layer"] == "m_axis_twice"
        assert f"{key} must be {data['outputs'][0][key]} as predicted" in results["tests"][0]["message"]


@pytest.mark.parametrize("tensor", TENSORS)
def test_a_wrong_vector_of_any_tensor_fails(bundle: Path, build_dir: Path, tensor: str) -> None:
    """A wrong vector of any tensor fails. Of an input, that is what the design is sent: then the layer that reads it
    differs from its own vectors.
    """
    file = bundle / "sim" / "vectors" / f"boundary_{tensor}.bin"
    data = bytearray(file.read_bytes())
    data[0] ^= 1
    file.write_bytes(data)
    blamed = {"left": "twice", "right": "diff"}.get(tensor, tensor)
    for results in (cocotb(bundle, build_dir, tests=["no_stalls"]), bulk(bundle, build_dir, jobs=1)):
        assert results["tests"][0]["fault"]["layer"] == blamed


def test_a_fork_must_show_who_has_taken_its_beat(bundle: Path, build_dir: Path) -> None:
    rtl = bundle / "rtl" / "accelerator.v"
    rtl.write_text(rtl.read_text().replace("boundary_twice_taken", "others_took"))
    results = cocotb(bundle, build_dir, tests=["no_stalls"])
    assert "signal boundary_twice_taken was not found" in results["tests"][0]["message"]
    with pytest.raises(ToolError, match=r"network\.boundary_twice_taken was not found in the design"):
        bulk(bundle, build_dir)


def test_activity_feeds_every_input(bundle: Path, build_dir: Path) -> None:
    rtl = bundle / "rtl" / "accelerator.v"
    rtl.write_text(rtl.read_text().replace('if (!$value$plusargs("FAULT=%d", fault)) ', ""))  # this harness has none
    found = measure_activity(bundle, build_dir=build_dir)
    assert list(found["layers"]) == list(TENSORS)
    assert found["layers"]["left"]["toggles_per_cycle"] > 0  # nothing of this design is in an instance of a layer
    assert found["cycles"] == FRAMES * INTERVAL
