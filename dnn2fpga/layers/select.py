"""Select: what one reader wants of a tensor that several readers share."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from dnn2fpga.layers.quantized import QuantizedLayer
from dnn2fpga.layers.registry import register
from dnn2fpga.tensors.basics import Shape
from dnn2fpga.tensors.tensor import IntegerArray, Tensor
from rtl_lib.core.lane_map import LaneMap
from rtl_lib.core.operator import Operator
from rtl_lib.elementwise.select import Select


@register
class QuantizedSelect(QuantizedLayer):
    """Lane ``k`` is lane ``sources[k]`` of the input, in the output's format: of a wider number, its low bits."""

    kind: ClassVar[str] = "select"

    sources: IntegerArray

    def operators(self, input: Tensor) -> list[Operator]:
        if self.sources.ndim != 1:
            raise ValueError(f"sources must be a list of lanes, not of shape {self.sources.shape}")
        if input.lanes != input.shape[-1]:
            raise ValueError(f"sources need all {input.shape[-1]} channels in one beat, not in {input.lanes} lanes")
        lane_map = LaneMap(input.lanes, tuple(self.sources.tolist()))
        of_input, of_output = (input.scales, input.zero_points), (self.output.scales, self.output.zero_points)
        if not all(np.array_equal(lane_map.of(a), b) for a, b in zip(of_input, of_output, strict=True)):
            raise ValueError("a select must keep the scale and zero point of every lane")
        return [Select(input.format, self.output.format, lane_map)]

    def output_shape(self, input: Tensor) -> Shape:
        return (*input.shape[:-1], self.sources.size)
