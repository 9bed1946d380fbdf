"""The depths of a design's FIFOs (``rtl_lib.streams.fifo_depths``): on which edges they may stand, and what is said
where those that a user gave are too short.
"""

from __future__ import annotations

from collections.abc import Mapping

from dnn2fpga.errors import UserError
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.plan.schedule import EdgeKey, Schedule
from dnn2fpga.plan.settings import PlanSettings
from dnn2fpga.plan.streams import Edge
from rtl_lib.core.liveness import prove_alive
from rtl_lib.core.timing import BeatModel
from rtl_lib.core.timing_network import TimingNetwork
from rtl_lib.core.trace import Deadlock
from rtl_lib.streams.fifo import QueueModel
from rtl_lib.streams.fifo_depths import FifoDepths


def best_interval(schedule: Schedule) -> int:
    """The interval with queues of any length: mostly that of the slowest layer. (Layers that are all as slow as that
    lose some cycles to each other; in the end they would not, but the end is many frames away.)

    :raises Deadlock: when it can hang even so, by FIFOs that the settings give.
    """
    # In a design that can hang, one part may stop while another continues for ever: then a trace has no end.
    if is_alive(schedule):
        interval = _interval(schedule, {})
        if interval <= max(schedule.alone.values()):
            return interval
    queues = {edge.key: QueueModel() for edge in _open(schedule)}
    check_alive(schedule, queues)
    return _interval(schedule, queues)


def fifo_depths(schedule: Schedule) -> dict[EdgeKey, int]:
    """The beats that FIFOs must hold for the best interval, and so that nothing hangs, by edge; edges that need none
    are not named.
    """
    if is_alive(schedule) and _interval(schedule, {}) <= best_interval(schedule):
        return {}
    bits = {edge.key: schedule.by_name[edge.source].beat.layout.size for edge in _open(schedule)}

    def build(queues: Mapping[EdgeKey, BeatModel]) -> TimingNetwork:
        return schedule.network(queues)

    return FifoDepths(build, bits, best_interval(schedule)).best()


def is_alive(schedule: Schedule) -> bool:
    """Return whether no pauses of sources and sinks can make the design hang (``rtl_lib.core.liveness``)."""
    try:
        check_alive(schedule)
    except Deadlock:
        return False
    return True


def check_alive(schedule: Schedule, fifos: Mapping[EdgeKey, BeatModel] | None = None) -> None:
    """Raise `Deadlock` where some pauses can make the design hang. Where nothing is joined, none can.

    :param fifos: what stands on some edges in place of what is planned there.
    """
    if any(len(boundary.inputs) > 1 for boundary in schedule.boundaries):
        prove_alive(schedule.network(fifos))


def refuse_to_hang(graph: QuantizedGraph, schedule: Schedule) -> None:
    """Check a design with all its FIFOs.

    :raises UserError: when pauses of a source or a sink can make it hang; names the join, the input that it waits for,
        the FIFO that is full, and the depths that are needed.
    """
    try:
        check_alive(schedule)
    except Deadlock as dead:
        raise can_hang(graph, schedule.settings, dead) from dead


def can_hang(graph: QuantizedGraph, settings: PlanSettings, dead: Deadlock) -> UserError:
    """Return the error for FIFOs that are too short."""
    waiting = [f"{join} waits for {' and '.join(map(repr, tensors))}" for join, tensors in dead.waiting]
    reasons = "; ".join([*waiting, *(f"{queue} is full" for queue in dead.full)])
    needed = fifo_depths(Schedule(graph, settings.without_fifos()))
    listed = [f"{depth:,} beats from '{source}' to '{reader}'" for (source, reader, _), depth in needed.items()]
    return UserError(
        [
            f"the design can hang when a source or a sink pauses: {reasons}",
            f"FIFOs are needed: {', '.join(listed)}; leave them out of the settings, and they are calculated",
        ]
    )


def _interval(schedule: Schedule, models: Mapping[EdgeKey, BeatModel]) -> int:
    return max(passage.interval_cycles for passage in schedule.trace(models).values())


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
