"""DepthwiseConv2D: every channel has filters of its own. SeparableConv2D: these, followed by a 1 × 1 convolution.

In ``weights [K_h, K_w, outputs]`` output ``channel * m + k`` is the ``k``-th of a channel's ``m`` filters, as in Keras.
So the last axis is the output, as in every layer with weights; ``m`` (``depth_multiplier``) follows from the input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from dnn2fpga.layers.conv2d import Convolution, OverWindows
from dnn2fpga.layers.integer_linear import Binary32Linear, QuantizedLinear
from dnn2fpga.layers.registry import register
from dnn2fpga.quantize.operations import Operations, RealOperations, Wire
from dnn2fpga.tensors.basics import Shape, Unsupported
from dnn2fpga.tensors.tensor import Tensor
from rtl_lib.core.operator import Operator


class _OfChannels(OverWindows):
    """``weights [K_h, K_w, outputs]``."""

    def over_window(self, weights: np.ndarray, input: Tensor) -> np.ndarray:
        """The matrix ``[K_h * K_w * channels, outputs]`` for a whole window: 0 outside of an output's own channel."""
        if len(input.shape) != 3 or input.lanes != input.shape[2]:
            raise ValueError(f"needs an image, one pixel a beat, not {list(input.shape)} in {input.lanes} lanes")
        outputs = weights.shape[-1]
        if weights.ndim != 3 or outputs % input.lanes:
            raise ValueError(
                f"weights must be [rows, columns, a multiple of {input.lanes} channels], not {weights.shape}"
            )
        own = np.repeat(np.eye(input.lanes, dtype=weights.dtype), outputs // input.lanes, axis=1)
        return (weights.reshape(-1, 1, outputs) * own).reshape(-1, outputs)


@register
class QuantizedDepthwiseConv2D(QuantizedLinear, _OfChannels):
    """``weights [K_h, K_w, outputs]``; outputs of one channel are adjacent."""

    kind: ClassVar[str] = "depthwise_conv2d"

    def operators(self, input: Tensor) -> list[Operator]:
        matrix = self.over_window(self.checked_weights(), input)
        product = self.product(matrix, input, lanes=len(matrix), groups=input.lanes)
        return [*self.windows_before(input), *product]


@register
class Binary32DepthwiseConv2D(Binary32Linear, _OfChannels):
    """``weights [K_h, K_w, outputs]``; the terms of a window in row-major order."""

    kind: ClassVar[str] = "depthwise_conv2d_binary32"

    def operators(self, input: Tensor) -> list[Operator]:
        # A product with 0 changes no sum.
        matrix = self.over_window(self.weights, input)
        whole = self.model_copy(update={"weights": matrix})
        return [*self.windows_before(input), whole.matrix(input, len(matrix))]


@dataclass(frozen=True, eq=False)
class DepthwiseConv2D(Convolution):
    """Cross-correlation of each channel by itself with ``weights [K_h, K_w, outputs]``."""

    kind: ClassVar[str] = "depthwise_conv2d"
    quantized: ClassVar[type[QuantizedLinear]] = QuantizedDepthwiseConv2D
    binary32: ClassVar[type[Binary32Linear]] = Binary32DepthwiseConv2D
    ties_channels: ClassVar[bool] = True

    def product(self, ops: RealOperations, x: Any, weights: Any) -> Any:
        return ops.depthwise_conv2d(x, weights, self.strides, self.padding)

    def _of_rows(self, input: Tensor, values: np.ndarray) -> np.ndarray:
        """One value a channel, for each of its outputs."""
        if self.outputs % input.lanes or input.lanes != input.shape[-1]:
            raise Unsupported(f"its {input.shape[-1]} channels must arrive in one beat, not in {input.lanes} lanes")
        return np.repeat(values, self.outputs // input.lanes)

    def _one_scale_per_output(self, scales: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """No output adds up several channels."""
        return np.ones(len(scales), np.int64), np.repeat(scales, self.outputs // len(scales))

    def rows_of(self, ops: Operations, source: Wire, values: Any) -> Any:
        each = np.ones((1, self.outputs // source.tensor.lanes))
        return ops.reshape(values[:, None] * each, (-1,))

    # Pruning

    def channel_origins(self, output: Shape, *inputs: Shape) -> list[np.ndarray]:
        (shape,) = inputs
        return [np.repeat(np.arange(shape[-1]), output[-1] // shape[-1])]

    def keep_channels(self, inputs: Sequence[np.ndarray], output: np.ndarray) -> Self:
        return self.keep_filters(output)
