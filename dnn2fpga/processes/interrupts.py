"""Signals that end the program: they become exceptions, so that all that is open on the way is closed, killed, removed.

They come between any two lines. What must be done as a whole, and undone as a whole, is a context of ``undisturbed``.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from types import FrameType
from typing import NoReturn, ParamSpec, TypeVar

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
Given = ParamSpec("Given")
Made = TypeVar("Made")

_depth = 0  # more than 0: signals wait
_waiting: list[int] = []


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Signals raise ``KeyboardInterrupt`` or ``SystemExit``. Ignored ones, as SIGHUP under ``nohup``, stay ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in ENDING}
    for number in ENDING:
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, _arrived)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def undisturbed(
    generator: Callable[Given, Iterator[Made]],
) -> Callable[Given, AbstractContextManager[Made]]:
    """Like ``contextmanager``, but signals wait while the context is entered and while it is left. Those that come in
    between reach the block.
    """
    make = contextmanager(generator)

    @contextmanager
    @wraps(generator)
    def context(*args: Given.args, **kwargs: Given.kwargs) -> Iterator[Made]:
        with _deeper(1), make(*args, **kwargs) as made, _deeper(-1):
            yield made

    return context


@contextmanager
def _deeper(by: int) -> Iterator[None]:
    global _depth
    _depth += by
    try:
        _let_through()
        yield
    finally:
        _depth -= by
        _let_through()


def _let_through() -> None:
    if _waiting and not _depth:
        _end(_waiting.pop())


def _arrived(number: int, frame: FrameType | None) -> None:
    if _depth:
        _waiting[:] = [number]  # one is enough
    else:
        _end(number)


def _end(number: int) -> NoReturn:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    for one in ENDING[1:]:  # once is enough: another would disturb the cleaning up
        signal.signal(one, signal.SIG_IGN)
    raise SystemExit(128 + number)
