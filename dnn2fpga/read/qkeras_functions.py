"""QKeras' quantizers that are also functions: ReLU, tanh, sigmoid, and powers of two."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from dnn2fpga.exact.encoding import Encoding
from dnn2fpga.layers.activation import Table
from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.quantizer import Quantizer
from dnn2fpga.layers.two_slope import TwoSlope
from dnn2fpga.read.qkeras_numbers import MOST_BITS, Exponents, Grid, grid_of_powers, power_of_two
from dnn2fpga.read.qkeras_quantizers import Bits, Positive, QKerasQuantizer, scaled
from dnn2fpga.tensors.basics import Shape, Unsupported

NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
FewBits = Annotated[int, Field(ge=1, le=MOST_BITS - 1)]  # without a sign


class QuantizedRelu(QKerasQuantizer):
    name: ClassVar[str] = "quantized_relu"

    bits: FewBits = 8
    integer: Annotated[int, Field(ge=0, le=64)] = 0
    use_sigmoid: Literal[0] = 0
    negative_slope: NotNegative = 0.0
    use_stochastic_rounding: bool = False
    relu_upper_bound: Positive | None = None
    is_quantized_clip: bool = True  # then the upper bound has no meaning
    qnoise_factor: Literal[1] = 1
    var_name: Any = None
    use_ste: bool = True
    use_variables: bool = False

    @property
    def step(self) -> Fraction:
        return power_of_two(self.integer - self.magnitude)

    @property
    def magnitude(self) -> int:
        """Bits of a code without its sign."""
        return self.bits - (self.negative_slope != 0)

    @property
    def ends(self) -> tuple[int, int]:
        low = -Fraction(self.negative_slope) * 2**self.magnitude
        high = Fraction(2**self.magnitude - 1)
        if not self.is_quantized_clip and self.relu_upper_bound is not None:
            high = min(high, Fraction(self.relu_upper_bound) / self.step)
        if low.denominator != 1 or high.denominator != 1:
            raise Unsupported(
                f"its bounds are no multiples of its step, {float(self.step)}, with "
                f"relu_upper_bound={self.relu_upper_bound} and negative_slope={self.negative_slope}"
            )
        return int(low), int(high)

    def weights(self, x: np.ndarray) -> Grid:
        if self.negative_slope:
            return super().weights(x)
        return Grid.of(np.clip(np.rint(x / np.float32(self.step)), *self.ends), self.step)

    def layers(self, name: str, shape: Shape) -> list[Layer]:
        slope, quantizer = self.negative_slope, Quantizer(name, Encoding.of(self.step, *self.ends))
        if not slope:
            return [quantizer]
        if math.frexp(slope)[0] != 0.5:
            raise Unsupported(f"negative_slope={slope} must be a power of two")
        return [TwoSlope(name, slope), quantizer]


class QuantizedTanh(QKerasQuantizer):
    name: ClassVar[str] = "quantized_tanh"

    bits: Bits = 8
    use_stochastic_rounding: bool = False
    symmetric: bool = False
    use_real_tanh: bool = False

    def layers(self, name: str, shape: Shape) -> list[Layer]:
        levels = 2 ** (self.bits - 1)
        quantizer = Quantizer(name, Encoding.of(Fraction(1, levels), self.symmetric - levels, levels - 1))
        return [Table(name, "tanh"), quantizer] if self.use_real_tanh else [quantizer]  # else min(max(x, -1), 1)


class QuantizedSigmoid(QKerasQuantizer):
    name: ClassVar[str] = "quantized_sigmoid"

    bits: FewBits = 8
    symmetric: bool = False
    use_real_sigmoid: bool = False
    use_stochastic_rounding: bool = False

    def layers(self, name: str, shape: Shape) -> list[Layer]:
        """The sigmoid, or ``min(max(x / 2 + 1 / 2, 0), 1)``, whose bounds are those of the codes."""
        levels = 2**self.bits
        function = [Table(name, "sigmoid")] if self.use_real_sigmoid else scaled(name, shape, Fraction(1, 2), 0.5)
        return [*function, Quantizer(name, Encoding.of(Fraction(1, levels), int(self.symmetric), levels - 1))]


class QuantizedPo2(QKerasQuantizer):
    name: ClassVar[str] = "quantized_po2"

    bits: Annotated[int, Field(ge=2, le=MOST_BITS)] = 8
    max_value: NotNegative | None = None
    use_stochastic_rounding: bool = False
    quadratic_approximation: bool = False
    log2_rounding: Literal["rnd", "floor"] = "rnd"
    qnoise_factor: Literal[1] = 1
    var_name: Any = None
    use_ste: bool = True
    use_variables: bool = False

    def weights(self, x: np.ndarray) -> Grid:
        return grid_of_powers(x, exponents(self, self.bits - 1).of(np.abs(x)))


class QuantizedReluPo2(QKerasQuantizer):
    name: ClassVar[str] = "quantized_relu_po2"

    bits: Annotated[int, Field(ge=1, le=MOST_BITS)] = 8
    max_value: NotNegative | None = None
    negative_slope: NotNegative = 0
    use_stochastic_rounding: bool = False
    quadratic_approximation: bool = False
    log2_rounding: Literal["rnd", "floor"] = "rnd"
    qnoise_factor: Literal[1] = 1
    var_name: Any = None
    use_ste: bool = True
    use_variables: bool = False

    def weights(self, x: np.ndarray) -> Grid:
        if self.negative_slope:
            return super().weights(x)
        positive = np.maximum(x, np.float32(0))  # what is not positive becomes the smallest power of two, not 0
        return grid_of_powers(positive, exponents(self, self.bits).of(positive))


def exponents(of: QuantizedPo2 | QuantizedReluPo2, bits: int) -> Exponents:
    """The exponents of a quantizer with ``bits`` for them."""
    levels = 2 ** (bits - (of.max_value is None or of.max_value > 1))  # one bit for the sign of an exponent
    high = 2 * ((levels - 1) // 2) if of.quadratic_approximation else levels - 1
    return Exponents(-levels, high, of.max_value, of.quadratic_approximation, of.log2_rounding == "floor")
