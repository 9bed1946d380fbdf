"""From real numbers to integers: scales, weight quantization, multipliers.
Used by every layer kind's quantization rule.

Symmetric quantization (zero point 0): ``q = round(r / S)``, Equation 1 of paper 002 with ``Z = 0``.
docs/arithmetic.md is the norm.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

import numpy as np

from dnn2fpga.graph import Interval, Shape
from dnn2fpga.quantized_graph import Tensor
from rtl_lib.arithmetic import Overflow, Rounding
from rtl_lib.formats import Format

MULTIPLIER_BITS = 16  # fits the 18-bit signed port of every DSP block of interest
LARGEST_SHIFT = 46


class Scales(enum.Enum):
    """Which scales may be chosen."""

    POWER_OF_TWO = "power_of_two"  # requantize is wires
    FREE = "free"  # requantize is an integer multiplier and a shift


class Granularity(enum.Enum):
    """What shares one weight scale."""

    PER_CHANNEL = "per_channel"
    PER_TENSOR = "per_tensor"


@dataclass(frozen=True, kw_only=True)
class LayerSettings:
    """How one layer is to be quantized."""

    weight_bits: int = 8
    activation_bits: int = 8
    scales: Scales = Scales.POWER_OF_TWO
    granularity: Granularity = Granularity.PER_CHANNEL
    rounding: Rounding = Rounding.HALF_UP
    overflow: Overflow = Overflow.SATURATE


def scale_for(largest: np.ndarray | float, steps: int, scales: Scales) -> np.ndarray:
    """The scale at which ``largest`` (>= 0) becomes about ``steps``, the largest integer of the format.

    A power of two may let the outermost value saturate by one step (an image in [0, 1] in 8 unsigned bits has
    scale 2^-8), which costs less than half of all codes would.
    """
    largest = np.where(np.asarray(largest, np.float64) > 0, largest, 1.0)
    if scales is Scales.FREE:
        return largest / steps
    return np.exp2(np.ceil(np.log2(largest / (steps + 1))))


def activation_tensor(shape: Shape, lanes: int, interval: Interval, bits: int, scales: Scales) -> Tensor:
    """The format of an activation from its observed range; unsigned when nothing negative was seen (or can be)."""
    signed = interval.low < 0
    format = Format(signed, bits)
    scale = scale_for(max(abs(interval.low), abs(interval.high)), format.maximum, scales)
    return Tensor(shape=shape, lanes=lanes, signed=signed, width=bits, scale=float(scale))


def quantize_weights(
    weights: np.ndarray, settings: LayerSettings, smallest_scale: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """``weights [..., outputs]`` → integers of the same shape, and one scale an output ``[outputs]``.

    :param smallest_scale: below it, differences between weights no longer matter.
    """
    steps = (1 << (settings.weight_bits - 1)) - 1
    flat = np.abs(weights.reshape(-1, weights.shape[-1]).astype(np.float64))
    largest = flat.max(axis=0, initial=0)
    if settings.granularity is Granularity.PER_TENSOR:
        largest = np.full_like(largest, largest.max(initial=0))
    scale = scale_for(np.maximum(largest, smallest_scale * steps), steps, settings.scales)
    integers = np.clip(np.floor(weights / scale + 0.5), -steps, steps).astype(np.int64)
    return integers, scale


def multiplier_and_shift(ratio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Integers with ``multiplier / 2**shift ≈ ratio`` (exactly, for a power of two); ``shift`` is at least 0.

    :param ratio: positive or negative real numbers, any shape.
    """
    mantissa, exponent = np.frexp(
        np.asarray(ratio, np.float64)
    )  # ratio = mantissa * 2**exponent, 0.5 <= |mantissa| < 1
    shift = np.clip(MULTIPLIER_BITS - exponent, 0, LARGEST_SHIFT).astype(np.int64)
    multiplier = np.floor(np.ldexp(mantissa, exponent + shift) + 0.5).astype(np.int64)
    # The smallest pair: common factors of two say nothing.
    while (even := (multiplier % 2 == 0) & (shift > 0)).any():
        multiplier, shift = np.where(even, multiplier // 2, multiplier), np.where(even, shift - 1, shift)
    return multiplier, shift


def clamp_codes(tensor: Tensor, low: float, high: float) -> tuple[int, int]:
    """The integers to which a clamp to the real ``[low, high]`` limits ``tensor``."""
    smallest, largest = tensor.format.minimum, tensor.format.maximum
    if low > -math.inf:
        smallest = max(smallest, math.floor(low / tensor.scale + 0.5))
    if high < math.inf:
        largest = min(largest, math.floor(high / tensor.scale + 0.5))
    return smallest, largest


def clamped(interval: Interval, low: float, high: float) -> Interval:
    """What is left of a range behind a clamp."""
    return Interval(min(max(interval.low, low), high), min(max(interval.high, low), high))
