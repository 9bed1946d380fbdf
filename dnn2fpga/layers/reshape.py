"""Flatten and Reshape: the order of the numbers stays; only a change of channels costs hardware."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from dnn2fpga.graph import Interval, KerasLayer, Layer, Shape, Unsupported
from dnn2fpga.layers.image import other_than
from dnn2fpga.layers.registry import register
from dnn2fpga.layers.scaling import LayerSettings
from dnn2fpga.quantized_graph import QuantizedLayer, Tensor
from rtl_lib.operator import Operator
from rtl_lib.repack import repack


@register
class QuantizedReshape(QuantizedLayer):
    """The output tensor says it all."""

    kind: ClassVar[str] = "reshape"

    def operators(self, input: Tensor) -> list[Operator]:
        if self.output.size != input.size or (self.output.format, self.output.scale) != (input.format, input.scale):
            raise ValueError("a reshape must keep the number of elements, the format and the scale")
        return list(repack(input.format, input.lanes, self.output.lanes))

    def output_shape(self, input: Tensor) -> Shape:
        return self.output.shape


@register
@dataclass(frozen=True, eq=False)
class Reshape(Layer):
    """Row-major reshape to ``target`` (``None``: to a vector)."""

    target: Shape | None

    kind: ClassVar[str] = "reshape"
    keras_classes: ClassVar[tuple[str, ...]] = ("Flatten", "Reshape")

    @classmethod
    def refused_options(cls, config: dict[str, Any]) -> list[str]:
        return other_than(config, data_format=("channels_last",))

    @classmethod
    def from_keras(cls, source: KerasLayer) -> list[Layer]:
        if source.class_name == "Flatten":
            return [cls(source.name, None)]
        if len(source.output_shape) not in (1, 3):
            raise Unsupported(f"target shape {source.output_shape}: only vectors and images are built")
        return [cls(source.name, source.output_shape)]

    def output_shape(self, input_shape: Shape) -> Shape:
        return self.target or (math.prod(input_shape),)

    def compute(self, x: np.ndarray) -> np.ndarray:
        return x.reshape(len(x), *self.output_shape(x.shape[1:]))

    def quantize(self, input: Tensor, interval: Interval, settings: LayerSettings) -> QuantizedReshape:
        shape = self.output_shape(input.shape)
        # A vector goes on in the beats it came in; an image needs one pixel a beat.
        lanes = input.lanes if len(shape) == 1 else shape[-1]
        output = input.model_copy(update={"shape": shape, "lanes": lanes})
        return QuantizedReshape(name=self.name, input="", output=output)
