"""Stall patterns: in which cycles a source offers nothing and a sink accepts nothing.

Both simulations (`testbench.py` and `bulk.cpp`) draw the same patterns from the same generator: a seed means the same
in both. Every port has a generator of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

MASK = 0xFFFFFFFF
LONGEST_BURST = 128

# how the sources and the sinks stall under each named pattern
PATTERNS = {
    "none": ("never", "never"),
    "source": ("random", "never"),
    "sink": ("never", "random"),
    "random": ("random", "random"),
    "burst": ("burst", "burst"),
    "full": ("never", "full"),
    "starve": ("turns", "never"),
    "refuse": ("never", "turns"),
}


class Xorshift32:
    """Marsaglia's 32-bit xorshift generator: four lines in Python and in C++ alike."""

    def __init__(self, seed: int) -> None:
        # an odd multiplier spreads neighbouring seeds apart; the state must not be 0
        self._state = ((seed + 1) * 0x9E3779B1) & MASK or 1
        for _ in range(8):
            self.next()

    def next(self) -> int:
        """The next 32-bit number."""
        x = self._state
        x ^= (x << 13) & MASK
        x ^= x >> 17
        x ^= (x << 5) & MASK
        self._state = x
        return x


@dataclass(frozen=True)
class StallPattern:
    """A named pattern with its seed; two equal patterns stall in the same cycles."""

    name: str
    seed: int

    def __post_init__(self) -> None:
        if self.name not in PATTERNS:
            raise ValueError(f"a stall pattern must be one of {', '.join(PATTERNS)}, not {self.name!r}")

    def source(self, port: int) -> Iterator[bool]:
        """Yield for every cycle in which the source of an input has nothing on offer whether it keeps waiting."""
        return stalls(PATTERNS[self.name][0], 2 * self._of(port))

    def sink(self, port: int, interval: int, idle: Callable[[], int]) -> Iterator[bool]:
        """Yield for every cycle whether the sink of an output refuses.

        `idle()`: for how many cycles nothing has entered the design.
        """
        how, seed = PATTERNS[self.name][1], 2 * self._of(port) + 1
        return until_full(seed, interval, idle) if how == "full" else stalls(how, seed)

    def turns(
        self, inputs: int, outputs: int, interval: int, rest: Callable[[], int]
    ) -> Iterator[tuple[int | None, int | None]]:
        """Yield for every cycle the input whose source offers nothing, and the output whose sink refuses, if one has
        to.

        `rest()`: for how many cycles no beat has passed anywhere.
        """
        source, sink = PATTERNS[self.name]
        if source == "turns":
            return ((port, None) for port in until_rest(2 * self.seed, inputs, interval, rest))
        if sink == "turns":
            return ((None, port) for port in until_rest(2 * self.seed + 1, outputs, interval, rest))
        return iter(lambda: (None, None), None)

    def _of(self, port: int) -> int:
        return self.seed + (port << 16)


def stalls(how: str, seed: int) -> Iterator[bool]:
    """An endless series of stall decisions: `random` (one half), `burst` (long runs of both kinds), otherwise never."""
    generator = Xorshift32(seed)
    if how == "random":
        while True:
            yield generator.next() >= 0x80000000
    while how != "burst":
        yield False
    while True:
        for stalled in (False, True):
            # of all sizes: short ones too, so that a small design meets several
            longest = 1 << generator.next() % LONGEST_BURST.bit_length()
            for _ in range(1 + generator.next() % longest):
                yield stalled


def until_full(seed: int, interval: int, idle: Callable[[], int]) -> Iterator[bool]:
    """Refuse until nothing has entered the design for more than an interval: then every layer is held up. Accept for
    some cycles, and refuse again.

    Short stalls never reach the first layers of a design that produces one beat in a thousand cycles.
    """
    generator = Xorshift32(seed)
    while True:
        while idle() <= interval:
            yield True
        for _ in range(1 + generator.next() % (2 * interval)):
            yield False


def until_rest(seed: int, ports: int, interval: int, rest: Callable[[], int]) -> Iterator[int | None]:
    """Yield the port that stalls while all others continue: until no beat has passed anywhere for more than an
    interval. Then none stalls for some cycles, and it is the turn of the next port.

    Every join then waits for each of its inputs while the others are full, and every fork for each of its readers.
    """
    generator = Xorshift32(seed)
    while True:
        for port in range(ports):
            while rest() <= interval:
                yield port
            for _ in range(1 + generator.next() % (2 * interval)):
                yield None
