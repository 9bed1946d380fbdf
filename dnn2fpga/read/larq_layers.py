"""larq's layers (``larq/layers.py`` of larq 0.13): ``operation(quantized x, quantized kernel) + bias``.

``pad_values`` puts a number other than 0 around an image. Then the quantizer of the input subtracts it, so that zeros
around the image mean the same, and the bias adds its product with all weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import ClassVar

import numpy as np

from dnn2fpga.exact.rationals import floats
from dnn2fpga.layers.affine import Affine
from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.conv2d import Conv2D
from dnn2fpga.layers.dense import Dense
from dnn2fpga.layers.depthwise_conv2d import DepthwiseConv2D
from dnn2fpga.layers.linear import Linear
from dnn2fpga.read.keras_activations import LINEAR, Activation
from dnn2fpga.read.keras_layers import (
    Conv2DLayer,
    ConvolutionLayer,
    DenseLayer,
    DepthwiseConv2DLayer,
    SeparableConv2DLayer,
)
from dnn2fpga.read.keras_options import Arrays, LayerOptions, Real, Shapes, by_class
from dnn2fpga.read.larq_quantizers import LARQ_QUANTIZERS, OfLarq, in_module
from dnn2fpga.read.qkeras_activations import in_order
from dnn2fpga.read.qkeras_linear import linear, plain_bias, single
from dnn2fpga.tensors.basics import Shape, Unsupported


class _Larq(LayerOptions):
    """The options that larq's layers add to those of Keras."""

    input_quantizer: OfLarq = None
    activation: Activation = LINEAR

    @property
    def around(self) -> float:
        """The number around an image."""
        return 0.0

    def all_layers(self, name: str, shape: Shape, products: Sequence[Linear]) -> list[Layer]:
        """The quantizer of the input, layers with weights (the first one pads), and the activation."""
        first, *further = products
        layers: list[Layer] = [*self._quantized(shape), _with_padding(first, self.around), *further]
        for layer in layers:
            shape = layer.output_shape(shape)
        return in_order(name, [*layers, *self.activation.layers(name, shape, {})])

    def _quantized(self, shape: Shape) -> list[Layer]:
        """The quantizer of the input, after which padding is 0."""
        around, ones = self.around, np.ones(shape[-1])
        if self.input_quantizer is None:
            return [Affine("", ones, -around * ones)] if around else []
        if not around.is_integer():
            raise Unsupported(f"pad_values={around}: must be a whole number, such as 0 or 1")
        return [self.input_quantizer.quantizer("", int(around))]


def _with_padding(layer: Linear, around: float) -> Linear:
    """A layer whose input is what it was, less ``around``."""
    axes = tuple(range(layer.weights.ndim - 1))
    if layer.exact is None or not around:
        return replace(layer, bias=layer.bias + around * layer.weights.sum(axis=axes))
    exact = layer.exact
    bias = exact.bias + exact.codes.sum(axis=axes).astype(object) * exact.scale * Fraction(around)
    return replace(layer, exact=replace(exact, bias=bias), bias=floats(bias))


class _Padded(_Larq, ConvolutionLayer):
    pad_values: Real = 0.0

    @property
    def around(self) -> float:
        return self.pad_values if self.padding == "same" else 0.0


class QuantDense(_Larq, DenseLayer):
    stands_for: ClassVar[tuple[str, ...]] = in_module("layers", "QuantDense")

    kernel_quantizer: OfLarq = None

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        product = linear(Dense, single(arrays["kernel"]), self.kernel_quantizer, plain_bias(arrays, self.units))
        return self.all_layers(name, shape, [product])


class QuantConv2D(_Padded, Conv2DLayer):
    stands_for: ClassVar[tuple[str, ...]] = in_module("layers", "QuantConv2D")

    kernel_quantizer: OfLarq = None

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        kernel, bias = single(arrays["kernel"]), plain_bias(arrays, self.filters)
        return self.all_layers(name, shape, [linear(Conv2D, kernel, self.kernel_quantizer, bias, **self.geometry)])


class QuantDepthwiseConv2D(_Padded, DepthwiseConv2DLayer):
    stands_for: ClassVar[tuple[str, ...]] = in_module("layers", "QuantDepthwiseConv2D")

    depthwise_quantizer: OfLarq = None

    def arrays(self, shape: Shape) -> Shapes:
        return {"depthwise_kernel" if name == "kernel" else name: s for name, s in super().arrays(shape).items()}

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        kernel, bias = single(arrays["depthwise_kernel"]), plain_bias(arrays, shape[-1] * self.depth_multiplier)
        product = linear(DepthwiseConv2D, kernel, self.depthwise_quantizer, bias, **self.geometry)
        return self.all_layers(name, shape, [product])


class QuantSeparableConv2D(_Padded, SeparableConv2DLayer):
    stands_for: ClassVar[tuple[str, ...]] = in_module("layers", "QuantSeparableConv2D")

    depthwise_quantizer: OfLarq = None
    pointwise_quantizer: OfLarq = None

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        between, bias = plain_bias({}, shape[-1] * self.depth_multiplier), plain_bias(arrays, self.filters)
        first, second = single(arrays["depthwise_kernel"]), single(arrays["pointwise_kernel"])
        depthwise = linear(DepthwiseConv2D, first, self.depthwise_quantizer, between, **self.geometry)
        pointwise = linear(Conv2D, second, self.pointwise_quantizer, bias)
        return self.all_layers(name, shape, [depthwise, pointwise])


LARQ: dict[str, type[LayerOptions]] = {
    **by_class(QuantDense, QuantConv2D, QuantDepthwiseConv2D, QuantSeparableConv2D),
    **LARQ_QUANTIZERS,
}
