"""Pooling: windows of the image reduced channel by channel."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, ClassVar, Self

import numpy as np

from dnn2fpga.exact.accumulator import Accumulator, Codes, Requantizer
from dnn2fpga.exact.encoding import ExactWeights
from dnn2fpga.exact.lowered import Lowered, Sums
from dnn2fpga.layers.base import BuildableLayer, OnSums, moved
from dnn2fpga.layers.depthwise_conv2d import DepthwiseConv2D
from dnn2fpga.layers.image import ANY_FORMAT, image_windows
from dnn2fpga.layers.integer_pooling import (
    QuantizedAveragePooling,
    QuantizedGlobalAverage,
    QuantizedMaxPooling,
    QuantizedMeanPooling,
    pixels_that_count,
)
from dnn2fpga.layers.quantized import QuantizedLayer
from dnn2fpga.layers.requantization import requantization, requantized_fields
from dnn2fpga.quantize.operations import Operations, RealOperations, Wires
from dnn2fpga.quantize.scaling import Observed, QuantizationChoice, activation_tensor, multiplier_and_shift
from dnn2fpga.quantize.settings import LayerSettings
from dnn2fpga.tensors.basics import Shape
from dnn2fpga.tensors.padding import PaddingRule, padding_after_zeros, padding_of
from dnn2fpga.tensors.tensor import Arithmetic, Tensor
from rtl_lib.image.window_schedule import NO_PADDING, Padding
from rtl_lib.image.windows import Windows


@dataclass(frozen=True, eq=False)
class Pooling(BuildableLayer):
    """A pooling reduces a window of ``pool_size`` that moves by ``strides``.

    :param count_include_pad: whether pixels outside the frame are zeros that count; else (as in Keras) only those
        inside do.
    """

    pool_size: tuple[int, int]
    strides: tuple[int, int]
    padding: PaddingRule
    count_include_pad: bool = False

    preserves_encoding: ClassVar[bool] = True

    def geometry(self) -> dict[str, Any]:
        return {
            "pool_size": self.pool_size,
            "strides": self.strides,
            "padding": self.padding,
            "count_include_pad": self.count_include_pad,
        }

    def absorb_padding(self, padding: Padding, shape: Shape) -> Self | None:
        own = padding_of(self.padding, padding.around(shape), self.pool_size, self.strides)
        if own != NO_PADDING and not self.count_include_pad:
            return None  # of the pixels outside the frame some would count
        total = padding_after_zeros(self.padding, padding, shape, self.pool_size, self.strides)
        return None if total is None else replace(self, padding=total, count_include_pad=True)

    def output_shape(self, input_shape: Shape) -> Shape:
        return (*self.windows(input_shape).output_size, input_shape[-1])

    def choose(self, seen: Observed, settings: LayerSettings, input: Tensor) -> QuantizationChoice:
        """The largest and the mean of some integers are integers of the same meaning."""
        return QuantizationChoice(input.model_copy(update={"shape": self.output_shape(input.shape)}))

    def windows(self, shape: Shape, fill: Any = 0) -> Windows:
        return image_windows(shape, ANY_FORMAT, self.pool_size, self.strides, self.padding, fill)

    def counted(self, shape: Shape) -> np.ndarray:
        """Return how many pixels of each window count: ``[rows, columns]`` of the output."""
        return pixels_that_count(self.windows((*shape[:2], 1), int(self.count_include_pad)))


@dataclass(frozen=True, eq=False)
class MaxPooling(Pooling):
    kind: ClassVar[str] = "max_pooling"

    @property
    def commutes_with_monotone(self) -> bool:
        return not self.count_include_pad  # zeros outside the frame stay zeros

    def may_follow(self, quantizer: OnSums) -> bool:
        return quantizer.never_decreases and self.commutes_with_monotone

    @property
    def outside(self) -> float:
        """Return what a pixel outside the frame is."""
        return 0.0 if self.count_include_pad else -math.inf

    def lowered(self, *inputs: Codes) -> Lowered:
        codes = moved(self, inputs)
        own, counts = codes.encoding, self.count_include_pad
        return replace(codes, encoding=replace(own, high=np.maximum(own.high, own.zero_point) if counts else own.high))

    def quantize(self, choice: QuantizationChoice, settings: LayerSettings, input: Tensor) -> QuantizedMaxPooling:
        return QuantizedMaxPooling(name=self.name, output=choice.output, **self.geometry())

    def apply(self, ops: RealOperations, x: Any) -> Any:
        return ops.max_pool(x, self.pool_size, self.strides, self.padding, self.outside)

    def forward_codes(self, ops: Operations, wires: Wires, parameters: dict[str, Any], q: Any) -> Any:
        zero = wires.input.zero_points
        return self.apply(ops, q - zero) + zero


@dataclass(frozen=True, eq=False)
class AveragePooling(Pooling):
    kind: ClassVar[str] = "average_pooling"

    def lowered(self, *inputs: Codes) -> Lowered:
        """A sum over each window: a depthwise convolution with weights of 1, unless the numbers of pixels differ."""
        counts = set(self.counted(inputs[0].tensor.shape).reshape(-1).tolist())
        if len(counts) > 1:
            return self._lowered_with_parts(inputs[0], math.lcm(*counts))
        ones = ExactWeights.of(np.ones((*self.pool_size, inputs[0].tensor.lanes), np.int64), Fraction(1, *counts))
        geometry = {"strides": self.strides, "padding": self.padding}
        return DepthwiseConv2D.of_codes(self.name, ones, **geometry).lowered(*inputs)

    def _lowered_with_parts(self, input: Codes, parts: int) -> Lowered:
        own = input.encoding

        def build(name: str, output: Tensor, last: Requantizer) -> QuantizedLayer:
            return QuantizedMeanPooling(name=name, **self.geometry(), **requantized_fields(output, last))

        interval, shape = (own.low * parts, own.high * parts), self.output_shape(input.tensor.shape)
        return Sums(
            Accumulator.of_line((input,), shape, interval, own.scale / parts, -own.scale * own.zero_point, build)
        )

    def quantize(self, choice: QuantizationChoice, settings: LayerSettings, input: Tensor) -> QuantizedAveragePooling:
        multiplier, shift = self._reciprocals(input.shape)
        return QuantizedAveragePooling(
            name=self.name,
            output=choice.output,
            arithmetic=Arithmetic(rounding=settings.rounding, overflow=settings.overflow),
            multiplier=multiplier,
            shift=shift,
            **self.geometry(),
        )

    def _reciprocals(self, shape: Shape) -> tuple[np.ndarray, int]:
        counts = self.counted(shape)
        # One shift for all positions, so that the multiplier alone depends on the count.
        _, shifts = multiplier_and_shift(1 / np.unique(counts))
        shift = int(shifts.max())
        return np.floor(np.ldexp(1 / counts, shift) + 0.5).astype(np.int64), shift

    def apply(self, ops: RealOperations, x: Any) -> Any:
        counts = self.counted(tuple(x.shape[1:]))[..., np.newaxis]
        return ops.window_sum(x, self.pool_size, self.strides, self.padding) / counts.astype(np.float32)

    def forward_codes(self, ops: Operations, wires: Wires, parameters: dict[str, Any], q: Any) -> Any:
        shape, zero = wires.input.tensor.shape, wires.input.zero_points
        multiplier, shift = self._reciprocals(shape)
        total = ops.float64(ops.window_sum(q - zero, self.pool_size, self.strides, self.padding))
        total += self.counted(shape)[..., np.newaxis] * zero
        mean = total * np.ldexp(multiplier[..., np.newaxis].astype(np.float64), -shift)
        return ops.fit(mean - zero, wires.output, (-math.inf, math.inf), wires.settings)


@dataclass(frozen=True, eq=False)
class GlobalAverage(BuildableLayer):
    """The mean of every channel over the image."""

    keep_dimensions: bool = False
    clamp: tuple[float, float] = (-math.inf, math.inf)

    kind: ClassVar[str] = "global_average_pooling"

    def output_shape(self, input_shape: Shape) -> Shape:
        return (1, 1, input_shape[-1]) if self.keep_dimensions else input_shape[-1:]

    def absorb_clamp(self, low: float, high: float) -> GlobalAverage:
        return replace(self, clamp=(max(low, self.clamp[0]), min(high, self.clamp[1])))

    def lowered(self, *inputs: Codes) -> Lowered:
        (input,) = inputs
        own, pixels = input.encoding, input.tensor.beats

        def build(name: str, output: Tensor, last: Requantizer) -> QuantizedLayer:
            return QuantizedGlobalAverage(name=name, **requantized_fields(output, last))

        offset = -own.scale * own.zero_point
        interval = (own.low * pixels, own.high * pixels)
        shape = self.output_shape(input.tensor.shape)
        return Sums(Accumulator.of_line(inputs, shape, interval, own.scale / pixels, offset, build))

    def choose(self, seen: Observed, settings: LayerSettings, input: Tensor) -> QuantizationChoice:
        return QuantizationChoice(activation_tensor(self.output_shape(input.shape), input.lanes, seen, settings))

    def quantize(self, choice: QuantizationChoice, settings: LayerSettings, input: Tensor) -> QuantizedGlobalAverage:
        ratio = input.scales / choice.output.scales / input.beats
        low, high = (end * input.beats for end in input.extremes)
        fields = requantization(
            choice.output, ratio, self.clamp, settings, (low, high), input.zero_points * input.beats
        )
        return QuantizedGlobalAverage(name=self.name, **fields)

    def apply(self, ops: RealOperations, x: Any) -> Any:
        mean = ops.sum_of_pixels(x) / math.prod(x.shape[1:3])
        return ops.reshape(ops.clip(mean, *self.clamp), (-1, *self.output_shape(tuple(x.shape[1:]))))

    def forward_codes(self, ops: Operations, wires: Wires, parameters: dict[str, Any], q: Any) -> Any:
        source, output = wires.input, wires.output
        total = ops.sum_of_pixels(ops.float64(q) - source.zero_points)
        codes = ops.requantize(
            total, source.scales / output.scales / source.tensor.beats, output, self.clamp, wires.settings
        )
        return ops.reshape(codes, (-1, *output.tensor.shape))
