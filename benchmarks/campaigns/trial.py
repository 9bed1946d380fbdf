"""One trial of a campaign, what came of it, and what may not come of any."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

SECONDS, BYTES = 5.0, 1 << 30  # what a refusal may take; a file that is still right is worked on for longer
HANGS = 60.0  # seconds after which a trial is ended
LONGEST_MESSAGE = 1 << 16
READ, REFUSED = 0, 2
RESULTS = (0, 1, 3)  # codes of commands that came to a result: fine, hardware differs, target missed
TRACE = "code-was-run"  # the file that hostile code in a trial's files writes if it is ever run


class Fault(StrEnum):
    """The faults that no trial may show; the values head the table of the page."""

    TRACEBACK = "tracebacks"
    EXIT_CODE = "exit codes other than allowed"
    CODE = "code of a file was run"
    SLOW = "over 5 s"
    MEMORY = "over 1 GiB"
    MESSAGE = "unclear messages"
    LEFTOVER = "something left behind"
    UNNOTICED = "tamperings unnoticed"
    RERUN = "wrong reruns"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One run of the command line on files made for it.

    :param kind: what was done to the files; trials are counted by it.
    :param name: unique, and the seed of what was done.
    :param make: writes the files into an empty folder, in which the command is run.
    :param opens: whether the file still opens as a zip or as HDF5.
    """

    kind: str
    name: str
    arguments: tuple[str, ...]
    make: Callable[[Path], None]
    opens: bool = False


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The end of a run. ``code`` is the exit code, negative for a signal; ``bytes`` the peak of memory beyond what
    importing the program needs; ``logs`` the text of the log files that it left in the home folder.
    """

    code: int
    out: str
    err: str
    logs: str = ""
    seconds: float = 0.0
    bytes: int = 0
    new: frozenset[str] = frozenset()  # paths that appeared or changed
    gone: frozenset[str] = frozenset()


def faults(outcome: Outcome, allowed: Collection[int] = (READ, REFUSED)) -> dict[Fault, str]:
    """Every fault of one run with the reason; none where it is as it must be."""
    found: dict[Fault, str] = {}
    for where, text in (("stdout", outcome.out), ("stderr", outcome.err), ("a log", outcome.logs)):
        if "Traceback (most recent call last)" in text:
            found[Fault.TRACEBACK] = f"{where}: {last_line(text)}"
    if outcome.code not in allowed:
        found[Fault.EXIT_CODE] = f"{outcome.code}: {last_line(outcome.err)}"
    if any(Path(path).name == TRACE for path in outcome.new):
        found[Fault.CODE] = "the file has run code"
    if outcome.code not in RESULTS and outcome.seconds > SECONDS:
        found[Fault.SLOW] = f"{outcome.seconds:.1f} s"
    if outcome.bytes > BYTES:
        found[Fault.MEMORY] = f"{outcome.bytes / BYTES:.2f} GiB"
    if outcome.code == REFUSED and (unclear := unclear_message(outcome.err)):
        found[Fault.MESSAGE] = unclear
    if outcome.code not in RESULTS and (outcome.new or outcome.gone):
        found[Fault.LEFTOVER] = ", ".join(sorted(outcome.new | outcome.gone)[:5])
    return found


def unclear_message(err: str) -> str:
    """Return why a refusal's message is not one clear line per problem; empty when it is."""
    if err.startswith("Usage: "):  # about the command line itself, as the library for it writes them
        return ""
    if not err.strip():
        return "no message"
    if len(err) > LONGEST_MESSAGE:
        return f"{len(err):,} characters"
    for line in err.splitlines():
        if not line.startswith("error: "):
            return f"a line without 'error: ': {line[:100]!r}"
        if not line.isprintable():
            return f"control characters: {line[:100]!r}"
    return ""


def last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1][:200]


def listing(folder: Path) -> dict[str, tuple[int, int] | None]:
    """Everything below a folder, hidden files too; files with size and time, folders with None."""
    found: dict[str, tuple[int, int] | None] = {}
    for parent, folders, files in os.walk(folder):
        where = Path(parent).relative_to(folder)
        found.update({str(where / name): None for name in folders})
        for name in files:
            status = (Path(parent) / name).lstat()
            found[str(where / name)] = (status.st_size, status.st_mtime_ns)
    return found


@dataclass
class Tally:
    """The counts of a campaign."""

    title: str
    outcomes: dict[str, Counter[str]] = field(default_factory=dict)  # by kind
    faults: list[tuple[str, Fault, str]] = field(default_factory=list)  # trial, fault, reason
    opened: int = 0
    slowest: float = 0.0
    largest: int = 0

    @property
    def trials(self) -> int:
        return sum(map(Counter.total, self.outcomes.values()))

    def add(self, kind: str, word: str, outcome: Outcome | None = None) -> None:
        self.outcomes.setdefault(kind, Counter())[word] += 1
        if outcome is not None:
            self.slowest = max(self.slowest, outcome.seconds)
            self.largest = max(self.largest, outcome.bytes)

    def fault(self, trial: str, found: dict[Fault, str]) -> None:
        self.faults += [(trial, fault, reason) for fault, reason in found.items()]
        for fault, reason in found.items():
            print(f"  {trial}: {fault}: {reason}", flush=True)

    def count(self, fault: Fault) -> int:
        return sum(one is fault for _, one, _ in self.faults)
