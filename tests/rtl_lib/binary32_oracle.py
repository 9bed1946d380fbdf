"""binary32 in exact fractions, written from the rules alone, and bit patterns that reach its edges."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from itertools import product

import numpy as np

from rtl_lib.core.arithmetic import Rounding

SIGN = 1 << 31
INFINITY = 0x7F800000
FRACTIONS = [0, 1, 2, 3, 0x3FFFFF, 0x400000, 0x400001, 0x7FFFFE, 0x7FFFFF]


def value(bits: int) -> Fraction:
    exponent = bits >> 23 & 255
    magnitude = Fraction((1 << 23) | bits & 0x7FFFFF) * Fraction(2) ** (exponent - 150) if exponent else Fraction(0)
    return -magnitude if bits & SIGN else magnitude


def encode(exact: Fraction, zero_sign: int) -> int:
    """The rounded bits; ``zero_sign`` is the sign bit of an exact zero."""
    sign = (SIGN if exact < 0 else 0) if exact else zero_sign
    magnitude = abs(exact)
    if magnitude < Fraction(2) ** -126:
        return sign
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    exponent -= Fraction(2) ** exponent > magnitude
    significand = round(magnitude / Fraction(2) ** (exponent - 23))  # Python rounds a fraction to nearest even
    if significand == 1 << 24:
        significand, exponent = 1 << 23, exponent + 1
    return sign | (INFINITY if exponent > 127 else (exponent + 127) << 23 | significand & 0x7FFFFF)


def multiplied(a: int, b: int) -> int:
    return encode(value(a) * value(b), (a ^ b) & SIGN)


def added(a: int, b: int) -> int:
    return encode(value(a) + value(b), a & b & SIGN)


def integer(bits: int, low: int, high: int, rounding: Rounding) -> int:
    exact = value(bits)
    rounded = {
        Rounding.FLOOR: math.floor(exact),
        Rounding.HALF_UP: math.floor(exact + Fraction(1, 2)),
        Rounding.HALF_EVEN: round(exact),
    }[rounding]
    return min(max(rounded, low), high)


def sums() -> Iterator[tuple[int, int]]:
    """Pairs at the distances where alignment, cancellation and rounding change, at both ends of the range too."""
    distances = [0, 1, 2, 3, 22, 23, 24, 25, 26, 27, 28, 33, 64]
    for exponent, distance, f, g, signs in product((1, 2, 127, 253, 254), distances, FRACTIONS, FRACTIONS, range(4)):
        if distance <= exponent:
            a, b = exponent << 23 | f, (exponent - distance) << 23 | g
            yield a | (signs & 1) << 31, b | (signs >> 1) << 31


def products() -> Iterator[tuple[int, int]]:
    """Pairs whose product is an ordinary number, close to the smallest, or close to the largest."""
    for total, f, g, signs in product((126, 127, 128, 129, 254, 380, 381, 382, 383), FRACTIONS, FRACTIONS, range(4)):
        for exponent in {max(total - 254, 0), total // 2, min(total, 254)}:
            yield exponent << 23 | f | (signs & 1) << 31, (total - exponent) << 23 | g | (signs >> 1) << 31


def random_pairs(count: int, seed: int) -> np.ndarray:
    """Any finite numbers, half of them with exponents close to each other: ``[count, 2]``."""
    rng = np.random.default_rng(seed)
    exponents = rng.integers(0, 255, (count, 2))
    near = np.clip(exponents[:, 0] + rng.integers(-30, 31, count), 0, 254)
    exponents[:, 1] = np.where(rng.random(count) < 0.5, near, exponents[:, 1])
    return rng.integers(0, 1 << 23, (count, 2)) | exponents << 23 | rng.integers(0, 2, (count, 2)) << 31
