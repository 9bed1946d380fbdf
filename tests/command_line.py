"""Runs of the command line (conftest.py has the fixture that makes them)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HANG_S = 600  # a bound, not a measurement
MAIN = "from dnn2fpga.cli.app import main; main()"


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


Run = Callable[..., Outcome]


def program(before: str, *arguments: object, cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """The real program in a process of its own, after some Python."""
    return subprocess.run(
        [sys.executable, "-c", f"{before}\n{MAIN}", *map(str, arguments)],
        cwd=cwd,
        text=True,
        check=False,
        timeout=HANG_S,
        **({"capture_output": True} | options),
    )


def listing(folder: Path) -> dict[str, tuple[int, int] | None]:
    """Everything below a folder, hidden files too; files with size and time."""
    return {
        str(path.relative_to(folder)): None if path.is_dir() else (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
    }


def refused(run: Run, folder: Path, *arguments: object) -> str:
    """Run a command that must be refused; return the messages."""
    before = listing(folder)
    outcome = run(*arguments)
    assert outcome.code == 2, outcome
    assert "Traceback" not in outcome.err
    assert listing(folder) == before, "something was written"
    lines = outcome.err.strip().splitlines()
    assert lines
    assert all(line.startswith("error: ") for line in lines), outcome.err
    return outcome.err
