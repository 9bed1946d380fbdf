"""Integer arithmetic of TensorFlow Lite's kernels: multiplication by fixed-point multipliers, and the exponential
functions of gemmlowp in 32 bits.

Arrays are int64; what the kernels keep in 32 bits stays in their range. The functions follow the definitions in
TensorFlow Lite (``kernels/internal/common.cc``, ``quantization_util.cc``) and in gemmlowp (``fixedpoint.h``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

LARGEST = 2**31 - 1  # of a number of 32 bits
SMALLEST = -(2**31)
LARGEST_FACTOR = 2.0**30


def half_away(x: np.ndarray, bits: Any) -> np.ndarray:
    """``x / 2**bits`` to the nearest integer, ties away from 0."""
    half = np.where(np.asarray(bits) > 0, np.int64(1) << np.maximum(np.asarray(bits) - 1, 0), 0)
    return (x + half - ((x < 0) & (np.asarray(bits) > 0))) >> bits


def divided_half_away(x: np.ndarray, divisor: int) -> np.ndarray:
    """``x / divisor`` to the nearest integer, ties away from 0."""
    return np.sign(x) * ((2 * np.abs(x) + divisor) // (2 * divisor))


def high_product(a: np.ndarray, b: Any) -> np.ndarray:
    """``a * b / 2**31`` to the nearest integer, ties up; of numbers of 32 bits."""
    return np.minimum((a * b + 2**30) >> 31, LARGEST)


def saturated(x: np.ndarray) -> np.ndarray:
    """The nearest number of 32 bits."""
    return np.clip(x, SMALLEST, LARGEST)


@dataclass(frozen=True, eq=False)
class Multiplier:
    """``mantissa / 2**31 * 2**exponent``; one number, or one per channel."""

    mantissa: np.ndarray  # int64, 2^30 … 2^31 - 1, or 0
    exponent: np.ndarray  # int64, -31 … 30

    @classmethod
    def of(cls, real: Any) -> Self:
        """Return the nearest one to a positive number (float64); 0 where the exponent is below -31.

        :raises ValueError: when it is too large.
        """
        if not (np.asarray(real) < LARGEST_FACTOR).all():
            raise ValueError("its scales differ by more than a factor of 2^30; convert the model again")
        fraction, exponent = np.frexp(np.asarray(real, np.float64))
        mantissa = np.floor(fraction * 2**31 + 0.5).astype(np.int64)
        carry = mantissa == 2**31
        mantissa, exponent = np.where(carry, 2**30, mantissa), exponent + carry
        tiny = exponent < -31
        return cls(np.where(tiny, 0, mantissa), np.where(tiny, 0, exponent))

    def twice(self, x: np.ndarray) -> np.ndarray:
        """``x`` times this, rounded at 2^31 (ties up) and again at the binary point (ties away from 0)."""
        left, right = np.maximum(self.exponent, 0), np.maximum(-self.exponent, 0)
        return half_away(high_product(saturated(x << left), self.mantissa), right)

    def once(self, x: np.ndarray) -> np.ndarray:
        """``x`` times this, rounded once, ties up."""
        bits = 31 - self.exponent
        return (x * self.mantissa + (np.int64(1) << (bits - 1))) >> bits

    def divided(self, count: int) -> Multiplier:
        """Return this divided by a number of elements, with as many bits of the mantissa as it keeps (MEAN)."""
        shift = int(min(count.bit_length() - 1, 32, 31 + int(self.exponent)))
        return Multiplier((self.mantissa << shift) // count, self.exponent - shift)


# gemmlowp's functions. A number with n integer bits is raw / 2^(31 - n).

_EXP_FACTORS = (  # exp(-2^k) for k from -2 on, of 31 bits
    (-2, 1672461947),
    (-1, 1302514674),
    (0, 790015084),
    (1, 290630308),
    (2, 39332535),
    (3, 720401),
    (4, 242),
)
_EXP_OF_EIGHTH = 1895147668  # exp(-1/8)
_THIRD = 715827883
_48_OVER_17, _NEGATIVE_32_OVER_17 = 1515870810, -1010580540  # with 2 integer bits: the first guess of a reciprocal


def _exp_of_quarter(raw: np.ndarray) -> np.ndarray:
    """exp of numbers from -1/4 to 0, by the first terms of its series around -1/8; no integer bits."""
    x = raw + 2**28
    square = high_product(x, x)
    cube, fourth = high_product(square, x), high_product(square, square)
    terms = half_away(high_product(half_away(fourth, 2) + cube, _THIRD) + square, 1)
    return _EXP_OF_EIGHTH + high_product(x + terms, _EXP_OF_EIGHTH)


def _exp_of_negative(raw: np.ndarray, integer_bits: int) -> np.ndarray:
    """exp of numbers up to 0; the result has no integer bits."""
    point = 31 - integer_bits
    quarter = 1 << (point - 2)
    inner = (raw & (quarter - 1)) - quarter
    result = _exp_of_quarter(saturated(inner << integer_bits))
    rest = inner - raw
    for exponent, factor in _EXP_FACTORS:
        if integer_bits > exponent:
            chosen = (rest & (1 << (point + exponent))) != 0
            result = np.where(chosen, high_product(result, factor), result)
    return np.where(raw == 0, LARGEST, result)


def _reciprocal_of_half_sum(raw: np.ndarray) -> np.ndarray:
    """``2 / (1 + x)`` of numbers from 0 to 1, by three steps of Newton's; the result has 2 integer bits."""
    total = raw + LARGEST
    half = np.sign(total) * ((np.abs(total) + 1) >> 1)
    x = _48_OVER_17 + high_product(half, _NEGATIVE_32_OVER_17)
    for _ in range(3):
        x = x + saturated(high_product(x, 2**29 - high_product(half, x)) << 2)
    return x


def logistic(raw: np.ndarray) -> np.ndarray:
    """``1 / (1 + exp(-x))``: 4 integer bits in, none out."""
    exponential = _exp_of_negative(-np.abs(raw), 4)
    positive = saturated(_reciprocal_of_half_sum(exponential) << 1)
    return np.where(raw > 0, positive, np.where(raw == 0, 2**30, LARGEST - positive))


def tanh(raw: np.ndarray) -> np.ndarray:
    """The hyperbolic tangent: 4 integer bits in, none out."""
    exponential = _exp_of_negative(-np.abs(raw), 5)  # of twice the number
    positive = saturated((_reciprocal_of_half_sum(exponential) - 2**29) << 2)
    return np.where(raw > 0, positive, np.where(raw == 0, 0, -positive))


Function = Callable[[np.ndarray], np.ndarray]


def of_codes(function: Function, scale: float, x: np.ndarray, bits: int) -> np.ndarray:
    """A function of ``x * scale``, times ``2**bits``; saturated to its limits from about ±15 on.

    :param function: `logistic` or `tanh`.
    :param x: codes, the zero point taken off.
    """
    fraction, exponent = np.frexp(scale * 2.0**27)
    inputs = Multiplier(np.asarray(np.floor(fraction * 2**31 + 0.5), np.int64), np.asarray(exponent, np.int64))
    radius = int(np.floor(15 * 2.0**27 / 2.0**exponent))
    inside = half_away(function(inputs.twice(x)), 31 - bits)
    return np.where(x >= radius, 2**bits, np.where(x <= -radius, -(2**bits), inside))
