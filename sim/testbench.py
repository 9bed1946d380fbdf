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
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import cocotb
from bundle import Vectors, load_manifest, open_vectors
from checks import RESET, UNSTABLE, Checker, Fault, frames_to_fill, input_words, limits
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly
from report import Circumstances, describe
from stalls import StallPattern

STALLED_CYCLES = 1000  # the least in which stalls of all sizes meet a small design
RESET_CYCLES = 5
RANDOM_RESETS = 4  # in case that a fixed moment happens to be a harmless one


class CheckFailed(AssertionError):
    """The design does something else than the bundle says."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What `run.py` asks of the tests."""

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
    """The design with a source at `s_axis`, a sink at `m_axis` and an eye on every boundary."""

    def __init__(self, dut: Any, vectors: Vectors, seed: int) -> None:
        self.dut, self.vectors, self.manifest = dut, vectors, vectors.manifest
        self._words = input_words(vectors)
        port = self.manifest.input
        self._used_bits = port.pack([(1 << port.width) - 1] * port.lanes, port.lane_bits)
        self._noise = random.Random(seed)
        self._boundaries = [
            tuple(self._find(f"boundary_{b.index}_{name}") for name in ("valid", "ready", "payload"))
            for b in self.manifest.boundaries
        ]

    def _find(self, name: str) -> Any:
        try:
            return getattr(self.dut.network, name)
        except AttributeError:
            raise CheckFailed(
                f"signal network.{name} was not found in {self.manifest.top}: cannot compare it"
            ) from None

    async def reset(self, checker: Checker) -> None:
        """Hold the reset for some cycles, during which the output must not be valid."""
        dut = self.dut
        await FallingEdge(dut.aclk)
        dut.aresetn.value = 0
        dut.s_axis_tvalid.value = 0
        dut.s_axis_tdata.value = 0
        dut.s_axis_tlast.value = 0
        dut.m_axis_tready.value = 0
        for _ in range(RESET_CYCLES):
            await FallingEdge(dut.aclk)
        await ReadOnly()
        if int(dut.m_axis_tvalid.value):
            checker.blame(RESET, checker.outputs, 0, detail="m_axis_tvalid must be 0 in reset")
        await FallingEdge(dut.aclk)
        dut.aresetn.value = 1

    async def play(self, checker: Checker, pattern: StallPattern, *, cycles: int | None = None) -> int:
        """Send frames until all has come, nothing comes any more, or `cycles` are over; returns the cycle reached."""
        beats = self.manifest.input.beats
        total, sent, offering, held = beats * checker.frames, 0, False, None
        patience, drain = limits(self.manifest)
        cycle = done = entered = 0
        sources, sinks = pattern.source(), pattern.sink(self.manifest.interval_cycles, lambda: cycle - entered)
        dut = self.dut
        while cycle - checker.progress_cycle < patience and cycle != cycles:
            await FallingEdge(dut.aclk)
            if not offering and sent < total and not next(sources):
                offering = True
                self._offer(sent, beats, pattern)
            elif not offering:
                self._offer_nothing(pattern)
            tready = not next(sinks)
            dut.m_axis_tready.value = tready
            await ReadOnly()
            if offering and int(dut.s_axis_tready.value):
                sent, offering, entered = sent + 1, False, cycle
            self._sample_boundaries(checker, cycle)
            held = self._sample_output(checker, cycle, tready, held)
            cycle += 1
            done = done + 1 if checker.complete else 0
            if done > drain:
                break
        return cycle

    def _offer(self, n: int, beats: int, pattern: StallPattern) -> None:
        """Put beat `n` on `s_axis`; under stalls with noise in the bits that the contract says are ignored."""
        port, word = self.manifest.input, self._words[n % len(self._words)]
        tlast = (n + 1) % beats == 0
        if pattern.name != "none":
            tlast = bool(self._noise.getrandbits(1))
            word = (word & self._used_bits) | (self._noise.getrandbits(port.tdata_bits) & ~self._used_bits)
        self.dut.s_axis_tdata.value = word
        self.dut.s_axis_tlast.value = tlast
        self.dut.s_axis_tvalid.value = 1

    def _offer_nothing(self, pattern: StallPattern) -> None:
        self.dut.s_axis_tvalid.value = 0
        if pattern.name != "none":
            self.dut.s_axis_tdata.value = self._noise.getrandbits(self.manifest.input.tdata_bits)

    def _sample_boundaries(self, checker: Checker, cycle: int) -> None:
        for stream, (valid, ready, payload) in enumerate(self._boundaries):
            if not int(valid.value):
                checker.waiting[stream] = False
            elif int(ready.value):
                checker.waiting[stream] = False
                checker.observe(stream, int(payload.value), cycle)
            else:
                checker.wait(stream)

    def _sample_output(self, checker: Checker, cycle: int, tready: bool, held: tuple[int, int] | None) -> Any:
        """Check `m_axis`; `held` is what was offered and not taken in the cycle before, and must still be there."""
        dut, output = self.dut, checker.outputs
        tvalid = int(dut.m_axis_tvalid.value)
        word = (int(dut.m_axis_tdata.value), int(dut.m_axis_tlast.value)) if tvalid else None
        if held is not None and word is None:
            checker.blame(UNSTABLE, output, cycle, detail="m_axis_tvalid fell before m_axis_tready came")
        elif held is not None and word is not None and word != held:
            name = "m_axis_tdata" if word[0] != held[0] else "m_axis_tlast"
            checker.blame(UNSTABLE, output, cycle, detail=f"{name} changed while it waited for m_axis_tready")
        checker.waiting[output] = word is not None and not tready
        if word is not None and tready:
            checker.observe_output(word[0], bool(word[1]), cycle)
        return None if tready else word


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
    if stalls == "full":
        frames = max(frames, frames_to_fill(vectors.manifest) + vectors.manifest.steady_frames)
    try:
        Clock(dut.aclk, 10, unit="ns").start()
        bench = Bench(dut, vectors, seed)
        interrupted = await play_and_interrupt(bench, seed, frames) if resets else None
        checker = Checker(vectors, frames)
        await bench.reset(checker)
        cycle = await bench.play(checker, StallPattern(stalls, seed))
        if interrupted is not None:
            circumstances = replace(circumstances, stalls="random, ended by resets")
        fault = interrupted or checker.verdict(cycle)
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
    """The source never waits and the sink always takes: all values, and all cycles exactly as predicted."""
    await check(dut, "no_stalls", "none")


@cocotb.test
async def source_stalls(dut: Any) -> None:
    """The source waits at random."""
    await check(dut, "source_stalls", "source")


@cocotb.test
async def sink_stalls(dut: Any) -> None:
    """The sink refuses at random."""
    await check(dut, "sink_stalls", "sink")


@cocotb.test
async def random_stalls(dut: Any) -> None:
    """Source and sink stall at random."""
    await check(dut, "random_stalls", "random")


@cocotb.test
async def burst_stalls(dut: Any) -> None:
    """Source and sink stall for long runs of cycles."""
    await check(dut, "burst_stalls", "burst")


@cocotb.test
async def full_stalls(dut: Any) -> None:
    """The sink waits until the whole design is full."""
    await check(dut, "full_stalls", "full")


@cocotb.test
async def reset_in_mid_frame(dut: Any) -> None:
    """After resets in the middle of frames, a run is right again, and takes the predicted cycles again."""
    await check(dut, "reset_in_mid_frame", "none", resets=True)
