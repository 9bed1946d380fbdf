"""BinaryDense, BinaryConv2D, TernaryDense and TernaryConv2D: the layers of Keras 1 and 2 with which the binary and
ternary examples of hls4ml were trained (Courbariaux et al., 2016, Binarized Neural Networks; the classes come from
DingKe's nn_playground).

Their kernel is ``H * binary_tanh(kernel / H)``, or ``H * ternary_tanh(kernel / H)``; a rate of learning has no meaning
at inference.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Literal

import numpy as np

from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.conv2d import Conv2D
from dnn2fpga.layers.dense import Dense
from dnn2fpga.read.keras_layers import Conv2DLayer, DenseLayer
from dnn2fpga.read.keras_options import Arrays, LayerOptions, by_class
from dnn2fpga.read.qkeras_activations import in_order
from dnn2fpga.read.qkeras_linear import linear, plain_bias, single
from dnn2fpga.read.qkeras_numbers import Grid, quietly
from dnn2fpga.read.qkeras_quantizers import Positive
from dnn2fpga.tensors.basics import Shape

HALF = np.float32(0.5)


@dataclass(frozen=True)
class _Levels(ABC):
    """A few levels, the largest of which is ``H``."""

    H: np.float32

    @abstractmethod
    def weights(self, x: np.ndarray) -> Grid:
        """Quantize weights (float32)."""


class _Binary(_Levels):
    """The larger of two levels above 0, in float32 (as `sign_functions.BINARY_TANH`)."""

    @quietly
    def weights(self, x: np.ndarray) -> Grid:
        return Grid.of(2 * np.rint(np.clip(HALF * (x / self.H) + HALF, 0, 1)) - 1, Fraction(float(self.H)))


class _Ternary(_Levels):
    """1 above a half, -1 from minus a half down."""

    @quietly
    def weights(self, x: np.ndarray) -> Grid:
        relative = x / self.H
        return Grid.of((relative > HALF).astype(int) - (relative <= -HALF), Fraction(float(self.H)))


class _Levelled(LayerOptions):
    quantizer: ClassVar[type[_Levels]]

    H: Positive | Literal["Glorot"]  # every file has it: what has none is another author's class

    @abstractmethod
    def connections(self, shape: Shape) -> int:
        """Return how many inputs and outputs a neuron and a number are connected to, which *Glorot* means."""

    def of_kernel(self, shape: Shape) -> _Levels:
        """Return the quantizer of the kernel."""
        height = math.sqrt(1.5 / self.connections(shape)) if isinstance(self.H, str) else self.H
        return self.quantizer(np.float32(height))


class BinaryDense(_Levelled, DenseLayer):
    stands_for: ClassVar[tuple[str, ...]] = ("BinaryDense",)
    quantizer: ClassVar[type[_Levels]] = _Binary

    def connections(self, shape: Shape) -> int:
        return shape[-1] + self.units

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        bias = plain_bias(arrays, self.units)
        return in_order(
            name, self.activated(linear(Dense, single(arrays["kernel"]), self.of_kernel(shape), bias), shape)
        )


class TernaryDense(BinaryDense):
    stands_for: ClassVar[tuple[str, ...]] = ("TernaryDense",)
    quantizer: ClassVar[type[_Levels]] = _Ternary


class BinaryConv2D(_Levelled, Conv2DLayer):
    stands_for: ClassVar[tuple[str, ...]] = ("BinaryConv2D",)
    quantizer: ClassVar[type[_Levels]] = _Binary

    def connections(self, shape: Shape) -> int:
        return math.prod(self.kernel_size) * (shape[-1] + self.filters)

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        bias = plain_bias(arrays, self.filters)
        product = linear(Conv2D, single(arrays["kernel"]), self.of_kernel(shape), bias, **self.geometry)
        return in_order(name, self.activated(product, shape))


class TernaryConv2D(BinaryConv2D):
    stands_for: ClassVar[tuple[str, ...]] = ("TernaryConv2D",)
    quantizer: ClassVar[type[_Levels]] = _Ternary


BINARY: dict[str, type[LayerOptions]] = by_class(BinaryDense, TernaryDense, BinaryConv2D, TernaryConv2D)
