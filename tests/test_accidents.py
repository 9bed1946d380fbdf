"""Accidents of the program: one line, the right exit code, and no leftovers, neither files nor processes."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_line import HANG_S, MAIN, Run, listing, program

from dnn2fpga.drive.serial import open_port
from dnn2fpga.errors import UserError
from dnn2fpga.work_folder import WorkFolder

# ``generate`` that stops in the middle of writing, until somebody ends it.
HALFWAY = """
import signal
from dnn2fpga.generate import bundle
bundle.write_vectors = lambda *_, **__: (print("now", flush=True), signal.pause())
"""


@pytest.fixture
def work(tmp_path: Path, generated: Path) -> Path:
    return Path(shutil.copytree(generated, tmp_path / "work"))


def hears_signals() -> None:
    """Even if whoever runs the tests ignores them."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def halfway(work: Path, before: str = HALFWAY, prepared: Callable[[], None] = hears_signals) -> subprocess.Popen[str]:
    """``generate`` in the middle of its work."""
    process = subprocess.Popen(
        [sys.executable, "-c", before + MAIN, "generate", str(work)],
        cwd=work.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=prepared,
    )
    assert process.stdout
    while "now" not in process.stdout.readline():
        assert process.poll() is None
    return process


# --- messages


def test_what_a_message_quotes_cannot_act(tmp_path: Path) -> None:
    result = program("", "quantize", "a\nb\x1b[2J.keras", "--data", "x" * 5_000, cwd=tmp_path)
    assert result.returncode == 2
    lines = result.stderr.splitlines()
    assert all(line.startswith("error: ") and line.isprintable() and len(line) < 1_100 for line in lines), lines
    assert "a\\nb\\x1b[2J.keras" in lines[0]


def test_a_message_has_an_end(tmp_path: Path) -> None:
    (tmp_path / "dnn2fpga.yaml").write_text("".join(f"key_{k}: 1\n" for k in range(5_000)))
    result = program("", "quantize", "m.keras", cwd=tmp_path)
    assert result.returncode == 2
    lines = result.stderr.splitlines()
    assert len(lines) == 41
    assert lines[-1] == "error: and 4,960 more problems"


STARTED = "import dnn2fpga.__main__ as start; start.main()"


def start(before: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The program from its first import on."""
    return subprocess.run(
        [sys.executable, "-c", f"{before}\n{STARTED}", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=hears_signals,
    )


INTERRUPTED = """
import builtins, os, signal
def interrupted(name, *rest, real=builtins.__import__, **options):
    if name == 'dnn2fpga.cli.app': os.kill(os.getpid(), signal.SIGINT)
    return real(name, *rest, **options)
builtins.__import__ = interrupted
"""


def test_an_interrupt_of_the_start_shows_no_traceback(tmp_path: Path) -> None:
    result = start(INTERRUPTED, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (130, "")


@pytest.mark.parametrize("package", ["typer", "rich", "yaml", "numpy", "amaranth"])
def test_a_package_that_is_missing(tmp_path: Path, work: Path, package: str) -> None:
    result = start(f"import sys; sys.modules[{package!r}] = None", "generate", work, cwd=tmp_path)
    assert result.returncode == 2, result
    assert re.fullmatch(
        rf"error: a Python package cannot be imported: .*{package}.*; install dnn2fpga again\n", result.stderr
    )


# --- faults of the program


def test_the_last_resort(tmp_path: Path) -> None:
    fault = "import dnn2fpga.cli.boards as c; c.exit_unless_clock; from dnn2fpga.build import boards as b\n"
    fault += "def available_boards(): raise ValueError('two\\nlines')\nb.available_boards = available_boards"
    result = program(fault, "boards", cwd=tmp_path, env=os.environ | {"TMPDIR": str(tmp_path)})
    assert result.returncode == 70
    found = re.fullmatch(
        r"error: this is a fault of dnn2fpga: ValueError in <string>, line \d: two lines; details: (\S+)\n",
        result.stderr,
    )
    assert found, result.stderr
    log = Path(found[1]).read_text()
    assert Path(found[1]).parent == tmp_path
    assert all(part in log for part in ("Traceback", "ValueError: two\nlines", "dnn2fpga 0.", "numpy ", "boards"))


def raising(error: str) -> str:
    return f"""
from dnn2fpga.build import boards
def available_boards(): {error}
boards.available_boards = available_boards
"""


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        ("raise EOFError", 70, "this is a fault of dnn2fpga: EOFError"),
        ("raise RecursionError('too deep')", 70, "RecursionError"),
        ("from dnn2fpga.errors import nothing", 70, "cannot import name 'nothing'"),
        ("raise OSError('of a library, without a number')", 70, "without a number"),
        ("import tempfile; tempfile.mkstemp = available_boards; raise OSError(28, 'No space')", 2, "No space"),
        ("raise OSError(28, 'No space left on device', 'file')", 2, "error: file: No space left on device"),
        ("raise MemoryError", 2, "out of memory"),
        ("import numpy; numpy.zeros(1 << 50)", 2, "out of memory: Unable to allocate"),
        ("raise KeyboardInterrupt", 130, ""),
        ("raise BrokenPipeError(32, 'Broken pipe')", 141, ""),
        ("import os; os.closerange(0, 3); raise ValueError", 70, ""),
    ],
)
def test_what_may_come_up(tmp_path: Path, error: str, code: int, line: str) -> None:
    result = program(raising(error), "boards", cwd=tmp_path, env=os.environ | {"TMPDIR": str(tmp_path)})
    assert result.returncode == code, result
    assert line in result.stderr
    assert "Traceback" not in result.stderr
    words_of_typer = ["", "Aborted."] if "EOFError" in error else []
    assert len(result.stderr.splitlines()) <= len([*words_of_typer, line])


def test_a_fault_whose_details_cannot_be_written(tmp_path: Path) -> None:
    full = "import tempfile\ndef full(**_): raise OSError(28, 'No space left on device')\ntempfile.mkstemp = full"
    result = program(full + raising("raise ValueError('x')"), "boards", cwd=tmp_path)
    assert result.returncode == 70
    assert result.stderr.endswith("x; details: could not be written (No space left on device)\n")


# --- streams


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    ],
    ids=["ascii", "latin-1", "C"],
)
def test_a_terminal_without_our_characters(tmp_path: Path, work: Path, environment: dict[str, str]) -> None:
    (tmp_path / "wörk – 工").symlink_to(work)
    for arguments, code in ((["boards"], 0), (["generate", "wörk – 工"], 0), (["verify", "工"], 2), (["--help"], 0)):
        result = program("", *arguments, cwd=tmp_path, env=os.environ | environment, errors="replace")
        assert result.returncode == code, result
        assert "Traceback" not in result.stderr


def test_nobody_reads_the_output(tmp_path: Path, work: Path) -> None:
    for arguments in (["boards"], ["--help"], ["generate", work]):
        reader, writer = os.pipe()
        os.close(reader)
        result = program("", *arguments, cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE, capture_output=False)
        os.close(writer)
        assert (result.returncode, result.stderr) == (141, ""), arguments


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_an_output_that_is_full(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        result = program("", "boards", cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, capture_output=False)
        assert result.returncode == 2
        assert "No space left on device" in result.stderr
        assert len(result.stderr.splitlines()) == 1
        both = program("", "nonsense", cwd=tmp_path, stdout=full, stderr=full, capture_output=False)
        assert both.returncode == 2


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)], ids=str)
def test_closed_streams(tmp_path: Path, work: Path, closed: tuple[int, ...]) -> None:
    """Nothing that is opened later may be taken for one of them."""

    def close() -> None:
        for descriptor in closed:
            os.close(descriptor)

    result = program("", "generate", work, cwd=tmp_path, preexec_fn=close)
    assert result.returncode == 0, result
    WorkFolder(work).current_bundle()
    assert program("", "generate", "nowhere", cwd=tmp_path, preexec_fn=close).returncode == 2


# --- signals


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signals_clean_up(work: Path, number: signal.Signals, code: int) -> None:
    before = listing(work.parent)
    process = halfway(work)
    process.send_signal(number)
    _, errors = process.communicate(timeout=HANG_S)
    assert process.returncode == code
    assert errors == ""
    assert listing(work.parent) == before


def test_an_ignored_signal_stays_ignored(work: Path) -> None:
    """An ignored signal stays ignored, as SIGHUP under ``nohup``."""
    patient = HALFWAY.replace("signal.pause()", "signal.sigtimedwait([signal.SIGUSR1], 600)")
    process = halfway(work, "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])" + patient,
                      lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))  # fmt: skip
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGUSR1)
    process.communicate(timeout=HANG_S)
    assert process.returncode == 0


def test_what_a_killed_command_leaves_is_swept_by_the_next(dnn2fpga: Run, work: Path) -> None:
    before = listing(work)
    process = halfway(work)
    process.kill()
    process.communicate(timeout=HANG_S)
    assert len(listing(work)) > len(before), "the test would show nothing"
    assert dnn2fpga("build", work, "--board", "nonesuch").code == 2
    assert listing(work) == before


def alive(pid: int) -> bool:
    """Return whether a process has not ended yet; a zombie counts as ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def endless(tmp_path: Path) -> Iterator[Path]:
    """A folder of tools that never end; ``pids`` has their numbers."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("g++", "yosys"):
        (tools / name).write_text(f"#!/bin/sh\necho $$ >> {tools}/pids\nsleep 600 &\necho $! >> {tools}/pids\nwait\n")
        (tools / name).chmod(0o755)
    yield tools
    for pid in (tools / "pids").read_text().split() if (tools / "pids").exists() else ():
        if alive(int(pid)):
            os.kill(int(pid), signal.SIGKILL)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
@pytest.mark.parametrize("command", [pytest.param("verify", marks=pytest.mark.simulation), "synthesize"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_tool_outlives_the_command(work: Path, endless: Path, command: str, number: signal.Signals) -> None:
    environment = os.environ | {"PATH": f"{endless}:{os.environ['PATH']}", "TMPDIR": str(work.parent / "temporary")}
    (work.parent / "temporary").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, command, str(work)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hears_signals,
    )
    pids: list[int] = []
    while len(pids) < 2:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
        pids = [int(pid) for pid in (endless / "pids").read_text().split()] if (endless / "pids").exists() else []
    process.send_signal(number)
    _, errors = process.communicate(timeout=HANG_S)
    assert "Traceback" not in errors
    if number == signal.SIGTERM:
        assert process.returncode == 143
        assert not any(alive(pid) for pid in pids)
        assert not list((work.parent / "temporary").iterdir())
    while any(alive(pid) for pid in pids):  # nobody waits for them any more: the test would hang
        time.sleep(0.05)


# --- two at a time


def test_two_commands_in_one_folder(dnn2fpga: Run, work: Path) -> None:
    process = halfway(work)
    try:
        for arguments in (
            ["generate", work],
            ["verify", work],
            ["build", work, "--board", "pynq_z2"],
            ["demo", "-o", work],
        ):
            outcome = dnn2fpga(*arguments)
            assert outcome.code == 2
            assert re.fullmatch(
                rf"error: \S+: '.* generate {work}' \(process {process.pid}\) is at work there; "
                r"wait until it has ended\n",
                outcome.err,
            ), outcome.err
        assert dnn2fpga("boards").code == 0
        assert process.poll() is None
    finally:
        process.terminate()
        process.communicate(timeout=HANG_S)
    assert dnn2fpga("generate", work).code == 0


def test_a_second_program_on_the_serial_port() -> None:
    master, slave = os.openpty()
    name = os.ttyname(slave)
    refusal = pytest.raises(UserError, match=f"{name}: another program uses it")
    with open_port(name, 115_200), refusal, open_port(name, 115_200):
        pytest.fail("two have it")
    with open_port(name, 115_200):
        pass
    os.close(master)
    os.close(slave)
