"""The depth of the FIFOs, from the schedule: as small as the throughput allows, and enough that nothing hangs.

A layer that is folded for the average rate of its input needs somewhere to put the bursts: after a pooling layer, say,
a row of pixels comes in every second row's time. Where one branch of a network takes longer than another, the other's
beats must wait for the join. With a queue of any length on every edge the slowest layer alone sets the interval; that
is what is kept. A design that meets it when its frames come no faster has, on every edge, a largest number of beats
that wait: FIFOs of that depth are enough, and then each is made as small as it can be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dnn2fpga.errors import UserError
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.plan.schedule import EdgeKey, Schedule
from dnn2fpga.plan.streams import Edge
from rtl_lib.core.liveness import prove_alive
from rtl_lib.core.timing import BeatModel
from rtl_lib.core.trace import Deadlock, trace
from rtl_lib.streams.fifo import FifoModel
from rtl_lib.streams.master_slave_stage import StageModel

LEAST = 2  # beats that a FIFO holds
STAGE_HOLDS = 2
ENDLESS = 1 << 40

Depths = Mapping[EdgeKey, int]


class _Queue(FifoModel):
    """A FIFO that is never full, and remembers how full it was."""

    def __init__(self) -> None:
        super().__init__(ENDLESS)
        self.most = 0

    def tick(self, input_valid: bool, output_ready: bool) -> None:
        super().tick(input_valid, output_ready)
        self.most = max(self.most, self.stored)


def best_interval(schedule: Schedule) -> int:
    """The interval with queues of any length: mostly that of the slowest layer. (Layers that are all as slow as that
    lose some cycles to each other; in the end they would not, but the end is many frames away.)
    """
    interval = _interval(schedule, {})
    if interval is not None and interval <= max(schedule.alone.values()):
        return interval
    return max(passage.interval_cycles for passage in schedule.trace(_queues(schedule)).values())


def fifo_depths(schedule: Schedule) -> dict[EdgeKey, int]:
    """The beats that FIFOs must hold for the best interval, by edge; edges that need none are not named."""
    interval = best_interval(schedule)

    def holds(depths: Depths) -> bool:
        if not is_alive(schedule, depths):
            return False
        reached = _interval(schedule, _models(schedule, depths), interval)
        return reached is not None and reached <= interval

    if holds({}):
        return {}
    queues = _queues(schedule)
    trace(schedule.network(queues, interval), interval)
    depths = {key: queue.most for key, queue in queues.items()}
    while not holds(depths):
        depths = {key: 2 * depth for key, depth in depths.items()}
    # What a stage can hold needs no FIFO, mostly.
    if holds(few := {key: depth if depth > STAGE_HOLDS else 0 for key, depth in depths.items()}):
        depths = few
    # The widest first: there a beat less saves most.
    width = {edge.key: schedule.by_name[edge.source].beat.layout.size for edge in schedule.edges}
    for key in sorted(depths, key=lambda key: -width[key] * depths[key]):
        if depths[key]:
            others = dict(depths)
            depths[key] = _smallest(depths[key], lambda depth: holds({**others, key: depth}))  # noqa: B023 - called at once
    return {key: depth for key, depth in depths.items() if depth}


def is_alive(schedule: Schedule, depths: Depths) -> bool:
    """Whether no pauses of sources and sinks can make the design hang (``rtl_lib.core.liveness``)."""
    try:
        check_alive(schedule, depths)
    except Deadlock:
        return False
    return True


def check_alive(schedule: Schedule, depths: Depths) -> None:
    """Raise `Deadlock` where some pauses can make the design hang. A chain cannot."""
    if any(len(boundary.inputs) > 1 for boundary in schedule.boundaries):
        prove_alive(schedule.network(_models(schedule, depths)))


def refuse_to_hang(graph: QuantizedGraph, schedule: Schedule) -> None:
    """Check a design with all its FIFOs.

    :raises UserError: when pauses of a source or a sink can make it hang; names the join, the input that it waits for,
        the FIFO that is full, and the depths that are needed.
    """
    try:
        check_alive(schedule, {})
    except Deadlock as dead:
        waiting = [f"{join} waits for {' and '.join(map(repr, tensors))}" for join, tensors in dead.waiting]
        reasons = "; ".join([*waiting, *(f"{queue} is full" for queue in dead.full)])
        free = schedule.settings.model_copy(
            update={
                "fifo": None,
                "fifos": (),
                "layers": {
                    name: own.model_copy(update={"fifo": None}) for name, own in schedule.settings.layers.items()
                },
            }
        )
        needed = fifo_depths(Schedule(graph, free))
        listed = [f"{depth:,} beats from '{source}' to '{reader}'" for (source, reader, _), depth in needed.items()]
        raise UserError(
            [
                f"the design can hang when its source or its sink pauses: {reasons}",
                f"FIFOs are needed: {', '.join(listed)}; leave them out of the settings, and they are calculated",
            ]
        ) from dead


def _interval(schedule: Schedule, models: Mapping[EdgeKey, BeatModel | None], least: int | None = None) -> int | None:
    """The interval of the whole design; None where it hangs."""
    try:
        return max(passage.interval_cycles for passage in schedule.trace(models, least_interval=least).values())
    except Deadlock:
        return None


def _smallest(enough: int, holds: Callable[[int], bool]) -> int:
    """The least depth that does, knowing one that is enough; 0: no FIFO."""
    if holds(0):
        return 0
    least, enough = LEAST, max(enough, LEAST)
    while least < enough:
        middle = (least + enough) // 2
        if holds(middle):
            enough = middle
        else:
            least = middle + 1
    return enough


def _open(schedule: Schedule) -> list[Edge]:
    """The edges on which a FIFO may be put: all but those of which the settings say what shall stand there, and those
    of a model's input that has one reader. (A source waits by itself.)
    """
    given = {(one.tensor, one.reader) for one in schedule.settings.fifos}
    return [
        edge
        for boundary in schedule.boundaries
        for edge in boundary.edges
        if (boundary.forks and edge.key[:2] not in given)
        or not (boundary.forks or boundary.is_input or "fifo" in schedule.settings.options(boundary.name))
    ]


def _queues(schedule: Schedule) -> dict[EdgeKey, _Queue]:
    return {edge.key: _Queue() for edge in _open(schedule)}


def _models(schedule: Schedule, depths: Depths) -> dict[EdgeKey, BeatModel | None]:
    """What stands on the edges with FIFOs of these depths; where none is said, what the schedule has there."""
    found: dict[EdgeKey, BeatModel | None] = {}
    for edge in schedule.edges:
        if edge.key in depths:
            depth, boundary = depths[edge.key], schedule.by_name[edge.source]
            without = StageModel() if boundary.staged and not boundary.forks else None
            found[edge.key] = FifoModel(max(depth, LEAST)) if depth else without
    return found
