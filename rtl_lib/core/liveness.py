"""Proof that a design cannot hang, whatever pauses its sources and sinks make.

What a component accepts may depend on time: a pipeline whose registers move together holds as many beats as came in one
after the other, a windows component accepts words of the next row early if they are there already. So one schedule in
which no beat is stopped proves nothing about others. But every timing model has a *least* model (``NetworkPart.least``)
whose acceptance and offers at rest depend only on how many beats have passed each of its streams, and grow with them;
and at the same numbers the model itself accepts and offers at least as much (``tests/rtl_lib/test_least_models.py``
visits every state). Then:

* A network of least models is a marked graph: what can pass next does not depend on the order of what has passed. If
  one frame by itself runs through it in one schedule, it does in all, and so do any number of frames.
* The design itself never rests for good: let e be the first event, in the order of that schedule, that is missing
  where it rests. All events before e have happened. So the numbers of beats at the component of e are at least those
  of the schedule, where the least model accepted, or offered, and the component itself does so too.

Sources may pause as long as they like, and sinks too, as long as each resumes at last without waiting for another.

Kahn, "The semantics of a simple language for parallel programming" (1974); Commoner, Holt, Even, Pnueli, "Marked
directed graphs" (1971).
"""

from __future__ import annotations

from rtl_lib.core.timing_network import TimingNetwork
from rtl_lib.core.trace import Deadlock, Run


def prove_alive(network: TimingNetwork) -> None:
    """Run one frame through the least models of an unused network, which stays unused.

    :raises Deadlock: when it does not come through: there may be pauses with which the design hangs.
    """
    run_one_frame(network.least())


def run_one_frame(least: TimingNetwork) -> None:
    """
    :param least: from ``TimingNetwork.least``.
    :raises Deadlock: when not every tensor passes.
    """
    for group in least.groups():
        try:
            Run(least, group).until(frames=1)
        except Deadlock as dead:
            raise Deadlock("the design can hang when its source or its sink pauses", dead.waiting, dead.full) from None
