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
from rtl_lib.beat_model import BeatModel
from rtl_lib.fifo import FifoModel

LEAST = 2  # beats that a FIFO holds
ENDLESS = 1 << 40

Holds = Callable[[list[int]], bool]


class _Queue(FifoModel):
    """A FIFO that is never full, and remembers how full it was."""

    def __init__(self) -> None:
        super().__init__(ENDLESS)
        self.most = 0

    def tick(self, input_valid: bool, output_ready: bool) -> None:
        super().tick(input_valid, output_ready)
        self.most = max(self.most, self.stored)


def best_interval(schedule: Schedule) -> int:
    """The interval with queues of any length: that of the slowest layer."""
    return schedule.trace(_queues(schedule))[-1].interval_cycles


def fifo_depths(schedule: Schedule) -> dict[str, int]:
    """By layer, the beats that must fit into a FIFO behind it for the best interval; layers that need none are not
    named.
    """
    interval = best_interval(schedule)
    if schedule.trace()[-1].interval_cycles <= interval:
        return {}
    queues = _queues(schedule)
    schedule.trace(queues, source_period=interval)
    depths = [
        queue.most if isinstance(queue, _Queue) else boundary.fifo
        for queue, boundary in zip(queues, schedule.boundaries, strict=True)
    ]

    def holds(tried: list[int]) -> bool:
        return schedule.trace(_separators(schedule, tried))[-1].interval_cycles <= interval

    # The widest first: there a beat less saves most.
    by_width = sorted(range(1, len(depths)), key=lambda k: -schedule.boundaries[k].beat.layout.size * depths[k])
    for k in by_width:
        if isinstance(queues[k], _Queue) and depths[k]:
            depths[k] = _smallest(k, depths, holds)
    free = [k for k, queue in enumerate(queues) if isinstance(queue, _Queue)]
    return {schedule.boundaries[k].layer: depths[k] for k in free if depths[k]}


def _smallest(place: int, depths: list[int], holds: Holds) -> int:
    """The least depth at one place that keeps what holds with ``depths``."""

    def with_depth(depth: int) -> list[int]:
        return [*depths[:place], depth, *depths[place + 1 :]]

    if holds(with_depth(0)):
        return 0
    least, enough = LEAST, max(depths[place], LEAST)
    while least < enough:
        middle = (least + enough) // 2
        if holds(with_depth(middle)):
            enough = middle
        else:
            least = middle + 1
    return enough


def _queues(schedule: Schedule) -> list[BeatModel | None]:
    """Everywhere, but before the first layer and where the settings say what shall stand there."""
    found: list[BeatModel | None] = []
    for boundary in schedule.boundaries:
        given = boundary.index == 0 or "fifo" in schedule.settings.options(boundary.layer)
        component = boundary.separator()
        found.append(component and component.beat_model() if given else _Queue())
    return found


def _separators(schedule: Schedule, depths: list[int]) -> list[BeatModel | None]:
    found: list[BeatModel | None] = []
    for boundary, depth in zip(schedule.boundaries, depths, strict=True):
        component = boundary.model_copy(update={"fifo": max(depth, LEAST) if depth else 0}).separator()
        found.append(component and component.beat_model())
    return found
