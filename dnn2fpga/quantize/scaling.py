"""Conversion of real numbers to integers: scales, zero points, weight quantization, multipliers. Every layer kind's
quantization rule uses it.

``q = round(r / S) + Z``, Equation 1 of Tourad and Eleuldj; symmetric quantization has ``Z = 0``. docs/arithmetic.md is
the norm.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from dnn2fpga.quantize.ranges import Distribution, RangeMethod, choose_range
from dnn2fpga.quantize.settings import Granularity, LayerSettings, Scales, Symmetry
from dnn2fpga.quantize.weight_sets import Levels, WeightSet, levels_of
from dnn2fpga.tensors.basics import Interval, Shape
from dnn2fpga.tensors.tensor import Tensor
from rtl_lib.core.arithmetic import Overflow
from rtl_lib.core.formats import Format

MULTIPLIER_BITS = 16  # fits the 18-bit signed port of every DSP block of interest
LARGEST_SHIFT = 46
RATIO_BITS = 24  # those of a float32 number
WIDEST_SEARCHED = 12  # bits of an output: `exact.steps` looks for so many codes
SHORT_BITS = 8  # a scale of weights moves by less than 1 % for it


class Observed(Protocol):
    """The statistics that calibration observed of a tensor (``optimize.calibration.TensorStatistics``)."""

    @property
    def interval(self) -> Interval: ...
    @property
    def channels(self) -> int: ...
    def whole(self) -> Distribution: ...
    def channel(self, index: int) -> Distribution: ...


@dataclass(frozen=True)
class _Joint:
    """The statistics of several tensors that share one scale."""

    parts: tuple[Observed, ...]

    @property
    def interval(self) -> Interval:
        return _around([part.interval for part in self.parts])

    @property
    def channels(self) -> int:
        return 1

    def whole(self) -> Distribution:
        wholes = [part.whole() for part in self.parts]
        return Distribution(
            np.concatenate([whole.values for whole in wholes]),
            np.concatenate([whole.counts for whole in wholes]),
            self.interval,
            _around([whole.average for whole in wholes]),
        )

    def channel(self, index: int) -> Distribution:
        return self.whole()


def joint(parts: Sequence[Observed]) -> Observed:
    """Return the statistics of several tensors, as if they were one."""
    return parts[0] if len(parts) == 1 else _Joint(tuple(parts))


def _around(intervals: Iterable[Interval]) -> Interval:
    intervals = list(intervals)
    return Interval(min(one.low for one in intervals), max(one.high for one in intervals))


@dataclass(frozen=True)
class WeightScaling:
    """A weight is ``(code - zero_point) * scale`` of its output; both ``[outputs]``."""

    scale: np.ndarray
    zero_point: np.ndarray


@dataclass(frozen=True)
class QuantizationChoice:
    """All that calibration decides about a layer: the numbers on its output, and the scales of its weights."""

    output: Tensor
    weights: WeightScaling | None = None


@dataclass(frozen=True)
class Grid:
    """The numbers that a quantizer can give: ``level * scale``."""

    scale: float
    levels: Levels

    def fake_quantize(self, x: np.ndarray) -> np.ndarray:
        return self.levels.nearest(x / self.scale) * self.scale


def scale_for(largest: np.ndarray | float, steps: int, scales: Scales) -> np.ndarray:
    """The scale at which ``largest`` (>= 0) becomes about ``steps``, the largest integer of the format.

    A power of two may let the outermost value saturate by one step (an image in [0, 1] in 8 unsigned bits has
    scale 2^-8), which costs less than half of all codes would.
    """
    largest = np.where(np.asarray(largest, np.float64) > 0, largest, 1.0)
    if scales is Scales.FREE:
        return largest / steps
    return np.exp2(np.ceil(np.log2(largest / (steps + 1))))


def _symmetric(interval: Interval, levels: Levels, scales: Scales) -> Grid:
    return Grid(float(scale_for(max(-interval.low, interval.high), levels.high, scales)), levels)


def _asymmetric(interval: Interval, bits: int, scales: Scales) -> Grid:
    """Return the grid that covers the interval and zero, which must have a code: padding and ReLU produce it."""
    low, high = min(interval.low, 0.0), max(interval.high, 0.0)
    if bits == 1:  # beside zero there is one code: on the larger side
        low, high = (low, 0.0) if -low > high else (0.0, high)
    steps = (1 << bits) - 1
    scale = float(scale_for(high - low, steps, scales))
    zero_point = min(math.floor(-low / scale + 0.5), steps)
    return Grid(scale, Levels(-zero_point, steps - zero_point))


def _chosen(
    distribution: Distribution, method: RangeMethod, percentile: float, grid: Callable[[Interval], Grid]
) -> Grid:
    return grid(choose_range(method, distribution, lambda interval: grid(interval).fake_quantize, percentile))


def activation_tensor(shape: Shape, lanes: int, seen: Observed, settings: LayerSettings) -> Tensor:
    """The format of an activation from what was observed; unsigned when nothing negative was seen (or can be)."""
    bits = settings.activation_bits
    signed = seen.interval.low < 0
    # A single bit cannot hold a sign beside zero: it represents the larger side.
    shifted = signed and (settings.activation_symmetry is Symmetry.ASYMMETRIC or bits == 1)
    format = Format(signed and not shifted, bits)

    def grid(interval: Interval) -> Grid:
        if shifted:
            return _asymmetric(interval, bits, settings.scales)
        return _symmetric(interval, Levels(format.minimum, format.maximum), settings.scales)

    def chosen(distribution: Distribution) -> Grid:
        return _chosen(distribution, settings.calibration, settings.percentile, grid)

    if settings.activation_granularity is Granularity.PER_CHANNEL and seen.channels == lanes > 1:
        grids = [chosen(seen.channel(index)) for index in range(lanes)]
        scale = tuple(g.scale for g in grids)
        zero_point = tuple(-g.levels.low for g in grids) if shifted else 0
        return Tensor(shape=shape, lanes=lanes, signed=format.signed, width=bits, scale=scale, zero_point=zero_point)
    whole = chosen(seen.whole())
    zero = -whole.levels.low if shifted else 0
    return Tensor(shape=shape, lanes=lanes, signed=format.signed, width=bits, scale=whole.scale, zero_point=zero)


def weight_levels(settings: LayerSettings) -> Levels:
    """The codes of a weight, before the zero point is taken off."""
    if settings.weight_symmetry is Symmetry.SYMMETRIC:
        return levels_of(settings.weight_set, settings.weight_bits)
    if settings.weight_set is not WeightSet.INTEGER:
        raise ValueError(f"weights of the set '{settings.weight_set.value}' are always symmetric")
    return Levels(0, (1 << settings.weight_bits) - 1)


def choose_weight_scaling(weights: np.ndarray, settings: LayerSettings, smallest: np.ndarray) -> WeightScaling:
    """Choose scales and zero points for ``weights [..., outputs]``: one of each per output (the same for all, per
    tensor).

    :param smallest: ``[outputs]``; below this scale, differences between weights no longer matter.
    """
    levels, outputs = weight_levels(settings), weights.shape[-1]

    def grid(interval: Interval) -> Grid:
        if settings.weight_symmetry is Symmetry.ASYMMETRIC:
            return _asymmetric(interval, settings.weight_bits, settings.scales)
        return _symmetric(interval, levels, settings.scales)

    def chosen(values: np.ndarray) -> Grid:
        return _chosen(Distribution.of(values), settings.weight_calibration, settings.percentile, grid)

    channels = weights.reshape(-1, outputs).astype(np.float64)
    used = np.asarray(channels.any(axis=0))
    if settings.granularity is Granularity.PER_TENSOR:
        grids = [chosen(channels)] * outputs
        used, smallest = np.full_like(used, used.any()), np.full(outputs, smallest.min())
    else:
        grids = [chosen(channels[:, index]) for index in range(outputs)]
    scale = np.maximum(np.where(used, [g.scale for g in grids], 0), smallest)
    if settings.scales is Scales.POWER_OF_TWO:
        scale = np.exp2(np.ceil(np.log2(scale)))
    asymmetric = settings.weight_symmetry is Symmetry.ASYMMETRIC
    zero_point = np.array([-g.levels.low if asymmetric else 0 for g in grids], np.int64)
    return WeightScaling(scale, zero_point)


def quantize_weights(weights: np.ndarray, scaling: WeightScaling, settings: LayerSettings) -> np.ndarray:
    """``weights [..., outputs]`` → integers of the same shape, zero points taken off."""
    codes = weight_levels(settings).nearest(weights.astype(np.float64) / scaling.scale + scaling.zero_point)
    return codes.astype(np.int64) - scaling.zero_point


def ratio_bits(output: Tensor, settings: LayerSettings) -> int:
    """The bits of a ratio of scales in a requantization to ``output``: many where the smallest multiplier with the same
    codes takes its place (``exact.requantizing.smallest``).
    """
    searched = settings.scales is Scales.FREE and settings.overflow is not Overflow.WRAP
    return RATIO_BITS if searched and output.width <= WIDEST_SEARCHED else MULTIPLIER_BITS


def short(ratio: np.ndarray) -> np.ndarray:
    """Positive numbers, rounded up to ``SHORT_BITS`` bits: a scale that grows lets no weight saturate."""
    mantissa, exponent = np.frexp(ratio)
    return np.ldexp(np.ceil(np.ldexp(mantissa, SHORT_BITS)), exponent - SHORT_BITS)


def multiplier_and_shift(ratio: np.ndarray, bits: int = MULTIPLIER_BITS) -> tuple[np.ndarray, np.ndarray]:
    """Integers with ``multiplier / 2**shift ≈ ratio`` (exactly, for a power of two); ``shift`` is at least 0.

    :param ratio: positive or negative real numbers, any shape.
    :param bits: of the multiplier.
    """
    (multiplier,), shift = multipliers_and_shift(np.asarray(ratio, np.float64)[np.newaxis], bits)
    return multiplier, shift


def multipliers_and_shift(ratios: np.ndarray, bits: int = MULTIPLIER_BITS) -> tuple[np.ndarray, np.ndarray]:
    """Integers with ``multiplier[k] / 2**shift ≈ ratios[k]`` for what is added up or compared: one shift for all ``k``,
    so that the largest ratio keeps ``bits``.

    :param ratios: ``[inputs, ...]``, of any sign.
    :return: integers ``[inputs, ...]``, and ``[...]``.
    """
    # The largest is mantissa * 2**exponent with 0.5 <= mantissa < 1.
    _, exponent = np.frexp(np.abs(ratios).max(axis=0))
    shift = np.clip(bits - exponent, 0, LARGEST_SHIFT).astype(np.int64)
    multiplier = np.floor(np.ldexp(ratios, shift) + 0.5).astype(np.int64)
    # The smallest of such integers: common factors of two say nothing.
    while (even := (multiplier % 2 == 0).all(axis=0) & (shift > 0)).any():
        multiplier, shift = np.where(even, multiplier // 2, multiplier), np.where(even, shift - 1, shift)
    return multiplier, shift


def clamp_codes(tensor: Tensor, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """The integers ``[lanes]`` to which a clamp to the real ``[low, high]`` limits ``tensor``."""
    codes = (np.floor(np.array([[low], [high]]) / tensor.scales + 0.5) + tensor.zero_points).clip(
        tensor.format.minimum, tensor.format.maximum
    )
    return codes[0].astype(np.int64), codes[1].astype(np.int64)


def with_one_scale(settings: LayerSettings) -> LayerSettings:
    """The same settings for an output whose channels must be comparable."""
    return settings.model_copy(update={"activation_granularity": Granularity.PER_TENSOR})
