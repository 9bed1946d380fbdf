"""Accidents at every step of some work: a kill, an interrupt, an error just before the n-th change of the disk."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

MOST_STEPS = 2_000
CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link"}
UNHARMED, HARMED = 0, 1

Counts = Callable[[str, tuple[Any, ...]], bool]  # an audit event of the interpreter, or LINE and the file it is in
LINE = "line"


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def interrupted() -> None:
    raise KeyboardInterrupt


def terminated() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def refused() -> None:
    raise OSError(errno.EIO, "Input/output error")


def full_disk() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def changes_the_disk(event: str, given: tuple[Any, ...]) -> bool:
    if event == "open":
        return isinstance(given[2], int) and bool(given[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    return event in CHANGES


def takes_space(event: str, given: tuple[Any, ...]) -> bool:
    return event not in {"os.remove", "os.rmdir", "os.rename"} and changes_the_disk(event, given)


def renames(event: str, given: tuple[Any, ...]) -> bool:
    return event == "os.rename"


def lines_of(*names: str) -> Counts:
    """Every line of these files of Python that is run."""
    return lambda event, given: event == LINE and Path(given[0]).name in names


def _in_a_process(
    work: Callable[[], None], accident: Callable[[], None], step: int, lasts: bool, counts: Counts
) -> bool:
    """Return whether the work, in a process of its own, came to its end."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == UNHARMED
    seen = 0

    def watch(event: str, given: tuple[Any, ...]) -> None:
        nonlocal seen
        if counts(event, given):
            seen += 1
            if seen == step or (lasts and seen > step):
                accident()

    def watch_lines(frame: FrameType, event: str, _: Any) -> Any:
        if not counts(LINE, (frame.f_code.co_filename,)):
            return None
        if event == LINE:
            watch(LINE, (frame.f_code.co_filename,))
        return watch_lines

    sys.addaudithook(watch)
    sys.settrace(watch_lines)
    came_through = False
    with suppress(BaseException):  # it is gone after this, with all that its traceback refers to
        work()
        came_through = seen < step
    os._exit(UNHARMED if came_through else HARMED)


def at_every_step(
    accident: Callable[[], None],
    prepared: Callable[[int], Path],
    work: Callable[[Path], None],
    *,
    lasts: bool = False,
    counts: Counts = changes_the_disk,
) -> Iterator[Path]:
    """The folder in which the accident has happened, for the first step of ``work``, the second, and so on.

    :param prepared: makes the folder for a step.
    :param lasts: happens at all later steps, too.
    :param counts: what is a step: ``changes_the_disk``, ``takes_space``, ``renames`` or ``lines_of``.
    """
    for step in range(1, MOST_STEPS):
        folder = prepared(step)
        if _in_a_process(lambda folder=folder: work(folder), accident, step, lasts, counts):  # type: ignore[misc]
            return
        yield folder
    raise AssertionError(f"the work has more than {MOST_STEPS} steps")
