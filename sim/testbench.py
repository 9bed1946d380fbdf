"""The cocotb tests: every beat at every boundary, without stalls, under stalls, and after a reset in mid-frame.

`run.py` builds the design, starts these tests with the plusarg `+settings=<json file>` and collects their records.

Inputs change at the falling edge of the clock, and everything is sampled when they have settled: nothing can move
between that moment and the rising edge, so no order of events inside the simulator matters.
"""

from __future__ import annotations

import json
import random
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import cocotb
from blame import verdict
from bundle import Manifest, load_manifest
from checks import RESET, Checker, Fault, frames_to_fill, limits
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly
from network import Network
from ports import Probe, SignalMissing, Sink, Source
from report import Circumstances, describe
from stalls import StallPattern
from vector_files import Vectors, open_vectors, words

STALLED_CYCLES = 1000  # the least in which stalls of all sizes meet a small design
RESET_CYCLES = 5
RANDOM_RESETS = 4  # in case that a fixed moment happens to be a harmless one
# Frames in which a pattern meets a full design, and every port has its turn.
FRAMES: dict[str, Callable[[Manifest], int]] = {
    "full": lambda manifest: frames_to_fill(manifest) + manifest.steady_frames,
    "starve": lambda manifest: 4 * len(manifest.inputs) + manifest.steady_frames,
    "refuse": lambda manifest: len(manifest.outputs) * frames_to_fill(manifest) + manifest.steady_frames,
}


class CheckFailed(AssertionError):
    """The design does something else than the bundle says."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings that `run.py` passes to the tests."""

    bundle: str
    vectors: str
    first_frame: int
    frames: int | None
    seed: int
    records: str
    command: list[str]


@cache
def read_settings() -> tuple[Settings, Vectors]:
    """The settings named by the plusarg, and the vectors they select."""
    settings = Settings(**json.loads(Path(str(cocotb.plusargs["settings"])).read_text(encoding="utf-8")))
    manifest = load_manifest(Path(settings.bundle))
    return settings, open_vectors(Path(settings.vectors), manifest, first=settings.first_frame, frames=settings.frames)


class Bench:
    """The design with a source at every input, a sink at every output and a probe at every boundary."""

    def __init__(self, dut: Any, vectors: Vectors, seed: int) -> None:
        self.dut, self.vectors, self.manifest = dut, vectors, vectors.manifest
        network = Network(self.manifest)
        try:
            self._sources = [
                Source(dut, port, words(vectors, port), random.Random(seed + k))
                for k, port in enumerate(self.manifest.inputs)
            ]
            self._sinks = [
                Sink(dut, port, stream) for stream, port in zip(network.outputs, self.manifest.outputs, strict=True)
            ]
            self._probes = [
                Probe(dut.network, b, shared=len(network.readers[b.index]) > 1) for b in self.manifest.boundaries
            ]
        except SignalMissing as name:
            raise CheckFailed(f"signal {name} was not found in {self.manifest.top}: cannot compare it") from None

    async def reset(self, checker: Checker) -> None:
        """Hold the reset for some cycles, during which no output must be valid."""
        await FallingEdge(self.dut.aclk)
        self.dut.aresetn.value = 0
        for end in (*self._sources, *self._sinks):
            end.reset()
        for _ in range(RESET_CYCLES):
            await FallingEdge(self.dut.aclk)
        await ReadOnly()
        for stream, sink, port in zip(checker.network.outputs, self._sinks, self.manifest.outputs, strict=True):
            if sink.is_valid:
                checker.blame(RESET, stream, 0, detail=f"{port.axis}_tvalid must be 0 in reset")
        await FallingEdge(self.dut.aclk)
        self.dut.aresetn.value = 1

    async def play(self, checker: Checker, pattern: StallPattern, *, cycles: int | None = None) -> int:
        """Send frames until all has come, nothing comes any more, or `cycles` are over; returns the cycle reached."""
        interval = self.manifest.interval_cycles
        patience, drain = limits(self.manifest)
        cycle = done = entered = 0
        for k, source in enumerate(self._sources):
            source.start(checker.frames, pattern.source(k), noisy=pattern.name != "none")
        for k, sink in enumerate(self._sinks):
            sink.start(pattern.sink(k, interval, lambda: cycle - entered))
        ports = len(self._sources), len(self._sinks)
        turns = pattern.turns(*ports, interval, lambda: cycle - checker.progress_cycle)
        while cycle - checker.progress_cycle < patience and cycle != cycles:
            await FallingEdge(self.dut.aclk)
            starved, refusing = next(turns)
            for k, source in enumerate(self._sources):
                source.drive(starve=k == starved)
            for k, sink in enumerate(self._sinks):
                sink.drive(refuse=k == refusing)
            await ReadOnly()
            for source in self._sources:
                if source.sample():
                    checker.entered(cycle)
                    entered = cycle
            for probe in self._probes:
                probe.sample(checker, cycle)
            for sink in self._sinks:
                sink.sample(checker, cycle)
            cycle += 1
            done = done + 1 if checker.complete else 0
            if done > drain:
                break
        for probe in self._probes:
            probe.finish(checker, cycle)
        return cycle


async def check(dut: Any, name: str, stalls: str, *, resets: bool = False) -> None:
    """One test: reset, play all frames under a stall pattern, judge, and leave a record for `run.py`."""
    settings, vectors = read_settings()
    seed = settings.seed
    record: dict[str, Any] = {"name": name, "passed": False, "message": "", "fault": None, "cycles": 0}
    start = time.monotonic()
    circumstances = Circumstances(stalls, seed, shlex.join([*settings.command, "--test", name]))
    # too few frames are sent again from the first: the interval needs a steady state
    frames = max(vectors.frames, vectors.manifest.steady_frames)
    if stalls != "none":
        frames = max(frames, -(-STALLED_CYCLES // vectors.manifest.interval_cycles))
    if stalls in FRAMES:
        frames = max(frames, FRAMES[stalls](vectors.manifest))
    try:
        Clock(dut.aclk, 10, unit="ns").start()
        bench = Bench(dut, vectors, seed)
        interrupted = await play_and_interrupt(bench, seed, frames) if resets else None
        checker = Checker(vectors, frames)
        await bench.reset(checker)
        cycle = await bench.play(checker, StallPattern(stalls, seed))
        if interrupted is not None:
            circumstances = replace(circumstances, stalls="random, ended by resets")
        fault = interrupted or verdict(checker, cycle)
        if fault is None and stalls == "none":
            fault = checker.timing_fault()
        record |= {"cycles": cycle, "frames": frames, **checker.measurements()}
        if fault is not None:
            record["fault"] = describe(fault, vectors, circumstances)
            raise CheckFailed(record["fault"]["message"])
        record["passed"] = True
    except CheckFailed as failure:
        record["message"] = str(failure)
        raise
    finally:
        record["seconds"] = round(time.monotonic() - start, 3)
        Path(settings.records, f"{name}.json").write_text(json.dumps(record), encoding="utf-8")


async def play_and_interrupt(bench: Bench, seed: int, frames: int) -> Fault | None:
    """Run into resets in mid-frame: while the first frame enters, when results are coming out, and at random."""
    manifest = bench.manifest
    rng, longest = random.Random(seed), manifest.latency_cycles + manifest.interval_cycles
    moments = [manifest.interval_cycles // 2 + 1, manifest.latency_cycles + manifest.interval_cycles // 2 + 1]
    for cycles in (*moments, *(rng.randint(1, longest) for _ in range(RANDOM_RESETS))):
        checker = Checker(bench.vectors, frames)
        await bench.reset(checker)
        await bench.play(checker, StallPattern("random", seed), cycles=cycles)
        fault = next((fault for fault in checker.faults if fault), None)
        if fault is not None:
            return fault
    return None


@cocotb.test
async def no_stalls(dut: Any) -> None:
    """No source waits and every sink accepts: all values, and all cycles exactly as predicted."""
    await check(dut, "no_stalls", "none")


@cocotb.test
async def source_stalls(dut: Any) -> None:
    """The sources wait at random."""
    await check(dut, "source_stalls", "source")


@cocotb.test
async def sink_stalls(dut: Any) -> None:
    """The sinks refuse at random."""
    await check(dut, "sink_stalls", "sink")


@cocotb.test
async def random_stalls(dut: Any) -> None:
    """Sources and sinks stall at random."""
    await check(dut, "random_stalls", "random")


@cocotb.test
async def burst_stalls(dut: Any) -> None:
    """Sources and sinks stall for long runs of cycles."""
    await check(dut, "burst_stalls", "burst")


@cocotb.test
async def full_stalls(dut: Any) -> None:
    """The sinks wait until the whole design is full."""
    await check(dut, "full_stalls", "full")


@cocotb.test
async def starve_stalls(dut: Any) -> None:
    """One source in turn offers nothing until nothing moves any more, while the others offer."""
    await check(dut, "starve_stalls", "starve")


@cocotb.test
async def refuse_stalls(dut: Any) -> None:
    """One sink in turn accepts nothing until nothing moves any more, while the others accept."""
    await check(dut, "refuse_stalls", "refuse")


@cocotb.test
async def reset_in_mid_frame(dut: Any) -> None:
    """Check after resets in the middle of frames: the next run is right again, and takes the predicted cycles again."""
    await check(dut, "reset_in_mid_frame", "none", resets=True)
