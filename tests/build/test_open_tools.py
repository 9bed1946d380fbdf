"""The open tools: finding them, reading their reports, and once for each family a build with the real ones."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from small_networks import network

from dnn2fpga import flow
from dnn2fpga.build.boards import available_boards, load_board
from dnn2fpga.build.open import nextpnr_report
from dnn2fpga.build.open.toolchains import TOOLCHAINS, device_of
from dnn2fpga.build.open.tools import Program, found_tools
from dnn2fpga.errors import UserError
from dnn2fpga.graph import files as config_files

OPEN = [name for name in available_boards() if load_board(name).architecture.tools.is_open]


# --- finding the tools


def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, **options: Any) -> Program:
    file = tmp_path / "bin" / "synth"
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"#!/bin/sh\necho '{says}'\n")
    file.chmod(0o755)
    monkeypatch.setenv("PATH", str(file.parent), prepend=":")
    return Program(**{"name": "synth", "package": "pytest", "module": "pytest", "oldest": (0, 60)} | options)


@pytest.mark.parametrize("says", ["Yosys 0.60 (git sha1 x)", "Yosys 0.71+25", "tool (Version nextpnr-1.2-gabc)"])
def test_a_new_native_tool_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str) -> None:
    ((tool,),) = found_tools([program(tmp_path, monkeypatch, says)])
    assert tool.command == (str(tmp_path / "bin" / "synth"),)
    assert any(word in tool.origin for word in ("0.60", "0.71+25", "1.2-gabc"))


@pytest.mark.parametrize("says", ["Yosys 0.59 (git sha1 x)", "something else"])
def test_an_old_native_tool_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str) -> None:
    ((tool,),) = found_tools([program(tmp_path, monkeypatch, says)])
    assert tool.command[0] == sys.executable
    assert tool.origin == f"pytest {pytest.__version__}"


def test_tools_of_one_kit_come_from_one_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    native = program(tmp_path, monkeypatch, "Yosys 0.70")
    other = Program(name="nonesuch", package="pytest", module="pytest")
    ((first, second),) = found_tools([native, other])
    assert first.command[0] == second.command[0] == sys.executable


def test_missing_tools_are_all_named() -> None:
    one, two = (Program(name=f"none_{k}", package=f"yowasp-none-{k}", module=f"none_{k}") for k in "ab")
    with pytest.raises(UserError) as caught:
        found_tools([one], [two])
    assert str(caught.value) == "not installed: none_a, none_b; pip install yowasp-none-a yowasp-none-b"


# --- reports


def test_the_slowest_clock_decides(tmp_path: Path) -> None:
    clocks = {"a": (60.0, 50.0), "b": (52.0, 50.001), "uart": (30.0, 12.0)}
    fmax = {name: {"achieved": got, "constraint": wanted} for name, (got, wanted) in clocks.items()}
    (tmp_path / "report.json").write_text(json.dumps({"fmax": fmax, "utilization": {"A": {"used": 1, "available": 2}}}))
    report = nextpnr_report.read_report(tmp_path / "report.json")
    clock = report.main_clock(50)
    assert clock is not None
    assert (clock.name, clock.reached_mhz) == ("b", 52.0)
    assert report.met
    assert report.used == {"A": 1}
    assert report.available == {"A": 2}
    assert report.main_clock(25) is None


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("3.12.4. Executing OPT_MERGE pass (detect identical cells).", "opt_merge"),
        ("Info:     at iteration #4, type ALL: wirelen solved = 370, spread = 1060", "placement, iteration 4"),
        ("Info:   at iteration #15: temp = 0.000000, timing cost = 130", "refining the placement, iteration 15"),
        ("Info:      14000 |      763  13236 |   81   919 |     82690|    0.59    9.54|", "routing, 82,690 arcs left"),
        ("Info:     iter=3 wires=812 overused=1200 overuse=24", "routing, round 3, 1,200 wires too many"),
        ("Info: Packing constants..", "Packing constants"),
        ("Info: constrained 'clk' to bel 'X1/Y1'", None),
    ],
)  # fmt: skip
def test_log_lines_in_a_few_words(line: str, words: str | None) -> None:
    assert nextpnr_report.shown(line) == words


def test_cells_in_the_terms_of_the_board() -> None:
    ice40, gowin = (TOOLCHAINS[load_board(name).architecture.tools] for name in ("icebreaker", "tang_nano_9k"))
    cells = {"SB_LUT4": 10, "SB_CARRY": 4, "SB_DFF": 8, "SB_DFFESR": 9, "SB_MAC16": 3, "SB_RAM40_4K": 1, "SB_IO": 2}
    assert ice40.counted(cells) == {"lut": 17, "ff": 17, "dsp": 3, "bram": 1}
    used = {"ICESTORM_LC": 25, "ICESTORM_DSP": 3, "ICESTORM_RAM": 1}
    assert ice40.placed(used, cells) == {"lut": 25, "ff": 17, "dsp": 3, "bram": 1}
    cells = {"LUT1": 1, "LUT4": 2, "ALU": 3, "RAM16SDP4": 2, "DFFRE": 5, "MULT9X9": 3, "MULT18X18": 1, "pROM": 2}
    assert gowin.counted(cells) == {"lut": 22, "ff": 5, "dsp": 3, "bram": 2}


@pytest.mark.parametrize("name", OPEN)
def test_the_open_tools_know_the_chip_of_every_board(name: str) -> None:
    device = device_of(load_board(name))
    assert device.synthesis.startswith("synth_")
    assert any("{constraints}" in word for word in device.place)


# --- the real tools


@pytest.mark.toolchain
@pytest.mark.parametrize("name", ["icebreaker", "tang_nano_9k", "ulx3s_85f"])
def test_a_real_bitstream(name: str, tmp_path: Path) -> None:
    config_files.save(network((8,), [4], bits=4), tmp_path)
    flow.generate(tmp_path, board=name)
    built = flow.build(tmp_path, name)
    board = load_board(name)
    assert built.result is not None
    assert built.met
    assert built.result.reached_mhz >= board.clock_mhz
    assert 100 < built.result.used["lut"] < 0.6 * board.resources.lut
    assert 100 < built.result.used["ff"] < 0.6 * board.resources.ff
    assert built.files[0].stat().st_size > 50_000
    assert "module board_top" in (tmp_path / "build" / name / "netlist.v").read_text()
