"""Cycle-exact twins of the handshakes: when does each beat pass, without simulating a single data bit.

A twin follows the same rules as the component's control logic. ``trace`` runs a chain of twins with a source that
is always valid and a sink that is always ready; the simulation of the Verilog must show exactly the same cycles.
"""

from __future__ import annotations

import heapq
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


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

    @abstractmethod
    def resting(self, input_valid: bool, output_ready: bool) -> float:
        """For how many cycles, this one included and as long as its neighbours stay as they are in it, the twin takes
        and gives nothing, its ``valid`` and ``ready`` stay the same, and so does its state, but for what ``leap`` moves
        on. 0 is always true, but a twin that waits for its neighbours must say so: for ever.
        """

    def leap(self, cycles: int) -> None:  # noqa: B027 - most twins have nothing that moves on at rest
        """So many cycles of the rest of which ``resting`` was asked last have passed."""


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
        self.latency = latency
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
        if self.occupied & self.last:
            return 0 if output_ready else math.inf
        if input_valid:
            return 0
        return self.latency - self.occupied.bit_length() if self.occupied else math.inf

    def leap(self, cycles: int) -> None:
        if not self.occupied & self.last:
            self.occupied <<= cycles


class FilterModel(BeatModel):
    """A pipeline that takes what comes, and gives a beat for some of it."""

    def __init__(self, latency: int) -> None:
        self.pipeline = PipelineModel(latency)

    @abstractmethod
    def gives(self) -> bool:
        """Whether there is an output beat for the input beat that is taken now; moves on."""

    def valid(self) -> bool:
        return self.pipeline.valid()

    def ready(self, output_ready: bool) -> bool:
        return self.pipeline.ready(output_ready)

    def tick(self, input_valid: bool, output_ready: bool) -> None:
        taken = input_valid and self.ready(output_ready)
        self.pipeline.tick(taken and self.gives(), output_ready)

    def resting(self, input_valid: bool, output_ready: bool) -> float:
        return self.pipeline.resting(input_valid, output_ready)

    def leap(self, cycles: int) -> None:
        self.pipeline.leap(cycles)


class ReduceModel(FilterModel):
    """One beat for every ``beats``."""

    def __init__(self, latency: int, beats: int) -> None:
        super().__init__(latency)
        self.beats = beats
        self.count = 0

    def gives(self) -> bool:
        self.count = (self.count + 1) % self.beats
        return self.count == 0


@dataclass(frozen=True)
class Passage:
    """When the beats of frame 0 pass a boundary (in cycles from the first input beat), and the steady distance
    between frames: the mean of two, rounded up, as short frames may come and go in pairs.
    """

    first_cycle: int
    last_cycle: int
    interval_cycles: int
    steady_frames: int  # so many must have passed the end of the chain before the interval can be seen


def trace(
    models: Sequence[BeatModel],
    boundaries: Sequence[tuple[int, int]],
    source_period: int = 0,
    least_interval: int = 1 << 62,
) -> list[Passage]:
    """Runs a chain of twins from an empty start until the interval of the last boundary repeats.

    :param models: the twins in stream order.
    :param boundaries: ``(position, beats)``: the stream that enters ``models[position]`` (``len(models)``: the chain's
        output) and its number of beats a frame, in stream order; the first must be position 0.
    :param source_period: cycles from the first beat of a frame that the source offers to that of the next, at least.
    :param least_interval: what the interval will come down to, if it is known: layers that take almost as long as each
        other wait for each other until enough beats have gathered between them, for some frames longer than that.
    :raises RuntimeError: when all twins wait for each other, which is a deadlock of the design.
    """
    frames = [_Frames(beats) for _, beats in boundaries]
    at = {position: of_boundary for (position, _), of_boundary in zip(boundaries, frames, strict=True)}
    chain = _Chain(models, at, source_period)
    lasts = frames[-1].lasts
    while len(lasts) < LEAST_FRAMES or (len(lasts) < MOST_FRAMES and not _settled(lasts, least_interval)):
        chain.step()
    # In the steady state no boundary is faster than another, though the first may still be filling up the chain.
    interval = _interval(lasts)
    start = frames[0].first  # an engine may look at a beat for a while before it takes it
    return [Passage(passed.first - start, passed.lasts[0] - start, interval, len(lasts)) for passed in frames]


class _Frames:
    """What has passed a boundary."""

    def __init__(self, beats: int) -> None:
        self.beats = beats
        self.count = 0  # of the present frame
        self.first = -1
        self.lasts: list[int] = []

    def passes(self, cycle: int) -> None:
        if self.first < 0:
            self.first = cycle
        self.count += 1
        if self.count == self.beats:
            self.count = 0
            self.lasts.append(cycle)


LEAST_FRAMES, MOST_FRAMES = 4, 8  # that a trace looks at

# A longer rest is worth a sleep. (Infinity: nobody ever sleeps, and every cycle is looked at.)
SHORTEST_REST: float = 3


class _Chain:
    """Runs the twins, but only those around which something happens.

    A twin that rests sleeps until its rest is over, or until the neighbour before it offers, or the one behind it
    takes, something else than when it fell asleep. Meanwhile ``valid`` and ``ready`` stand for it, and the cycles in
    which all sleep are leapt over. ``valid[k]`` and ``ready[k]`` belong to the stream that enters twin k.
    """

    def __init__(self, models: Sequence[BeatModel], frames: dict[int, _Frames], source_period: int) -> None:
        self.models = models
        self.frames = [frames.get(position) for position in range(len(models) + 1)]
        self.entry = frames[0]
        self.source_period = source_period
        self.cycle = 0
        self.valid = [True, *(model.valid() for model in models)]
        self.ready = [True] * (len(models) + 1)
        self.awake = list(reversed(range(len(models))))  # from the last to the first, as ``ready`` goes
        self.asleep_since = [0] * len(models)
        self.asleep_until: list[float] = [0] * len(models)  # not after the present cycle: it is awake
        self.alarms: list[tuple[int, int]] = []  # (cycle, twin), a heap; void where ``asleep_until`` is another

    def step(self) -> None:
        """One cycle, and the leap to the next one in which something may happen.

        Twins go from the last to the first: so the ready of the next one is that of this cycle, and the valid of the
        one before is not yet that of the next.
        """
        cycle, valid, ready, asleep_until = self.cycle, self.valid, self.ready, self.asleep_until
        if not valid[0] and self._frame_from <= cycle:
            self._offer()
        if self.alarms and self.alarms[0][0] <= cycle:
            self._ring()
        if valid[-1] and (at_exit := self.frames[-1]):
            at_exit.passes(cycle)
        awake = self.awake
        still_awake: list[int] = []
        for k in awake:
            model, output_ready, input_valid = self.models[k], ready[k + 1], valid[k]
            input_ready = model.ready(output_ready)
            if input_ready != ready[k]:
                ready[k] = input_ready
                if k and asleep_until[k - 1] > cycle:
                    self._wake(k - 1, cycle)
                    awake.insert(awake.index(k) + 1, k - 1)  # the next turn of this loop
            if input_valid and input_ready:
                if passing := self.frames[k]:
                    passing.passes(cycle)
            elif not (valid[k + 1] and output_ready):
                rest = model.resting(input_valid, output_ready)
                if rest > SHORTEST_REST:
                    self._sleep(k, rest)
                    continue
            model.tick(input_valid, output_ready)
            if model.valid() != valid[k + 1]:
                valid[k + 1] = not valid[k + 1]
                self._wake_for_next(k + 1, still_awake)
            still_awake.append(k)
        self.awake = still_awake
        self._advance()

    def _sleep(self, k: int, rest: float) -> None:
        self.asleep_since[k] = self.cycle
        self.asleep_until[k] = self.cycle + rest
        if rest < math.inf:
            heapq.heappush(self.alarms, (self.cycle + int(rest), k))

    def _wake(self, k: int, cycle: int) -> None:
        self.models[k].leap(cycle - self.asleep_since[k])
        self.asleep_until[k] = 0

    def _wake_for_next(self, k: int, awake: list[int]) -> None:
        """Has a twin look at the next cycle, unless it will anyway."""
        if k < len(self.models) and self.asleep_until[k] > self.cycle + 1:
            self._wake(k, self.cycle + 1)
            awake.append(k)

    def _ring(self) -> None:
        """Wakes those whose rest is over."""
        cycle, offering = self.cycle, []
        while self.alarms and self.alarms[0][0] <= cycle:
            _, k = heapq.heappop(self.alarms)
            if self.asleep_until[k] == cycle:
                self._wake(k, cycle)
                self.awake.append(k)
                if self.models[k].valid() != self.valid[k + 1]:
                    self.valid[k + 1] = not self.valid[k + 1]
                    offering.append(k + 1)
        for k in offering:
            if k < len(self.models) and self.asleep_until[k] > cycle:
                self._wake(k, cycle)
                self.awake.append(k)
        self.awake.sort(reverse=True)

    @property
    def _frame_from(self) -> int:
        """The first cycle in which the source may offer the next frame."""
        return len(self.entry.lasts) * self.source_period

    def _offer(self) -> None:
        self.valid[0] = True
        if self.models and self.asleep_until[0] > self.cycle:
            self._wake(0, self.cycle)
            self.awake.append(0)

    def _advance(self) -> None:
        """To the next cycle in which something may happen."""
        cycle = self.cycle + 1
        if self.source_period and not self.entry.count:
            self.valid[0] = self.valid[0] and self._frame_from <= cycle
        if not self.awake and not self.valid[-1]:
            cycles = [self.alarms[0][0]] if self.alarms else []
            cycles += [] if self.valid[0] else [self._frame_from]
            if not cycles:
                raise RuntimeError(f"from cycle {cycle} on nothing moves: the design would deadlock")
            cycle = min(cycles)
        self.cycle = cycle


def _interval(lasts: list[int]) -> int:
    return (lasts[-1] - lasts[-3] + 1) // 2


def _settled(lasts: list[int], least_interval: int) -> bool:
    """Two equal distances in a row, or three equal pairs: the schedule has become periodic."""
    steps = [b - a for a, b in pairwise(lasts[-7:])]
    periodic = steps[-1] == steps[-2] or (len(steps) == 6 and steps[:2] == steps[2:4] == steps[4:])
    return periodic and _interval(lasts) <= least_interval
