"""Thresholds: the step functions of models that are quantized already, where no multiplier has the same steps."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from dnn2fpga.layers.quantized import QuantizedLayer
from dnn2fpga.layers.registry import register
from dnn2fpga.tensors.tensor import Integer, IntegerArray, Tensor
from rtl_lib.core.operator import Operator
from rtl_lib.elementwise.thresholds import Thresholds


@register
class QuantizedThresholds(QuantizedLayer):
    """``low`` and the number of ``thresholds [lanes, steps]`` of a lane (sorted) that are not above its input."""

    kind: ClassVar[str] = "thresholds"

    low: Integer | tuple[Integer, ...] = 0
    thresholds: IntegerArray

    @property
    def weight_bits(self) -> int:
        return 32 * self.thresholds.size

    def operators(self, input: Tensor) -> list[Operator]:
        if self.thresholds.shape[:1] != (input.lanes,):
            raise ValueError(f"thresholds must have one row for each of the {input.lanes} lanes")
        return [Thresholds(input.format, self.output.format, self.thresholds, np.asarray(self.low))]
