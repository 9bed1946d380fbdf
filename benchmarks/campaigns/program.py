"""Runs the real program, in a process and with a surrounding of its own."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .forked import CACHE, hidden_logs, seconds_of
from .seeds import ROOT
from .trial import Outcome, listing

COMMAND = (sys.executable, "-c", "from dnn2fpga.cli.app import main; main()")
PLAIN = {"PATH", "LANG", "LC_ALL", "PYTHONPATH", "MAKEFLAGS", "VIRTUAL_ENV", "YOWASP_CACHE_DIR"}
LIBC, DROP_CAPABILITY = ctypes.CDLL(None), 24  # of prctl: what the program may not get back when it starts
LONGEST = 600.0  # seconds: a bound against hanging


@dataclass(frozen=True, kw_only=True)
class Surrounding:
    """The surrounding of a process; all as usual by default.

    :param environment: more variables; None removes one.
    :param wrapper: a command that starts the program.
    :param limits: of ``resource``, by their numbers.
    :param streams: other files for stdin, stdout, stderr; None: closed.
    :param plain_user: without the superuser's rights, where it is he who runs this.
    """

    environment: Mapping[str, str | None] = field(default_factory=dict)
    wrapper: tuple[str, ...] = ()
    limits: Mapping[int, int] = field(default_factory=dict)
    streams: Mapping[int, str | None] = field(default_factory=dict)
    plain_user: bool = False
    command: tuple[str, ...] = COMMAND


USUAL = Surrounding()


class Program:
    """A run of the program in ``folder / "work"``, with ``home`` and ``tmp`` beside it."""

    def __init__(self, arguments: Sequence[str | bytes], folder: Path, around: Surrounding = USUAL) -> None:
        self.folder = folder
        for name in ("work", "home", "tmp"):
            (folder / name).mkdir(exist_ok=True)
        self.before = listing(folder)
        self.files = {number: folder / name for number, name in ((1, "stdout"), (2, "stderr"))}
        streams = [self._stream(number, around) for number in (0, 1, 2)]
        self.start = time.monotonic()
        self.process = subprocess.Popen(
            [*around.wrapper, *around.command, *arguments],
            cwd=folder / "work",
            env=_environment(folder, around),
            stdin=streams[0],
            stdout=streams[1],
            stderr=streams[2],
            start_new_session=True,
            preexec_fn=_prepared(around),
        )
        for stream in streams:
            stream.close()

    def _stream(self, number: int, around: Surrounding) -> Any:
        name = around.streams.get(number) or (str(self.files[number]) if number else os.devnull)
        return open(name, "rb" if number == 0 else "wb")

    @property
    def runs(self) -> bool:
        """Return whether it has not ended yet; its end is left for ``outcome`` to find."""
        return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def kill(self, number: int = signal.SIGKILL, *, alone: bool = False) -> None:
        """Send a signal to the program; SIGKILL also to all that it has started, but for ``alone``."""
        if self.runs:
            (os.kill if alone or number != signal.SIGKILL else os.killpg)(self.process.pid, number)

    def outcome(self, timeout: float = LONGEST) -> Outcome:
        """Wait for the end of the program."""
        code, usage = self._wait(timeout)
        seconds = seconds_of(usage, time.monotonic() - self.start)
        out, err = (_read(self.files[number]) for number in (1, 2))
        for file in self.files.values():
            file.unlink(missing_ok=True)
        after = listing(self.folder)
        places = ("work", "tmp")
        return Outcome(
            code=code,
            out=out,
            err=err,
            logs=hidden_logs(self.folder / "home") + hidden_logs(self.folder / "tmp"),
            seconds=seconds,
            bytes=usage.ru_maxrss << 10,
            new=frozenset(p for p, s in after.items() if p.startswith(places) and self.before.get(p, 0) != s),
            gone=frozenset(p for p in self.before.keys() - after.keys() if p.startswith(places)),
        )

    def _wait(self, timeout: float) -> tuple[int, resource.struct_rusage]:
        while True:
            pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
            if pid:
                self.process.returncode = os.waitstatus_to_exitcode(status)
                return self.process.returncode, usage
            if time.monotonic() - self.start > timeout:
                os.killpg(self.process.pid, signal.SIGKILL)
            time.sleep(0.01)


def run(
    arguments: Sequence[str | bytes], folder: Path, around: Surrounding = USUAL, timeout: float = LONGEST
) -> Outcome:
    return Program(arguments, folder, around).outcome(timeout)


def _environment(folder: Path, around: Surrounding) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in PLAIN}
    own = {"HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp"), "COLUMNS": "200"}
    own |= {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(CACHE)}
    return {name: value for name, value in (kept | own | dict(around.environment)).items() if value is not None}


def _prepared(around: Surrounding) -> Callable[[], None]:
    def prepare() -> None:
        for kind, limit in around.limits.items():
            resource.setrlimit(kind, (limit, limit))
        for number, name in around.streams.items():
            if name is None:
                os.close(number)
        if around.plain_user and os.geteuid() == 0:
            for capability in range(64):
                LIBC.prctl(DROP_CAPABILITY, capability, 0, 0, 0)

    return prepare


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
