"""Pooling: windows of the image reduced channel by channel."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field

from dnn2fpga.exact.accumulator import Accumulator, Codes, Requantizer
from dnn2fpga.exact.encoding import ExactWeights
from dnn2fpga.exact.lowered import Lowered, Sums
from dnn2fpga.layers.base import BuildableLayer, OnSums, moved
from dnn2fpga.layers.depthwise_conv2d import DepthwiseConv2D
from dnn2fpga.layers.image import ANY_FORMAT, Pair, image_windows
from dnn2fpga.layers.quantized import QuantizedLayer
from dnn2fpga.layers.registry import register
from dnn2fpga.layers.requantization import Requantized, requantization, requantized_fields
from dnn2fpga.quantize.operations import Operations, RealOperations, Wires
from dnn2fpga.quantize.scaling import Observed, QuantizationChoice, activation_tensor, multiplier_and_shift
from dnn2fpga.quantize.settings import LayerSettings
from dnn2fpga.tensors.basics import Shape, Unsupported
from dnn2fpga.tensors.padding import PaddingRule, padding_after_zeros, padding_of
from dnn2fpga.tensors.tensor import Arithmetic, IntegerArray, Tensor
from rtl_lib.core.operator import Operator
from rtl_lib.image.block_reduction import BlockReduction
from rtl_lib.image.border_average import BorderAverage
from rtl_lib.image.frame_reduction import FrameSum
from rtl_lib.image.reduction import Reduction, WindowReduction
from rtl_lib.image.window_schedule import NO_PADDING, Padding
from rtl_lib.image.windows import Windows


def _require_pixels(input: Tensor) -> None:
    if len(input.shape) != 3 or input.lanes != input.shape[2]:
        shape, lanes = list(input.shape), input.lanes
        raise ValueError(f"pooling needs an image, one pixel a beat, not {shape} in {lanes} lanes")


class QuantizedPooling(QuantizedLayer):
    """The geometry of a pooling layer."""

    pool_size: Pair
    strides: Pair
    padding: PaddingRule = "valid"
    count_include_pad: bool = False  # whether pixels outside the frame count, as zeros

    def windows(self, input: Tensor, fill: Any) -> Windows:
        _require_pixels(input)
        return image_windows(input.shape, input.format, self.pool_size, self.strides, self.padding, fill)

    def reduced(self, input: Tensor, neutral: int, reduction: Reduction) -> list[Operator]:
        """Reduce each window and channel to one number; no window is kept where they do not overlap.

        :param neutral: what changes no result.
        """
        windows = self.windows(input, input.zero_point if self.count_include_pad else neutral)
        if self.pool_size == self.strides and windows.padding == NO_PADDING:
            height, width, channels = input.shape
            return [BlockReduction(height, width, channels, input.format, self.pool_size, reduction)]
        return [windows, WindowReduction(input.format, input.lanes, math.prod(self.pool_size), reduction)]

    def output_shape(self, input: Tensor) -> Shape:
        return (*self.windows(input, 0).output_size, input.shape[2])


@register
class QuantizedMaxPooling(QuantizedPooling):
    """Keeps format and scale."""

    kind: ClassVar[str] = "max_pooling"

    def operators(self, input: Tensor) -> list[Operator]:
        if not self.output.numbers_like(input):
            raise ValueError("max-pooling must keep the format and the scale")
        return self.reduced(input, input.format.minimum, Reduction.MAXIMUM)


@register
class QuantizedAveragePooling(QuantizedPooling):
    """Keeps format and scale; ``multiplier [rows, columns] / 2**shift`` of the output is the reciprocal of the number
    of pixels that count.
    """

    kind: ClassVar[str] = "average_pooling"

    arithmetic: Arithmetic = Field(default_factory=Arithmetic)
    multiplier: IntegerArray
    shift: int = Field(ge=0, le=60)

    def operators(self, input: Tensor) -> list[Operator]:
        if not self.output.numbers_like(input):
            raise ValueError("average pooling must keep the format and the scale")
        size = self.windows(input, 0).output_size
        if self.multiplier.shape != size:
            raise ValueError(f"multiplier must have shape {size}, not {self.multiplier.shape}")
        sums = self.reduced(input, 0, Reduction.SUM)
        average = BorderAverage(
            input_format=sums[-1].output_beat.format,
            output_format=self.output.format,
            channels=input.lanes,
            multiplier=self.multiplier,
            shift=self.shift,
            rounding=self.arithmetic.rounding,
            overflow=self.arithmetic.overflow,
        )
        return [*sums, average]


@register
class QuantizedGlobalAverage(Requantized):
    """The sum of all pixels, divided in the requantization."""

    kind: ClassVar[str] = "global_average_pooling"

    def operators(self, input: Tensor) -> list[Operator]:
        _require_pixels(input)
        total = FrameSum(input.format, input.lanes, input.beats)
        return [total, self.requantize(total.output_beat)]

    def output_shape(self, input: Tensor) -> Shape:
        vector = self.of_sources(input.shape[-1:])
        return (1, 1, *vector) if len(self.output.shape) == 3 else vector


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
        ones = np.ones((1, shape[0] * shape[1], 1), np.int64)
        windows = self.windows((*shape[:2], 1), int(self.count_include_pad))
        return windows.compute(ones).sum(axis=2).reshape(windows.output_size)


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
        """A sum over each window: a depthwise convolution with weights of 1."""
        counts = set(self.counted(inputs[0].tensor.shape).reshape(-1).tolist())
        if len(counts) > 1:
            raise Unsupported(
                "windows that reach over the border average fewer pixels; use padding='valid' or zeros that count"
            )
        ones = ExactWeights.of(np.ones((*self.pool_size, inputs[0].tensor.lanes), np.int64), Fraction(1, *counts))
        geometry = {"strides": self.strides, "padding": self.padding}
        return DepthwiseConv2D.of_codes(self.name, ones, **geometry).lowered(*inputs)

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
