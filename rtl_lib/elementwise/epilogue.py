"""What is left of a requantization once all that can be done before the sum, or for free, is taken out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from amaranth.hdl import Value

from rtl_lib.core import arithmetic
from rtl_lib.core.arithmetic import Overflow, Rounding
from rtl_lib.elementwise.requantize import Requantize


@dataclass(frozen=True)
class Finish:
    """``fit(round((sum * multiplier + offset) / 2^shift), low, high)`` with as little in it as possible."""

    multiplier: int
    offset: int
    shift: int
    low: int
    high: int
    rounding: Rounding
    overflow: Overflow

    @classmethod
    def of(
        cls, multiplier: int, shift: int, offset: int, low: int, high: int, rounding: Rounding, overflow: Overflow
    ) -> Finish:
        if rounding is Rounding.HALF_UP:
            offset, rounding = offset + (1 << shift >> 1), Rounding.FLOOR
        if rounding is Rounding.FLOOR and multiplier:
            # Low bits that only the offset has never reach the result.
            common = min(shift, (multiplier & -multiplier).bit_length() - 1)
            multiplier, offset, shift = multiplier >> common, offset >> common, shift - common
        return cls(multiplier, offset, shift, low, high, rounding, overflow)

    def wires(self, total: Value) -> Value:
        rounded = arithmetic.shift_right(total, self.shift, self.rounding)
        return arithmetic.fit(rounded, self.low, self.high, self.overflow)


def offsets_merged(bias: np.ndarray, all_finishes: Sequence[Finish]) -> tuple[np.ndarray, list[Finish]]:
    """Without a factor in between, what is added behind a sum can as well be added before it: the bias with it, and
    what is left.
    """
    merged = [finish.offset if finish.multiplier == 1 else 0 for finish in all_finishes]
    left = [replace(finish, offset=0) if finish.multiplier == 1 else finish for finish in all_finishes]
    return bias + np.array(merged), left


def finishes(spec: Requantize) -> list[Finish]:
    """One for each lane."""
    return [
        Finish.of(int(m), int(s), int(o), int(low), int(high), spec.rounding, spec.overflow)
        for m, s, o, low, high in zip(spec.multiplier, spec.shift, spec.offset, *spec.clamp, strict=True)
    ]
