"""Runs of the command line (conftest.py has the fixture that makes them)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


Run = Callable[..., Outcome]


def listing(folder: Path) -> dict[str, tuple[int, int] | None]:
    """Everything below a folder, hidden files too; files with size and time."""
    return {
        str(path.relative_to(folder)): None if path.is_dir() else (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
    }


def refused(run: Run, folder: Path, *arguments: object) -> str:
    """Runs a command that must be refused; returns the messages."""
    before = listing(folder)
    outcome = run(*arguments)
    assert outcome.code == 2, outcome
    assert "Traceback" not in outcome.err
    assert listing(folder) == before, "something was written"
    lines = outcome.err.strip().splitlines()
    assert lines
    assert all(line.startswith("error: ") for line in lines), outcome.err
    return outcome.err
