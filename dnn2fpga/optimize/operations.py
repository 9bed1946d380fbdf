"""Differentiable operations on TensorFlow: plain ones on real numbers, and straight-through ones on codes.

A straight-through operation rounds forwards and is the identity backwards (Bengio et al. 2013; Aarrestad et al.,
section 6). Forwards every one computes exactly what the integer model computes, as long as sums stay below 2^24 in
float32 (2^53 in float64); ``docs/decisions/0004`` says why codes and not real numbers flow through the training graph.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dnn2fpga.keras_import import tf
from dnn2fpga.quantize.operations import Wire, Wires
from dnn2fpga.quantize.scaling import LARGEST_SHIFT, MULTIPLIER_BITS, SHORT_BITS, ratio_bits
from dnn2fpga.quantize.settings import LayerSettings
from dnn2fpga.quantize.weight_sets import Levels
from dnn2fpga.tensors.padding import PaddingRule, padding_of
from rtl_lib.core.arithmetic import Overflow, Rounding

STATISTICS_MOMENTUM = 0.95


def _straight_through(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @tf.custom_gradient
    def applied(x: Any) -> Any:
        return function(x), lambda upstream: upstream

    return applied


_up = _straight_through(tf.math.ceil)
_half_up = _straight_through(lambda x: tf.floor(x + 0.5))
_ROUND = {
    Rounding.HALF_UP: _half_up,
    Rounding.HALF_EVEN: _straight_through(tf.round),
    Rounding.FLOOR: _straight_through(tf.floor),
}


class TensorFlowOperations:
    """``layers.training.Operations``."""

    def __init__(self) -> None:
        # True while batch normalizations still follow the data; they are frozen near the end of training.
        self.observing = tf.Variable(False, trainable=False, name="observing")

    # Real numbers

    def clip(self, x: Any, low: Any, high: Any) -> Any:
        if low > -math.inf:
            x = tf.maximum(x, tf.cast(low, x.dtype))
        return tf.minimum(x, tf.cast(high, x.dtype)) if high < math.inf else x

    def accumulating(self, x: Any, wide: bool) -> Any:
        return tf.cast(x, tf.float64 if wide else tf.float32)

    def float64(self, x: Any) -> Any:
        return tf.cast(x, tf.float64)

    def like(self, x: Any, value: Any) -> Any:
        return tf.cast(value, x.dtype)

    def tile(self, x: Any, count: int) -> Any:
        return tf.tile(tf.convert_to_tensor(x), [count])

    def largest(self, x: Any) -> Any:
        return tf.reduce_max(x)

    def at_least(self, x: Any, low: float) -> Any:
        return tf.maximum(x, tf.cast(low, x.dtype))

    def sqrt(self, x: Any) -> Any:
        return tf.sqrt(x)

    def reshape(self, x: Any, shape: tuple[int, ...]) -> Any:
        return tf.reshape(x, shape)

    def matmul(self, x: Any, weights: Any) -> Any:
        return tf.tensordot(x, tf.cast(weights, x.dtype), 1) if x.ndim > 2 else x @ tf.cast(weights, x.dtype)

    def conv2d(self, x: Any, weights: Any, strides: tuple[int, int], padding: PaddingRule) -> Any:
        return _evenly_strided(tf.nn.conv2d, x, tf.cast(weights, x.dtype), strides, padding)

    def depthwise_conv2d(self, x: Any, weights: Any, strides: tuple[int, int], padding: PaddingRule) -> Any:
        rows, columns, outputs = weights.shape
        kernel = tf.reshape(tf.cast(weights, x.dtype), (rows, columns, x.shape[-1], outputs // x.shape[-1]))
        return _evenly_strided(tf.nn.depthwise_conv2d, x, kernel, strides, padding)

    def max_pool(
        self, x: Any, size: tuple[int, int], strides: tuple[int, int], padding: PaddingRule, outside: float
    ) -> Any:
        return tf.nn.max_pool2d(_padded(x, size, strides, padding, outside), size, strides, "VALID")

    def window_sum(self, x: Any, size: tuple[int, int], strides: tuple[int, int], padding: PaddingRule) -> Any:
        rows, columns = size
        ones = tf.ones((rows, columns, 1, 1), x.dtype)
        channels = x.shape[-1]
        # One channel at a time as an image of its own: a depthwise convolution does not take uneven strides.
        apart = tf.reshape(tf.transpose(x, (0, 3, 1, 2)), (-1, *x.shape[1:3], 1))
        total = _evenly_strided(tf.nn.conv2d, apart, ones, strides, padding)
        return tf.transpose(tf.reshape(total, (-1, channels, *total.shape[1:3])), (0, 2, 3, 1))

    def sum_of_pixels(self, x: Any) -> Any:
        return tf.reduce_sum(x, axis=(1, 2))

    def concatenate(self, x: Sequence[Any], axis: int) -> Any:
        return tf.concat(x, axis)

    def maximum(self, x: Any, y: Any) -> Any:
        return tf.maximum(x, y)

    def minimum(self, x: Any, y: Any) -> Any:
        return tf.minimum(x, y)

    def function(self, name: str, x: Any) -> Any:
        return {"tanh": tf.tanh, "sigmoid": tf.sigmoid}[name](x)

    def statistics(self, x: Callable[[], Any], parameters: dict[str, Any]) -> None:
        def move() -> Any:
            values = tf.stop_gradient(tf.cast(x(), tf.float32))
            mean, variance = tf.nn.moments(values, axes=list(range(values.ndim - 1)))
            for name, now in (("mean", mean), ("variance", variance)):
                parameters[name].assign(STATISTICS_MOMENTUM * parameters[name] + (1 - STATISTICS_MOMENTUM) * now)
            return tf.constant(0)

        tf.cond(self.observing, move, lambda: tf.constant(0))

    # Codes

    def round(self, x: Any) -> Any:
        return _half_up(x)

    def nearest(self, x: Any, levels: Levels) -> Any:
        """The gradient passes beyond the outermost level too: a binary weight must be able to come back."""
        if levels.listed is None:
            low, high = (tf.cast(bound, x.dtype) for bound in (levels.low, levels.high))
            return _straight_through(lambda v: tf.clip_by_value(tf.floor(v + 0.5), low, high))(x)
        listed, borders = tf.constant(levels.listed, x.dtype), tf.constant(levels.borders, x.dtype)

        def nearest_listed(values: Any) -> Any:
            index = tf.searchsorted(borders, tf.reshape(values, [-1]), side="right")
            return tf.reshape(tf.gather(listed, index), tf.shape(values))

        return _straight_through(nearest_listed)(x)

    def lookup(self, name: str, codes: Any, wires: Wires, table: np.ndarray) -> Any:
        first, scale = wires.input.tensor.format.minimum, wires.input.tensor.uniform_scale
        entries = tf.constant(table, tf.float32)

        @tf.custom_gradient
        def looked_up(q: Any) -> Any:
            def gradient(upstream: Any) -> Any:
                with tf.GradientTape() as tape:
                    x = (q - np.float32(wires.input.zero_points[0])) * np.float32(scale)
                    tape.watch(x)
                    y = self.function(name, x)
                slope = tape.gradient(y, x)
                return upstream * slope * np.float32(scale / wires.output.tensor.uniform_scale)

            return tf.gather(entries, tf.cast(q, tf.int32) - first), gradient

        return looked_up(tf.cast(codes, tf.float32))

    def short(self, ratio: Any) -> Any:
        steps = tf.stop_gradient(2.0 ** (SHORT_BITS - _exponent(ratio)))
        return _up(ratio * steps) / steps

    def multiplier(self, ratio: Any, bits: int) -> tuple[Any, Any]:
        (multiplier,), steps = self.multipliers([ratio], bits)
        return multiplier, steps

    def multipliers(self, ratios: Sequence[Any], bits: int = MULTIPLIER_BITS) -> tuple[list[Any], Any]:
        """Compute multipliers and shift as ``scaling.multipliers_and_shift`` does: a mantissa of ``bits`` bits for the
        largest.
        """
        ratio = tf.stack([tf.convert_to_tensor(one, tf.float64) for one in ratios])
        size = tf.reduce_max(tf.abs(ratio), axis=0)
        exponent = _exponent(tf.where(size == 0, tf.ones_like(size), size))
        steps = tf.stop_gradient(2.0 ** tf.clip_by_value(bits - exponent, 0.0, float(LARGEST_SHIFT)))
        multiplier = _half_up(ratio * steps)
        return tf.unstack(multiplier / steps), _without_common_twos(multiplier, steps)

    def fit(self, x: Any, output: Wire, clamp: tuple[float, float], settings: LayerSettings) -> Any:
        format = output.tensor.format
        # All of a zero point but its last bit, by which ties to even go, is added afterwards: so x keeps every bit.
        odd = output.zero_points % 2
        codes = _ROUND[settings.rounding](x + tf.cast(odd, x.dtype)) + tf.cast(output.zero_points - odd, x.dtype)
        low, high = (tf.cast(bound, x.dtype) for bound in (format.minimum, format.maximum))
        if settings.overflow is Overflow.WRAP:
            # Backwards as if it saturated: a wrapped value is no hint where to go.
            wrapped = tf.math.floormod(codes - low, high - low + 1) + low
            inside = tf.clip_by_value(codes, low, high)
            return tf.cast(_replaced(inside, wrapped), tf.float32)
        symmetric = settings.overflow is Overflow.SATURATE_SYMMETRIC
        smallest, largest = self._bounds(output, clamp, x.dtype)
        if symmetric:
            smallest = tf.where(smallest == -largest - 1, -largest, smallest)
        return tf.cast(tf.clip_by_value(codes, smallest, largest), tf.float32)

    def _bounds(self, output: Wire, clamp: tuple[float, float], dtype: Any) -> tuple[Any, Any]:
        """The clamp in codes, as ``scaling.clamp_codes`` has it."""
        format = output.tensor.format
        bounds = []
        for bound, unlimited in zip(clamp, (format.minimum, format.maximum), strict=True):
            code = tf.constant(float(unlimited), tf.float64)
            if abs(bound) < math.inf:
                code = tf.floor(bound / output.scales + 0.5) + output.zero_points
                code = tf.clip_by_value(code, float(format.minimum), float(format.maximum))
            bounds.append(tf.cast(tf.stop_gradient(code), dtype))
        return bounds[0], bounds[1]

    def requantize(
        self, accumulator: Any, ratio: Any, output: Wire, clamp: tuple[float, float], settings: LayerSettings
    ) -> Any:
        multiplier, _ = self.multiplier(ratio, ratio_bits(output.tensor, settings))
        return self.fit(tf.cast(accumulator, tf.float64) * multiplier, output, clamp, settings)


def _evenly_strided(convolution: Any, x: Any, kernel: Any, strides: tuple[int, int], padding: PaddingRule) -> Any:
    """A convolution of TensorFlow with any strides. Its CPU kernels refuse uneven ones (depthwise) or compute something
    else (oneDNN 1.x in TensorFlow 2.21, strides 1 and 2, one column of outputs): it does more windows, and of these
    some are taken.
    """
    if strides[0] == strides[1] and isinstance(padding, str):
        return convolution(x, kernel, (1, *strides, 1), padding.upper())
    even = math.gcd(*strides)
    windows = convolution(_padded(x, tuple(kernel.shape[:2]), strides, padding, 0), kernel, (1, even, even, 1), "VALID")
    return windows[:, :: strides[0] // even, :: strides[1] // even]


def _padded(x: Any, kernel: tuple[int, int], strides: tuple[int, int], padding: PaddingRule, outside: float) -> Any:
    top, bottom, left, right = padding_of(padding, tuple(x.shape[1:3]), kernel, strides)
    return tf.pad(x, [(0, 0), (top, bottom), (left, right), (0, 0)], constant_values=outside)


def _exponent(size: Any) -> Any:
    """Return exponents of positive float64 numbers: ``size = mantissa * 2**exponent`` with ``0.5 <= mantissa < 1``."""
    exponent = tf.floor(tf.math.log(size) / np.log(2.0)) + 1
    # The logarithm is off by one beside a power of two.
    return exponent + tf.cast(size >= 2.0**exponent, tf.float64) - tf.cast(size < 2.0 ** (exponent - 1), tf.float64)


def _without_common_twos(multiplier: Any, steps: Any) -> Any:
    """The smallest ``2**shift``: the factors of two that it shares with all multipliers (first axis) are dropped."""
    integers = tf.cast(multiplier, tf.int64)
    lowest_bit = tf.cast(tf.bitwise.bitwise_and(integers, -integers), tf.float64)
    lowest_bit = tf.reduce_min(tf.where(integers == 0, steps, lowest_bit), axis=0)
    return tf.stop_gradient(steps / tf.maximum(tf.minimum(lowest_bit, steps), 1.0))


def _replaced(x: Any, forwards: Any) -> Any:
    """``forwards``, with the gradient of ``x``."""

    @tf.custom_gradient
    def applied(value: Any) -> Any:
        return tf.stop_gradient(forwards), lambda upstream: upstream

    return applied(x)
