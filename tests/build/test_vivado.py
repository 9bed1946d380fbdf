"""The Vivado scripts run in tclsh against a recording stub, and the runner against a fake `vivado`.

The recorded calls are compared with `golden/<board>.<script>.log`. To move them after an intended change:

    DNN2FPGA_UPDATE_GOLDEN=1 pytest tests/build/test_vivado.py
"""

import io
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from bare_bundle import MANIFEST
from rich.console import Console

from dnn2fpga.build.boards import Board, Interface, available_boards, load_board
from dnn2fpga.build.vivado.project import VivadoScript, run_vivado, write_vivado
from dnn2fpga.errors import UserError

HERE = Path(__file__).parent
BOARD = load_board("arty_a7_100t")
BOARD_TOP = """\
module board_top(clk, rx, tx);
  input clk;
  input rx;
  output tx;
  accelerator accelerator(.aclk(clk));
endmodule
"""
BOARD_PINS = """\
set_property LOC E3 [get_ports clk]
set_property IOSTANDARD LVCMOS33 [get_ports clk]
set_property LOC A9 [get_ports {rx}]
set_property LOC D10 [get_ports {tx}]
create_clock -name oscillator -period 10.0 [get_nets {clk}]
"""
XILINX = [name for name in available_boards() if not load_board(name).architecture.tools.is_open]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


# --- the scripts, in the stub


@pytest.fixture
def stub(tclsh: str, bundle: Path, tmp_path: Path) -> Callable[[VivadoScript], subprocess.CompletedProcess[str]]:
    """Run one script of the bundle in the stub, from a folder that has nothing to do with it."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def run(script: VivadoScript) -> subprocess.CompletedProcess[str]:
        words = [tclsh, HERE / "vivado_stub.tcl", tmp_path / "calls.log", bundle.resolve(), bundle / "vivado" / script]
        return subprocess.run(words, cwd=elsewhere, capture_output=True, text=True, timeout=600, check=False)

    return run


def board_files(bundle: Path, board: Board) -> list[Path]:
    """Stand-ins of what `board_top` is, where the board has pins."""
    if board.interface is not Interface.UART:
        return []
    folder = bundle / "board"
    folder.mkdir()
    (folder / "board_top.v").write_text(BOARD_TOP)
    (folder / "board_top.xdc").write_text(BOARD_PINS)
    return [folder / "board_top.xdc", folder / "board_top.v"]


@pytest.mark.parametrize("script", list(VivadoScript))
@pytest.mark.parametrize("name", XILINX)
def test_recorded_calls(stub, bundle: Path, tmp_path: Path, name: str, script: VivadoScript) -> None:
    board = load_board(name)
    write_vivado(bundle, board, board_files=board_files(bundle, board))
    result = stub(script)
    assert result.returncode == 0, result.stderr
    verdict = f"dnn2fpga: timing met, worst setup slack 1.234 ns at {board.clock_mhz:g} MHz"
    assert (verdict in result.stdout) == (script.reports is not None)
    calls = (tmp_path / "calls.log").read_text()
    assert not list((tmp_path / "elsewhere").iterdir())

    golden = HERE / "golden" / f"{name}.{script.removesuffix('.tcl')}.log"
    if os.environ.get("DNN2FPGA_UPDATE_GOLDEN"):
        golden.write_text(calls)
    assert calls == golden.read_text()


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("out_of_context.tcl", "opt_design\n", "optimise_design\n", 'invalid command name "optimise_design"'),
        ("out_of_context.tcl", "rtl accelerator.v", "rtl other.v", "read_verilog: no such file"),
        ("out_of_context.tcl", "out_of_context.xdc", "other.xdc", "read_xdc: no such file"),
        ("out_of_context.tcl", "-mode out_of_context\n", "-mod out_of_context\n", "unknown option '-mod'"),
        ("out_of_context.tcl", "-top accelerator", "-top other", "module 'other' not found"),
        ("out_of_context.tcl", "place_design\n", "place_design fast\n", "place_design: takes 0 to 0 arguments"),
        ("out_of_context.tcl", "file mkdir $reports", "", "report_utilization: no such folder"),
        ("out_of_context.tcl", "synth_design ", "# synth_design ", "no open design"),
        ("out_of_context.xdc", "get_ports aclk", "get_ports clk", "no port of the top module matches 'clk'"),
        ("out_of_context.xdc", "get_clocks aclk", "get_clocks clk", "get_clocks: no clock 'clk'"),
        ("out_of_context.xdc", "-period", "-frequency", "create_clock: unknown option '-frequency'"),
        ("out_of_context.xdc", "m_axis_tready", "m_axis_tvalid", "port 'm_axis_tvalid' is not an input"),
        ("out_of_context.xdc", "create_clock", "if 1 {}\ncreate_clock", 'invalid command name "if"'),
        ("project.tcl", "rtl accelerator.v", "rtl other.v", "add_files: no such file"),
        (
            "project.tcl",
            "[list [file join $here out_of_context.xdc]]",
            "$here/out_of_context.xdc",
            "add_files: no such",
        ),
        ("project.tcl", "-fileset constrs_1", "-fileset constraints_1", "-fileset must be one of"),
        ("project.tcl", "-value {-mode", "-value {-mod", "unknown option '-mod'"),
        ("project.tcl", "complete_run synth_1\n", "", "impl_1 before synth_1 is complete"),
        ("project.tcl", "open_run impl_1", "", "no open design"),
    ],
)
def test_the_stub_notices(stub, bundle: Path, file: str, old: str, new: str, message: str) -> None:
    write_vivado(bundle, BOARD)
    path = bundle / "vivado" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    result = stub(VivadoScript.PROJECT if file == "project.tcl" else VivadoScript.OUT_OF_CONTEXT)
    assert result.returncode != 0
    assert message in result.stderr


# --- what is written


def test_same_input_same_bytes(bundle: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "copy"
    shutil.copytree(bundle, other)
    written = write_vivado(bundle, BOARD)
    write_vivado(other, BOARD)
    assert contents(bundle / "vivado") == contents(other / "vivado")
    assert sorted(written) == sorted(path for path in (bundle / "vivado").rglob("*") if path.is_file())
    assert not any(str(tmp_path).encode() in data for data in contents(bundle / "vivado").values())
    assert sorted(entry.name for entry in bundle.iterdir()) == ["manifest.json", "rtl", "vivado"]


@pytest.mark.parametrize(
    ("clock_mhz", "period_ns"), [(None, "10.000"), (125, "8.000"), (300, "3.333"), (66.6, "15.015"), (1, "1000.000")]
)
def test_clock_period(bundle: Path, clock_mhz: float | None, period_ns: str) -> None:
    write_vivado(bundle, BOARD, clock_mhz)
    assert f"-period {period_ns} " in (bundle / "vivado" / "out_of_context.xdc").read_text()


@pytest.mark.parametrize("clock_mhz", [0, -5, 0.5, 1001, float("nan"), float("inf")])
def test_impossible_clock(bundle: Path, clock_mhz: float) -> None:
    with pytest.raises(UserError, match=r"the clock must be 1 to 1000 MHz, not"):
        write_vivado(bundle, BOARD, clock_mhz)
    assert not (bundle / "vivado").exists()


def test_every_source_is_named_in_order(bundle: Path) -> None:
    (bundle / "rtl" / "b.v").write_text("")
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["files"] = {"rtl/b.v": "", **manifest["files"]}
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    write_vivado(bundle, BOARD)
    for script in VivadoScript:
        text = (bundle / "vivado" / script).read_text()
        assert 0 < text.index("rtl accelerator.v") < text.index("rtl b.v")


def test_without_a_clock_buffer(stub, bundle: Path) -> None:
    write_vivado(bundle, BOARD.model_copy(update={"clock_buffer": None}))
    assert "HD.CLK_SRC" not in (bundle / "vivado" / "out_of_context.xdc").read_text()
    assert stub(VivadoScript.OUT_OF_CONTEXT).returncode == 0


def test_results_survive_the_same_scripts_and_are_set_aside_for_others(bundle: Path) -> None:
    write_vivado(bundle, BOARD)
    result = bundle / "vivado" / "out_of_context.dcp"
    result.write_text("hours of work")
    write_vivado(bundle, BOARD)
    assert result.read_text() == "hours of work"

    write_vivado(bundle, BOARD, 50)
    assert not result.exists()
    assert (bundle / "vivado.previous" / "out_of_context.dcp").read_text() == "hours of work"

    write_vivado(bundle, BOARD, 60)  # nothing but scripts this time: nothing to keep
    assert (bundle / "vivado.previous" / "out_of_context.dcp").exists()
    assert sorted(entry.name for entry in bundle.iterdir()) == ["manifest.json", "rtl", "vivado", "vivado.previous"]


def test_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"manifest\.json: cannot be read: No such file or directory; run 'dnn2fpga generate' again"
    ):
        write_vivado(tmp_path, BOARD)


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ("{", "Invalid JSON"),
        ("[]", "the file: Input should be an object"),
        ("{}", "the key 'manifest_version' is missing"),
        (json.dumps({**MANIFEST, "inputs": []}), "inputs: Tuple should have at least 1 item"),
        (json.dumps({**MANIFEST, "manifest_version": 1}), "manifest_version: Input should be 2, not 1"),
        (json.dumps({**MANIFEST, "files": {}}), "files must name at least one rtl/"),
        (json.dumps({**MANIFEST, "files": {"rtl/x.v": ""}}), "x.v: named in manifest"),
    ],
)
def test_broken_bundle(bundle: Path, manifest: str, message: str) -> None:
    (bundle / "manifest.json").write_text(manifest)
    with pytest.raises(UserError) as caught:
        write_vivado(bundle, BOARD)
    assert message in str(caught.value)
    assert not (bundle / "vivado").exists()


def test_unwritable_target(bundle: Path) -> None:
    (bundle / "vivado").write_text("a file in the way")
    with pytest.raises(UserError, match="vivado: cannot be written: Not a directory"):
        write_vivado(bundle, BOARD)
    assert sorted(entry.name for entry in bundle.iterdir()) == ["manifest.json", "rtl", "vivado"]


# --- running Vivado


def install_vivado(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    folder.mkdir()
    (folder / "vivado").write_text(f"#!/bin/sh\n{body}\n")
    (folder / "vivado").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")


def test_run_succeeds(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = 'echo "args: $*"; echo "in: $PWD"; echo "dnn2fpga: timing met"; printf "\\377[bold]\\n" >&2\n'
    body += f"mkdir -p reports/project; cp {HERE}/sample_reports/artix7/* reports/project"
    install_vivado(tmp_path / "bin", monkeypatch, body)
    write_vivado(bundle, BOARD)
    run = run_vivado(bundle, VivadoScript.PROJECT, Console(file=io.StringIO()))
    script = bundle / "vivado" / "project.tcl"
    assert run.ran
    assert run.command == f"vivado -mode batch -source '{script}'"
    assert run.messages == ("dnn2fpga: timing met",)
    assert run.result is not None
    assert run.result.lut == 9057
    assert json.loads((bundle / "vivado" / "result.json").read_text()) == run.result.model_dump()
    assert run.log == bundle / "vivado" / "project.log"
    assert run.log.read_text().splitlines()[:2] == [
        f"args: -mode batch -nojournal -nolog -notrace -source {script.resolve()}",
        f"in: {script.parent.resolve()}",
    ]


def test_a_run_that_leaves_no_reports(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_vivado(tmp_path / "bin", monkeypatch, "")
    write_vivado(bundle, BOARD)
    with pytest.raises(UserError, match=r"out_of_context/utilization\.rpt: cannot be read"):
        run_vivado(bundle, console=Console(file=io.StringIO()))
    assert run_vivado(bundle, VivadoScript.PACKAGE_IP, Console(file=io.StringIO())).result is None


def test_run_fails(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_vivado(tmp_path / "bin", monkeypatch, "seq 100; echo 'ERROR: [Synth 8-1] no license' >&2; exit 3")
    write_vivado(bundle, BOARD)
    with pytest.raises(UserError) as caught:
        run_vivado(bundle, console=Console(file=io.StringIO()))
    log = bundle / "vivado" / "out_of_context.log"
    assert caught.value.problems[0] == f"vivado ended with exit code 3; the end of {log}:"
    assert caught.value.problems[1:] == (*map(str, range(82, 101)), "ERROR: [Synth 8-1] no license")


def test_run_of_something_that_is_no_program(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_vivado(tmp_path / "bin", monkeypatch, "")
    (tmp_path / "bin" / "vivado").write_text("#!/no/such/shell\n")
    write_vivado(bundle, BOARD)
    with pytest.raises(UserError, match="vivado: cannot be started"):
        run_vivado(bundle, console=Console(file=io.StringIO()))


def test_without_vivado_nothing_is_run(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    write_vivado(bundle, BOARD)
    run = run_vivado(bundle)
    assert not run.ran
    assert run.log is None
    assert run.command == f"vivado -mode batch -source '{bundle / 'vivado' / 'out_of_context.tcl'}'"


def test_run_before_write(bundle: Path) -> None:
    with pytest.raises(UserError, match=r"out_of_context\.tcl is missing; write it first with 'dnn2fpga build'"):
        run_vivado(bundle)
