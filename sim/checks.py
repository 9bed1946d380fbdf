"""What passes every boundary, compared with what must pass; and the naming of the layer that is to blame.

Streams are numbered in network order: boundary 0, 1, …, and last `m_axis`, the AXI4-Stream output. A layer's output
depends only on what passed the streams before it, so the lowest stream with a fault is that of the layer to blame:
everything before it was right.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from bundle import Manifest, Vectors
from stalls import LONGEST_BURST

VALUE = "wrong value"
EXTRA = "extra beat"
MISSING = "missing beat"
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
        manifest = vectors.manifest
        boundaries = manifest.boundaries
        self.vectors, self.frames, self.outputs = vectors, frames, len(boundaries)
        # a bulk run has compared the beats already: it needs the judgement only, and its vectors may be large
        self._expected = [*(payloads(vectors, b.index) for b in boundaries), output_words(vectors)] if load else []
        self.beats = [b.beats for b in boundaries] + [manifest.output.beats]
        self._totals = [beats * frames for beats in self.beats]
        self.counts = [0] * len(self._totals)
        self.faults: list[Fault | None] = [None] * len(self._totals)
        self.first_cycles: list[int | None] = [None] * len(self._totals)
        self.last_cycles: list[list[int]] = [[] for _ in self._totals]
        self.waiting = [False] * len(self._totals)  # a beat is offered and not taken
        self.waited_cycles = [0] * len(self._totals)
        self.progress_cycle = 0
        self._left = sum(self._totals)

    @property
    def complete(self) -> bool:
        """Has every expected beat of every stream come?"""
        return self._left == 0

    @property
    def origin(self) -> int:
        """The cycle of the run that the manifest calls cycle 0: the first beat is taken at boundary 0."""
        return self.first_cycles[0] or 0

    def observe(self, stream: int, payload: int, cycle: int) -> None:
        """A beat passes a stream."""
        n = self.counts[stream]
        if n >= self._totals[stream]:
            self.blame(EXTRA, stream, cycle, payload)
            return
        expected = self._expected[stream]
        if payload != expected[n % len(expected)]:
            self.blame(VALUE, stream, cycle, payload)
        if n == 0:
            self.first_cycles[stream] = cycle
        self.counts[stream] = n + 1
        self._left -= 1
        self.progress_cycle = cycle
        if (n + 1) % self.beats[stream] == 0:
            self.last_cycles[stream].append(cycle)

    def observe_output(self, word: int, tlast: bool, cycle: int) -> None:
        """A beat passes `m_axis`."""
        last_of_frame = (self.counts[self.outputs] + 1) % self.beats[self.outputs] == 0
        if tlast != last_of_frame:
            self.blame(
                TLAST, self.outputs, cycle, detail=f"m_axis_tlast must be {int(last_of_frame)}, not {int(tlast)}"
            )
        self.observe(self.outputs, word, cycle)

    def wait(self, stream: int) -> None:
        """A beat is offered and not taken in this cycle."""
        self.waiting[stream] = True
        self.waited_cycles[stream] += 1

    def restore(self, stream: int, count: int, waiting: bool, waited_cycles: int) -> None:
        """Set what another observer counted in a stream."""
        self._left -= count - self.counts[stream]
        self.counts[stream], self.waiting[stream], self.waited_cycles[stream] = count, waiting, waited_cycles

    def blame(self, kind: str, stream: int, cycle: int, got: int | None = None, detail: str = "") -> None:
        """Remember a fault of a stream, unless it has one already."""
        if self.faults[stream] is None:
            frame, beat = divmod(self.counts[stream], self.beats[stream])
            self.faults[stream] = Fault(
                kind=kind, stream=stream, frame=frame, beat=beat, cycle=cycle - self.origin, got=got, detail=detail
            )

    def verdict(self, cycle: int, *, gave_up: bool = True) -> Fault | None:
        """The fault of the earliest layer, once the run is over; None when every beat came and was right.

        Beats are missing only if the run was given up because nothing came any more, not if it was cut short.
        """
        for stream, fault in enumerate(self.faults):
            if fault is not None:
                return fault
            if gave_up and self._is_stuck(stream):
                return self._missing(stream, cycle)
        # nobody in particular holds the others up: name the first that is behind
        behind = [stream for stream, total in enumerate(self._totals) if self.counts[stream] < total]
        return self._missing(behind[0], cycle) if behind else None

    def _is_stuck(self, stream: int) -> bool:
        """Is a stream behind by its own layer's doing: its input complete or refused, and not held up by the next?"""
        if self.counts[stream] == self._totals[stream] or self.waiting[stream]:
            return False
        return stream == 0 or self.counts[stream - 1] == self._totals[stream - 1] or self.waiting[stream - 1]

    def _missing(self, stream: int, cycle: int) -> Fault:
        frame, beat = divmod(self.counts[stream], self.beats[stream])
        return Fault(kind=MISSING, stream=stream, frame=frame, beat=beat, cycle=cycle - self.origin)

    def timing_fault(self) -> Fault | None:
        """The earliest boundary that meets its beats in other cycles than predicted (for a run without stalls)."""
        manifest, measured = self.vectors.manifest, self.measurements()
        for b in manifest.boundaries:
            for key in ("first_cycle", "last_cycle", "interval_cycles"):
                got, expected = measured[f"{key.removesuffix('s')}s"][b.index], getattr(b, key)
                if got != expected and got is not None:
                    return self._timing_fault(
                        b.index, f"{key} must be {expected} as predicted, not {got} as measured{self._held_up(b.index)}"
                    )
        ends = ("latency_cycles", measured["latency_cycles"]), ("interval_cycles", measured["interval_cycles"][-1])
        for key, got in ends:
            expected = getattr(manifest, key)
            if got != expected and got is not None:
                detail = f"the {key} of the network must be {expected} as predicted, not {got} as measured"
                return self._timing_fault(manifest.boundaries[-1].index, detail)
        return None

    def _held_up(self, stream: int) -> str:
        """A stream may be late by the doing of the layer after it."""
        cycles = self.waited_cycles[stream]
        return (
            f" ({stream_name(self.vectors.manifest, stream + 1)}, kept it waiting in {cycles} cycles)" if cycles else ""
        )

    def _timing_fault(self, stream: int, detail: str) -> Fault:
        return Fault(kind=TIMING, stream=stream, frame=0, beat=0, cycle=0, detail=detail)

    def measurements(self) -> dict[str, Any]:
        """What the results file tells of this run: beats compared, and the measured cycles of every boundary."""
        ends = self.last_cycles[: self.outputs]
        last = [cycles[0] - self.origin if cycles else None for cycles in ends]
        # the steady state needs some frames to set in, and until the design is full its first layers run ahead;
        # the mean of two, rounded up, as short frames may come and go in pairs
        steady = self.vectors.manifest.steady_frames
        intervals = [(cycles[-1] - cycles[-3] + 1) // 2 if len(cycles) >= steady else None for cycles in ends]
        return {
            "beats_compared": self.counts[: self.outputs],
            "output_beats_compared": self.counts[self.outputs],
            "first_cycles": [None if c is None else c - self.origin for c in self.first_cycles[: self.outputs]],
            "last_cycles": last,
            "interval_cycles": [interval if interval == intervals[-1] else None for interval in intervals],
            "latency_cycles": last[-1],
        }


def limits(manifest: Manifest) -> tuple[int, int]:
    """Cycles without a beat after which the rest is missing, and cycles to wait for beats that should not come."""
    patience = 2 * (manifest.latency_cycles + manifest.interval_cycles) + 8 * LONGEST_BURST + 1000
    return patience, manifest.latency_cycles + 2 * LONGEST_BURST


def frames_to_fill(manifest: Manifest) -> int:
    """More frames than the design can hold: two beats, those of a stage, for every cycle of its latency."""
    return 1 + 2 * manifest.latency_cycles // manifest.input.beats


@lru_cache(maxsize=256)
def payloads(vectors: Vectors, boundary: int) -> list[int]:
    """The payloads that must pass a boundary, all selected frames in a row."""
    b = vectors.manifest.boundaries[boundary]
    return [b.pack(vectors.lanes(boundary, f, n)) for f in range(vectors.frames) for n in range(b.beats)]


@lru_cache(maxsize=8)
def input_words(vectors: Vectors) -> list[int]:
    """The data words of `s_axis`, all selected frames in a row."""
    port = vectors.manifest.input
    return [port.pack(vectors.lanes(0, f, n), port.lane_bits) for f in range(vectors.frames) for n in range(port.beats)]


@lru_cache(maxsize=8)
def output_words(vectors: Vectors) -> list[int]:
    """The data words of `m_axis`, all selected frames in a row."""
    port, last = vectors.manifest.output, vectors.manifest.boundaries[-1].index
    return [
        port.pack(vectors.lanes(last, f, n), port.lane_bits) for f in range(vectors.frames) for n in range(port.beats)
    ]


def stream_name(manifest: Manifest, stream: int) -> str:
    """A stream in words: the layer whose output it is."""
    if stream < len(manifest.boundaries):
        return str(manifest.boundaries[stream])
    return f"output port m_axis, after {manifest.boundaries[-1]}"
