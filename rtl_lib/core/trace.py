"""When every tensor of a network of timing models passes, and how often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from rtl_lib.core.replay import Run
from rtl_lib.core.timing import BeatModel
from rtl_lib.core.timing_network import Stream, TimingNetwork

LEAST_FRAMES, MOST_FRAMES = 4, 8  # that a trace looks at


@dataclass(frozen=True)
class Passage:
    """When the beats of frame 0 pass (in cycles from the first input beat anywhere), and the steady distance between
    frames: the mean of two, rounded up, as short frames may come and go in pairs.
    """

    first_cycle: int
    last_cycle: int
    interval_cycles: int
    steady_frames: int  # so many must have left at every sink before the interval can be seen


def trace(network: TimingNetwork, least_interval: int = 1 << 62) -> dict[str, Passage]:
    """Runs a network from an empty start until the intervals of all tensors that leave it repeat.

    :param least_interval: what the interval will come down to, if it is known: layers that take almost as long as each
        other wait for each other until enough beats have gathered between them, for some frames longer than that.
    :returns: by watched tensor.
    :raises Deadlock: when all parts wait for each other.
    """
    runs = [Run(network, group) for group in network.groups()]
    for run in runs:
        while not _seen(run, least_interval):
            run.step()
    start = min(source.first for source in network.sources)
    found = {
        name: Passage(counter.first - start, counter.lasts[0] - start, _interval_of(run), run.frames)
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


def _seen(run: Run, least_interval: int) -> bool:
    """Whether the intervals of all tensors that leave repeat."""
    frames = run.frames
    if frames < LEAST_FRAMES:
        return False
    return frames >= MOST_FRAMES or all(_settled(lasts[:frames], least_interval) for lasts in run.ends)


def _interval_of(run: Run) -> int:
    """In the steady state no tensor is faster than another, though the first may still be filling up the network."""
    return max(_interval(lasts[: run.frames]) for lasts in run.ends)


def _interval(lasts: list[int]) -> int:
    return (lasts[-1] - lasts[-3] + 1) // 2


def _settled(lasts: list[int], least_interval: int) -> bool:
    """Two equal distances in a row, or three equal pairs: the schedule has become periodic."""
    steps = [b - a for a, b in pairwise(lasts[-7:])]
    periodic = steps[-1] == steps[-2] or (len(steps) == 6 and steps[:2] == steps[2:4] == steps[4:])
    return periodic and _interval(lasts) <= least_interval
