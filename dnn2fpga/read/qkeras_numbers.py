"""The codes and scales that QKeras finds for trained weights, in float32 and step by step as it computes them.

What QKeras calls *auto* is a scale that depends on the weights; with *auto_po2* it is a power of two. The last axis of
the weights is the one of the scales (qkeras/quantizers.py of 0.9 and of qkeras-v3 1.2.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from dnn2fpga.exact.rationals import rationals
from dnn2fpga.tensors.basics import Unsupported

quietly = np.errstate(over="ignore", invalid="ignore", divide="ignore")  # what is not finite is refused in the end

EPSILON = np.float32(1e-7)  # keras.config.epsilon()
LOG_2 = np.float32(np.log(2.0))
ROUNDS = 5  # of the search for powers of two
MOST_BITS = 25  # float32 counts no further


@dataclass(frozen=True, eq=False)
class Grid:
    """Weights ``codes * scale``.

    :param codes: int64.
    :param scale: exact, of a shape that NumPy extends to that of the codes.
    """

    codes: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, codes: np.ndarray, scale: np.ndarray | Fraction, factor: Fraction = Fraction(1)) -> Grid:
        """Weights ``codes * scale * factor``. Where a scale is 0, they are codes of 0 at another scale."""
        require_finite(codes)
        exact = np.asarray(rationals(scale) * factor, object)
        zero = exact == 0
        exact[zero] = Fraction(1)
        return cls(np.where(zero, 0, codes).astype(np.int64), exact)

    @property
    def reals(self) -> np.ndarray:
        """The weights, exactly."""
        return np.asarray(rationals(self.codes) * self.scale)

    @property
    def float32(self) -> np.ndarray:
        """The weights in float32."""
        return self.reals.astype(np.float64).astype(np.float32)


def require_finite(values: np.ndarray) -> None:
    if not np.isfinite(values).all():
        raise Unsupported("its weights are too large to be quantized; train the model again")


def power_of_two(exponent: int) -> Fraction:
    return Fraction(2) ** exponent


def signs(x: np.ndarray) -> np.ndarray:
    """-1, or 1 from 0 on."""
    return np.where(x < 0, np.float32(-1), np.float32(1))


def nearest_power(scale: np.ndarray) -> np.ndarray:
    """The power of two that is nearest in its exponent."""
    exponent = np.rint(np.log(scale + EPSILON) / LOG_2)
    require_finite(exponent)
    return np.ldexp(np.float32(1), exponent.astype(np.int32))


def least_squares(x: np.ndarray, codes: np.ndarray, *, powers: bool) -> np.ndarray:
    """The scale with which codes are nearest to ``x``: of each output, or of each number of a vector.

    :param powers: the nearest power of two instead.
    """
    xq, qq = x * codes, codes * codes
    if x.ndim > 1:
        xq, qq = _mean(xq), _mean(qq)
    scale = xq / (qq + EPSILON)
    return nearest_power(scale) if powers else scale


def _mean(x: np.ndarray) -> np.ndarray:
    axes = _all_but_last(x)
    return np.asarray(x.sum(axis=axes, keepdims=True) / np.float32(x.size // x.shape[-1]))


def _all_but_last(x: np.ndarray) -> tuple[int, ...]:
    return tuple(range(x.ndim - 1))


def largest(x: np.ndarray) -> np.ndarray:
    """The largest magnitude, for each output; of a vector, the only one."""
    if not x.ndim:
        raise Unsupported("a scale that depends on the weights needs more than one of them")
    return np.asarray(np.abs(x).max(axis=_all_but_last(x) or (0,), keepdims=True))


@dataclass(frozen=True)
class Search:
    """The way in which ``quantized_bits`` finds the scales of symmetric codes.

    :param most: the largest code.
    :param powers: whether scales are powers of two.
    :param is_last: whether the codes are those of the last scale (qkeras-v3), or of the one before it (QKeras 0.9).
    """

    most: int
    powers: bool
    is_last: bool

    def __call__(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return codes and scales of ``x``."""
        scale = largest(x) * np.float32(2) / np.float32(2 * self.most)
        if self.powers:
            scale = nearest_power(scale)
        codes = self.codes(x, scale)
        for _ in range(ROUNDS if self.powers else 0):
            codes = self.codes(x, scale)
            scale = least_squares(x, codes, powers=True)
        return (self.codes(x, scale) if self.is_last else codes), scale

    @quietly
    def codes(self, x: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Rounded to nearest, ties away from 0; of nothing but zeros, zeros."""
        steps = np.floor(np.abs(x) / scale + np.float32(0.5))
        return np.sign(x) * np.where(steps < self.most, steps, np.float32(self.most))


@quietly
def ternary_codes(x: np.ndarray, *, powers: bool, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes -1, 0 and 1 with their scales, found in turns (Li and Liu, Ternary Weight Networks)."""
    scale = np.float32(2) * largest(x) / np.float32(3)
    scale, codes = nearest_power(scale) if powers else scale, np.zeros_like(x)
    for _ in range(rounds):
        rounded = scale * np.rint(x / scale)
        codes = (np.abs(rounded) >= scale / np.float32(2)) * np.sign(x)
        scale = least_squares(x, codes, powers=powers)
    return codes, scale


@dataclass(frozen=True)
class Exponents:
    """The exponents of ``quantized_po2``.

    :param largest: what larger numbers are cut to first; None: nothing is cut.
    :param even: whether only even exponents occur.
    :param down: whether logarithms are rounded down, not to nearest.
    """

    low: int
    high: int
    largest: float | None
    even: bool
    down: bool

    def of(self, magnitudes: np.ndarray) -> np.ndarray:
        """The exponents of numbers from 0 on."""
        x = np.maximum(magnitudes, EPSILON)
        if self.largest is not None:
            x = np.minimum(x, np.float32(self.largest))
        logarithms = np.log(np.sqrt(x) if self.even else x) / LOG_2
        rounded = np.floor(logarithms) if self.down else np.rint(logarithms)
        exponents = np.clip(rounded, self.low, self.high) * (2 if self.even else 1)
        return np.where(magnitudes < EPSILON, self.low, exponents).astype(np.int64)


def grid_of_powers(x: np.ndarray, exponents: np.ndarray) -> Grid:
    """Numbers with the signs of ``x`` and these exponents.

    :raises Unsupported: when they are too far apart for integers.
    """
    low, high = int(exponents.min()), int(exponents.max())
    if high - low >= MOST_BITS:
        raise Unsupported(f"its powers of two span 2^{low} … 2^{high}, which are too many for integers")
    return Grid.of(signs(x).astype(np.int64) << (exponents - low), power_of_two(low))
