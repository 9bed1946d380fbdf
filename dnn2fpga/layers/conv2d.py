"""Conv2D: windows of the image times a constant matrix."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from dnn2fpga.layers.image import ANY_FORMAT, Pair, image_windows
from dnn2fpga.layers.integer_linear import Binary32Linear, QuantizedLinear
from dnn2fpga.layers.linear import Linear
from dnn2fpga.layers.quantized import QuantizedLayer
from dnn2fpga.layers.registry import register
from dnn2fpga.quantize.operations import RealOperations
from dnn2fpga.tensors.basics import Shape
from dnn2fpga.tensors.padding import PaddingRule, padding_after_zeros
from dnn2fpga.tensors.tensor import Tensor
from rtl_lib.core.operator import Operator
from rtl_lib.image.windows import Padding, Windows


class OverWindows(QuantizedLayer):
    """The geometry of a convolution: ``weights [K_h, K_w, ..., outputs]``."""

    strides: Pair = (1, 1)
    padding: PaddingRule = "valid"
    weights: Any

    def output_shape(self, input: Tensor) -> Shape:
        return (*self._windows(input).output_size, self.weights.shape[-1])

    def windows_before(self, input: Tensor) -> list[Operator]:
        """None where a window is the pixel itself. Pixels outside the frame mean 0."""
        needed = self.weights.shape[:2] != (1, 1) or self.strides != (1, 1)
        return [self._windows(input)] if needed else []

    def _windows(self, input: Tensor) -> Windows:
        kernel, fill = self.weights.shape[:2], input.zero_point
        return image_windows(input.shape, input.format, kernel, self.strides, self.padding, fill)


@register
class QuantizedConv2D(QuantizedLinear, OverWindows):
    """``weights [K_h, K_w, channels, filters]``."""

    kind: ClassVar[str] = "conv2d"

    def operators(self, input: Tensor) -> list[Operator]:
        weights = self.checked_weights()
        if weights.ndim != 4 or weights.shape[2] != input.lanes or len(input.shape) != 3:
            raise ValueError(f"weights must be [rows, columns, {input.lanes} channels, filters], not {weights.shape}")
        product = self.product(weights.reshape(-1, weights.shape[3]), input, lanes=math.prod(weights.shape[:3]))
        return [*self.windows_before(input), *product]


@register
class Binary32Conv2D(Binary32Linear, OverWindows):
    """``weights [K_h, K_w, channels, filters]``; the terms of a window in row-major order."""

    kind: ClassVar[str] = "conv2d_binary32"

    def operators(self, input: Tensor) -> list[Operator]:
        if self.weights.ndim != 4 or self.weights.shape[2] != input.lanes or len(input.shape) != 3:
            raise ValueError(
                f"weights must be [rows, columns, {input.lanes} channels, filters], not {self.weights.shape}"
            )
        return [*self.windows_before(input), self.matrix(input, math.prod(self.weights.shape[:3]))]


@dataclass(frozen=True, eq=False)
class Convolution(Linear):
    """Slides over ``[rows, columns, channels]`` with ``weights [K_h, K_w, ..., outputs]``."""

    is_convolution: ClassVar[bool] = True

    strides: tuple[int, int] = (1, 1)
    padding: PaddingRule = "valid"

    def output_shape(self, input_shape: Shape) -> Shape:
        windows = image_windows(input_shape, ANY_FORMAT, self.weights.shape[:2], self.strides, self.padding)
        return (*windows.output_size, self.outputs)

    def geometry(self) -> dict[str, Any]:
        return {"strides": self.strides, "padding": self.padding}

    def absorb_padding(self, padding: Padding, shape: Shape) -> Self | None:
        total = padding_after_zeros(self.padding, padding, shape, self.weights.shape[:2], self.strides)
        return None if total is None else replace(self, padding=total)


@dataclass(frozen=True, eq=False)
class Conv2D(Convolution):
    """Cross-correlation of ``[rows, columns, channels]`` with ``weights [K_h, K_w, channels, filters]``."""

    kind: ClassVar[str] = "conv2d"
    quantized: ClassVar[type[QuantizedLinear]] = QuantizedConv2D
    binary32: ClassVar[type[Binary32Linear]] = Binary32Conv2D

    def product(self, ops: RealOperations, x: Any, weights: Any) -> Any:
        return ops.conv2d(x, weights, self.strides, self.padding)
