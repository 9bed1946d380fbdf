"""Pooling as the hardware computes it, in integers."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from dnn2fpga.layers.image import ANY_FORMAT, Pair, image_windows
from dnn2fpga.layers.quantized import QuantizedLayer
from dnn2fpga.layers.registry import register
from dnn2fpga.layers.requantization import Requantized
from dnn2fpga.tensors.basics import Shape
from dnn2fpga.tensors.padding import PaddingRule
from dnn2fpga.tensors.tensor import Arithmetic, IntegerArray, Tensor
from rtl_lib.core.arithmetic import Rounding
from rtl_lib.core.formats import Format
from rtl_lib.core.operator import Operator
from rtl_lib.image.block_reduction import BlockReduction
from rtl_lib.image.border_average import BorderAverage
from rtl_lib.image.frame_reduction import FrameSum
from rtl_lib.image.reduction import Reduction, WindowReduction
from rtl_lib.image.window_schedule import NO_PADDING
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


def pixels_that_count(windows: Windows) -> np.ndarray:
    """Return the sums of windows of an image of ones, ``[rows, columns]``.

    :param windows: of one channel, and what is outside of the image: 1 where it counts, else 0.
    """
    ones = np.ones((1, windows.height * windows.width, 1), np.int64)
    return windows.compute(ones).sum(axis=2).reshape(windows.output_size)


@register
class QuantizedMeanPooling(QuantizedPooling, Requantized):
    """Averages of only the pixels inside of the image, exact until they are requantized: the accumulator is the sum of
    the window times ``parts / pixels``, where ``parts`` is the least common multiple of all numbers of pixels.
    """

    kind: ClassVar[str] = "mean_pooling"

    def factors(self, input: Tensor) -> tuple[int, np.ndarray]:
        """Return ``parts``, and what the sum of each window is multiplied with: ``[rows, columns]``."""
        shape = (*input.shape[:2], 1)
        counts = pixels_that_count(image_windows(shape, ANY_FORMAT, self.pool_size, self.strides, self.padding, 0))
        parts = math.lcm(*np.unique(counts).tolist())
        return parts, parts // counts

    def operators(self, input: Tensor) -> list[Operator]:
        if self.count_include_pad:
            raise ValueError("a mean pooling must not count pixels outside of the image")
        sums, (parts, factors) = self.reduced(input, 0, Reduction.SUM), self.factors(input)
        ends = input.format.minimum * parts, input.format.maximum * parts
        means = BorderAverage(
            input_format=sums[-1].output_beat.format,
            output_format=Format.containing(*ends),
            channels=input.lanes,
            multiplier=factors,
            shift=0,
            rounding=Rounding.FLOOR,
        )
        return [*sums, means, self.requantize(means.output_beat)]

    def output_shape(self, input: Tensor) -> Shape:
        return self.of_sources((*self.windows(input, 0).output_size, input.shape[2]))
