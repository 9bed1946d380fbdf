"""Layers that need no arithmetic: those that do nothing at inference, and a softmax in last place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dnn2fpga.layers.base import Layer
from dnn2fpga.task import Ending
from dnn2fpga.tensors.basics import Shape


@dataclass(frozen=True, eq=False)
class Identity(Layer):
    """Dropout and its kin; dropped by a pass."""

    kind: ClassVar[str] = "identity"

    @property
    def is_identity(self) -> bool:
        return True

    def output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def compute(self, x: np.ndarray) -> np.ndarray:
        return x


@dataclass(frozen=True, eq=False)
class Softmax(Layer):
    """Softmax. As the last layer it does not change which class is largest: the hardware produces the logits. Elsewhere
    it is not supported.

    :param logarithm: whether it is that of the softmax.
    """

    kind: ClassVar[str] = "softmax"
    logarithm: bool = False

    @property
    def ending(self) -> Ending:
        return Ending.SOFTMAX

    @property
    def bounds(self) -> tuple[float, float]:
        return 0.0, 1.0

    def output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def compute(self, x: np.ndarray) -> np.ndarray:
        x = x - x.max(axis=-1, keepdims=True)
        e = np.exp(x)
        total = e.sum(axis=-1, keepdims=True)
        return x - np.log(total) if self.logarithm else e / total
