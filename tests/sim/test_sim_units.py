"""The parts of the harness that need no simulator."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import graph_bundle
import pytest
import run
import toolchain
from bundle import load_manifest
from errors import BundleError, ToolError
from formats import NumberFormat
from reference_bundle import FRAMES, manifest, write_manifest
from stalls import PATTERNS, StallPattern
from vector_files import open_vectors


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


@pytest.mark.parametrize("name", ["starve", "refuse"])
def test_one_port_in_turn_stalls_until_nothing_moves(name: str) -> None:
    rest, seen = 0, []
    turns = StallPattern(name, 1).turns(3, 3, 20, lambda: rest)
    for _ in range(4000):
        stalled = next(turns)[("starve", "refuse").index(name)]
        seen.append("-" if stalled is None else str(stalled))
        rest = rest + 1 if stalled is not None else 0
    held = re.findall(r"0+|1+|2+", "".join(seen))[:-1]
    assert {len(run) for run in held} == {21}
    assert [run[0] for run in held] == [str(k % 3) for k in range(len(held))]
    assert {len(run) for run in re.findall("-+", "".join(seen))[:-1]} <= set(range(1, 41))
    assert len(held) > 60


@pytest.mark.parametrize("name", ["none", "source", "sink", "random", "burst", "full"])
def test_in_other_patterns_no_port_has_a_turn(name: str) -> None:
    assert set(islice(StallPattern(name, 1).turns(2, 2, 20, lambda: 99), 100)) == {(None, None)}


def test_every_port_stalls_in_its_own_way() -> None:
    pattern = StallPattern("random", 7)
    drawn = [tuple(islice(pattern.source(port), 200)) for port in range(4)]
    drawn += [tuple(islice(pattern.sink(port, 20, lambda: 0), 200)) for port in range(4)]
    assert len(set(drawn)) == 8


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


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["inputs"], [], "inputs must be a list that is not empty"),
        (["outputs"], {}, "outputs must be a list that is not empty"),
        (["boundaries", 4, "inputs"], None, r"boundaries\[4\]: inputs must be a list, not None"),
        (["boundaries", 4, "inputs", 0], "mirror", r"boundaries\[4\]: inputs\[0\]: must be an object"),
        (["boundaries", 4, "inputs", 1, "fifo"], "2", r"boundaries\[4\]: inputs\[1\]: fifo must be int, not '2'"),
        (
            ["boundaries", 4, "inputs", 1, "tensor"],
            "diff",
            r"inputs must be tensors of boundaries before it, not 'diff'",
        ),
        (
            ["boundaries", 4, "inputs", 1, "tensor"],
            "none",
            r"inputs must be tensors of boundaries before it, not 'none'",
        ),
        (["boundaries", 4, "tensor"], "mirror", "there must be one boundary of tensor 'mirror', not several"),
        (["boundaries", 4, "tensor"], "to/tal", "tensor must be letters, digits and _, not 'to/tal'"),
        (
            ["boundaries", 5, "inputs", 0, "tensor"],
            "mirror",
            "tensor 'total' must be read by a layer or an output port",
        ),
        (["boundaries", 3, "inputs"], [], "inputs must be one port for each of the tensors .*'mirror'"),
        (["inputs", 1, "tensor"], "left", r"which no layer produces, not \['left', 'left'\]"),
        (["outputs", 1, "tensor"], "none", "port m_axis_diff: tensor must be that of a boundary, not 'none'"),
        (["outputs", 1, "axis"], "m_axis_twice", "axis must be another name for each port"),
        (["outputs", 1, "lanes"], 1, "port m_axis_diff: lanes must be that of boundary 'diff', not 1"),
        (["outputs", 1, "latency_cycles"], None, r"outputs\[1\]: latency_cycles must be int, not None"),
    ],
)
def test_a_bad_graph_is_refused(tmp_path: Path, path: list[Any], value: Any, message: str) -> None:
    data: Any = graph_bundle.manifest()
    item = data
    for key in path[:-1]:
        item = item[key]
    item[path[-1]] = value
    if path == ["outputs", 1, "tensor"]:  # so that diff is read all the same
        data["outputs"].append(data["outputs"][1] | {"tensor": "diff", "axis": "another"})
    write_manifest(tmp_path, data)
    with pytest.raises(BundleError, match=message):
        load_manifest(tmp_path)


def test_a_bundle_of_an_older_version_is_told_from_a_broken_one(bundle: Path) -> None:
    write_manifest(bundle, {"manifest_version": 1, "input": {}, "output": {}, "boundaries": []})
    with pytest.raises(BundleError, match="must be 2, not 1; use the sim/ of the same bundle"):
        load_manifest(bundle)


def test_tests_are_those_that_tell_something(bundle: Path, tmp_path: Path) -> None:
    chain = load_manifest(bundle)
    assert [name for name in run.TESTS if name not in run.tests_of(chain)] == ["starve_stalls", "refuse_stalls"]
    graph = load_manifest(graph_bundle.write_bundle(tmp_path / "graph"))
    assert run.tests_of(graph) == run.TESTS
    one_output = replace(graph, outputs=graph.outputs[1:])
    assert [name for name in run.TESTS if name not in run.tests_of(one_output)] == ["refuse_stalls"]


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
