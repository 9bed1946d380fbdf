"""Exact replay of the handshakes of a network of timing models, event by event: when every tensor passes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from rtl_lib.core.rules import FOREVER
from rtl_lib.core.timing import BeatModel
from rtl_lib.core.timing_network import RELEASED, Source, Stream, TimingNetwork


@dataclass(frozen=True)
class Passage:
    """The passage of a tensor: when the beats of frame 0 pass (in cycles from the first input beat anywhere), and the
    steady distance between frames: the mean of as many as they repeat after, rounded up, as frames may come in bursts.
    """

    first_cycle: int
    last_cycle: int
    interval_cycles: int
    interval_frames: int  # after which the distances repeat
    steady_frames: int  # frames that must have left at every sink before the interval can be seen

    def since(self, cycle: int) -> Passage:
        """Return the passage in cycles from another cycle."""
        return replace(self, first_cycle=self.first_cycle - cycle, last_cycle=self.last_cycle - cycle)


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
    """Run a network from an empty start until the intervals of all tensors that leave it repeat.

    :param least_interval: what the interval will come down to, if it is known: layers that need almost as long as each
        other wait for each other until enough beats have gathered between them, for some frames longer than that.
    :returns: by watched tensor.
    :raises Deadlock: when all parts wait for each other.
    """
    found: dict[str, Passage] = {}
    for group in network.groups():
        run = Run(network, group)
        run.until_periodic(least_interval)
        found |= run.passages
    start = min(source.first for source in network.sources)
    return {
        name: replace(
            found[name], first_cycle=found[name].first_cycle - start, last_cycle=found[name].last_cycle - start
        )
        for name in network.watches
    }


def trace_chain(
    models: Sequence[BeatModel],
    boundaries: Sequence[tuple[int, int]],
    source_period: int = 0,
    least_interval: int = 1 << 62,
) -> list[Passage]:
    """Trace models in a row, as ``trace`` does.

    :param models: in stream order.
    :param boundaries: ``(position, beats)``: the stream that enters ``models[position]`` (``len(models)``: the chain's
        output) and its number of beats per frame, in stream order; the first must be position 0.
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


LEAST_FRAMES, MOST_FRAMES = 5, 9  # that a trace looks at
# The same where tensors differ: one may run ahead until the FIFOs before another are full.
MOST_FRAMES_APART = 256
LONGEST_REST = FOREVER  # of a part; 0: every part is looked at in every cycle


def _interval(lasts: Sequence[int], frames: int) -> int:
    """The mean of the latest distances between frames, rounded up."""
    return -((lasts[-1 - frames] - lasts[-1]) // frames)


def period_of(tensors: Sequence[Sequence[int]]) -> int:
    """Return the number of frames after which the distances between frames repeat; 0: they have not yet.

    :param tensors: of each one, the cycles in which the last beats of its frames passed; as many of all.
    """
    distances = np.diff(np.array(tensors))
    count = distances.shape[1]
    for period in range(1, count // 2 + 1):
        repeated = max(period, LEAST_FRAMES - 1 - period)
        if (
            repeated + period <= count
            and (distances[:, -repeated:] == distances[:, -repeated - period : -period]).all()
        ):
            return period
    return 0


def _flat(lists: Sequence[Sequence[int] | np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the lists in a row, and where each one begins."""
    starts = np.cumsum([0, *map(len, lists)])
    return np.array(list(chain.from_iterable(lists)), np.int64), starts.astype(np.int64)


class Run:
    """Runs the parts.

    :param group: the parts that are run, by their place in the network; others do not matter.
    """

    def __init__(self, network: TimingNetwork, group: Sequence[int]) -> None:
        try:
            from rtl_lib.core import replay  # imports numba
            from rtl_lib.core.machine_code import addresses
        except OSError as error:  # a library that is there, and finds no room
            raise MemoryError(f"numba cannot be loaded: {error}") from error

        self.network, self.replay = network, replay
        self.frames = self.period = 0  # frames that have left at every sink, and after which they repeat
        nodes, producers, ends = network.nodes, network.producers, set(network.ends)
        self.names = [name for name, watch in network.watches.items() if producers[watch.streams[0]] in set(group)]
        watches = [network.watches[name] for name in self.names]
        self.slowest = max((watch.busy_cycles for watch in watches), default=0)
        self.ends = np.array([place for place, name in enumerate(self.names) if name in ends], np.int64)
        self.words, self.states = _flat([node.part.state for node in nodes])
        taps, taps_of_from = _flat([watch.streams for watch in watches])
        taps_of_stream = [np.flatnonzero(taps == stream) for stream in range(len(producers))]
        inputs, inputs_from = _flat([node.inputs for node in nodes])
        by_stream, taps_from = _flat(taps_of_stream)
        held = [k for k in group if isinstance(part := nodes[k].part, Source) and part.drains]

        def numbers(given: Iterable[int]) -> np.ndarray:
            return np.array(list(given), np.int64)

        self.wires = replay.Wires(
            members=numbers(sorted(group, reverse=True)),
            rules=np.array([addresses(type(node.part)) for node in nodes], np.int64).reshape(len(nodes), 3),
            places=self.words.ctypes.data + self.words.itemsize * self.states[:-1],
            inputs=inputs,
            inputs_from=inputs_from,
            first_output=numbers(node.outputs[0] if node.outputs else 0 for node in nodes),
            outputs=numbers(len(node.outputs) for node in nodes),
            producers=numbers(producers),
            consumers=numbers(network.consumers),
            taps=by_stream,
            taps_from=taps_from,
            watch_of=np.repeat(np.arange(len(watches)), np.diff(taps_of_from)),
            taps_of_from=taps_of_from,
            beats=numbers(watch.beats for watch in watches),
            held=numbers(held),
            held_words=numbers(self.states[k] + RELEASED for k in held),
        )
        self.moments = replay.Moments(
            clock=numbers([0]),
            valid=numbers(valid for node in nodes for valid in node.part.valids()),
            ready=np.ones(len(producers), np.int64),
            since=np.zeros(len(nodes), np.int64),
            until=np.zeros(len(nodes), np.int64),
            seen_valids=np.zeros(len(nodes), np.int64),
            seen_readys=np.zeros(len(nodes), np.int64),
            taken=np.zeros(len(taps), np.int64),
            passed=np.zeros(len(watches), np.int64),
            first=np.full(len(watches), -1, np.int64),
            lasts=np.zeros((len(watches), MOST_FRAMES_APART), np.int64),
        )

    def until(self, frames: int, *, leave: bool = False) -> None:
        """Run until ``frames`` frames of every tensor, or of every one that leaves at a sink, have passed; at most
        ``MOST_FRAMES_APART``.

        :raises Deadlock: when they do not.
        """
        watches = self.ends if leave else np.arange(len(self.names))
        came = self.replay.run(self.wires, self.moments, self.words, watches, frames, LONGEST_REST)
        for node, start, end in zip(self.network.nodes, self.states, self.states[1:], strict=False):
            node.part.state[:] = self.words[start:end].tolist()
        if not came:
            raise self._deadlock()
        self.frames = frames

    def until_periodic(self, least_interval: int) -> None:
        self.until(LEAST_FRAMES, leave=True)
        while self.frames < MOST_FRAMES_APART and not self._is_periodic(least_interval):
            self.until(self.frames + 1, leave=True)

    def _is_periodic(self, least_interval: int) -> bool:
        self.period = period_of(self.lasts)
        if not self.period:
            return False
        intervals = {_interval(lasts, self.period) for lasts in self.lasts}
        # What is faster than the slowest part still fills what stands before that part.
        if len(intervals) > 1 or max(intervals) < self.slowest:
            return False
        # A tensor that is slower in its own latest frames slows down all that come after it.
        latest = {_interval(lasts, self.period) for lasts in self._latest}
        if max(intervals) <= least_interval:
            return max(latest) <= max(intervals)
        # The least interval may be out of reach: then all tensors must agree instead.
        return self.frames >= MOST_FRAMES and len(latest) == 1

    @property
    def _latest(self) -> list[list[int]]:
        """The last cycles of the latest frames of every tensor: one before a FIFO may be frames ahead of others, one
        whose last beats nobody needs may be behind, and is left out as long as it has too few.
        """
        counts = np.minimum(self.moments.passed // self.wires.beats, MOST_FRAMES_APART)
        rows = zip(self.moments.lasts, counts, strict=True)
        return [row[:count].tolist() for row, count in rows if count > self.period]

    @property
    def lasts(self) -> list[list[int]]:
        """The cycles in which the last beats of frames passed, of every tensor that leaves at a sink."""
        found: list[list[int]] = self.moments.lasts[self.ends, : self.frames].tolist()
        return found

    @property
    def passages(self) -> dict[str, Passage]:
        """Return the passages by tensor, in cycles from the start of the run. The interval is that of all of them in
        the steady state, though the first may still be filling up the network.
        """
        frames = self.period or self.frames // 2
        interval = max(_interval(lasts, frames) for lasts in self.lasts)
        return {
            name: Passage(int(self.moments.first[k]), int(self.moments.lasts[k, 0]), interval, frames, self.frames)
            for k, name in enumerate(self.names)
        }

    def _deadlock(self) -> Deadlock:
        waiting, full = [], []
        for node in self.network.nodes:
            lacking = node.part.missing(tuple(bool(self.moments.valid[s]) for s in node.inputs))
            if lacking:
                waiting.append((node.name, tuple(self.network.tensor_of(node.inputs[k]) for k in lacking)))
            if node.part.full():
                full.append(node.name)
        cycle = self.moments.clock[0]
        return Deadlock(f"from cycle {cycle} on nothing moves: the design would deadlock", waiting, full)
