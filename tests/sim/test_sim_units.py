"""The parts of the harness that need no simulator."""

from __future__ import annotations

import json
import re
import shutil
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import run
import toolchain
from blame import verdict
from bundle import load_manifest
from checks import EXTRA, MISSING, VALUE, Checker
from errors import BundleError, ToolError
from formats import NumberFormat
from reference_bundle import FRAMES, manifest, write_manifest
from stalls import PATTERNS, StallPattern
from vector_files import open_vectors, payloads


def number_format(**changes: Any) -> NumberFormat:
    values = {"shape": (2, 3, 4), "signed": True, "width": 5, "lanes": 4, "beats": 6, "pixels": 1}
    return NumberFormat(**(values | changes))


def test_pack_and_unpack() -> None:
    f = number_format()
    assert f.pack([1, -1, -16, 15]) == 1 | 31 << 5 | 16 << 10 | 15 << 15
    assert f.unpack(f.pack([1, -1, -16, 15])) == [1, -1, -16, 15]
    # in AXI4-Stream words every lane is extended to whole bytes
    assert f.pack([1, -1, -16, 15], 8) == 0x0F_F0_FF_01
    assert f.unpack(0x0F_F0_FF_01, 8) == [1, -1, -16, 15]
    assert number_format(signed=False).pack([31, 0, 0, 1], 8) == 0x01_00_00_1F
    assert number_format(signed=False).unpack(31) == [31, 0, 0, 0]


@pytest.mark.parametrize(("width", "size"), [(1, 1), (8, 1), (9, 2), (16, 2), (17, 4), (32, 4)])
def test_element_bytes(width: int, size: int) -> None:
    assert number_format(width=width).element_bytes == size


def test_positions() -> None:
    assert number_format().position(4, 2) == {"row": 1, "column": 1, "channel": 2}
    assert number_format(shape=(24,)).position(4, 2) == {"element": 18}


@pytest.mark.parametrize("name", ["none", "source", "sink", "random", "burst"])
def test_stall_patterns_are_reproducible_and_stall_about_half_the_time(name: str) -> None:
    def bits(seed: int) -> tuple[list[bool], list[bool]]:
        pattern = StallPattern(name, seed)
        return list(islice(pattern.source(0), 4000)), list(islice(pattern.sink(0, 20, lambda: 0), 4000))

    assert bits(5) == bits(5)
    for how, drawn, other in zip(PATTERNS[name], bits(5), bits(6), strict=True):
        assert any(drawn) == (how != "never")
        assert (drawn != other) == (how != "never")
        if how != "never":
            assert 0.3 < sum(drawn) / len(drawn) < 0.7
            assert drawn.count(True) < len(drawn)
    source, sink = bits(5)
    assert source != sink or name == "none"


def test_bursts_are_long() -> None:
    drawn = "".join("01"[bit] for bit in islice(StallPattern("burst", 1).sink(0, 20, lambda: 0), 20000))
    assert "1" * 60 in drawn
    assert "0" * 60 in drawn
    assert "1" * 129 not in drawn


def test_the_sink_waits_until_nothing_enters_any_more() -> None:
    idle = 0
    sink = StallPattern("full", 1).sink(0, 20, lambda: idle)
    drawn = ""
    for _ in range(4000):
        stalled = next(sink)
        drawn += "01"[stalled]
        idle = idle + 1 if stalled else 0
    refused, taken = set(re.findall("1+", drawn)[:-1]), re.findall("0+", drawn)
    assert refused == {"1" * 21}
    assert {len(run) for run in taken[:-1]} <= set(range(1, 41))


def test_unknown_stall_pattern() -> None:
    with pytest.raises(
        ValueError, match="must be one of none, source, sink, random, burst, full, starve, refuse, not 'lots'"
    ):
        StallPattern("lots", 1)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["manifest_version"], 1, "manifest_version must be 2, not 1; use the sim/ of the same bundle"),
        (["top"], "top", "top must be 'accelerator', not 'top'"),
        (["boundaries"], [], "boundaries must be a list that is not empty"),
        (["latency_cycles"], "11", "latency_cycles must be int, not '11'"),
        (["boundaries", 1, "width"], True, r"boundaries\[1\]: width must be int, not True"),
        (["boundaries", 1, "width"], 33, "width must be at most 32, not 33"),
        (["boundaries", 1, "index"], 5, "index must be 1, not 5"),
        (["boundaries", 1, "beats"], 5, r"must be the 12 numbers of shape \[2, 3, 2\], not 2 \* 5"),
        (["inputs", 0, "lane_bits"], 9, "port s_axis: lane_bits must be width rounded up"),
        (["outputs", 0, "tdata_bits"], 24, "port m_axis: tdata_bits must be lanes"),
        (["outputs", 0, "width"], 13, "port m_axis: width must be that of boundary 'row_sum', not 13"),
    ],
)
def test_a_bad_manifest_is_refused(bundle: Path, path: list[Any], value: Any, message: str) -> None:
    data = manifest()
    item = data
    for key in path[:-1]:
        item = item[key]
    item[path[-1]] = value
    write_manifest(bundle, data)
    with pytest.raises(BundleError, match=message):
        load_manifest(bundle)


def test_changed_files(bundle: Path) -> None:
    assert load_manifest(bundle).changed_files() == []
    with (bundle / "rtl" / "accelerator.v").open("a") as file:
        file.write("// edited\n")
    assert load_manifest(bundle).changed_files() == ["rtl/accelerator.v"]


def test_verilog_that_is_not_listed_counts_as_changed(bundle: Path) -> None:
    write_manifest(bundle, manifest() | {"files": {}})
    assert load_manifest(bundle).changed_files() == ["rtl/accelerator.v"]


def test_a_number_beyond_its_format_is_refused(bundle: Path) -> None:
    file = bundle / "sim" / "vectors" / "boundary_affine.bin"
    file.write_bytes(b"\x00\x02" + file.read_bytes()[2:])
    vectors = open_vectors(bundle / "sim" / "vectors", load_manifest(bundle))
    with pytest.raises(BundleError, match=r"numbers must lie in 0 \.\. 511"):
        vectors.lanes(vectors.manifest.boundary("affine"), 0, 0)


def test_frames_are_selected(bundle: Path) -> None:
    every = open_vectors(bundle / "sim" / "vectors", load_manifest(bundle))
    some = open_vectors(bundle / "sim" / "vectors", load_manifest(bundle), first=3, frames=2)
    center = every.manifest.boundary("center")
    assert some.lanes(center, 0, 1) == every.lanes(center, 3, 1)
    assert some.lanes(center, 3, 1) == every.lanes(center, 4, 1)  # after the last frame comes the first of them
    with pytest.raises(BundleError, match=r"first frame must be in 0 \.\. 4"):
        open_vectors(bundle / "sim" / "vectors", load_manifest(bundle), first=FRAMES)


def make_checker(bundle: Path, wrong: dict[tuple[int, int], int], absent: tuple[int, ...] = ()) -> Checker:
    """A run of one frame with some (stream, beat) wrong, and some streams that end early; later streams come first."""
    checker = Checker(open_vectors(bundle / "sim" / "vectors", load_manifest(bundle)), 1)
    for stream in reversed(range(4)):
        for beat in range(checker.beats[stream] - (stream in absent)):
            expected = payloads(checker.vectors, checker.vectors.manifest.boundaries[stream].tensor)[beat]
            checker.observe(stream, wrong.get((stream, beat), expected), beat)
    return checker


def test_the_earliest_layer_is_to_blame(bundle: Path) -> None:
    fault = verdict(make_checker(bundle, {(3, 0): 1, (1, 4): 0, (1, 5): 0, (2, 0): 0}), 9)
    assert fault is not None
    assert (fault.kind, fault.stream, fault.beat) == (VALUE, 1, 4)


def test_the_first_layer_that_is_behind_is_to_blame(bundle: Path) -> None:
    checker = make_checker(bundle, {}, absent=(2, 3))
    fault = verdict(checker, 9)
    assert fault is not None
    assert (fault.kind, fault.stream, fault.beat) == (MISSING, 2, 5)
    # held up by the next layer, which takes nothing: then that one is to blame
    checker.wait(2)
    fault = verdict(checker, 9)
    assert fault is not None
    assert fault.stream == 3


def test_extra_beats_are_faults(bundle: Path) -> None:
    checker = make_checker(bundle, {})
    checker.observe(2, 0, 50)
    fault = verdict(checker, 51)
    assert fault is not None
    assert (fault.kind, fault.stream) == (EXTRA, 2)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda b: (b / "manifest.json").unlink(), "manifest.json: cannot be read"),
        (lambda b: (b / "manifest.json").write_text("{"), "manifest.json: is not valid JSON"),
        (lambda b: (b / "rtl" / "accelerator.v").unlink(), "accelerator.v: is missing"),
        (lambda b: shutil.rmtree(b / "sim" / "vectors"), "vectors.json: cannot be read"),
        (lambda b: (b / "sim" / "vectors" / "boundary_center.bin").unlink(), "boundary_center.bin: is missing"),
        (
            lambda b: (b / "sim" / "vectors" / "boundary_center.bin").write_bytes(b""),
            "boundary_center.bin: must be 120 bytes",
        ),
        (
            lambda b: (b / "sim" / "vectors" / "vectors.json").write_text(json.dumps({"frames": 0})),
            "frames must be a number of at least 1, not 0",
        ),
    ],
)
@pytest.mark.parametrize("mode", ["tests", "bulk"])
def test_a_bad_bundle_is_exit_code_2(
    bundle: Path, spoil: Any, message: str, mode: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(bundle)
    arguments = ["--bundle", str(bundle)] + (["--bulk", str(bundle / "sim" / "vectors")] if mode == "bulk" else [])
    assert run.main(arguments) == 2
    assert message in capsys.readouterr().err


def test_missing_tools_are_exit_code_2(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert run.main(["--bundle", str(bundle)]) == 2
    assert "g++ and make and perl must be on PATH" in capsys.readouterr().err


def test_an_old_verilator_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "_version", lambda path, is_package: "5.006")
    with pytest.raises(ToolError, match=r"Verilator 5\.036 or later must be on PATH"):
        toolchain.find_toolchain()
