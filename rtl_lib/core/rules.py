"""The helpers that the rules of timing models are made of.

Rules are plain functions of integers, which a trace compiles; they run uncompiled too. A *line* is a pipeline within a
model's state: ``latency`` registers that move together, whenever the last one is empty or taken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

FOREVER = 1 << 60  # cycles


class State(Protocol):
    """A row of integers: a list, or compiled a pointer."""

    def __getitem__(self, place: int, /) -> int: ...
    def __setitem__(self, place: int, value: int, /) -> None: ...


Rule = TypeVar("Rule", bound=Callable[..., int])
helpers: set[Callable[..., int]] = set()


def helper(rule: Rule) -> Rule:
    """Marks a function that rules call by its name."""
    helpers.add(rule)
    return rule


# The registers are a ring, of which the one at the output moves; what leaves it makes place for what enters.
LATENCY, OUTPUT, OCCUPIED, RING = range(4)


def line(latency: int) -> list[int]:
    """The state of an empty line."""
    if latency < 1:
        raise ValueError(f"a line must have at least one register, not {latency}")
    return [latency, 0, 0] + [0] * latency


@helper
def line_valid(s: State, at: int) -> int:
    """Return whether the last register holds a beat.

    :param at: where in the state the line begins.
    """
    return s[at + RING + s[at + OUTPUT]]


@helper
def line_ready(s: State, at: int, output_ready: int) -> int:
    return output_ready | (1 - line_valid(s, at))


@helper
def line_moves(s: State, at: int, enters: int, output_ready: int, cycles: int) -> int:
    """The clock edge.

    :param enters: whether a beat does, if the line is ready.
    :returns: for how many cycles more nothing happens at its end, while nothing enters.
    """
    output = s[at + OUTPUT]
    if s[at + RING + output] and not output_ready:
        return FOREVER
    s[at + OCCUPIED] += enters - s[at + RING + output]
    s[at + RING + output] = enters
    latency = s[at + LATENCY]
    output = (output + cycles) % latency
    s[at + OUTPUT] = output
    if s[at + OCCUPIED] == 0:
        return FOREVER
    distance = 0
    while s[at + RING + output] == 0:
        output = output + 1 if output + 1 < latency else 0
        distance += 1
    return distance - 1 if distance > 0 else 0
