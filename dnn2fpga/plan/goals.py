"""The goal of a plan: what the design must reach, and the resources that it may use."""

from __future__ import annotations

import enum

from pydantic import Field

from dnn2fpga.files.described import Described
from dnn2fpga.files.validation import Count, CountOrNone, Cycles


class Aim(enum.Enum):
    """The objective of the planner."""

    SMALLEST = "smallest"  # the cheapest design that meets the interval
    LATENCY = "latency"  # the shortest way through within the budget
    FASTEST = "fastest"  # the shortest interval within the budget


class Budget(Described):
    """The resources of the device that the design may use; absent: any amount."""

    lut: Count | None = None
    ff: Count | None = None
    dsp: CountOrNone | None = None
    bram18: CountOrNone | None = None

    @property
    def limits(self) -> dict[str, int]:
        """The limits that are set, by resource."""
        return {name: limit for name, limit in vars(self).items() if limit is not None}

    def with_defaults(self, other: Budget) -> Budget:
        """Return this budget with the limits of the other where none is set here."""
        return Budget(**{**other.limits, **self.limits})


class PlanGoal(Described):
    """The request that the planner chooses what the settings leave open.

    :param interval_cycles: between two frames, at most; absent: as short as the input allows.
    :param latency_cycles: from the first input beat of a frame to its last output beat, at most.
    :param reuse_factor: instead of all that: every multiplier is used this many times per vector, in every layer alike
        (as in hls4ml).
    """

    aim: Aim = Aim.SMALLEST
    interval_cycles: Cycles | None = None
    latency_cycles: Cycles | None = None
    reuse_factor: Count | None = None
    budget: Budget = Field(default_factory=Budget)
