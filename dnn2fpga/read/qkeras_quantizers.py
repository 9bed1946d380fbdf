"""QKeras' quantizers: what they make of weights, and of activations (``qkeras/quantizers.py`` of QKeras 0.9 and of
qkeras-v3 1.2.1).

The fields of a class are the parameters of QKeras' constructor, in its order; what QKeras never saves must be left out.
Stochastic rounding is, at inference, rounding to nearest.
"""

from __future__ import annotations

from abc import ABC
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from dnn2fpga.exact.encoding import Encoding
from dnn2fpga.exact.pieces import Reach
from dnn2fpga.exact.thresholds import Thresholds
from dnn2fpga.layers.affine import Affine
from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.quantizer import Quantizer
from dnn2fpga.read.qkeras_numbers import (
    MOST_BITS,
    Grid,
    Search,
    least_squares,
    nearest_power,
    power_of_two,
    signs,
)
from dnn2fpga.tensors.basics import Shape, Unsupported

AUTO, AUTO_PO2 = "auto", "auto_po2"

Bits = Annotated[int, Field(ge=1, le=MOST_BITS)]
Integer = Annotated[int, Field(ge=-64, le=64)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
Alpha = Positive | Literal["auto", "auto_po2"] | None


class QKerasQuantizer(BaseModel, ABC):
    """A quantizer of QKeras."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]  # of QKeras' class
    _of_0_9: bool = False  # whether its rules are those of QKeras 0.9

    def trained(self) -> QKerasQuantizer:
        """Return what a layer makes of the quantizer of its kernel: without a scale, powers of two are searched."""
        return self

    def weights(self, x: np.ndarray) -> Grid:
        """Quantize weights (float32).

        :raises Unsupported: when it cannot.
        """
        raise Unsupported(f"{self.name} is not supported for weights")

    def layers(self, name: str, shape: Shape) -> list[Layer]:
        """Return the functions for which it stands as an activation.

        :raises Unsupported: when it cannot be one.
        """
        raise Unsupported(f"{self.name} is not supported as an activation")


def exact(alpha: float | str | None) -> Fraction:
    """A scale as float32 keeps it."""
    return Fraction(float(np.float32(1 if alpha is None else alpha)))


def scaled(name: str, shape: Shape, scale: Fraction, offset: float = 0.0) -> list[Layer]:
    """A multiplication, unless it is by 1."""
    ones = np.ones(shape[-1])
    return [] if (scale, offset) == (1, 0) else [Affine(name, float(scale) * ones, offset * ones)]


def sign(name: str, shape: Shape, alpha: float | str | None, least: int) -> list[Layer]:
    """``alpha`` from 0 on, else ``least * alpha``."""
    rule = Thresholds((Reach(Fraction(0), inclusive=True),) * (1 - least))
    return [Quantizer(name, Encoding.of(exact(alpha), least, 1), rule)]


def must_be_fixed(alpha: float | str | None) -> None:
    if isinstance(alpha, str):
        raise Unsupported(f"alpha='{alpha}' depends on the data; an activation needs a number, such as alpha=1")


class QuantizedBits(QKerasQuantizer):
    name: ClassVar[str] = "quantized_bits"

    bits: Bits = 8
    integer: Integer = 0
    symmetric: bool = False
    keep_negative: bool = True
    alpha: Alpha = None
    use_stochastic_rounding: bool = False
    scale_axis: None = None
    qnoise_factor: Literal[1] = 1
    var_name: Any = None
    use_ste: bool = True
    use_variables: bool = False
    elements_per_scale: None = None
    min_po2_exponent: None = None
    max_po2_exponent: None = None
    post_training_scale: Any = None

    @property
    def unsigned(self) -> int:
        return self.bits - self.keep_negative

    @property
    def step(self) -> Fraction:
        return power_of_two(self.integer - self.unsigned)

    @property
    def ends(self) -> tuple[int, int]:
        return self.keep_negative * (self.symmetric - 2**self.unsigned), 2**self.unsigned - 1

    def trained(self) -> QKerasQuantizer:
        return self.model_copy(update={"alpha": AUTO_PO2}) if self.alpha is None else self

    def weights(self, x: np.ndarray) -> Grid:
        if isinstance(self.alpha, str):
            return self._searched(x)
        if not self.unsigned:
            return Grid.of(signs(x), exact(self.alpha))
        codes = np.clip(np.rint(x / np.float32(self.step)), *self.ends)
        return Grid.of(codes, exact(self.alpha), self.step)

    def _searched(self, x: np.ndarray) -> Grid:
        if self.bits == 1:
            raise Unsupported(
                f"one bit with alpha='{self.alpha}' makes NaN in QKeras; use binary(alpha='{self.alpha}')"
            )
        search = Search(2 ** (self.bits - 1) - 1, self.alpha == AUTO_PO2, not self._of_0_9)
        x = x / np.float32(power_of_two(self.integer))
        if self.post_training_scale is None:
            codes, scale = search(x)
        else:
            scale = frozen_scale(self.post_training_scale, x.shape) / np.float32(2**self.unsigned)
            codes = search.codes(x, scale)
        return Grid.of(codes, scale, power_of_two(self.integer))

    def layers(self, name: str, shape: Shape) -> list[Layer]:
        must_be_fixed(self.alpha)
        if not self.unsigned:
            return sign(name, shape, self.alpha, -1)
        return [
            Quantizer(name, Encoding.of(self.step, *self.ends)),
            *scaled(name, shape, exact(self.alpha)),
        ]


def frozen_scale(values: Any, shape: Shape) -> np.ndarray:
    """``post_training_scale``, a list in lists, for weights of ``shape``."""
    try:
        scale = np.asarray(values, np.float32)
    except (ValueError, TypeError):
        scale = np.zeros(1, np.float32)
    axes = (1,) * (scale.ndim - 1) + (shape or (1,))[-1:]
    if scale.ndim > len(shape) or scale.shape not in ((), axes) or not ((scale > 0) & (scale < np.inf)).all():
        raise Unsupported("post_training_scale must be one number above 0, or one for each output")
    return scale


class QuantizedLinear(QKerasQuantizer):
    name: ClassVar[str] = "quantized_linear"

    bits: Bits = 8
    integer: Integer = 0
    symmetric: bool = True
    keep_negative: bool = True
    alpha: Alpha = None
    use_stochastic_rounding: bool = False
    scale_axis: None = None
    qnoise_factor: Literal[1] = 1
    var_name: Any = None
    use_variables: bool = False

    @property
    def is_sign(self) -> bool:
        return self.bits == 1 and self.keep_negative

    @property
    def step(self) -> np.float32:
        step = np.float32(power_of_two(self.integer - self.bits + self.keep_negative))
        return step if self.alpha is None or isinstance(self.alpha, str) else np.float32(self.alpha) * step

    @property
    def ends(self) -> tuple[int, int]:
        levels = 2 ** (self.bits - self.keep_negative)
        return self.keep_negative * (self.symmetric - levels), levels - 1

    def trained(self) -> QKerasQuantizer:
        return self.model_copy(update={"alpha": AUTO_PO2, "symmetric": True}) if self.alpha is None else self

    def weights(self, x: np.ndarray) -> Grid:
        scale = self._scale(x) if isinstance(self.alpha, str) else np.asarray(self.step)
        codes = self._codes(x, scale)
        return Grid.of(codes * 2, scale, Fraction(1, 2)) if self.is_sign else Grid.of(codes, scale)

    def _codes(self, x: np.ndarray, scale: np.ndarray) -> np.ndarray:
        if self.is_sign:
            half = np.float32(0.5)
            return np.asarray(np.rint(np.clip(x / scale, -half, half) - half) + half)
        return np.asarray(np.rint(np.clip(x / scale, *self.ends)))

    def _scale(self, x: np.ndarray) -> np.ndarray:
        low, high = (-0.5, 0.5) if self.is_sign else self.ends
        if not x.ndim:
            raise Unsupported("a scale that depends on the weights needs more than one of them")
        axes = tuple(range(x.ndim - 1))
        most = (np.abs(x) * np.float32(2) if self.keep_negative else x).max(axis=axes, keepdims=True)
        scale = np.maximum(most / np.float32(high - low), np.float32(1e-7))
        if self.alpha == AUTO:
            return np.asarray(scale)
        scale, last = nearest_power(scale), -np.ones_like(scale)
        for _ in range(1 if self.is_sign else 5):
            if (scale == last).all():
                break
            scale, last = least_squares(x, self._codes(x, scale), powers=True), scale
        return scale

    def layers(self, name: str, shape: Shape) -> list[Layer]:
        must_be_fixed(self.alpha)
        if self.is_sign:
            return sign(name, shape, float(self.step) / 2, -1)
        return [Quantizer(name, Encoding.of(self.step, *self.ends))]
