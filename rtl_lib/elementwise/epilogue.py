"""The requantization epilogue: what is left of a requantization once all that can be done before the sum, or for free,
is removed from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from amaranth.hdl import Value

from rtl_lib.core import arithmetic
from rtl_lib.core.arithmetic import Overflow, Rounding
from rtl_lib.core.features import Features, Kind
from rtl_lib.elementwise.requantize import Line, Requantize, simplified


@dataclass(frozen=True)
class Finish:
    """``fit(round((sum * multiplier + offset) / 2^shift), low, high)`` with as little in it as possible.

    :param below: multiplier and offset for sums below 0; absent: the same.
    """

    multiplier: int
    offset: int
    shift: int
    low: int
    high: int
    rounding: Rounding
    overflow: Overflow
    below: Line | None = None

    @classmethod
    def of(
        cls, lines: tuple[Line, Line], shift: int, low: int, high: int, rounding: Rounding, overflow: Overflow
    ) -> Finish:
        """:param lines: for sums of at least 0, and for those below."""
        of_lines = [line.multiplier for line in lines], [line.offset for line in lines]
        multipliers, offsets, shift, rounding = simplified(*of_lines, shift, rounding)
        line, below = map(Line, multipliers, offsets)
        second = None if below == line else below
        return cls(line.multiplier, line.offset, shift, low, high, rounding, overflow, second)

    @property
    def lines(self) -> tuple[Line, Line]:
        """For sums of at least 0, and for those below."""
        line = Line(self.multiplier, self.offset)
        return line, self.below or line

    @property
    def only_adds(self) -> bool:
        """True if an addition is all that there is before the shift."""
        return self.multiplier == 1 and self.below is None

    @property
    def after_lines(self) -> Finish:
        """The rest of it after multiplication and addition."""
        return replace(self, multiplier=1, offset=0, below=None)

    def wires(self, total: Value) -> Value:
        rounded = arithmetic.shift_right(total, self.shift, self.rounding)
        return arithmetic.fit(rounded, self.low, self.high, self.overflow)

    def features(self, bits: int, out: int, signed_sum: bool = False) -> Features:
        """The shift and the clamp of one number of ``bits`` to one of ``out``.

        :param signed_sum: whether the number comes from an adder, and the result is signed.
        """
        bill = Features().add(Kind.CLAMP, 1, max(bits - self.shift, 1), out, signed_sum)
        return bill.add(Kind.EVEN, bits * (self.rounding is Rounding.HALF_EVEN and self.shift > 0))


def offsets_merged(bias: np.ndarray, all_finishes: Sequence[Finish]) -> tuple[np.ndarray, list[Finish]]:
    """Return the bias with the offsets merged into it, and what is left of the epilogues. Without a factor in between,
    what is added after a sum can as well be added before it.
    """
    merged = [finish.offset if finish.only_adds else 0 for finish in all_finishes]
    left = [replace(finish, offset=0) if finish.only_adds else finish for finish in all_finishes]
    return bias + np.array(merged), left


def finishes(spec: Requantize) -> list[Finish]:
    """One for each lane."""
    return [
        Finish.of(spec.lines(k), int(shift), int(low), int(high), spec.rounding, spec.overflow)
        for k, (shift, low, high) in enumerate(zip(spec.shift, *spec.clamp, strict=True))
    ]
