"""larq's quantizers: what they make of weights, and of activations (``larq/quantizers.py`` of larq 0.13).

In larq a quantizer is a Keras layer, and may stand among the layers of a model. The fields of a class are those of its
configuration that matter at inference; the shapes of gradients do not.
"""

from __future__ import annotations

from abc import abstractmethod
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BeforeValidator, Field, ValidationError

from dnn2fpga.exact.encoding import Encoding
from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.quantizer import Quantizer
from dnn2fpga.read.keras_config import Serialized
from dnn2fpga.read.keras_options import Arrays, LayerOptions, Real, by_class, options_of
from dnn2fpga.read.qkeras_numbers import Grid, quietly, signs
from dnn2fpga.read.sign_functions import HEAVISIDE, SIGN, ternary
from dnn2fpga.tensors.basics import Shape, Unsupported

MOST_BITS = 16


def in_module(module: str, *names: str) -> tuple[str, ...]:
    """Classes as ``.h5`` files name them, and as ``.keras`` files do."""
    return *names, *(f"larq.{module}.{name}" for name in names)


class LarqQuantizer(LayerOptions):
    """A quantizer of larq."""

    aliases: ClassVar[tuple[str, ...]]  # by which larq knows it, too

    @abstractmethod
    def weights(self, x: np.ndarray) -> Grid:
        """Quantize weights (float32)."""

    @abstractmethod
    def quantizer(self, name: str, taken_off: int = 0) -> Quantizer:
        """Return what it is for activations.

        :param taken_off: what is subtracted from its results.
        :raises Unsupported: when that depends on the data.
        """

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        return [self.quantizer(name)]


class Sign(LarqQuantizer):
    """-1, or 1 from 0 on; the three differ in their gradients."""

    stands_for: ClassVar[tuple[str, ...]] = in_module("quantizers", "SteSign", "ApproxSign", "SwishSign")
    aliases: ClassVar[tuple[str, ...]] = ("ste_sign", "approx_sign", "swish_sign")

    def weights(self, x: np.ndarray) -> Grid:
        return Grid.of(signs(x), Fraction(1))

    def quantizer(self, name: str, taken_off: int = 0) -> Quantizer:
        return SIGN.quantizer(name, taken_off)


class MagnitudeAwareSign(LarqQuantizer):
    """The sign times the mean magnitude over all axes but the last."""

    stands_for: ClassVar[tuple[str, ...]] = in_module("quantizers", "MagnitudeAwareSign")
    aliases: ClassVar[tuple[str, ...]] = ("magnitude_aware_sign",)

    @quietly
    def weights(self, x: np.ndarray) -> Grid:
        mean = np.abs(x).reshape(-1, x.shape[-1]).mean(axis=0, dtype=np.float64)
        return Grid.of(signs(x), mean.astype(np.float32))

    def quantizer(self, name: str, taken_off: int = 0) -> Quantizer:
        raise Unsupported("magnitude_aware_sign of activations depends on the other samples; use ste_sign")


class SteHeaviside(LarqQuantizer):
    """1 above 0, else 0."""

    stands_for: ClassVar[tuple[str, ...]] = in_module("quantizers", "SteHeaviside")
    aliases: ClassVar[tuple[str, ...]] = ("ste_heaviside",)

    def weights(self, x: np.ndarray) -> Grid:
        return Grid.of(x > 0, Fraction(1))

    def quantizer(self, name: str, taken_off: int = 0) -> Quantizer:
        return HEAVISIDE.quantizer(name, taken_off)


class SteTern(LarqQuantizer):
    """The sign, or 0 inside of a threshold: a number, or 0.7 times the mean magnitude of all weights."""

    stands_for: ClassVar[tuple[str, ...]] = in_module("quantizers", "SteTern")
    aliases: ClassVar[tuple[str, ...]] = ("ste_tern",)

    threshold_value: Real = 0.05
    ternary_weight_networks: bool = False

    @quietly
    def weights(self, x: np.ndarray) -> Grid:
        threshold = np.float32(self.threshold_value)
        if self.ternary_weight_networks:
            threshold = np.float32(0.7) * np.abs(x).sum(dtype=np.float64).astype(np.float32) / np.float32(x.size)
        return Grid.of(np.sign(np.sign(x + threshold) + np.sign(x - threshold)), Fraction(1))

    def quantizer(self, name: str, taken_off: int = 0) -> Quantizer:
        if self.ternary_weight_networks:
            raise Unsupported("ternary_weight_networks of activations depends on the other samples; use a threshold")
        threshold = Fraction(float(np.float32(np.clip(self.threshold_value, -1e30, 1e30))))
        return ternary(threshold).quantizer(name, taken_off)


class DoReFa(LarqQuantizer):
    """``round(x * n) / n`` with ``n = 2^k_bit - 1``, half to even, for numbers from 0 to 1. Of weights it is done to
    ``tanh(w) / (2 * max|tanh(w)|) + 1 / 2``, and the result brought to -1 … 1 (Zhou et al., 2016, DoReFa-Net).
    """

    stands_for: ClassVar[tuple[str, ...]] = in_module("quantizers", "DoReFa", "DoReFaQuantizer")
    aliases: ClassVar[tuple[str, ...]] = ("dorefa_quantizer",)

    k_bit: Annotated[int, Field(ge=1, le=MOST_BITS)] = 2
    mode: Literal["activations", "weights"] = "activations"

    @property
    def levels(self) -> int:
        return 2**self.k_bit - 1

    @quietly
    def weights(self, x: np.ndarray) -> Grid:
        n = np.float32(self.levels)
        if self.mode == "activations":
            return Grid.of(np.rint(np.clip(x, np.float32(0), np.float32(1)) * n), Fraction(1, self.levels))
        limited = np.tanh(x)
        largest = np.float32(2) * np.abs(limited).max()
        centred = (limited / largest if largest else limited) + np.float32(0.5)
        return Grid.of(2 * np.rint(centred * n) - n, Fraction(1, self.levels))

    def quantizer(self, name: str, taken_off: int = 0) -> Quantizer:
        if self.mode == "weights":
            raise Unsupported("DoReFa(mode='weights') of activations depends on the data; use mode='activations'")
        if taken_off:
            raise Unsupported(f"pad_values={taken_off} is not supported with DoReFa; use 0")
        return Quantizer(name, Encoding.of(Fraction(1, self.levels), 0, self.levels))


KINDS = (Sign, MagnitudeAwareSign, SteHeaviside, SteTern, DoReFa)
LARQ_QUANTIZERS: dict[str, type[LarqQuantizer]] = by_class(*KINDS)
_BY_ALIAS = {alias: kind for kind in KINDS for alias in kind.aliases}
_UNCHANGED = in_module("quantizers", "NoOp", "NoOpQuantizer")


def quantizer_of(value: Any) -> LarqQuantizer | None:
    """Read a quantizer that is given as an object or by its name; None where nothing is quantized.

    :raises ValueError: when it is not supported, and why.
    """
    if value is None or isinstance(value, LarqQuantizer):
        return value
    if isinstance(value, str):
        value = {"class_name": value, "config": {}}
    try:
        item = Serialized.model_validate(value)
    except ValidationError:
        item = Serialized(class_name=str(value), config={})
    if {item.class_name, *item.keys} & set(_UNCHANGED):
        return None
    found, problems = options_of(item, {**LARQ_QUANTIZERS, **_BY_ALIAS})
    if found is None:
        supported = ", ".join(_BY_ALIAS)
        raise ValueError(f"the quantizer {item.class_name[:60]}: {'; '.join(problems)} (supported: {supported})")
    return found


OfLarq = Annotated[LarqQuantizer | None, BeforeValidator(quantizer_of)]
