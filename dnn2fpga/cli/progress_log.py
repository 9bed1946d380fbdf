"""Progress where there is no terminal: a line when an activity begins, one now and then, and one when it has ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta

from rich.console import Console

EVERY_S = 20.0  # between two lines of one activity


@dataclass
class _Activity:
    name: str
    begun: float = field(default_factory=lambda: time.monotonic())
    done: int = 0
    of: int = 1
    news: str = ""

    @property
    def ended(self) -> bool:
        return self.done >= self.of

    def line(self) -> str:
        seconds = time.monotonic() - self.begun
        parts = [f"{self.done:,} of {self.of:,}"] if self.of > 1 else []
        if self.ended:
            parts.append(f"done in {_time(seconds)}")
        else:
            parts += [f"{self.done / self.of:.0%}"] if self.done else []
            parts += [f"{_time(seconds)} so far"]
            parts += [f"{_time(seconds / self.done * (self.of - self.done))} left"] if self.done else []
            parts += [self.news] if self.news else []
        return f"{self.name}: {', '.join(parts)}"


class ProgressLog:
    """Prints the lines; a thread of its own prints those of an activity that does not say how far it is."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._activities: dict[str, _Activity] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()

    def show(self, what: str, done: int, of: int, news: str = "") -> None:
        """Note how far an activity is; the first time it begins, and with ``done`` equal to ``of`` it ends."""
        with self._lock:
            activity = self._activities.get(what)
            if activity is None or (activity.ended and done < of):  # some are begun again and again
                activity = self._activities[what] = _Activity(what)
                self._print(f"{what} ...")
            elif activity.ended:
                return
            activity.done, activity.of, activity.news = done, of, news or activity.news
            if activity.ended:
                self._print(activity.line())

    def report(self) -> None:
        """Say how far everything is that has not ended."""
        with self._lock:
            for activity in self._activities.values():
                if not activity.ended:
                    self._print(activity.line())

    @contextmanager
    def running(self) -> Iterator[None]:
        """Report every ``EVERY_S`` seconds while the block lasts."""
        thread = threading.Thread(target=self._now_and_then, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _now_and_then(self) -> None:
        while not self._over.wait(EVERY_S):
            with suppress(OSError):  # the next line of the main thread meets it, too
                self.report()

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, soft_wrap=True)


def _time(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
