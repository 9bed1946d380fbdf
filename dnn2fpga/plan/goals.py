"""What a design is to reach, and what it may take."""

from __future__ import annotations

import enum

from pydantic import Field

from dnn2fpga.files.described import Described
from dnn2fpga.files.validation import Count, CountOrNone, Cycles


class Aim(enum.Enum):
    """What the planner looks for."""

    SMALLEST = "smallest"  # the cheapest design that meets the interval
    LATENCY = "latency"  # the shortest way through within the budget
    FASTEST = "fastest"  # the shortest interval within the budget


class Budget(Described):
    """Of the device, what the design may take; absent: any amount."""

    lut: Count | None = None
    ff: Count | None = None
    dsp: CountOrNone | None = None
    bram18: CountOrNone | None = None

    @property
    def limits(self) -> dict[str, int]:
        """What is limited."""
        return {name: limit for name, limit in vars(self).items() if limit is not None}

    def with_defaults(self, other: Budget) -> Budget:
        """What is not limited here, as in the other."""
        return Budget(**{**other.limits, **self.limits})


class PlanGoal(Described):
    """Asks the planner to choose what the settings leave open.

    :param interval_cycles: between two frames, at most; absent: as short as the input allows.
    :param latency_cycles: from the first input beat of a frame to its last output beat, at most.
    :param reuse_factor: instead of all that: every multiplier is used so many times a vector, in every layer alike (as
        in hls4ml).
    """

    aim: Aim = Aim.SMALLEST
    interval_cycles: Cycles | None = None
    latency_cycles: Cycles | None = None
    reuse_factor: Count | None = None
    budget: Budget = Field(default_factory=Budget)
