"""The arithmetics in which TensorFlow Lite's implementations compute a file's codes, and what their operators make of
accumulators. They differ in few codes, but they do differ; which of them is meant is not in the file.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from dnn2fpga.exact.rounding import RoundingMode
from dnn2fpga.read import tflite_fixed_point as fixed_point
from dnn2fpga.read.tflite_fixed_point import Multiplier, divided_half_away
from dnn2fpga.tensors.basics import Unsupported

Step = Callable[[np.ndarray], np.ndarray]  # from int64 accumulators to int64 codes, before they are clamped


@dataclass(frozen=True)
class Grid:
    """The codes of one tensor.

    :param scale: float32.
    """

    scale: np.float32
    zero: int


@dataclass(frozen=True)
class Addition:
    """An addition on a grid of its own.

    :param terms: for both inputs, from codes without zero point to the grid.
    :param unit: exact, of the grid.
    :param result: from sums to codes.
    """

    terms: tuple[Step, Step]
    unit: Fraction
    result: Step


class Function(enum.Enum):
    """Functions that are tabulated."""

    LOGISTIC = "sigmoid"
    TANH = "tanh"

    def rounded_once(self, x: np.ndarray) -> np.ndarray:
        """Return the function of float32 numbers, computed in float64 and rounded to float32."""
        exact = x.astype(np.float64)
        return (np.tanh(exact) if self is Function.TANH else 1 / (1 + np.exp(-exact))).astype(np.float32)

    def in_float32(self, x: np.ndarray) -> np.ndarray:
        """Return the function of float32 numbers, every step of it rounded to float32."""
        if self is Function.TANH:
            return self.rounded_once(x)
        return np.float32(1) / (np.float32(1) + np.exp(-x.astype(np.float64)).astype(np.float32))


class Arithmetic(ABC):
    """The arithmetic of one implementation. Scales are float32, accumulators have no zero points."""

    input_rounding: RoundingMode = RoundingMode.HALF_AWAY  # of real numbers, divided by the scale in float32
    relu6_rescales: bool = True  # RELU6 by itself may change the scale

    @abstractmethod
    def convolution(self, source: Grid, weights: np.ndarray, output: Grid) -> Step:
        """CONV_2D and DEPTHWISE_CONV_2D; ``weights``: scales, one or one per output."""

    def fully_connected(self, source: Grid, weights: np.ndarray, output: Grid) -> Step:
        """FULLY_CONNECTED."""
        return self.convolution(source, weights, output)

    @abstractmethod
    def product(self, one: Grid, other: Grid, output: Grid) -> Step:
        """MUL."""

    @abstractmethod
    def addition(self, one: Grid, other: Grid, output: Grid) -> Addition:
        """ADD, and SUB with the second term taken off."""

    @abstractmethod
    def mean(self, source: Grid, output: Grid, count: int) -> Step:
        """MEAN over ``count`` numbers; of their sum."""

    @abstractmethod
    def rescaled(self, source: Grid, output: Grid) -> Step:
        """QUANTIZE, of codes."""

    @abstractmethod
    def leaky(self, source: Grid, slope: np.float32, output: Grid) -> Step:
        """LEAKY_RELU."""

    def rectified(self, source: Grid, output: Grid) -> Step:
        """RELU and RELU6 by themselves, before their limits."""
        return _twice(float(source.scale) / float(output.scale), output)

    def average(self, source: Grid, parts: int) -> Step:
        """AVERAGE_POOL_2D: of the mean of raw codes.

        :param parts: accumulators are means of codes without zero point, in units of ``1 / parts``.
        """
        return lambda a: divided_half_away(a + source.zero * parts, parts)

    def table(self, function: Function, source: Grid, output: Grid) -> Step:
        """LOGISTIC and TANH: a table of a function that is computed in float32."""
        return self._table_of(function.in_float32, source, output)

    def _table_of(self, function: Callable[[np.ndarray], np.ndarray], source: Grid, output: Grid) -> Step:
        def step(x: np.ndarray) -> np.ndarray:
            values = function((source.scale * x.astype(np.float32)).astype(np.float32))
            return self.rounded(values * (np.float32(1) / output.scale)) + output.zero

        return step

    def rounded(self, x: np.ndarray) -> np.ndarray:
        """Return float32 numbers as integers, as the host's conversions round."""
        return self.input_rounding.round(x.astype(np.float64)).astype(np.int64)


def _twice(real: np.ndarray | float, output: Grid) -> Step:
    multiplier = Multiplier.of(real)
    return lambda a: multiplier.twice(a) + output.zero


class Micro(Arithmetic):
    """TensorFlow Lite Micro's portable kernels: integers throughout, every product rounded twice."""

    relu6_rescales = False

    def convolution(self, source: Grid, weights: np.ndarray, output: Grid) -> Step:
        return _twice(_real(source, weights, output), output)

    def fully_connected(self, source: Grid, weights: np.ndarray, output: Grid) -> Step:
        return _twice(_real_of_dense(source, weights, output), output)

    def product(self, one: Grid, other: Grid, output: Grid) -> Step:
        return _twice(float(one.scale) * float(other.scale) / float(output.scale), output)

    def addition(self, one: Grid, other: Grid, output: Grid) -> Addition:
        """Both inputs, times 2^20, are brought to twice the larger scale; then their sum is brought to the output's."""
        bits = 20
        twice = 2 * max(float(one.scale), float(other.scale))
        first, second = (Multiplier.of(float(grid.scale) / twice) for grid in (one, other))
        last = _twice(twice / (2.0**bits * float(output.scale)), output)
        terms = (lambda x: first.twice(x << bits), lambda x: second.twice(x << bits))
        return Addition(terms, Fraction(twice) / 2**bits, last)

    def mean(self, source: Grid, output: Grid, count: int) -> Step:
        multiplier = Multiplier.of(float(source.scale) / float(output.scale)).divided(count)
        return lambda a: multiplier.twice(a) + output.zero

    def rescaled(self, source: Grid, output: Grid) -> Step:
        return _twice(float(source.scale) / float(output.scale), output)

    def leaky(self, source: Grid, slope: np.float32, output: Grid) -> Step:
        above = Multiplier.of(float(source.scale / output.scale))
        below = Multiplier.of(float(np.float32(source.scale * slope) / output.scale))
        return lambda x: np.where(x >= 0, above.twice(x), below.twice(x)) + output.zero

    def table(self, function: Function, source: Grid, output: Grid) -> Step:
        """In integers; both functions have output scales of their own."""
        of, bits = (fixed_point.logistic, 8) if function is Function.LOGISTIC else (fixed_point.tanh, 7)
        return lambda x: fixed_point.of_codes(of, float(source.scale), x, bits) + output.zero


class Reference(Micro):
    """LiteRT's reference kernels: as `Micro`, but fully connected layers round once, and tables are of float32."""

    relu6_rescales = True

    def fully_connected(self, source: Grid, weights: np.ndarray, output: Grid) -> Step:
        multiplier = Multiplier.of(_real_of_dense(source, weights, output))
        return lambda a: multiplier.once(a) + output.zero

    def product(self, one: Grid, other: Grid, output: Grid) -> Step:
        return _twice(float(np.float32(one.scale * other.scale) / output.scale), output)

    def table(self, function: Function, source: Grid, output: Grid) -> Step:
        return Arithmetic.table(self, function, source, output)


class Xnnpack(Arithmetic):
    """XNNPACK, LiteRT's default: products in float32, ties to even. Where it has no operator (AVERAGE_POOL_2D, RELU
    and RELU6 by themselves), LiteRT's own kernels compute.
    """

    input_rounding = RoundingMode.HALF_EVEN

    def convolution(self, source: Grid, weights: np.ndarray, output: Grid) -> Step:
        return self._scaled(np.float32(source.scale * weights) / output.scale, output)

    def product(self, one: Grid, other: Grid, output: Grid) -> Step:
        return self._scaled(np.float32(one.scale * other.scale) / output.scale, output)

    def addition(self, one: Grid, other: Grid, output: Grid) -> Addition:
        """Multipliers of 21 bits, one shift; ties up."""
        ratios = one.scale / output.scale, other.scale / output.scale
        _require_ratio(ratios, -10, 8)
        shift = 20 - (int(np.frexp(max(ratios))[1]) - 1)
        first, second = (int(np.rint(np.ldexp(ratio, shift))) for ratio in ratios)
        unit = Fraction(float(output.scale)) / 2**shift
        return Addition(
            (lambda x: x * first, lambda x: x * second),
            unit,
            lambda a: ((a + 2 ** (shift - 1)) >> shift) + output.zero,
        )

    def mean(self, source: Grid, output: Grid, count: int) -> Step:
        """The zero points are added in float32, before it is rounded."""
        scale = np.float32(source.scale / output.scale) / np.float32(count)
        offset = np.float32(output.zero) - np.float32(source.zero * count) * scale

        def step(a: np.ndarray) -> np.ndarray:
            total = (a + source.zero * count).astype(np.float32)
            return np.rint(total * scale + offset).astype(np.int64)

        return step

    def rescaled(self, source: Grid, output: Grid) -> Step:
        return self._of_8_bits(source.scale / output.scale, output)

    def leaky(self, source: Grid, slope: np.float32, output: Grid) -> Step:
        ratio = source.scale / output.scale
        above, below = self._of_8_bits(ratio, output), self._of_8_bits(np.float32(ratio * slope), output)
        return lambda x: np.where(x >= 0, above(x), below(x))

    def table(self, function: Function, source: Grid, output: Grid) -> Step:
        return self._table_of(function.rounded_once, source, output)

    def _scaled(self, scale: np.ndarray | np.float32, output: Grid) -> Step:
        _require_ratio(scale, -32, 8)
        return lambda a: np.rint(a.astype(np.float32) * scale).astype(np.int64) + output.zero

    def _of_8_bits(self, ratio: np.float32, output: Grid) -> Step:
        """A multiplier with 8 bits behind the point; ties up."""
        _require_ratio(ratio, -8, 7)
        multiplier = int(np.rint(np.float32(256) * ratio))
        return lambda x: ((x * multiplier + 128) >> 8) + output.zero


def _real(source: Grid, weights: np.ndarray, output: Grid) -> np.ndarray:
    return float(source.scale) * weights.astype(np.float64) / float(output.scale)


def _real_of_dense(source: Grid, weights: np.ndarray, output: Grid) -> np.ndarray:
    """With one scale for all weights, the product of the scales is one of float32."""
    if weights.size > 1:
        return _real(source, weights, output)
    return (source.scale * weights).astype(np.float64) / float(output.scale)


def _require_ratio(ratio: object, least: int, most: int) -> None:
    values = np.abs(np.asarray(ratio, np.float64))
    if values.min() < 2.0**least or values.max() >= 2.0**most:
        raise Unsupported(
            f"its scales are a factor of {values.min():.3g} to {values.max():.3g} apart, which XNNPACK does not "
            "compute; use the rule 'tflm'"
        )


class TfliteRule(enum.Enum):
    """Whose arithmetic a file is read in."""

    TFLM = "tflm"
    REFERENCE = "reference"
    XNNPACK = "xnnpack"

    @property
    def arithmetic(self) -> Arithmetic:
        return _ARITHMETIC[self]


_ARITHMETIC: dict[TfliteRule, Arithmetic] = {
    TfliteRule.TFLM: Micro(),
    TfliteRule.REFERENCE: Reference(),
    TfliteRule.XNNPACK: Xnnpack(),
}
