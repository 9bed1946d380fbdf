"""QKeras' binary and ternary quantizers (``qkeras/quantizers.py`` of QKeras 0.9 and of qkeras-v3 1.2.1)."""

from __future__ import annotations

from abc import abstractmethod
from fractions import Fraction
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from dnn2fpga.exact.encoding import Encoding
from dnn2fpga.exact.pieces import Reach
from dnn2fpga.exact.thresholds import Thresholds
from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.quantizer import Quantizer
from dnn2fpga.read.qkeras_numbers import Grid, least_squares, signs, ternary_codes
from dnn2fpga.read.qkeras_quantizers import (
    AUTO_PO2,
    Alpha,
    QKerasQuantizer,
    exact,
    must_be_fixed,
    sign,
)
from dnn2fpga.tensors.basics import Shape, Unsupported

Rounds = Annotated[int, Field(ge=1, le=100)]


class Ternary(QKerasQuantizer):
    name: ClassVar[str] = "ternary"

    alpha: Alpha = None
    threshold: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    use_stochastic_rounding: bool = False
    number_of_unrolls: Rounds = 5

    @property
    def bound(self) -> np.float32:
        return np.float32(0.33 if self.threshold is None else self.threshold)

    def trained(self) -> QKerasQuantizer:
        return self.model_copy(update={"alpha": AUTO_PO2}) if self.alpha is None else self

    def weights(self, x: np.ndarray) -> Grid:
        if not isinstance(self.alpha, str):
            return Grid.of((np.abs(x) >= self.bound) * np.sign(x), exact(self.alpha))
        if self.threshold is not None:
            raise Unsupported(f"threshold={self.threshold} has no meaning where alpha is '{self.alpha}' (or left out)")
        return Grid.of(*ternary_codes(x, powers=self.alpha == AUTO_PO2, rounds=self.number_of_unrolls))

    def layers(self, name: str, shape: Shape) -> list[Layer]:
        must_be_fixed(self.alpha)
        bound = Fraction(float(self.bound))
        rule = Thresholds((Reach(-bound, inclusive=False), Reach(bound, inclusive=True)))
        return [Quantizer(name, Encoding.of(exact(self.alpha), -1, 1), rule)]


class Binary(QKerasQuantizer):
    name: ClassVar[str] = "binary"

    use_01: bool = False
    alpha: Alpha = None
    use_stochastic_rounding: bool = False
    training: Literal[False] = False
    scale_axis: None = None
    elements_per_scale: None = None
    min_po2_exponent: None = None
    max_po2_exponent: None = None

    def trained(self) -> QKerasQuantizer:
        return self.model_copy(update={"alpha": AUTO_PO2}) if self.alpha is None else self

    def weights(self, x: np.ndarray) -> Grid:
        codes = (signs(x) + np.float32(1)) / np.float32(2) if self.use_01 else signs(x)
        if not isinstance(self.alpha, str):
            return Grid.of(codes, exact(self.alpha))
        return Grid.of(codes, least_squares(x, codes, powers=self.alpha == AUTO_PO2))

    def layers(self, name: str, shape: Shape) -> list[Layer]:
        must_be_fixed(self.alpha)
        return sign(name, shape, self.alpha, 0 if self.use_01 else -1)


class _Stochastic(QKerasQuantizer):
    """Signs that are drawn by chance in training only."""

    @property
    @abstractmethod
    def inference(self) -> QKerasQuantizer:
        """The quantizer that it is at inference."""

    def trained(self) -> QKerasQuantizer:
        return self.inference.trained()

    def weights(self, x: np.ndarray) -> Grid:
        return self.inference.weights(x)

    def layers(self, name: str, shape: Shape) -> list[Layer]:
        return self.inference.layers(name, shape)


class StochasticTernary(_Stochastic):
    name: ClassVar[str] = "stochastic_ternary"

    alpha: Alpha = None
    threshold: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    temperature: float = 8.0
    use_real_sigmoid: bool = True
    number_of_unrolls: Rounds = 5

    @property
    def inference(self) -> QKerasQuantizer:
        return Ternary(alpha=self.alpha, threshold=self.threshold, number_of_unrolls=self.number_of_unrolls)


class StochasticBinary(_Stochastic):
    name: ClassVar[str] = "stochastic_binary"

    alpha: Alpha = None
    temperature: float = 6.0
    use_real_sigmoid: bool = True

    @property
    def inference(self) -> QKerasQuantizer:
        return Binary(alpha=self.alpha)
