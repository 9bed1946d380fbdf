"""The open flow, with fake tools for everything that can go wrong."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
from command_line import Outcome
from rich.console import Console
from small_networks import network

from dnn2fpga import flow
from dnn2fpga.build import live_log as watched
from dnn2fpga.build.boards import Board
from dnn2fpga.build.build_result import current_result
from dnn2fpga.build.open import flow as open_flow
from dnn2fpga.build.open.tools import Program, Tool
from dnn2fpga.build.settings import BuildSettings
from dnn2fpga.build.tops import board_top
from dnn2fpga.build.tops.board_top import BoardDesign
from dnn2fpga.errors import UserError
from dnn2fpga.graph import files as config_files
from dnn2fpga.report.summary import show_summary
from dnn2fpga.work_folder import WorkFolder

FAKE = Path(__file__).with_name("fake_tools.py")
GOOD = {
    "yosys": {"cells": {"LUT4": 100, "CCU2C": 10, "TRELLIS_FF": 50, "MULT18X18D": 2}},
    "nextpnr-ecp5": {"mhz": {"1": 61.5}, "used": {"TRELLIS_COMB": 130, "TRELLIS_FF": 50, "MULT18X18D": 2}},
}


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder with a bundle; the tests only read it."""
    folder = tmp_path_factory.mktemp("generated")
    config_files.save(tiny.quantized_graph(), folder)
    flow.generate(folder)
    return folder


@pytest.fixture
def work(generated: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "a work folder"
    folder.mkdir()
    for entry in generated.iterdir():
        (folder / entry.name).symlink_to(entry)
    return folder


Fake = Callable[..., list[str]]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Set what the fake tools do; return the lines with which they have been called so far."""
    monkeypatch.setenv("FAKE_TOOLS", str(tmp_path))

    def tools(*kits: list[Program]) -> list[list[Tool]]:
        command = (sys.executable, str(FAKE))
        return [[Tool(name=p.name, command=(*command, p.name), origin=f"{p.name} 1.0") for p in kit] for kit in kits]

    def top(bundle: Path, board: Board, folder: Path, clock_mhz: float) -> BoardDesign:
        """A substitute for the real one, which needs seconds; it has its own tests."""
        files = [folder / name for name in ("accelerator.v", "board_top.v", "board_top.lpf")]
        for file in files:
            file.write_text(f"{file.name} of {board.name}")
        return BoardDesign("board_top", tuple(files[:2]), files[2], clock_mhz)

    monkeypatch.setattr(watched, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(board_top, "write_board_top", top)
    monkeypatch.setattr(open_flow, "found_tools", tools)
    calls = tmp_path / "calls.txt"

    def told(plan: dict[str, Any] | None = None, **changed: dict[str, Any]) -> list[str]:
        if plan is not None:
            names = {"placer": "nextpnr-ecp5", "packer": "ecppack", "yosys": "yosys"}
            mixed = {name: dict(own) for name, own in plan.items()}
            for key, own in changed.items():
                mixed.setdefault(names[key], {}).update(own)
            (tmp_path / "tools.json").write_text(json.dumps(mixed))
        return calls.read_text().splitlines() if calls.exists() else []

    return told


def problems(work: Path, **options: Any) -> list[str]:
    with pytest.raises(UserError) as caught:
        flow.build(work, "ulx3s_85f", **options)
    return list(caught.value.problems)


# --- a build that succeeds


def test_a_bitstream_and_what_it_is(work: Path, fake: Fake) -> None:
    fake(GOOD)
    steps: list[tuple[str, bool]] = []

    def progress(step: str, done: int, of: int, news: str = "") -> None:
        steps.append((step, done == of))

    built = flow.build(work, "ulx3s_85f", progress=progress)
    folder = work / "build" / "ulx3s_85f"
    assert built.met
    assert built.files == (folder / "board_top.bit",)
    assert built.files[0].read_text() == "bits of: placed with seed 1"
    assert [step for step, done in steps if done] == ["synthesis", "placement and routing", "bitstream"]
    kept = {file.name for file in folder.iterdir()}
    assert {"netlist.v", "accelerator.v", "board_top.v", "board_top.lpf", "report.json", "result.json"} <= kept
    assert {"yosys.log", "nextpnr.log", "pack.log", "synthesis.ys", "build.sh"} <= kept
    assert not {"netlist.json", "placed"} & kept

    result = current_result(work, "ulx3s_85f")
    assert result is not None
    assert result == built.result
    assert (result.reached_mhz, result.target_mhz, result.seed) == (61.5, 50, 1)
    assert result.used == {"lut": 130, "ff": 50, "dsp": 2, "bram": 0}
    assert result.available["lut"] == 83640
    manifest = json.loads((work / "bundle" / "manifest.json").read_text())
    assert result.frames_per_second == pytest.approx(50e6 / manifest["interval_cycles"], abs=0.1)
    assert result.planned["lut"] == manifest["estimates"]["ecp5"]["lut"]
    assert result.commands[1].startswith("nextpnr-ecp5 -q --log nextpnr.log --json netlist.json --report report.json")
    assert "--85k --package CABGA381 --speed 6" in result.commands[1]
    assert result.tools == ["yosys 1.0", "nextpnr-ecp5 1.0", "ecppack 1.0"]
    assert (folder / "build.sh").read_text().splitlines() == ["set -e", *result.commands]


def test_what_is_built_already_is_not_built_again(work: Path, fake: Fake) -> None:
    fake(GOOD)
    first = flow.build(work, "ulx3s_85f")
    assert len(fake()) == 3
    assert flow.build(work, "ulx3s_85f") == first
    assert len(fake()) == 3
    flow.build(work, "ulx3s_85f", build=BuildSettings(seed=1, placements=2))
    assert len(fake()) == 6
    (work / "build" / "ulx3s_85f" / "result.json").write_text("{}")
    flow.build(work, "ulx3s_85f", build=BuildSettings(seed=1, placements=2))
    assert len(fake()) == 9


@pytest.mark.parametrize("name", ["board_top.bit", "netlist.v", "report.json"])
def test_what_is_not_as_it_was_built_is_built_again(work: Path, fake: Fake, name: str) -> None:
    fake(GOOD)
    flow.build(work, "ulx3s_85f")
    file = work / "build" / "ulx3s_85f" / name
    content = file.read_bytes()
    file.write_bytes(content + b" ")
    assert current_result(work, "ulx3s_85f") is None
    assert WorkFolder(work).out_of_date() == [f"build/ulx3s_85f/result.json: {file}: has changed"]
    assert flow.build(work, "ulx3s_85f").files[0].is_file()
    assert file.read_bytes() == content
    assert len(fake()) == 6


def test_an_edited_result_is_not_shown(work: Path, fake: Fake) -> None:
    fake(GOOD)
    flow.build(work, "ulx3s_85f")
    file = work / "build" / "ulx3s_85f" / "result.json"
    file.write_text(file.read_text().replace('"reached_mhz": 61.5', '"reached_mhz": 615'))
    assert current_result(work, "ulx3s_85f") is None


def test_without_run_only_what_the_tools_read(work: Path, fake: Fake) -> None:
    fake(GOOD)
    built = flow.build(work, "ulx3s_85f", run=False)
    names = [file.name for file in built.files]
    assert names == ["accelerator.v", "board_top.lpf", "board_top.v", "build.sh", "synthesis.ys"]
    assert not fake()
    assert not (work / "build" / "ulx3s_85f").exists()


# --- the clock


def test_other_seeds_are_tried_until_one_meets_the_clock(work: Path, fake: Fake) -> None:
    fake(GOOD, placer={"mhz": {"5": 43.0, "6": 49.0, "7": 50.5, "8": 70.0}})
    result = flow.build(work, "ulx3s_85f", build=BuildSettings(seed=5, placements=9)).result
    assert result is not None
    assert result.met
    assert result.placements == {"5": 43.0, "6": 49.0, "7": 50.5}
    assert (result.seed, result.reached_mhz) == (7, 50.5)


def test_a_missed_clock_keeps_the_best_placement(work: Path, fake: Fake) -> None:
    fake(GOOD, placer={"mhz": {"1": 43.0, "2": 49.0, "3": 45.0}})
    built = flow.build(work, "ulx3s_85f")
    assert built.result is not None
    assert not built.met
    assert (built.result.seed, built.result.reached_mhz) == (2, 49.0)
    assert built.files[0].read_text() == "bits of: placed with seed 2"
    assert "--seed 2" in built.result.commands[1]


def test_a_lost_constraint_is_an_error(work: Path, fake: Fake) -> None:
    fake(GOOD, placer={"constraint": 12.0})
    (told,) = problems(work)
    assert told == "nextpnr has checked nothing against 50 MHz, but clk against 12 MHz: the constraint is lost"


def test_the_clock_of_the_command_line(dnn2fpga: Callable[..., Outcome], work: Path, fake: Fake) -> None:
    fake(GOOD, placer={"mhz": {"1": 20.0, "2": 30.0, "3": 24.0}})
    missed = dnn2fpga("build", work, "--board", "ulx3s_85f", "--placements", 2)
    assert missed.code == 3
    assert "the clock was not reached" in missed.out
    assert "50 MHz MISSED, 30.0 MHz after routing, the best of 2 placements" in missed.out
    assert missed.out.splitlines()[0] == "synthesis ..."
    met = dnn2fpga("build", work, "--board", "ulx3s_85f", "--clock", 25)
    assert met.code == 0
    assert "25 MHz met, 30.0 MHz after routing" in met.out
    assert "LUTs" in met.out


def test_the_summary_shows_the_builds_of_the_bundle_as_it_stands(work: Path, fake: Fake) -> None:
    fake(GOOD)
    flow.build(work, "ulx3s_85f")

    def summary() -> str:
        console = Console(record=True, width=200, file=io.StringIO())
        show_summary(work, console)
        return console.export_text()

    assert "Radiona ULX3S-85F: 50 MHz met, 61.5 MHz after routing" in summary()
    bundle = work / "bundle"
    copy = shutil.copytree(bundle, work / "copy")
    bundle.unlink()
    copy.rename(bundle)
    (bundle / "manifest.json").write_text((bundle / "manifest.json").read_text() + " ")
    (work / "generation.json").unlink()
    (work / "generation.json").write_text("{}")
    assert "Radiona" not in summary()


# --- what does not fit


def test_too_large_is_said_before_anything_is_placed(work: Path, fake: Fake, tmp_path: Path) -> None:
    fake(GOOD, yosys={"cells": {"LUT4": 95_000, "MULT18X18D": 200}})
    told = problems(work)
    assert told[0] == (
        "does not fit the Radiona ULX3S-85F: needs 95,000 of 83,640 LUTs (114%), 200 of 156 DSP blocks (128%)"
    )
    assert told[1].startswith("most LUTs are for (estimated): ")
    assert "dense" in told[1]
    assert "slower design" in told[-1]
    assert len(fake()) == 1
    assert not (work / "build" / "ulx3s_85f").exists()
    assert (work / "build" / "ulx3s_85f.failed" / "yosys.log").is_file()


@pytest.mark.parametrize("sleeps", [0, 600])
def test_too_large_for_nextpnr(work: Path, fake: Fake, sleeps: int) -> None:
    """nextpnr says so, or tries for ever."""
    log = (
        "Info: Device utilisation:\n"
        "Info: \t          MULT18X18D:       2/    156     1%\n"
        "Info: \t        TRELLIS_COMB:   84000/  83640   100%\n"
        "ERROR: Unable to place cell 'x', no BELs remaining to implement cell type 'TRELLIS_COMB'\n"
    )
    fake(GOOD, placer={"log": log, "code": 1, "mhz": {}, "sleeps": sleeps})
    assert problems(work)[0] == "does not fit the Radiona ULX3S-85F: needs 84,000 of 83,640 LUTs (100%)"


def test_a_design_that_would_fit_is_named(dnn2fpga: Callable[..., Outcome], tmp_path: Path, fake: Fake) -> None:
    """The command in the message produces a design that is as much smaller as it must be."""
    (tmp_path / "w").mkdir()
    config_files.save(network((6, 6, 2), [6, "flat", 5]), tmp_path / "w")
    assert dnn2fpga("generate", "w", "--goal", "smallest", "--board", "ulx3s_85f").code == 0

    def luts() -> float:
        manifest = json.loads((tmp_path / "w" / "bundle" / "manifest.json").read_text())
        return float(sum(b["resources"]["lut"] for b in manifest["boundaries"]))

    before = luts()
    fake(GOOD, yosys={"cells": {"LUT4": 120_000}})
    refused = dnn2fpga("build", "w", "--board", "ulx3s_85f")
    assert refused.code == 2
    told = refused.err.splitlines()[-1]
    assert "a slower design is smaller (this one needs 36 cycles per frame): dnn2fpga generate w --board ulx3s" in told
    assert dnn2fpga(*told.split("dnn2fpga ")[1].split()).code == 0
    assert luts() <= before * 83_640 / 120_000


# --- what goes wrong


@pytest.mark.parametrize(
    ("who", "own", "what"),
    [
        ("yosys", {"code": 1, "says": "ERROR: Module `\\x' not found"}, ["synthesis: yosys ended with exit code 1;"]),
        ("yosys", {"cells": None}, ["synthesis: yosys has counted no cells;"]),
        ("placer", {"code": 134, "says": "wasm trap: out of memory"}, ["ended with exit code 134;", "out of memory"]),
        ("placer", {"code": 1, "log": "ERROR: IO 'x' is unconstrained\n"}, ["exit code 1;", "IO 'x' is unconstrained"]),
        ("placer", {"mhz": {}}, ["placement and routing: nextpnr-ecp5 has written no report;"]),
        ("packer", {"code": 3, "says": "no such tile"}, ["bitstream: ecppack ended with exit code 3;", "no such tile"]),
    ],
)
def test_a_tool_that_fails(work: Path, fake: Fake, who: str, own: dict[str, Any], what: list[str]) -> None:
    """The old bitstream stays as it was."""
    fake(GOOD)
    flow.build(work, "ulx3s_85f")
    before = {file.name: file.read_bytes() for file in (work / "build" / "ulx3s_85f").iterdir()}
    fake(GOOD, **{who: own})
    told = "\n".join(problems(work, clock_mhz=40))
    assert all(part in told for part in what), told
    assert str(work / "build" / "ulx3s_85f.failed") in told
    assert {file.name: file.read_bytes() for file in (work / "build" / "ulx3s_85f").iterdir()} == before
    assert {file.name for file in (work / "build").iterdir()} == {"ulx3s_85f", "ulx3s_85f.failed"}

    fake(GOOD)
    flow.build(work, "ulx3s_85f", clock_mhz=40)
    assert {file.name for file in (work / "build").iterdir()} == {"ulx3s_85f"}


def test_a_place_that_cannot_be_written(work: Path, fake: Fake) -> None:
    fake(GOOD)
    (work / "build").write_text("in the way")
    assert "cannot be written" in problems(work)[0]
