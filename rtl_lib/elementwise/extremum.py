"""Extremum: the largest, or the smallest, of several inputs, each of its own scale.

``y = fit(round(max_k(x_k * multiplier[k] + offset[k]) / 2**shift), low, high)`` lane by lane (docs/arithmetic.md). The
inputs are compared before they are rounded, exactly. Rounding and clamp keep the order, so without wrapping the result
is that of requantizing every input and comparing then.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from rtl_lib.core import arithmetic
from rtl_lib.core.features import Features, Kind
from rtl_lib.elementwise.aligned import Aligned, Lane
from rtl_lib.elementwise.term import Term


class Order(enum.Enum):
    """The choice of the input that is the result."""

    MAXIMUM = "maximum"
    MINIMUM = "minimum"


@dataclass(frozen=True, eq=False, kw_only=True)
class Extremum(Aligned):
    """``offset`` is ``[inputs, lanes]``: ``z * 2^shift - z_k * multiplier[k]``. No multiplier is negative."""

    order: Order

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.multiplier < 0).any():
            raise ValueError("multipliers must not be negative: scales are positive")

    @property
    def offset_shape(self) -> tuple[int, ...]:
        return self.multiplier.shape

    def reduced(self, x: Sequence[np.ndarray]) -> np.ndarray:
        aligned = [of_input * m + o for of_input, m, o in zip(x, self.multiplier, self.offset, strict=True)]
        return np.max(aligned, axis=0) if self.order is Order.MAXIMUM else np.min(aligned, axis=0)

    def lane(self, k: int) -> Lane:
        multipliers, offsets, finish = self.smallest(k, [int(offset) for offset in self.offset[:, k]])
        if len(set(offsets)) == 1:  # what is added to all can as well be added to the largest
            return Lane(multipliers, [0] * len(offsets), replace(finish, offset=offsets[0]))
        return Lane(multipliers, offsets, finish)

    def joined(self, a: Term, b: Term) -> Term:
        of_bounds = max if self.order is Order.MAXIMUM else min
        first = a.value > b.value if self.order is Order.MAXIMUM else a.value < b.value
        low, high = of_bounds(a.low, b.low), of_bounds(a.high, b.high)
        return Term(low, high, arithmetic.select(first, a.value, b.value), zeros=min(a.zeros, b.zeros))

    def step_features(self, a: Term, b: Term, dropped: int) -> Features:
        bits = self.joined(a, b).format.width
        return Features().add(Kind.COMPARATOR, bits, bits).add(Kind.GATE, max(bits - dropped, 0))
