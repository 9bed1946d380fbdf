"""Signals end the program as exceptions, but neither while a context is entered nor while it is left."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from dnn2fpga.processes.interrupts import ENDING, ended_by_signals, undisturbed

steps: list[str] = []


def nothing() -> None:
    pass


@undisturbed
def resource(entering: Callable[[], None], leaving: Callable[[], None]) -> Iterator[str]:
    """A context that notes how far it is."""
    entering()
    steps.append("entered")
    try:
        yield "resource"
    finally:
        leaving()
        steps.append("left")


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """Even if whoever runs the tests ignores them; as before afterwards."""
    steps.clear()
    before = [signal.signal(number, signal.SIG_DFL) for number in ENDING]
    yield
    for number, handler in zip(ENDING, before, strict=True):
        signal.signal(number, handler)


def sender(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


def run(entering: Callable[[], None] = nothing, block: Callable[[], None] = nothing,
        leaving: Callable[[], None] = nothing) -> None:  # fmt: skip
    with ended_by_signals():
        with resource(entering, leaving):
            steps.append("block")
            block()
            steps.append("end of block")
        steps.append("after")


@pytest.mark.parametrize("number", ENDING)
@pytest.mark.parametrize(
    ("when", "reached"),
    [
        ("block", ["entered", "block", "left"]),  # at once
        ("entering", ["entered", "left"]),  # when the context is entered
        ("leaving", ["entered", "block", "end of block", "left"]),  # when it is left
    ],
)
def test_when_a_signal_ends_the_program(number: signal.Signals, when: str, reached: list[str]) -> None:
    with pytest.raises((KeyboardInterrupt, SystemExit)) as end:
        run(**{when: sender(number)})
    assert steps == reached
    assert end.type is KeyboardInterrupt if number == signal.SIGINT else end.value.args == (128 + number,)


def test_signals_wait_too_in_the_block_of_a_context_inside_of_one_that_is_entered() -> None:
    def entering() -> None:
        with resource(nothing, nothing):
            sender(signal.SIGTERM)()
            steps.append("reached")

    with pytest.raises(SystemExit):
        run(entering=entering)
    assert steps == ["entered", "reached", "left", "entered", "left"]


def test_an_ignored_signal_stays_ignored_and_handlers_come_back() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    run(block=sender(signal.SIGHUP))
    assert steps[-1] == "after"
    assert [signal.getsignal(number) for number in ENDING] == [signal.SIG_DFL, signal.SIG_DFL, signal.SIG_IGN]
