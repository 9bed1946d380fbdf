"""Conv2D: windows of the image times a constant matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from dnn2fpga.graph import KerasLayer, Layer, Shape
from dnn2fpga.layers.activation import refused_activation
from dnn2fpga.layers.image import Pair, image_windows, other_than, require_image
from dnn2fpga.layers.linear import Linear, QuantizedLinear
from dnn2fpga.layers.registry import register
from dnn2fpga.quantized_graph import Tensor
from rtl_lib.constant_matrix import ConstantMatrix
from rtl_lib.formats import Format
from rtl_lib.operator import Operator
from rtl_lib.windows import Windows


@register
class QuantizedConv2D(QuantizedLinear):
    """``weights [K_h, K_w, channels, filters]``."""

    kind: ClassVar[str] = "conv2d"

    strides: Pair = (1, 1)
    padding: Literal["valid", "same"] = "valid"

    def operators(self, input: Tensor) -> list[Operator]:
        weights = self.checked_weights()
        if weights.ndim != 4 or weights.shape[2] != input.lanes or len(input.shape) != 3:
            raise ValueError(f"weights must be [rows, columns, {input.lanes} channels, filters], not {weights.shape}")
        matrix = ConstantMatrix(weights.reshape(-1, weights.shape[3]), self.bias, input.format)
        steps: list[Operator] = [matrix, self.requantize(matrix.output_format)]
        if weights.shape[:2] != (1, 1) or self.strides != (1, 1):
            steps.insert(0, self._windows(input))
        return steps

    def output_shape(self, input: Tensor) -> Shape:
        return (*self._windows(input).output_size, self.weights.shape[3])

    def _windows(self, input: Tensor) -> Windows:
        return image_windows(input.shape, input.format, self.weights.shape[:2], self.strides, self.padding)


@register
@dataclass(frozen=True, eq=False)
class Conv2D(Linear):
    """Cross-correlation of ``[rows, columns, channels]`` with ``weights [K_h, K_w, channels, filters]``."""

    kind: ClassVar[str] = "conv2d"
    keras_classes: ClassVar[tuple[str, ...]] = ("Conv2D",)
    quantized: ClassVar[type[QuantizedLinear]] = QuantizedConv2D

    strides: tuple[int, int] = (1, 1)
    padding: str = "valid"

    @classmethod
    def refused_options(cls, config: dict[str, Any]) -> list[str]:
        return [
            *other_than(
                config,
                groups=(1,),
                dilation_rate=((1, 1), 1),
                data_format=("channels_last",),
                padding=("valid", "same"),
            ),
            *refused_activation(config.get("activation")),
        ]

    @classmethod
    def from_keras(cls, source: KerasLayer) -> list[Layer]:
        require_image(source)
        return cls.with_activation(source, strides=tuple(source.config["strides"]), padding=source.config["padding"])

    def _windows(self, input_shape: Shape) -> Any:
        return image_windows(input_shape, Format(True, 8), self.weights.shape[:2], self.strides, self.padding)

    def output_shape(self, input_shape: Shape) -> Shape:
        return (*self._windows(input_shape).output_size, self.weights.shape[3])

    def output_lanes(self, input: Tensor) -> int:
        return self.weights.shape[3]

    def geometry(self) -> dict[str, Any]:
        return {"strides": self.strides, "padding": self.padding}

    def compute(self, x: np.ndarray) -> np.ndarray:
        windows = self._windows(x.shape[1:])
        patches = windows.compute(x.reshape(len(x), -1, x.shape[-1]))
        y = patches @ self.weights.reshape(-1, self.weights.shape[3]) + self.bias
        return self.clip(y).reshape(len(x), *self.output_shape(x.shape[1:]))
