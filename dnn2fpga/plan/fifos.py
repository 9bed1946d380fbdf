"""The depth of the FIFOs, from the schedule: as small as the throughput allows.

A layer that is folded for the average rate of its input needs somewhere to put the bursts: behind a pooling layer, say,
a row of pixels comes in every second row's time. With a queue of any length everywhere the slowest layer alone sets the
interval; that is what is kept. A design that meets it when its frames come no faster has, at every boundary, a largest
number of beats that wait: FIFOs of that depth are enough, and then each is made as small as it can be.

No depth leads to a deadlock: layers form a chain, and each takes its input in order.
"""

from __future__ import annotations

from collections.abc import Callable

from dnn2fpga.plan.hardware_plan import Schedule
from rtl_lib.core.timing import BeatModel
from rtl_lib.core.trace import trace_chain
from rtl_lib.streams.fifo import FifoModel

LEAST = 2  # beats that a FIFO holds
STAGE_HOLDS = 2
ENDLESS = 1 << 40


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
    interval = schedule.trace()[-1].interval_cycles
    return interval if interval <= max(schedule.alone) else schedule.trace(_queues(schedule))[-1].interval_cycles


def fifo_depths(schedule: Schedule) -> dict[str, int]:
    """By layer, the beats that must fit into a FIFO behind it for the best interval; layers that need none are not
    named.
    """
    interval = best_interval(schedule)

    def holds(separators: list[BeatModel | None]) -> bool:
        return schedule.trace(separators, least_interval=interval)[-1].interval_cycles <= interval

    if holds(schedule.separators()):
        return {}
    queues = _queues(schedule)
    trace_chain(*schedule.chain(queues), source_period=interval, least_interval=interval)
    depths = {place: queue.most for place, queue in enumerate(queues) if isinstance(queue, _Queue)}
    while not holds(_separators(schedule, depths)):
        depths = {place: 2 * depth for place, depth in depths.items()}
    # What a stage can hold needs no FIFO, mostly.
    if holds(_separators(schedule, few := {k: depth if depth > STAGE_HOLDS else 0 for k, depth in depths.items()})):
        depths = few
    # The widest first: there a beat less saves most.
    for k in sorted(depths, key=lambda k: -schedule.boundaries[k].beat.layout.size * depths[k]):
        others = {**depths}
        if depths[k]:
            depths[k] = _smallest(depths[k], lambda depth: holds(_separators(schedule, {**others, k: depth})))  # noqa: B023 - called at once
    return {schedule.boundaries[k].layer: depth for k, depth in sorted(depths.items()) if depth}


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


def _queues(schedule: Schedule) -> list[BeatModel | None]:
    """Everywhere, but before the first layer and where the settings say what shall stand there."""
    return [
        twin if place == 0 or "fifo" in schedule.settings.options(boundary.layer) else _Queue()
        for place, (boundary, twin) in enumerate(zip(schedule.boundaries, schedule.separators(), strict=True))
    ]


def _separators(schedule: Schedule, depths: dict[int, int]) -> list[BeatModel | None]:
    """The schedule's, with other depths at some boundaries."""
    found: list[BeatModel | None] = []
    for place, boundary in enumerate(schedule.boundaries):
        depth = depths.get(place, boundary.fifo)
        component = boundary.model_copy(update={"fifo": max(depth, LEAST) if depth else 0}).separator()
        found.append(component and component.beat_model())
    return found
