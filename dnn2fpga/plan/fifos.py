"""The depths of a design's FIFOs (``rtl_lib.streams.fifo_depths``): on which edges they may stand, and what is said
where those that a user gave are too short.
"""

from __future__ import annotations

from collections.abc import Mapping

from dnn2fpga.errors import UserError
from dnn2fpga.plan.schedule import EdgeKey, Schedule
from dnn2fpga.plan.settings import EdgeFifo, PlanSettings
from dnn2fpga.plan.streams import Edge
from rtl_lib.core.liveness import prove_alive
from rtl_lib.core.timing import BeatModel
from rtl_lib.core.trace import Deadlock
from rtl_lib.streams.fifo import QueueModel
from rtl_lib.streams.fifo_depths import FifoDepths, too_short


def best_interval(schedule: Schedule) -> int:
    """The interval with queues of any length: mostly that of the slowest layer. (Layers that are all as slow as that
    lose some cycles to each other; in the end they would not, but the end is many frames away.)

    :raises UserError: when it can hang even so, by FIFOs that the settings give.
    """
    # In a design that can hang, one part may stop while another continues for ever: then a trace has no end.
    if is_alive(schedule):
        interval = _interval(schedule, {})
        if interval <= max(schedule.alone.values()):
            return interval
    queues = {edge.key: QueueModel() for edge in _open(schedule)}
    refuse_to_hang(schedule, queues)
    return _interval(schedule, queues)


def fifo_depths(schedule: Schedule) -> dict[EdgeKey, int]:
    """The beats that FIFOs must hold for the best interval, and so that nothing hangs, by edge; edges that need none
    are not named.
    """
    if is_alive(schedule) and _interval(schedule, {}) <= best_interval(schedule):
        return {}
    bits = {edge.key: schedule.by_name[edge.source].beat.layout.size for edge in _open(schedule)}
    return FifoDepths(schedule.network, bits, best_interval(schedule)).best()


def with_fifos(schedule: Schedule) -> PlanSettings:
    """The settings of a design with the depths of all FIFOs that they do not give."""
    settings, layers, edges = schedule.settings, {}, []
    for (source, reader, _), depth in fifo_depths(schedule).items():
        if schedule.by_name[source].forks:
            edges.append(EdgeFifo(tensor=source, reader=reader, beats=depth))
        else:
            layers[source] = {"fifo": depth}
    return settings.with_layers(layers).model_copy(update={"fifos": (*settings.fifos, *edges)})


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


def refuse_to_hang(schedule: Schedule, fifos: Mapping[EdgeKey, BeatModel] | None = None) -> None:
    """Check a design with all its FIFOs.

    :param fifos: of ``check_alive``.
    :raises UserError: when pauses of a source or a sink can make it hang; names the join, the input that it waits for,
        the FIFO that is full, and the depths that are needed.
    """
    try:
        check_alive(schedule, fifos)
    except Deadlock as dead:
        waiting = [f"{join} waits for {' and '.join(map(repr, tensors))}" for join, tensors in dead.waiting]
        reasons = "; ".join([*waiting, *(f"{queue} is full" for queue in dead.full)])
        is_open = {edge.key for edge in _open(schedule)}
        edges = sorted(_may_have_fifos(schedule), key=lambda edge: edge.key in is_open)  # first what the settings give
        needed = too_short(schedule.network, {edge.key: edge.fifo for edge in edges})
        listed = [f"{depth:,} beats from '{source}' to '{reader}'" for (source, reader, _), depth in needed.items()]
        raise UserError(
            [
                f"the design can hang when a source or a sink pauses: {reasons}",
                f"FIFOs are needed: {', '.join(listed)}; leave them out of the settings, and they are calculated",
            ]
        ) from dead


def _interval(schedule: Schedule, models: Mapping[EdgeKey, BeatModel]) -> int:
    return max(passage.interval_cycles for passage in schedule.trace(models).values())


def _may_have_fifos(schedule: Schedule) -> list[Edge]:
    """The edges on which a FIFO may stand: all but those of a model's input that has one reader. (A source waits by
    itself.)
    """
    return [edge for b in schedule.boundaries for edge in b.edges if b.forks or not b.is_input]


def _open(schedule: Schedule) -> list[Edge]:
    """Those of which the settings do not say what shall stand there."""
    given = {(one.tensor, one.reader) for one in schedule.settings.fifos}
    return [
        edge
        for edge in _may_have_fifos(schedule)
        if (
            edge.key[:2] not in given
            if schedule.by_name[edge.source].forks
            else "fifo" not in schedule.settings.options(edge.source)
        )
    ]
