"""TwoSlope: a leaky ReLU."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import numpy as np

from dnn2fpga.exact.accumulator import Accumulator
from dnn2fpga.exact.lowered import Lowered, Sums
from dnn2fpga.exact.pieces import Bend
from dnn2fpga.layers.base import Layer
from dnn2fpga.tensors.basics import Shape


@dataclass(frozen=True, eq=False)
class TwoSlope(Layer):
    """``x`` from 0 on, and ``x * slope`` below it.

    :param slope: above 0.
    """

    slope: float | Fraction

    kind: ClassVar[str] = "two_slope"
    follows_sums: ClassVar[bool] = True

    def output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def compute(self, x: np.ndarray) -> np.ndarray:
        return np.where(x >= 0, x, x * x.dtype.type(float(self.slope)))

    def after_sums(self, sums: Accumulator) -> Lowered:
        return Sums(sums.then([Bend(Fraction(self.slope))]))
