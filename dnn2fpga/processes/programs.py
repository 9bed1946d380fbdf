"""Start of other programs: simulators, synthesis, compilers. None outlives us, nor does what it has started."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from dnn2fpga.errors import UserError
from dnn2fpga.processes.interrupts import undisturbed

GRACE_S = 5  # for a program to tidy up before it is killed
GUARD = ("/bin/sh", "-c", 'read -r _; kill -KILL "-$0"')  # ends the group $0 when its input is closed


@undisturbed
def started(
    command: Sequence[str | Path],
    *,
    folder: Path | None = None,
    scratch: Path | None = None,
    stdin: int = subprocess.DEVNULL,
    stdout: int | IO[Any] = subprocess.PIPE,
    stderr: int | IO[Any] = subprocess.PIPE,
) -> Iterator[subprocess.Popen[str]]:
    """A running program; when the block ends, however it ends, so do the program and all its children. So they do when
    this process is killed.

    :param folder: where it runs.
    :param scratch: where it shall put its temporary files.
    :raises UserError: when it cannot be started.
    """
    environment = os.environ | ({"TMPDIR": str(scratch.absolute())} if scratch else {})
    try:
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=folder,
            env=environment,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # a group of its own, which can be ended as a whole
        )
    except OSError as error:
        raise UserError(f"{command[0]}: cannot be started: {error.strerror or error}") from error
    with process:
        try:
            with _guarded(process.pid):
                yield process
        finally:
            if process.poll() is None:
                _end(process)


@contextmanager
def _guarded(group: int) -> Iterator[None]:
    """Another process waits until a pipe is closed that only we hold: by our end, even if we are killed."""
    guard = subprocess.Popen(
        [*GUARD, str(group)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # no key that is meant for us reaches it
    )
    with guard:
        try:
            yield
        finally:
            guard.kill()  # before its input is closed: the group may be somebody else's by then


def run_program(
    command: Sequence[str | Path],
    *,
    folder: Path | None = None,
    scratch: Path | None = None,
    timeout_s: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and return its output; see ``started``.

    :raises subprocess.TimeoutExpired: when it takes longer than ``timeout_s``.
    """
    with started(command, folder=folder, scratch=scratch) as process:
        out, err = process.communicate(timeout=timeout_s)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def ending(code: int) -> str:
    """Return the meaning of an exit code, in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    hint = ", perhaps because the memory ran out" if -code == signal.SIGKILL else ""
    return f"was ended by signal {-code} ({signal.strsignal(-code)}){hint}"


def _end(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_S)
    with suppress(ProcessLookupError):  # also what has outlived its parent
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
