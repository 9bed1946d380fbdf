"""The depths of the FIFOs of a design: as few bits as its throughput needs, and enough that it cannot hang.

A beat waits where a path is slower than another one that it meets again, or where a layer that is folded for the
average rate of its input gets it in bursts. With endless queues everywhere, and frames that come evenly at the best
interval, every queue has a most beats that ever wait in it: FIFOs of these depths keep the interval. Then they are
shortened, those with the most bits first, as far as the interval stays the same.

That schedule says nothing of others: whether the design can hang when its sources and sinks pause is decided by
``rtl_lib.core.liveness``. Where it can, FIFOs get the depth of the *drain schedule*: least models with endless queues,
and sources that offer a beat only when nothing else moves; what then waits has to wait in any schedule, somewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Generic, TypeVar

from rtl_lib.core.liveness import prove_alive, run_one_frame
from rtl_lib.core.timing import BeatModel
from rtl_lib.core.timing_network import TimingNetwork
from rtl_lib.core.trace import Deadlock, trace
from rtl_lib.streams.fifo import FifoModel, QueueModel

LEAST = 2  # beats that a FIFO holds

# The most beats that may pass, all in all, while depths are shortened: some seconds.
MOST_WORK = 5_000_000
FRAMES = 6  # that a trace runs, with those that fill the network

Edge = TypeVar("Edge", bound=Hashable)
Build = Callable[[Mapping[Edge, BeatModel]], TimingNetwork]


class FifoDepths(Generic[Edge]):
    """The search for the least FIFO depths with which a design keeps its interval and cannot hang.

    :param build: builds the design anew, with queues on the given edges and what stands there without a FIFO on all
        others.
    :param bits: by edge where a FIFO may stand, the bits of a beat.
    :param least_interval: no design is faster, as its slowest layer by itself is not.
    """

    def __init__(self, build: Build[Edge], bits: Mapping[Edge, int], least_interval: int) -> None:
        self.build, self.bits = build, bits
        self.interval = least_interval
        self.waiting = self._waiting()
        beats = sum(watch.beats for watch in build({}).watches.values())
        self.traces_left = MOST_WORK // (FRAMES * beats)

    def best(self) -> dict[Edge, int]:
        """Return by edge the beats that its FIFO holds; edges that need none are not named.

        :raises Deadlock: when the design can hang with FIFOs of any depth on these edges.
        """
        return {edge: depth for edge, depth in self.alive(self.full_rate()).items() if depth}

    def full_rate(self) -> dict[Edge, int]:
        """Depths with which nothing keeps the interval from being the best one, while nothing pauses."""
        return self._shortened(self._enough())

    def alive(self, depths: dict[Edge, int]) -> dict[Edge, int]:
        """The same, or deeper where the design could hang.

        :raises Deadlock: when it can with FIFOs of any depth on these edges.
        """
        if is_alive(self.build, depths):
            return depths
        drained = drained_depths(self.build, self.bits)
        found = {edge: max(depth, drained[edge]) for edge, depth in depths.items()}
        prove_alive(_with(self.build, found))
        for edge in sorted(self.bits, key=lambda edge: self.bits[edge] * (depths[edge] - found[edge])):
            if found[edge] > depths[edge] and is_alive(self.build, fewer := {**found, edge: depths[edge]}):
                found = fewer
        return found

    def keeps_interval(self, depths: Mapping[Edge, int]) -> bool:
        """Return whether frames leave at the best interval as long as nothing pauses."""
        try:
            return self._reached(_with(self.build, depths)) <= self.interval
        except Deadlock:
            return False

    def _waiting(self) -> dict[Edge, int]:
        """The most beats that ever wait: fewest where the beats of a frame come evenly, if the interval can be met so.
        Where it is too short (layers that take almost as long as each other keep each other waiting), it becomes what
        they reach.
        """
        while True:
            for evenly in (True, False):
                queues = {edge: QueueModel() for edge in self.bits}
                network = self.build(queues)
                network.pace(self.interval, evenly=evenly)
                if self._reached(network) <= self.interval:
                    break
            else:
                endless = self._reached(self.build({edge: QueueModel() for edge in self.bits}))
                if endless > self.interval:
                    self.interval = endless
                    continue
            return {edge: queue.most for edge, queue in queues.items()}

    def _reached(self, network: TimingNetwork) -> int:
        return max(passage.interval_cycles for passage in trace(network, self.interval).values())

    def _enough(self) -> dict[Edge, int]:
        """Return depths that keep the interval. What waits alone is in the registers that stand there anyway, mostly.
        Sources that do not keep to the interval fill what they can, and may need more.
        """
        alone = {edge: depth if depth > 1 else 0 for edge, depth in self.waiting.items()}
        depths = {edge: max(depth, LEAST) for edge, depth in self.waiting.items()}
        for attempt in (alone, *({edge: n * depth for edge, depth in depths.items()} for n in (1, 2, 4, 8))):
            if self.keeps_interval(attempt):
                return attempt
        self.interval = max(self.interval, self._reached(_with(self.build, attempt)))
        return attempt

    def _shortened(self, depths: dict[Edge, int]) -> dict[Edge, int]:
        """Return shorter depths, as far as the number of traces allows."""

        def enough(edge: Edge, depth: int) -> bool:
            self.traces_left -= 1
            return self.traces_left >= 0 and self.keeps_interval({**depths, edge: depth})

        for edge in sorted(depths, key=lambda edge: -self.bits[edge] * depths[edge]):
            depths = {**depths, edge: _smallest(depths[edge], lambda depth: enough(edge, depth))}  # noqa: B023 - called at once
        return depths


def is_alive(build: Build[Edge], depths: Mapping[Edge, int]) -> bool:
    """Return whether the design with these FIFOs cannot hang, whatever pauses its sources and sinks make."""
    try:
        prove_alive(_with(build, depths))
    except Deadlock:
        return False
    return True


def drained_depths(build: Build[Edge], edges: Iterable[Edge]) -> dict[Edge, int]:
    """Depths on these edges with which the design cannot hang; 0: no FIFO.

    :raises Deadlock: when it can with FIFOs of any depth on these edges.
    """
    queues = {edge: QueueModel() for edge in edges}
    run_one_frame(build(queues).least(drains=True))
    # A beat that waits alone mostly has a place in the registers that stand there anyway.
    few = [{edge: max(q.most, LEAST) if q.most > n else 0 for edge, q in queues.items()} for n in (1, 0)]
    everywhere = {edge: max(queue.most, LEAST) for edge, queue in queues.items()}
    return next((depths for depths in few if is_alive(build, depths)), everywhere)


def too_short(build: Build[Edge], given: Mapping[Edge, int]) -> dict[Edge, int]:
    """The FIFOs of a user with which the design can hang, and the beats that each must hold at the least, where the
    others are long enough.

    :param given: by edge, their depths; the design has its own on all other edges.
    :raises Deadlock: when it can hang with FIFOs of any depth on these edges.
    """
    if is_alive(build, given):
        return {}
    drained = drained_depths(build, given)
    depths = {edge: max(depth, drained[edge]) for edge, depth in given.items()}
    for edge in given:
        if depths[edge] > given[edge]:
            least = _smallest(depths[edge], lambda depth: is_alive(build, {**depths, edge: depth}))  # noqa: B023 - called at once
            depths = {**depths, edge: max(least, given[edge])}
    return {edge: depth for edge, depth in depths.items() if depth > given[edge]}


def _with(build: Build[Edge], depths: Mapping[Edge, int]) -> TimingNetwork:
    return build({edge: FifoModel(max(depth, LEAST)) for edge, depth in depths.items() if depth})


def _smallest(enough: int, holds: Callable[[int], bool]) -> int:
    """The least depth that does, knowing one that is enough; 0: no FIFO."""
    if not enough or holds(0):
        return 0
    least, enough = LEAST, max(enough, LEAST)
    while least < enough:
        middle = (least + enough) // 2
        if holds(middle):
            enough = middle
        else:
            least = middle + 1
    return enough
