"""Flatten and Reshape: the order of the numbers stays; only a change of channels costs hardware."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from dnn2fpga.exact.accumulator import Codes
from dnn2fpga.exact.lowered import Lowered
from dnn2fpga.layers.base import BuildableLayer, OnSums, moved
from dnn2fpga.layers.quantized import QuantizedLayer
from dnn2fpga.layers.registry import register
from dnn2fpga.quantize.operations import Operations, RealOperations, Wires
from dnn2fpga.quantize.scaling import Observed, QuantizationChoice
from dnn2fpga.quantize.settings import LayerSettings
from dnn2fpga.tensors.basics import Shape, Unsupported
from dnn2fpga.tensors.tensor import Tensor
from rtl_lib.core.operator import Operator
from rtl_lib.streams.repack import repack


@register
class QuantizedReshape(QuantizedLayer):
    """The output tensor says it all."""

    kind: ClassVar[str] = "reshape"

    def operators(self, input: Tensor) -> list[Operator]:
        if self.output.size != input.size or not self.output.numbers_like(input.in_lanes(self.output.lanes)):
            raise ValueError("a reshape must keep the number of elements, the format and the scale")
        return list(repack(input.format, input.lanes, self.output.lanes))

    def output_shape(self, input: Tensor) -> Shape:
        return self.output.shape


@dataclass(frozen=True, eq=False)
class Reshape(BuildableLayer):
    """Row-major reshape to ``target`` (``None``: to a vector), of which the last extent follows from the others."""

    target: Shape | None

    kind: ClassVar[str] = "reshape"
    preserves_encoding: ClassVar[bool] = True

    def output_shape(self, input_shape: Shape) -> Shape:
        before = self.target[:-1] if self.target else ()
        return (*before, math.prod(input_shape) // math.prod(before))

    def in_beats(self, shapes: Sequence[Shape], before: Sequence[bool]) -> bool:
        """A vector travels in the beats that the image had."""
        (shape,) = shapes
        return len(self.output_shape(shape)) == 1 and (any(before) or math.prod(shape[:-1]) > 1)

    @property
    def needs_uniform_scale(self) -> bool:
        return self.target is not None  # channels change places

    def may_follow(self, quantizer: OnSums) -> bool:
        return self.target is None or quantizer.in_lanes(1) is not None

    def lowered(self, *inputs: Codes) -> Lowered:
        return moved(self, inputs)

    def choose(self, seen: Observed, settings: LayerSettings, input: Tensor) -> QuantizationChoice:
        shape = self.output_shape(input.shape)
        # A vector continues in the beats it came in; an image needs one pixel per beat.
        lanes = input.lanes if len(shape) == 1 else shape[-1]
        return QuantizationChoice(input.model_copy(update={"shape": shape, "lanes": lanes}))

    def quantize(self, choice: QuantizationChoice, settings: LayerSettings, input: Tensor) -> QuantizedReshape:
        return QuantizedReshape(name=self.name, output=choice.output)

    def apply(self, ops: RealOperations, x: Any) -> Any:
        return ops.reshape(x, (-1, *self.output_shape(x.shape[1:])))

    def forward_codes(self, ops: Operations, wires: Wires, parameters: dict[str, Any], q: Any) -> Any:
        return self.apply(ops, q)

    def channel_origins(self, output: Shape, *inputs: Shape) -> list[np.ndarray]:
        (shape,) = inputs
        if self.target is not None and output[-1] != shape[-1]:
            raise Unsupported("a reshape to a fixed shape follows")
        return [np.tile(np.arange(shape[-1]), output[-1] // shape[-1])]
