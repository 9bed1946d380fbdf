"""Run the command line thousands of times: this process imports the program once and forks for every trial.

Every trial has a folder of its own with ``work`` (where it runs), ``tmp`` and ``home``. Memory is counted from the
moment of the fork, so importing is no part of it.
"""

from __future__ import annotations

import importlib
import io
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .seeds import ROOT
from .trial import HANGS, Outcome, Trial, listing

ADDRESS_SPACE = 24 << 30  # a guard for this machine; WebAssembly reserves much, and uses little of it
WAIT = 0.002
CACHE = ROOT / "build" / "robustness" / "cache"  # of compiled tools, for all trials
OWN_FILES = ("stdout", "stderr", "memory", "end")  # of a trial: what it says, its memory at the start, when it ended
# Imported before the first fork; not what only training needs.
OURS = {"dnn2fpga", "rtl_lib", "numpy", "h5py", "yaml", "pydantic", "rich", "typer", "matplotlib", "amaranth"}


@dataclass
class _Running:
    trial: Trial
    folder: Path
    pid: int
    before: dict[str, tuple[int, int] | None]
    start: float


class ForkServer:
    """Runs trials in ``folder``, at most ``jobs`` at a time."""

    def __init__(self, folder: Path, jobs: int = 1) -> None:
        self.folder, self.jobs = folder, jobs
        self.started = 0

    def warm_up(self, trial: Trial) -> None:
        """Imports here what a first run of ``trial`` imports."""
        names = self.folder / "imported"
        os.environ["ROBUSTNESS_IMPORTED"] = str(names)
        try:
            self.run(trial)
        finally:
            del os.environ["ROBUSTNESS_IMPORTED"]
        for name in names.read_text(encoding="utf-8").split():
            if name.split(".")[0] in OURS and "keras" not in name:
                importlib.import_module(name)
        names.unlink()

    def run(self, trial: Trial) -> Outcome:
        return next(iter(self.run_all([trial])))[1]

    def run_all(self, trials: Iterable[Trial]) -> Iterator[tuple[Trial, Outcome, Path]]:
        """Outcomes as they come, each with the folder it ran in, which is removed afterwards."""
        running: list[_Running] = []
        waiting = iter(trials)
        trial = next(waiting, None)
        while running or trial:
            while trial and len(running) < self.jobs:
                running.append(self._start(trial))
                trial = next(waiting, None)
            for one in list(running):
                if (outcome := _ended(one)) is not None:
                    running.remove(one)
                    yield one.trial, outcome, one.folder
                    shutil.rmtree(one.folder, ignore_errors=True)
            time.sleep(WAIT)

    def _start(self, trial: Trial) -> _Running:
        folder = self.folder / f"trial_{self.started}"
        self.started += 1
        for name in ("work", "tmp", "home"):
            (folder / name).mkdir(parents=True)
        trial.make(folder / "work")
        before = listing(folder)
        sys.stdout.flush()
        sys.stderr.flush()
        start = time.monotonic()
        pid = os.fork()
        if pid == 0:
            _child(trial.arguments, folder)
        return _Running(trial, folder, pid, before, start)


def _ended(running: _Running) -> Outcome | None:
    """None while it runs."""
    pid, status, usage = os.wait4(running.pid, os.WNOHANG)
    if pid == 0:
        if time.monotonic() - running.start < HANGS:
            return None
        os.killpg(running.pid, signal.SIGKILL)
        pid, status, usage = os.wait4(running.pid, 0)
    folder = running.folder
    out, err, at_start, end = (_text(folder / name) for name in OWN_FILES)
    for name in OWN_FILES:
        (folder / name).unlink(missing_ok=True)
    seconds = seconds_of(usage, float(end or time.monotonic()) - running.start)
    after = listing(folder)
    places = ("work", "tmp")  # what libraries cache in the home folder is none of a command's results
    return Outcome(
        code=os.waitstatus_to_exitcode(status),
        out=out,
        err=err,
        logs=hidden_logs(folder / "home") + hidden_logs(folder / "tmp"),
        seconds=seconds,
        bytes=max(0, usage.ru_maxrss - int(at_start or 0)) << 10,
        new=frozenset(p for p, s in after.items() if p.startswith(places) and running.before.get(p, 0) != s),
        gone=frozenset(p for p in running.before.keys() - after.keys() if p.startswith(places)),
    )


def seconds_of(usage: resource.struct_rusage, on_the_clock: float) -> float:
    """Processor time, which other programs on the machine do not lengthen; of what hangs, the time on the clock."""
    return on_the_clock if on_the_clock > HANGS else usage.ru_utime + usage.ru_stime


def hidden_logs(home: Path) -> str:
    """The text of everything that a program has left in its home folder and that looks like a log."""
    return "".join(_text(file) for file in home.rglob("*") if file.is_file() and file.suffix in (".log", ".txt"))


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""


def _child(arguments: Iterable[str], folder: Path) -> None:
    """The program in a process of its own; never returns."""
    code = 70
    try:
        os.setsid()
        os.chdir(folder / "work")
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.stdout, sys.stderr = (
            io.TextIOWrapper(io.FileIO(number, "w"), encoding="utf-8", write_through=True) for number in (1, 2)
        )
        os.environ.update(HOME=str(folder / "home"), TMPDIR=str(folder / "tmp"), COLUMNS="200")
        os.environ["XDG_CACHE_HOME"] = str(CACHE)
        for name in ("XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
            os.environ.pop(name, None)
        tempfile.tempdir = None
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
        (folder / "memory").write_text(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
        sys.argv = ["dnn2fpga", *arguments]
        code = _exit_code()
        if names := os.environ.get("ROBUSTNESS_IMPORTED"):
            Path(names).write_text(" ".join(sys.modules), encoding="utf-8")
        (folder / "end").write_text(str(time.monotonic()))
    finally:
        os._exit(code)


def _exit_code() -> int:
    """Return the exit code that the interpreter would end the program with."""
    from dnn2fpga.cli.app import main

    try:
        main()
    except SystemExit as end:
        if isinstance(end.code, int | None):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0
