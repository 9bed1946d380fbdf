"""The checker: it compares what passes every stream with what must pass, and the cycles in which it does.

A layer's output depends only on what passed the streams before it in topological order (`network.py`), so the lowest
stream with a fault is that of the layer to blame: everything before it was right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bundle import Manifest
from network import Network
from stalls import LONGEST_BURST
from vector_files import Vectors, payloads, words

VALUE = "wrong value"
EXTRA = "extra beat"
MISSING = "missing beat"
DEADLOCK = "deadlock"
TLAST = "wrong tlast"
UNSTABLE = "unstable output"
RESET = "output valid in reset"
TIMING = "wrong timing"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """The first thing that went wrong in one stream. Frames and beats count from 0 at the start of the run."""

    kind: str
    stream: int
    frame: int
    beat: int
    cycle: int
    got: int | None = None
    detail: str = ""


class Checker:
    """Compares the beats of one run, from reset to its last frame, and measures in which cycles they pass."""

    def __init__(self, vectors: Vectors, frames: int, *, load: bool = True) -> None:
        self.vectors, self.frames, self.network = vectors, frames, Network(vectors.manifest)
        manifest = vectors.manifest
        # a bulk run has compared the beats already: it needs the judgement only, and its vectors may be large
        self._expected = [payloads(vectors, b.tensor) for b in manifest.boundaries] if load else []
        self._expected += [words(vectors, port) for port in manifest.outputs] if load else []
        self.beats = self.network.beats
        self.totals = [beats * frames for beats in self.beats]
        self.counts = [0] * len(self.totals)
        self.faults: list[Fault | None] = [None] * len(self.totals)
        self.first_cycles: list[int | None] = [None] * len(self.totals)
        self.last_cycles: list[list[int]] = [[] for _ in self.totals]
        self.waiting = [False] * len(self.totals)  # a beat is offered and not taken
        self.taken = [0] * len(self.totals)  # by which readers it was taken all the same, once the run is over
        self.waited_cycles = [0] * len(self.totals)
        self.progress_cycle = 0
        self.origin: int | None = None  # the cycle that the manifest calls 0: the first beat is taken at any input
        self._left = sum(self.totals)

    @property
    def complete(self) -> bool:
        """Has every expected beat of every stream come?"""
        return self._left == 0

    def is_complete(self, stream: int) -> bool:
        """Has every expected beat of a stream come?"""
        return self.counts[stream] == self.totals[stream]

    def entered(self, cycle: int) -> None:
        """A beat is taken at an input port."""
        if self.origin is None:
            self.origin = cycle

    def observe(self, stream: int, payload: int, cycle: int) -> None:
        """A beat passes a stream."""
        n = self.counts[stream]
        self.waiting[stream] = False
        if not self._compare(stream, payload, cycle):
            return
        if n == 0:
            self.first_cycles[stream] = cycle
        self.counts[stream] = n + 1
        self._left -= 1
        self.progress_cycle = cycle
        if (n + 1) % self.beats[stream] == 0:
            self.last_cycles[stream].append(cycle)

    def observe_output(self, stream: int, word: int, tlast: bool, cycle: int) -> None:
        """A beat passes an output port."""
        last_of_frame = (self.counts[stream] + 1) % self.beats[stream] == 0
        if tlast != last_of_frame:
            axis = self.vectors.manifest.outputs[stream - self.network.boundaries].axis
            self.blame(TLAST, stream, cycle, detail=f"{axis}_tlast must be {int(last_of_frame)}, not {int(tlast)}")
        self.observe(stream, word, cycle)

    def wait(self, stream: int) -> None:
        """A beat is offered and not taken in this cycle."""
        self.waiting[stream] = True
        self.waited_cycles[stream] += 1

    def left_waiting(self, stream: int, payload: int, taken: int, cycle: int) -> None:
        """The run ends while a beat is offered. Where several read the stream, some may have taken the beat already."""
        self.taken[stream] = taken
        self._compare(stream, payload, cycle)

    def restore(self, stream: int, *, count: int, waiting: bool, taken: int, waited_cycles: int) -> None:
        """Set what another observer counted in a stream."""
        self._left -= count - self.counts[stream]
        self.counts[stream], self.waiting[stream], self.taken[stream] = count, waiting, taken
        self.waited_cycles[stream] = waited_cycles

    def _compare(self, stream: int, payload: int, cycle: int) -> bool:
        """Return whether the beat is one of those that must come; a wrong one is blamed."""
        n, expected = self.counts[stream], self._expected[stream]
        if n >= self.totals[stream]:
            self.blame(EXTRA, stream, cycle, payload)
            return False
        if payload != expected[n % len(expected)]:
            self.blame(VALUE, stream, cycle, payload)
        return True

    def blame(self, kind: str, stream: int, cycle: int, got: int | None = None, detail: str = "") -> None:
        """Remember a fault of a stream, unless it has one already."""
        if self.faults[stream] is None:
            self.faults[stream] = self.fault(kind, stream, cycle, got, detail)

    def fault(self, kind: str, stream: int, cycle: int, got: int | None = None, detail: str = "") -> Fault:
        """A fault at the beat that is next in a stream."""
        frame, beat = divmod(self.counts[stream], self.beats[stream])
        cycle -= self.origin or 0
        return Fault(kind=kind, stream=stream, frame=frame, beat=beat, cycle=cycle, got=got, detail=detail)

    def timing_fault(self) -> Fault | None:
        """The earliest stream that meets its beats in other cycles than predicted (for a run without stalls)."""
        manifest, measured = self.vectors.manifest, self.measurements()
        for b in manifest.boundaries:
            for key in ("first_cycle", "last_cycle", "interval_cycles"):
                got, expected = measured[f"{key.removesuffix('s')}s"][b.index], getattr(b, key)
                if got != expected and got is not None:
                    detail = f"{key} must be {expected} as predicted, not {got} as measured{self._held_up(b.index)}"
                    return self._timing_fault(b.index, detail)
        for stream, port in zip(self.network.outputs, manifest.outputs, strict=True):
            for key in ("latency_cycles", "interval_cycles"):
                got, expected = measured[f"output_{key}"][stream - self.network.boundaries], getattr(port, key)
                if got != expected and got is not None:
                    return self._timing_fault(stream, f"{key} must be {expected} as predicted, not {got} as measured")
        whole = {
            "latency_cycles": measured["latency_cycles"],
            "interval_cycles": _latest(measured["output_interval_cycles"]),
        }
        for key, got in whole.items():
            expected = getattr(manifest, key)
            if got != expected and got is not None:
                detail = f"the {key} of the network must be {expected} as predicted, not {got} as measured"
                return self._timing_fault(self.network.outputs[-1], detail)
        return None

    def _held_up(self, stream: int) -> str:
        """A stream may be late by the doing of a layer after it."""
        cycles = self.waited_cycles[stream]
        readers = self.network.names([read.reader for read in self.network.readers[stream]], "or")
        return f" ({readers}, kept it waiting in {cycles} cycles)" if cycles else ""

    def _timing_fault(self, stream: int, detail: str) -> Fault:
        return Fault(kind=TIMING, stream=stream, frame=0, beat=0, cycle=0, detail=detail)

    def measurements(self) -> dict[str, Any]:
        """Return the measurements of this run for the results file: beats compared, and the measured cycles of every
        stream.
        """
        boundaries, origin = self.network.boundaries, self.origin or 0
        last = [cycles[0] - origin if cycles else None for cycles in self.last_cycles]
        # the steady state needs some frames to set in, and until the design is full its first layers run ahead;
        # the mean of a period, rounded up, as frames may come and go in bursts
        manifest = self.vectors.manifest
        needed, frames = manifest.frames_to_measure, manifest.interval_frames
        intervals = [-((c[-1 - frames] - c[-1]) // frames) if len(c) >= needed else None for c in self.last_cycles]
        steadily = [
            cycles if cycles in {intervals[port] for port in ports} else None
            for cycles, ports in zip(intervals, self.network.outputs_after(), strict=True)
        ]
        return {
            "beats_compared": self.counts[:boundaries],
            "output_beats_compared": self.counts[boundaries:],
            "first_cycles": [None if c is None else c - origin for c in self.first_cycles[:boundaries]],
            "last_cycles": last[:boundaries],
            "interval_cycles": steadily[:boundaries],
            "output_latency_cycles": last[boundaries:],
            "output_interval_cycles": intervals[boundaries:],
            "latency_cycles": _latest(last[boundaries:]),
        }


def _latest(cycles: list[int | None]) -> int | None:
    """The largest, once all are known."""
    known = [c for c in cycles if c is not None]
    return max(known) if len(known) == len(cycles) else None


def limits(manifest: Manifest) -> tuple[int, int]:
    """Cycles without a beat after which the rest is missing, and cycles to wait for beats that should not come."""
    patience = 2 * (manifest.latency_cycles + manifest.interval_cycles) + 8 * LONGEST_BURST + 1000
    return patience, manifest.latency_cycles + 2 * LONGEST_BURST


def frames_to_fill(manifest: Manifest) -> int:
    """More frames than the design can hold: two beats, those of a stage, for every cycle of its latency."""
    return 1 + 2 * manifest.latency_cycles // max(port.beats for port in manifest.inputs)
