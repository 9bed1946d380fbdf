"""Cycle-exact twins of the handshakes: when does each beat pass, without simulating a single data bit.

A twin follows the same rules as the component's control logic. ``trace`` runs a chain of twins with a source that
is always valid and a sink that is always ready; the simulation of the Verilog must show exactly the same cycles.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


class BeatModel(ABC):
    """The handshakes of one component. ``valid`` depends on state only; ``ready`` may depend on the output's ready."""

    @abstractmethod
    def valid(self) -> bool:
        """Whether an output beat is offered in this cycle."""

    @abstractmethod
    def ready(self, output_ready: bool) -> bool:
        """Whether an input beat would be taken in this cycle."""

    @abstractmethod
    def tick(self, input_valid: bool, output_ready: bool) -> None:
        """The rising clock edge that ends this cycle."""

    # Engines that are busy with one beat for long would make ``trace`` slow; it leaps over cycles in which nothing
    # happens.

    busy_for_long: ClassVar[bool] = False

    def resting(self, input_valid: bool, output_ready: bool) -> float:
        """For how many cycles, as long as its neighbours stay as they are in this one, the twin takes and gives
        nothing and its state stays the same (but for what ``leap`` moves on). 0 is always true.
        """
        return 0

    def leap(self, cycles: int) -> None:  # noqa: B027 - most twins have nothing that moves on at rest
        """So many cycles of rest have passed."""


class StageModel(BeatModel):
    """``MasterSlaveStage``."""

    def __init__(self) -> None:
        self.slave = self.master = False

    def valid(self) -> bool:
        return self.slave

    def ready(self, output_ready: bool) -> bool:
        return not self.master

    def tick(self, input_valid: bool, output_ready: bool) -> None:
        if output_ready or not self.slave:
            self.slave = self.master or input_valid
            self.master = False
        elif input_valid:
            self.master = True

    def resting(self, input_valid: bool, output_ready: bool) -> float:
        full = self.slave and not output_ready and (self.master or not input_valid)
        return math.inf if full or not (self.slave or input_valid) else 0


class PipelineModel(BeatModel):
    """A pipeline of ``latency`` registers that move together whenever the last one is empty or taken."""

    def __init__(self, latency: int) -> None:
        self.occupied = 0
        self.last = 1 << (latency - 1)
        self.mask = 2 * self.last - 1

    def valid(self) -> bool:
        return bool(self.occupied & self.last)

    def ready(self, output_ready: bool) -> bool:
        return output_ready or not self.occupied & self.last

    def tick(self, input_valid: bool, output_ready: bool) -> None:
        if self.ready(output_ready):
            self.occupied = (self.occupied << 1 | input_valid) & self.mask

    def resting(self, input_valid: bool, output_ready: bool) -> float:
        return math.inf if not self.ready(output_ready) or not (self.occupied or input_valid) else 0


class ReduceModel(BeatModel):
    """A pipeline that gives one beat for every ``beats`` it takes."""

    def __init__(self, latency: int, beats: int) -> None:
        self.pipeline = PipelineModel(latency)
        self.beats = beats
        self.count = 0

    def valid(self) -> bool:
        return self.pipeline.valid()

    def ready(self, output_ready: bool) -> bool:
        return self.pipeline.ready(output_ready)

    def tick(self, input_valid: bool, output_ready: bool) -> None:
        taken = input_valid and self.ready(output_ready)
        last = taken and self.count == self.beats - 1
        if taken:
            self.count = 0 if last else self.count + 1
        self.pipeline.tick(last, output_ready)

    def resting(self, input_valid: bool, output_ready: bool) -> float:
        return self.pipeline.resting(input_valid, output_ready)


@dataclass(frozen=True)
class Passage:
    """When the beats of frame 0 pass a boundary (in cycles from the first input beat), and the steady distance
    between frames.
    """

    first_cycle: int
    last_cycle: int
    interval_cycles: int


def trace(models: Sequence[BeatModel], boundaries: Sequence[tuple[int, int]], max_frames: int = 40) -> list[Passage]:
    """Runs a chain of twins from an empty start until the interval of the last boundary repeats.

    :param models: the twins in stream order.
    :param boundaries: ``(position, beats)``: the stream that enters ``models[position]`` (``len(models)``: the
    chain's output) and its number
        of beats a frame, in stream order; the first must be position 0.
    :raises RuntimeError: when the chain gives no beat for a very long time, which is a deadlock of the design.
    """
    at = {position: k for k, (position, _) in enumerate(boundaries)}
    beats = [b for _, b in boundaries]
    counts = [0] * len(boundaries)
    first = [-1] * len(boundaries)
    lasts: list[list[int]] = [[] for _ in boundaries]
    ready = [True] * (len(models) + 1)
    patience = 20 * sum(beats) + 10_000
    slow = any(model.busy_for_long for model in models)
    cycle = quiet_since = 0
    while not _settled(lasts[-1]) and len(lasts[-1]) < max_frames:
        for k in range(len(models) - 1, -1, -1):
            ready[k] = models[k].ready(ready[k + 1])
        valid = [True, *(model.valid() for model in models)]
        for position, k in at.items():
            if valid[position] and ready[position]:
                if counts[k] == 0 and first[k] < 0:
                    first[k] = cycle
                counts[k] += 1
                if counts[k] == beats[k]:
                    counts[k] = 0
                    lasts[k].append(cycle)
                    quiet_since = cycle if k == len(boundaries) - 1 else quiet_since
        leap = _leap(models, valid, ready) if slow else 0
        for k, model in enumerate(models):
            if leap:
                model.leap(leap)
            else:
                model.tick(valid[k], ready[k + 1])
        cycle += leap or 1
        quiet_since += leap  # not a sign of a deadlock
        if cycle - quiet_since > patience:
            raise RuntimeError(f"the schedule gives no output for {patience} cycles: the design would deadlock")
    # In the steady state no boundary is faster than another, though the first may still be filling up the chain.
    interval = lasts[-1][-1] - lasts[-1][-2]
    return [Passage(first[k], lasts[k][0], interval) for k in range(len(boundaries))]


def _leap(models: Sequence[BeatModel], valid: list[bool], ready: list[bool]) -> int:
    """How many cycles may be leapt over; 0 when the next one must be looked at."""
    cycles = math.inf
    for k, model in enumerate(models):
        cycles = min(cycles, model.resting(valid[k], ready[k + 1]))
        if not cycles:
            return 0
    return 0 if math.isinf(cycles) else int(cycles)


def _settled(lasts: list[int]) -> bool:
    """Two equal distances in a row: the schedule has become periodic."""
    return len(lasts) >= 4 and lasts[-1] - lasts[-2] == lasts[-2] - lasts[-3]
