"""WeightedSum: several inputs, each of its own scale, added up and rounded once.

``y = fit(round((sum_k x_k * multiplier[k] + offset) / 2**shift), low, high)`` lane by lane (docs/arithmetic.md): sums,
differences and averages. With one input it is ``Requantize``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from rtl_lib.core.features import Features, Kind
from rtl_lib.elementwise.aligned import Aligned, Lane
from rtl_lib.elementwise.term import Term


@dataclass(frozen=True, eq=False, kw_only=True)
class WeightedSum(Aligned):
    """``offset`` has one entry per lane: the output's zero point, less those of the inputs,
    ``z * 2^shift - sum_k z_k * multiplier[k]``.
    """

    @property
    def offset_shape(self) -> tuple[int, ...]:
        return (self.lanes,)

    def reduced(self, x: Sequence[np.ndarray]) -> np.ndarray:
        return sum((of_input * m for of_input, m in zip(x, self.multiplier, strict=True)), self.offset)

    def lane(self, k: int) -> Lane:
        multipliers, (offset,), finish = self.smallest(k, [int(self.offset[k])])
        return Lane(multipliers, [0] * len(multipliers), replace(finish, offset=offset))

    def joined(self, a: Term, b: Term) -> Term:
        zeros, of_block = min(a.zeros, b.zeros), a.of_block or b.of_block
        if a.negative == b.negative:
            return Term(a.low + b.low, a.high + b.high, a.value + b.value, a.negative, zeros, of_block)
        plus, minus = (b, a) if a.negative else (a, b)
        return Term(plus.low - minus.high, plus.high - minus.low, plus.value - minus.value, False, zeros, of_block)

    def step_features(self, a: Term, b: Term, dropped: int) -> Features:
        if a.of_block or b.of_block:
            return Features().add(Kind.OFFSET, self.joined(a, b).format.width)
        # Below the lowest bit of the one, the other goes through.
        return Features().add(Kind.ADDER, self.joined(a, b).format.width - max(a.zeros, b.zeros))
