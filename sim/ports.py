"""The environment of a simulated design: a source at every input, a sink at every output, a probe at every boundary."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from bundle import Boundary, OutputPort, Port
from checks import UNSTABLE, Checker


class Source:
    """Offers the beats of an input port: with noise in all bits that are to be ignored, if told so."""

    def __init__(self, dut: Any, port: Port, words: list[int], noise: random.Random) -> None:
        self._port, self._words, self._noise = port, words, noise
        self._tdata, self._tvalid, self._tready, self._tlast = _signals(dut, port)
        self._used_bits = port.pack([(1 << port.width) - 1] * port.lanes, port.lane_bits)
        self._stalls: Iterator[bool] = iter(())
        self._total, self._sent, self._noisy, self._offering = 0, 0, False, False

    def reset(self) -> None:
        """Offer nothing."""
        self._tvalid.value = 0
        self._tdata.value = 0
        self._tlast.value = 0

    def start(self, frames: int, stalls: Iterator[bool], *, noisy: bool) -> None:
        """Begin to send."""
        self._total, self._sent, self._offering = frames * self._port.beats, 0, False
        self._stalls, self._noisy = stalls, noisy

    def drive(self, *, starve: bool) -> None:
        """Set the signals of the next cycle. What is on offer stays until it is taken."""
        if self._offering:
            return
        if self._sent < self._total and not starve and not next(self._stalls):
            self._offering = True
            self._offer(self._words[self._sent % len(self._words)], (self._sent + 1) % self._port.beats == 0)
            return
        self._tvalid.value = 0
        if self._noisy:
            self._tdata.value = self._noise.getrandbits(self._port.tdata_bits)

    def _offer(self, word: int, tlast: bool) -> None:
        if self._noisy:
            tlast = bool(self._noise.getrandbits(1))
            word = (word & self._used_bits) | (self._noise.getrandbits(self._port.tdata_bits) & ~self._used_bits)
        self._tdata.value = word
        self._tlast.value = tlast
        self._tvalid.value = 1

    def sample(self) -> bool:
        """Is a beat taken in this cycle?"""
        taken = self._offering and bool(int(self._tready.value))
        if taken:
            self._sent, self._offering = self._sent + 1, False
        return taken


class Sink:
    """Takes the beats of an output port, and demands that what it refuses stays on offer."""

    def __init__(self, dut: Any, port: OutputPort, stream: int) -> None:
        self._axis, self._stream = port.axis, stream
        self._tdata, self._tvalid, self._tready, self._tlast = _signals(dut, port)
        self._stalls: Iterator[bool] = iter(())
        self._takes = False
        self._held: tuple[int, int] | None = None  # offered and not taken in the cycle before

    @property
    def is_valid(self) -> bool:
        """Is a beat on offer?"""
        return bool(int(self._tvalid.value))

    def reset(self) -> None:
        """Take nothing."""
        self._tready.value = 0

    def start(self, stalls: Iterator[bool]) -> None:
        """Begin to receive."""
        self._stalls, self._held = stalls, None

    def drive(self, *, refuse: bool) -> None:
        """Set the signal of the next cycle."""
        stalled = next(self._stalls)
        self._takes = not (refuse or stalled)
        self._tready.value = self._takes

    def sample(self, checker: Checker, cycle: int) -> None:
        """Check what is on offer."""
        word = (int(self._tdata.value), int(self._tlast.value)) if self.is_valid else None
        if self._held is not None and word is None:
            self._unstable(checker, cycle, f"{self._axis}_tvalid fell before {self._axis}_tready came")
        elif self._held is not None and word is not None and word != self._held:
            name = "tdata" if word[0] != self._held[0] else "tlast"
            self._unstable(checker, cycle, f"{self._axis}_{name} changed while it waited for {self._axis}_tready")
        checker.waiting[self._stream] = word is not None and not self._takes
        if word is not None and self._takes:
            checker.observe_output(self._stream, word[0], bool(word[1]), cycle)
        self._held = None if self._takes else word

    def _unstable(self, checker: Checker, cycle: int, detail: str) -> None:
        checker.blame(UNSTABLE, self._stream, cycle, detail=detail)


class Probe:
    """Looks at a boundary."""

    def __init__(self, network: Any, boundary: Boundary, *, shared: bool) -> None:
        self._stream = boundary.index
        self._valid, self._ready, self._payload = (
            find(network, boundary.signal(name)) for name in ("valid", "ready", "payload")
        )
        self._taken = find(network, boundary.signal("taken")) if shared else None

    def sample(self, checker: Checker, cycle: int) -> None:
        """Tell the checker whether a beat passes."""
        if not int(self._valid.value):
            checker.waiting[self._stream] = False
        elif int(self._ready.value):
            checker.observe(self._stream, int(self._payload.value), cycle)
        else:
            checker.wait(self._stream)

    def finish(self, checker: Checker, cycle: int) -> None:
        """Tell the checker what is on offer when the run ends."""
        if checker.waiting[self._stream]:
            taken = 0 if self._taken is None else int(self._taken.value)
            checker.left_waiting(self._stream, int(self._payload.value), taken, cycle)


class SignalMissing(Exception):
    """The design has no signal of that name."""


def find(module: Any, name: str) -> Any:
    """A signal of a module."""
    try:
        return getattr(module, name)
    except AttributeError:
        raise SignalMissing(name) from None


def _signals(dut: Any, port: Port) -> list[Any]:
    return [find(dut, f"{port.axis}_{name}") for name in ("tdata", "tvalid", "tready", "tlast")]
