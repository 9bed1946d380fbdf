"""Weighted sums of tensors: addition, subtraction, average."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.joins import require_one_shape
from dnn2fpga.layers.linear import UNLIMITED
from dnn2fpga.tensors.basics import Shape


@dataclass(frozen=True, eq=False)
class WeightedSum(Layer):
    """``clamp(weights[0] * x[0] + weights[1] * x[1] + …)`` of tensors of one shape.

    An addition has the weights 1, 1, …; a subtraction 1, -1; an average of n tensors 1/n, 1/n, ….
    """

    weights: tuple[float, ...]
    clamp: tuple[float, float] = UNLIMITED

    kind: ClassVar[str] = "weighted_sum"

    def output_shape(self, *input_shapes: Shape) -> Shape:
        if len(input_shapes) != len(self.weights):
            raise ValueError(f"a sum with {len(self.weights)} weights needs as many inputs, not {len(input_shapes)}")
        return require_one_shape("a sum", input_shapes)

    def compute(self, *x: np.ndarray) -> np.ndarray:
        total = sum(weight * values for weight, values in zip(self.weights, x, strict=True))
        return np.clip(total, *self.clamp)
