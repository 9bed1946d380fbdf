"""The lines of long work in a log file."""

from __future__ import annotations

import io
import re
import threading

import pytest
from rich.console import Console

from dnn2fpga.cli import progress_log
from dnn2fpga.cli.progress_log import ProgressLog
from dnn2fpga.cli.screen import progress_shown
from dnn2fpga.cli.step_progress import steps_shown

TIME = r"\d+:\d\d:\d\d"


class Lines(io.StringIO):
    """Tells when something was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Event()

    def write(self, text: str) -> int:
        self.written.set()
        return super().write(text)


def logged(lines: Lines) -> ProgressLog:
    return ProgressLog(Console(file=lines, width=40))


def test_beginning_middle_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = Lines()
    log = logged(lines)
    clock = iter([100.0, 110.0, 120.0])
    monkeypatch.setattr(progress_log.time, "monotonic", lambda: next(clock))
    log.show("training [a name in brackets]", 0, 30)
    log.show("training [a name in brackets]", 10, 30)
    log.report()
    log.show("training [a name in brackets]", 30, 30)
    log.report()
    assert lines.getvalue().splitlines() == [
        "training [a name in brackets] ...",
        "training [a name in brackets]: 10 of 30, 33%, 0:00:10 so far, 0:00:20 left",
        "training [a name in brackets]: 30 of 30, done in 0:00:20",
    ]


def test_what_does_not_say_how_far_it_is() -> None:
    lines = Lines()
    log = logged(lines)
    log.show("routing", 0, 1, "1,200 arcs left")
    log.report()
    assert re.fullmatch(rf"routing \.\.\.\nrouting: {TIME} so far, 1,200 arcs left\n", lines.getvalue())


def test_an_activity_can_begin_again() -> None:
    lines = Lines()
    log = logged(lines)
    for done in (0, 2, 2, 0, 2):
        log.show("calibrating", done, 2)
    assert [line.partition(",")[0] for line in lines.getvalue().splitlines()] == [
        "calibrating ...", "calibrating: 2 of 2", "calibrating ...", "calibrating: 2 of 2",
    ]  # fmt: skip


def test_a_line_comes_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_log, "EVERY_S", 0.01)
    lines = Lines()
    log = logged(lines)
    with log.running():
        log.show("routing", 0, 1)
        lines.written.clear()
        assert lines.written.wait(600)
    assert "so far" in lines.getvalue()


def test_without_a_terminal_the_commands_use_it(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_shown() as progress:
        progress("planning", 0, 1)
        progress("planning", 1, 1)
    lines = Lines()
    with steps_shown(Console(file=lines)) as shown:
        shown("synthesis", 0, 1)
        shown("synthesis", 1, 1)
    for out, name in ((capsys.readouterr().out, "planning"), (lines.getvalue(), "synthesis")):
        assert re.fullmatch(rf"{name} \.\.\.\n{name}: done in {TIME}\n", out)
