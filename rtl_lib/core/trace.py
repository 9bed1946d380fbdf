"""When every tensor of a network of timing models passes: an exact replay of the handshakes, event by event."""

from __future__ import annotations

import heapq
import math
from bisect import insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rtl_lib.core.timing import BeatModel
from rtl_lib.core.timing_network import Node, Source, Stream, TimingNetwork, Watch


@dataclass(frozen=True)
class Passage:
    """When the beats of frame 0 pass (in cycles from the first input beat anywhere), and the steady distance between
    frames: the mean of two, rounded up, as short frames may come and go in pairs.
    """

    first_cycle: int
    last_cycle: int
    interval_cycles: int
    steady_frames: int  # so many must have left at every sink before the interval can be seen


class Deadlock(RuntimeError):
    """Nothing moves any more.

    :param waiting: ``(join, tensors)``: the inputs without which a join cannot take others that are there.
    :param full: queues that are full.
    """

    def __init__(self, message: str, waiting: Sequence[tuple[str, tuple[str, ...]]], full: Sequence[str]) -> None:
        self.waiting, self.full = tuple(waiting), tuple(full)
        causes = [f"{join} waits for {' and '.join(tensors)}" for join, tensors in waiting]
        causes += [f"{queue} is full" for queue in full]
        super().__init__(": ".join([message, "; ".join(causes)] if causes else [message]))


def trace(network: TimingNetwork, least_interval: int = 1 << 62) -> dict[str, Passage]:
    """Runs a network from an empty start until the intervals of all tensors that leave it repeat.

    :param least_interval: what the interval will come down to, if it is known: layers that take almost as long as each
        other wait for each other until enough beats have gathered between them, for some frames longer than that.
    :returns: by watched tensor.
    :raises Deadlock: when all parts wait for each other.
    """
    runs = [Run(network, group) for group in network.groups()]
    for run in runs:
        run.until_periodic(least_interval)
    start = min(source.first for source in network.sources)
    found = {
        name: Passage(counter.first - start, counter.lasts[0] - start, run.interval, run.frames)
        for run in runs
        for name, counter in run.counters.items()
    }
    return {name: found[name] for name in network.watches}


def trace_chain(
    models: Sequence[BeatModel],
    boundaries: Sequence[tuple[int, int]],
    source_period: int = 0,
    least_interval: int = 1 << 62,
) -> list[Passage]:
    """``trace`` of models in a row.

    :param models: in stream order.
    :param boundaries: ``(position, beats)``: the stream that enters ``models[position]`` (``len(models)``: the chain's
        output) and its number of beats a frame, in stream order; the first must be position 0.
    :param source_period: of the source.
    """
    network = TimingNetwork()
    beats_at = dict(boundaries)
    stream: Stream = network.source(beats_at[0], source_period)
    for position, model in enumerate([*models, None]):
        if position in beats_at:
            network.watch(str(position), stream, beats_at[position])
        if model:
            stream = network.add(model, stream)
    network.sink(stream)
    return list(trace(network, least_interval).values())


LEAST_FRAMES, MOST_FRAMES = 4, 8  # that a trace looks at
MOST_FRAMES_APART = 64  # the same where outputs differ: one may run ahead until the FIFOs before another are full

# A longer rest is worth a sleep. (Infinity: nobody ever sleeps, and every cycle is looked at.)
SHORTEST_REST: float = 3


def _seen(ends: list[list[int]], frames: int, least_interval: int) -> bool:
    if frames < LEAST_FRAMES:
        return False
    if frames < MOST_FRAMES and not all(_settled(lasts[:frames], least_interval) for lasts in ends):
        return False
    return frames >= MOST_FRAMES_APART or len({_interval(lasts[:frames]) for lasts in ends}) == 1


def _interval(lasts: list[int]) -> int:
    return (lasts[-1] - lasts[-3] + 1) // 2


def _settled(lasts: list[int], least_interval: int) -> bool:
    """Two equal distances in a row, or three equal pairs: the schedule has become periodic."""
    steps = [b - a for a, b in pairwise(lasts[-7:])]
    periodic = steps[-1] == steps[-2] or (len(steps) == 6 and steps[:2] == steps[2:4] == steps[4:])
    return periodic and _interval(lasts) <= least_interval


class _Counter:
    """What has passed of a tensor."""

    def __init__(self, watch: Watch) -> None:
        self.beats = watch.beats
        self.readers = len(watch.streams)
        self.taken = [0] * self.readers
        self.count = 0  # of the present frame
        self.first = -1
        self.lasts: list[int] = []

    def passes(self, reader: int, cycle: int) -> None:
        if self.readers > 1:
            least = min(self.taken)
            self.taken[reader] += 1
            if min(self.taken) == least:
                return
        if self.first < 0:
            self.first = cycle
        self.count += 1
        if self.count == self.beats:
            self.count = 0
            self.lasts.append(cycle)


Single = tuple[
    Callable[[bool], bool],
    Callable[[bool, bool], float],
    Callable[[bool, bool], None],
    Callable[[], bool],
    Stream,
    Stream,
    int,
    int,
]


class Run:
    """Runs the parts, but only those around which something happens.

    A part that rests sleeps until its rest is over, or until one that it reads offers, or one that reads it takes,
    something else than when it fell asleep. Meanwhile ``valid`` and ``ready`` of its streams stand for it, and the
    cycles in which all sleep are leapt over.

    :param group: the parts that are run, by their place in the network; others do not matter.
    """

    def __init__(self, network: TimingNetwork, group: Sequence[int]) -> None:
        self.network = network
        self.parts = [node.part for node in network.nodes]
        self.inputs = [node.inputs for node in network.nodes]
        self.outputs = [node.outputs for node in network.nodes]
        self.singles = [self._single(node) for node in network.nodes]
        self.producers, self.consumers = network.producers, network.consumers
        members = set(group)
        self.counters = {
            name: _Counter(watch)
            for name, watch in network.watches.items()
            if self.producers[watch.streams[0]] in members
        }
        self.watchers: list[list[tuple[_Counter, int]]] = [[] for _ in self.producers]
        for name, counter in self.counters.items():
            for reader, stream in enumerate(network.watches[name].streams):
                self.watchers[stream].append((counter, reader))
        self.sources = [(k, part) for k in group if isinstance(part := self.parts[k], Source)]
        self.ends = [self.counters[name].lasts for name in network.ends if name in self.counters]
        self.cycle = 0
        self.valid = [valid for part in self.parts for valid in part.valids()]
        self.ready = [True] * len(self.producers)
        self.awake = sorted(group)  # ascending; they are run from the last to the first
        self.asleep_since = [0] * len(self.parts)
        self.asleep_until: list[float] = [0] * len(self.parts)  # not after the present cycle: it is awake
        self.alarms: list[tuple[int, int]] = []  # (cycle, part), a heap; void where ``asleep_until`` is another

    def _single(self, node: Node) -> Single | None:
        """What is needed to step a model of one input and one output, as most are."""
        if not isinstance(model := node.part, BeatModel):
            return None
        (source,), (target,) = node.inputs, node.outputs
        neighbours = self.network.producers[source], self.network.consumers[target]
        return model.ready, model.resting, model.tick, model.valid, source, target, *neighbours

    @property
    def frames(self) -> int:
        """That have left at every sink."""
        return min(map(len, self.ends))

    @property
    def interval(self) -> int:
        """Of all tensors, in the steady state, though the first may still be filling up the network."""
        return max(_interval(lasts[: self.frames]) for lasts in self.ends)

    def until(self, frames: int) -> None:
        """Until so many frames of every tensor have passed."""
        while any(len(counter.lasts) < frames for counter in self.counters.values()):
            self.step()

    def until_periodic(self, least_interval: int) -> None:
        while not _seen(self.ends, self.frames, least_interval):
            self.step()

    def step(self) -> None:
        """One cycle, and the leap to the next one in which something may happen.

        Parts go from the last to the first: so the ready of what reads a part is that of this cycle, and the valid of
        what it reads is not yet that of the next.
        """
        cycle, valid, ready, asleep_until = self.cycle, self.valid, self.ready, self.asleep_until
        if self.alarms and self.alarms[0][0] <= cycle:
            self._ring()
        awake, singles, watchers = self.awake, self.singles, self.watchers
        still_awake: list[int] = []
        while awake:
            k = awake.pop()
            single = singles[k]
            if single is None:
                self._step_branching(k, still_awake)
                continue
            accepts, resting, tick, offers, source, target, producer, consumer = single
            output_ready, input_valid = ready[target], valid[source]
            input_ready = accepts(output_ready)
            if input_ready != ready[source]:
                ready[source] = input_ready
                if asleep_until[producer] > cycle:
                    self._wake(producer, cycle)
                    insort(awake, producer)  # it is still to come
            if input_valid and input_ready:
                for counter, reader in watchers[source]:
                    counter.passes(reader, cycle)
            elif not (output_ready and valid[target]):
                rest = resting(input_valid, output_ready)
                if rest > SHORTEST_REST:
                    self._sleep(k, rest)
                    continue
            tick(input_valid, output_ready)
            if offers() != valid[target]:
                valid[target] = not valid[target]
                if asleep_until[consumer] > cycle + 1:
                    self._wake(consumer, cycle + 1)
                    still_awake.append(consumer)
            still_awake.append(k)
        still_awake.sort()
        self.awake = still_awake
        self._advance()

    def _step_branching(self, k: int, still_awake: list[int]) -> None:
        """The same for a part with any number of streams."""
        cycle, valid, ready, part = self.cycle, self.valid, self.ready, self.parts[k]
        inputs, outputs = self.inputs[k], self.outputs[k]
        input_valids = tuple([valid[s] for s in inputs])
        output_readys = tuple([ready[s] for s in outputs])
        moves = False
        for source, input_ready in zip(inputs, part.readys(input_valids, output_readys), strict=True):
            if input_ready != ready[source]:
                ready[source] = input_ready
                producer = self.producers[source]
                if self.asleep_until[producer] > cycle:
                    self._wake(producer, cycle)
                    insort(self.awake, producer)
            if input_ready and valid[source]:
                moves = True
                for counter, reader in self.watchers[source]:
                    counter.passes(reader, cycle)
        if not moves and not any([valid[s] and ready[s] for s in outputs]):  # noqa: C419 - the list is faster
            rest = part.rests(input_valids, output_readys)
            if rest > SHORTEST_REST:
                self._sleep(k, rest)
                return
        part.advance(input_valids, output_readys)
        for target, offers in zip(outputs, part.valids(), strict=True):
            if offers != valid[target]:
                valid[target] = offers
                consumer = self.consumers[target]
                if self.asleep_until[consumer] > cycle + 1:
                    self._wake(consumer, cycle + 1)
                    still_awake.append(consumer)
        still_awake.append(k)

    def _sleep(self, k: int, rest: float) -> None:
        self.asleep_since[k] = self.cycle
        self.asleep_until[k] = self.cycle + rest
        if rest < math.inf:
            heapq.heappush(self.alarms, (self.cycle + int(rest), k))

    def _wake(self, k: int, cycle: int) -> None:
        self.parts[k].leap(cycle - self.asleep_since[k])
        self.asleep_until[k] = 0

    def _ring(self) -> None:
        """Wakes those whose rest is over, and those who read what they offer now."""
        cycle, offered = self.cycle, []
        while self.alarms and self.alarms[0][0] <= cycle:
            _, k = heapq.heappop(self.alarms)
            if self.asleep_until[k] == cycle:
                self._wake(k, cycle)
                self.awake.append(k)
                for stream, offers in zip(self.outputs[k], self.parts[k].valids(), strict=True):
                    if offers != self.valid[stream]:
                        self.valid[stream] = offers
                        offered.append(self.consumers[stream])
        for k in offered:
            if self.asleep_until[k] > cycle:
                self._wake(k, cycle)
                self.awake.append(k)
        self.awake.sort()

    def _advance(self) -> None:
        """To the next cycle in which something may happen."""
        self.cycle += 1
        if self.awake:
            return
        while self.alarms and self.asleep_until[self.alarms[0][1]] != self.alarms[0][0]:
            heapq.heappop(self.alarms)
        if self.alarms:
            self.cycle = max(self.cycle, self.alarms[0][0])
        elif not self._release():
            raise self._deadlock()

    def _release(self) -> bool:
        """Now that all rest, has sources that wait for that offer one beat more."""
        released = [k for k, source in self.sources if source.release()]
        for k in released:
            self.asleep_until[k] = self.cycle
            heapq.heappush(self.alarms, (self.cycle, k))
        return bool(released)

    def _deadlock(self) -> Deadlock:
        waiting, full = [], []
        for node in self.network.nodes:
            lacking = node.part.missing(tuple(self.valid[s] for s in node.inputs))
            if lacking:
                waiting.append((node.name, tuple(self.network.tensor_of(node.inputs[k]) for k in lacking)))
            if node.part.full():
                full.append(node.name)
        return Deadlock(f"from cycle {self.cycle} on nothing moves: the design would deadlock", waiting, full)
