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

from collections.abc import Callable, Hashable, Mapping
from typing import Generic, TypeVar

from rtl_lib.core.liveness import prove_alive, run_one_frame
from rtl_lib.core.timing import BeatModel
from rtl_lib.core.timing_network import TimingNetwork
from rtl_lib.core.trace import Deadlock, trace
from rtl_lib.streams.fifo import FifoModel, QueueModel

LEAST = 2  # beats that a FIFO holds

# So many beats may pass all in all while depths are shortened: some seconds.
MOST_WORK = 1_500_000
FRAMES = 6  # that a trace runs, with those that fill the network

Edge = TypeVar("Edge", bound=Hashable)


class FifoDepths(Generic[Edge]):
    """
    :param build: builds the design anew, with queues on the given edges and what stands there without a FIFO on all
        others.
    :param bits: by edge where a FIFO may stand, the bits of a beat.
    :param least_interval: no design is faster, as its slowest layer by itself is not.
    """

    def __init__(
        self, build: Callable[[Mapping[Edge, BeatModel]], TimingNetwork], bits: Mapping[Edge, int], least_interval: int
    ) -> None:
        self.build, self.bits = build, bits
        self.interval = least_interval
        self.waiting = self._waiting()
        beats = sum(watch.beats for watch in build({}).watches.values())
        self.traces_left = max(MOST_WORK // (FRAMES * beats), 2)

    def best(self) -> dict[Edge, int]:
        """By edge, the beats that its FIFO holds; edges that need none are not named.

        :raises Deadlock: when the design can hang with FIFOs of any depth on these edges.
        """
        depths = self._shortened(self._enough())
        return {edge: depth for edge, depth in self.alive(depths).items() if depth}

    def keeps_interval(self, depths: Mapping[Edge, int]) -> bool:
        try:
            return self._reached(self._with(depths)) <= self.interval
        except Deadlock:
            return False

    def is_alive(self, depths: Mapping[Edge, int]) -> bool:
        try:
            prove_alive(self._with(depths))
        except Deadlock:
            return False
        return True

    def drained(self) -> dict[Edge, int]:
        """Depths with which the design cannot hang."""
        queues = {edge: QueueModel() for edge in self.bits}
        run_one_frame(self.build(queues).least(drains=True))
        return {edge: queue.most if queue.most > 1 else 0 for edge, queue in queues.items()}

    def alive(self, depths: dict[Edge, int]) -> dict[Edge, int]:
        """The same, or deeper where the design could hang."""
        if self.is_alive(depths):
            return depths
        drained = self.drained()
        found = {edge: max(depth, drained[edge]) for edge, depth in depths.items()}
        prove_alive(self._with(found))
        for edge in sorted(self.bits, key=lambda edge: self.bits[edge] * (depths[edge] - found[edge])):
            if found[edge] > depths[edge] and self.is_alive(fewer := {**found, edge: depths[edge]}):
                found = fewer
        return found

    def _with(self, depths: Mapping[Edge, int]) -> TimingNetwork:
        return self.build({edge: FifoModel(max(depth, LEAST)) for edge, depth in depths.items() if depth})

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
        """What waits alone is in the registers that stand there anyway, mostly."""
        depths = {edge: depth if depth > 1 else 0 for edge, depth in self.waiting.items()}
        if not self.keeps_interval(depths):
            depths = {edge: max(depth, LEAST) for edge, depth in self.waiting.items()}
        while not self.keeps_interval(depths):
            depths = {edge: 2 * depth for edge, depth in depths.items()}
        return depths

    def _shortened(self, depths: dict[Edge, int]) -> dict[Edge, int]:
        """As far as the work allows."""
        for edge in sorted(depths, key=lambda edge: -self.bits[edge] * depths[edge]):
            enough, least = depths[edge], 0
            while least < enough and self.traces_left > 0:
                self.traces_left -= 1
                middle = (least + enough) // 2 if enough > LEAST else 0
                if self.keeps_interval({**depths, edge: middle}):
                    enough = middle
                else:
                    least = max(middle + 1, LEAST)
            depths = {**depths, edge: enough}
        return depths
