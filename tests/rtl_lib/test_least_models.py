"""Guarantees of a part at rest, whatever came when: proved by visiting every state that small parts can be in.

A state is explored together with the numbers of beats that have passed each stream. In all states with the same numbers
the least model must accept and offer the same, more if more has been accepted and offered; the model itself at least
that. ``rtl_lib.core.liveness`` depends on nothing else.
"""

from __future__ import annotations

import copy
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import product

import pytest

import rtl_lib
from rtl_lib.binary32.matrix import Binary32MatrixModel
from rtl_lib.core.branch_timing import ForkStageModel, GatedJoinModel, JoinPipelineModel, SequencerModel
from rtl_lib.core.timing import Flags, NetworkPart, PipelineModel, ReduceModel, StageModel
from rtl_lib.core.timing_network import Sink, Source
from rtl_lib.image.block_reduction import BlockReductionModel, Stretch
from rtl_lib.image.window_schedule import Padding, WindowSchedule, WindowsModel
from rtl_lib.matrix.folded.timing import FoldedModel
from rtl_lib.streams.fifo import FifoModel, QueueModel
from rtl_lib.streams.repack import GathererModel, SerializerModel

SAME = Padding(1, 1, 1, 1)
SCHEDULES = [
    WindowSchedule(4, 3, (3, 3), (1, 1), SAME),
    WindowSchedule(4, 4, (3, 3), (2, 2), Padding(0, 1, 0, 1)),
    WindowSchedule(4, 3, (3, 3), (2, 1), SAME),
    WindowSchedule(3, 4, (2, 2), (2, 2)),
    WindowSchedule(2, 3, (1, 1), (1, 3)),
    WindowSchedule(3, 4, (1, 1), (2, 2)),
    WindowSchedule(4, 6, (3, 3), (1, 1), SAME, pixels=2),
    WindowSchedule(5, 1, (3, 3), (1, 1), SAME, pixels=2),
    WindowSchedule(3, 5, (3, 5), (1, 1), Padding(1, 1, 2, 2)),
]
PARTS: dict[str, Callable[[], NetworkPart]] = {
    "stage": StageModel,
    "pipeline": lambda: PipelineModel(4),
    "reduce": lambda: ReduceModel(4, 3),
    "blocks": lambda: BlockReductionModel(2, Stretch(4, 2, 2), Stretch(5, 2, 2)),
    "serializer": lambda: SerializerModel(3),
    "unpack": lambda: SerializerModel(2, 2, 1),
    "gatherer": lambda: GathererModel(3),
    "fifo": lambda: FifoModel(3),
    "held": lambda: FoldedModel(5, 2, 3, False),
    "held, one turn": lambda: FoldedModel(3, 1, 4, False),
    "held, many short turns": lambda: FoldedModel(3, 4, 1, False),
    "streamed": lambda: FoldedModel(4, 1, 3, True),
    "replayed": lambda: FoldedModel(4, 3, 2, True),
    "with an epilogue": lambda: FoldedModel(3, 2, 2, False, 2),
    "with all that follows": lambda: FoldedModel(3, 3, 2, True, 1, gathers=True),
    "binary32": lambda: Binary32MatrixModel(2, 4, 1, latency=3),
    "fork": lambda: ForkStageModel(2),
    "fork of three": lambda: ForkStageModel(3),
    "join": lambda: JoinPipelineModel(3, 2),
    "join of three": lambda: JoinPipelineModel(2, 3),
    "gate": lambda: GatedJoinModel(3, 3),
    "gate first": lambda: GatedJoinModel(2, 2, gate=0),
    "sequencer": lambda: SequencerModel(2, [2, 1, 3]),
    **{f"windows {k}": lambda s=s: WindowsModel(s) for k, s in enumerate(SCHEDULES)},  # type: ignore[misc]
}
MOST_BEATS = 26  # of a stream, that are explored: more than a frame of every part


Counts = tuple[int, ...]


@dataclass(frozen=True)
class Passed:
    """Numbers of beats, from the start: offered at every input, taken from it, taken from every output."""

    offered: Counts
    taken: Counts
    left: Counts


@dataclass
class Explored:
    """The states that any history leads to."""

    takes: set[tuple[int, Passed]] = field(default_factory=set)  # from which input; ``left`` after the same cycle
    offers: set[tuple[int, Passed]] = field(default_factory=set)  # at which output
    rests: set[tuple[Passed, Flags]] = field(default_factory=set)  # where nothing moves unless a neighbour does; valids


def explored(part: NetworkPart, most_beats: int = MOST_BEATS) -> Explored:
    found = Explored()
    none_in, none_out = (0,) * part.inputs, (0,) * part.outputs
    quiet = (False,) * part.outputs
    todo = [(part, Passed(none_in, none_in, none_out))]
    seen = {(tuple(part.state), todo[0][1])}
    while todo:
        part, passed = todo.pop()
        waits = tuple(a > b for a, b in zip(passed.offered, passed.taken, strict=True))
        valids = part.valids()
        found.offers |= {(k, passed) for k, offers in enumerate(valids) if offers}
        for output_readys in product((False, True), repeat=part.outputs):
            after = copy.deepcopy(part)
            takes = tuple(a and b for a, b in zip(waits, part.readys(waits, output_readys), strict=True))
            leaves = tuple(a and b for a, b in zip(valids, output_readys, strict=True))
            after.advance(waits, output_readys)
            left = tuple(a + b for a, b in zip(passed.left, leaves, strict=True))
            found.takes |= {(k, replace(passed, left=left)) for k, take in enumerate(takes) if take}
            if output_readys == quiet and not any(takes) and after.state == part.state:
                found.rests.add((passed, valids))
            taken = tuple(a + b for a, b in zip(passed.taken, takes, strict=True))
            for comes in product((0, 1), repeat=part.inputs):
                offered = tuple(max(o, t + c) for o, t, c in zip(passed.offered, taken, comes, strict=True))
                key = tuple(after.state), Passed(offered, taken, left)
                if key not in seen and max((*offered, *left)) <= most_beats:
                    seen.add(key)
                    todo.append((after, key[1]))
    return found


def covers(one: Counts, other: Counts) -> bool:
    return all(a >= b for a, b in zip(one, other, strict=True))


def broken(model: Explored, least: Explored) -> list[str]:
    """Return where the model rests, though with no more beats the least model moves."""
    found = []
    for k, before in least.takes:
        for at, _ in model.rests:
            same = at.taken[k] == before.taken[k] and at.offered[k] > at.taken[k]
            if same and covers(at.offered, before.offered) and covers(at.left, before.left):
                found.append(f"input {k} is not taken at {at}, though at {before}")
    for k, before in least.offers:
        for at, valids in model.rests:
            same = at.left[k] == before.left[k] and not valids[k]
            if same and covers(at.offered, before.offered) and covers(at.left, before.left):
                found.append(f"output {k} is not offered at {at}, though at {before}")
    return found


@pytest.mark.parametrize("name", PARTS)
def test_a_part_accepts_and_offers_what_its_least_model_does(name: str) -> None:
    part = PARTS[name]()
    most = MOST_BEATS if part.inputs == part.outputs else 8
    least = explored(part.least(), most)
    assert least.takes
    assert least.offers
    assert broken(explored(part, most), least) == []
    assert broken(least, least) == []  # the order in time does not matter to it


@pytest.mark.parametrize("name", ["pipeline", "streamed", "binary32", "join", *(f"windows {k}" for k in (0, 1, 6))])
def test_what_a_part_takes_in_good_time_is_no_guarantee(name: str) -> None:
    """A beat that a part accepts in good time is no guarantee. It is why a schedule without stalls proves nothing, and
    shows that the check above can fail.
    """
    part = PARTS[name]()
    itself = explored(part, MOST_BEATS if part.inputs == part.outputs else 8)
    assert any("is not taken" in told for told in broken(itself, itself))


def timing_models(kind: type[NetworkPart]) -> Iterator[type[NetworkPart]]:
    for below in kind.__subclasses__():
        yield from timing_models(below)
        if not inspect.isabstract(below) and below.__module__.startswith("rtl_lib"):
            yield below


def test_every_timing_model_is_looked_at() -> None:
    for module in pkgutil.walk_packages(rtl_lib.__path__, "rtl_lib."):
        importlib.import_module(module.name)
    looked_at = {type(part) for create in PARTS.values() for part in (create(), create().least())}
    ends = {Source, Sink, QueueModel}  # sources and sinks of every network; a queue that is never full
    assert set(timing_models(NetworkPart)) - ends == looked_at
