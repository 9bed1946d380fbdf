"""Follows several ports that pass the same frames, each in its own time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

SKEW_BITS = 16  # a design holds fewer frames at once than this can count


class FrameSkew(wiring.Component):
    """Comparison of how often an event that each port has once per frame has happened at each of them.

    ``first``: an event of this cycle is the first of its frame. ``last``: one is the last of its frame, which all ports
    have had now. ``behind``, a bit per port: another port has had more. ``skew``: how many more the foremost has had
    than the slowest::

        events[0]   1  1  .  .  .
        events[1]   .  .  .  1  1
        first       1  1  .  .  .
        last        .  .  .  1  1
        skew        0  1  2  2  1  0

    :param ports: their number, at least 2.
    """

    def __init__(self, ports: int) -> None:
        self.ports = ports
        super().__init__(
            {"events": In(ports), "first": Out(1), "last": Out(1), "behind": Out(ports), "skew": Out(SKEW_BITS)}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        leads = [Signal(SKEW_BITS, name=f"lead_{k}") for k in range(self.ports)]  # over the slowest port
        m.d.comb += [
            self.behind.eq(Cat(lead != self.skew for lead in leads)),
            self.first.eq((self.events & ~self.behind).any()),
            self.last.eq((self.events | Cat(lead != 0 for lead in leads)).all()),
        ]
        m.d.sync += [lead.eq(lead + event - self.last) for lead, event in zip(leads, self.events, strict=True)]
        m.d.sync += self.skew.eq(self.skew + self.first - self.last)
        return m


def suffixes(ports: int) -> Sequence[str]:
    """Return the suffixes that distinguish the signals of several ports; that of a single one is empty."""
    return [""] if ports == 1 else [f"_{k}" for k in range(ports)]
