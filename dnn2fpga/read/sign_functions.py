"""Activations that count thresholds, by the names that files of larq and of hls4ml's binary layers give them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from dnn2fpga.exact.encoding import Encoding
from dnn2fpga.exact.pieces import Reach
from dnn2fpga.exact.thresholds import Thresholds
from dnn2fpga.layers.activation import Clamp
from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.quantizer import Quantizer


@dataclass(frozen=True)
class Levels:
    """A function whose results are small integers.

    :param low: the lowest.
    :param thresholds: those after which each higher one follows.
    """

    low: int
    thresholds: tuple[Reach, ...]

    def quantizer(self, name: str, taken_off: int = 0) -> Quantizer:
        """Return it as a layer.

        :param taken_off: what is subtracted from its results.
        """
        encoding = Encoding.of(1, self.low, self.low + len(self.thresholds), zero_point=taken_off)
        return Quantizer(name, encoding, Thresholds(self.thresholds))


def _from(bound: Fraction) -> Reach:
    return Reach(bound, inclusive=True)


def _above(bound: Fraction) -> Reach:
    return Reach(bound, inclusive=False)


def ternary(threshold: Fraction) -> Levels:
    """Return larq's ``sign(sign(x + threshold) + sign(x - threshold))``: 0 strictly inside of the threshold."""
    bound = abs(threshold)
    return Levels(-1, (_above(-bound), _from(bound)) if bound else (_from(bound), _above(bound)))


SIGN = Levels(-1, (_from(Fraction(0)),) * 2)  # -1, or 1 from 0 on
HEAVISIDE = Levels(0, (_above(Fraction(0)),))
BINARY_TANH = Levels(
    -1, (_above(Fraction(1, 2**24)),) * 2
)  # up to here x / 2 + 1 / 2 is 1 / 2 in float32, and becomes 0
TERNARY_TANH = Levels(-1, (_above(Fraction(-1, 2)), _above(Fraction(1, 2))))


def _layer(levels: Levels) -> Callable[[str], list[Layer]]:
    return lambda name: [levels.quantizer(name)]


SIGN_FUNCTIONS: dict[str, Callable[[str], list[Layer]]] = {
    "binary_tanh": _layer(BINARY_TANH),
    "ternary_tanh": _layer(TERNARY_TANH),
    "hard_tanh": lambda name: [Clamp(name, -1.0, 1.0)],
    **dict.fromkeys(("ste_sign", "approx_sign", "swish_sign"), _layer(SIGN)),
    "ste_heaviside": _layer(HEAVISIDE),
    "ste_tern": _layer(ternary(Fraction(0.05))),
}
