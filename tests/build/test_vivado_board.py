"""Boards with pins: Verilog and constraints of `board_top` come from a list."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from test_vivado import BOARD, XILINX, board_files, stub  # noqa: F401 - the fixture

from dnn2fpga.build.boards import Interface, load_board
from dnn2fpga.build.tops.board_top import write_board_top
from dnn2fpga.build.vivado.project import VivadoScript, write_vivado
from dnn2fpga.errors import UserError


def project(bundle: Path) -> str:
    return (bundle / "vivado" / "project.tcl").read_text()


def test_a_whole_design_has_a_bitstream(stub, bundle: Path) -> None:  # type: ignore[no-untyped-def] # noqa: F811
    write_vivado(bundle, BOARD, board_files=board_files(bundle, BOARD))
    result: subprocess.CompletedProcess[str] = stub(VivadoScript.PROJECT)
    assert result.returncode == 0, result.stderr
    assert (bundle / "vivado" / "accelerator.bit").is_file()
    assert "out_of_context" not in project(bundle)


def test_files_may_be_outside_of_the_bundle(stub, bundle: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def] # noqa: F811
    files = [file.rename(tmp_path / file.name) for file in board_files(bundle, BOARD)]
    write_vivado(bundle, BOARD, board_files=files)
    assert "[file join $bundle .. board_top.v]" in project(bundle)
    assert stub(VivadoScript.PROJECT).returncode == 0


def test_without_them_the_project_is_out_of_context(bundle: Path) -> None:
    write_vivado(bundle, BOARD)
    assert "-mode out_of_context" in project(bundle)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("add_files -norecurse -fileset constrs_1", "list", "port 'clk' has no LOC, so there is no bitstream"),
        ("board_top.v", "board_top.sv", "add_files: no such file"),
        ("set_property top board_top", "set_property top top", "module 'top' not found"),
        ("board_top.bit", "accelerator.bit", "accelerator.bit"),
    ],
)
def test_the_stub_notices(stub, bundle: Path, old: str, new: str, message: str) -> None:  # type: ignore[no-untyped-def] # noqa: F811
    write_vivado(bundle, BOARD, board_files=board_files(bundle, BOARD))
    (bundle / "vivado" / "project.tcl").write_text(project(bundle).replace(old, new))
    result = stub(VivadoScript.PROJECT)
    assert result.returncode != 0
    assert message in result.stderr


def test_pins_that_the_design_lacks_are_noticed(stub, bundle: Path) -> None:  # type: ignore[no-untyped-def] # noqa: F811
    constraints, verilog = board_files(bundle, BOARD)
    constraints.write_text(constraints.read_text().replace("get_ports clk", "get_ports clock"))
    write_vivado(bundle, BOARD, board_files=[constraints, verilog])
    result = stub(VivadoScript.PROJECT)
    assert "no port of the top module matches 'clock'" in result.stderr


def test_unfit_files(bundle: Path) -> None:
    folder = bundle / "board"
    folder.mkdir()
    (folder / "a$b.v").write_text("")
    (folder / "pins.pcf").write_text("")
    with pytest.raises(UserError) as caught:
        write_vivado(bundle, BOARD, board_files=[folder / "a$b.v", folder / "pins.pcf", folder / "gone.v"])
    assert [problem.partition("board/")[2] for problem in caught.value.problems] == [
        "gone.v: missing",
        "a$b.v: must have letters, digits and _ . - / only",
        "pins.pcf: must end in .v or .xdc",
    ]
    assert not (bundle / "vivado").exists()


@pytest.mark.parametrize("name", [name for name in XILINX if load_board(name).interface is Interface.UART])
def test_the_real_board_top(stub, bundle: Path, tmp_path: Path, name: str) -> None:  # type: ignore[no-untyped-def] # noqa: F811
    """The board top comes with its pins, and the accelerator beside it."""
    board, folder = load_board(name), tmp_path / "board"
    folder.mkdir()
    design = write_board_top(bundle, board, folder, board.clock_mhz)
    write_vivado(bundle, board, board_files=[*design.verilog, design.constraints])
    assert project(bundle).count("accelerator.v]") == 1
    result = stub(VivadoScript.PROJECT)
    assert result.returncode == 0, result.stderr
    calls = (tmp_path / "calls.log").read_text()
    assert calls.count("set_property LOC ") >= 3
    assert calls.count("create_clock ") == 1
