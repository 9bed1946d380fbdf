"""QKeras' other layers, and the table of all that are supported."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import ClassVar

import numpy as np
from pydantic import Field

from dnn2fpga.layers.affine import Affine
from dnn2fpga.layers.base import Layer
from dnn2fpga.read.keras_activations import LINEAR
from dnn2fpga.read.keras_layers import AveragePooling2DLayer, GlobalAveragePooling2DLayer
from dnn2fpga.read.keras_options import Arrays, LayerOptions, by_class
from dnn2fpga.read.keras_scaling import BatchNormalizationLayer
from dnn2fpga.read.qkeras_activations import Activation, QActivation, in_order, known_as
from dnn2fpga.read.qkeras_linear import (
    QConv2D,
    QConv2DBatchnorm,
    QDense,
    QDenseBatchnorm,
    QDepthwiseConv2D,
    QDepthwiseConv2DBatchnorm,
    QSeparableConv2D,
    deviation,
    single,
)
from dnn2fpga.read.qkeras_notation import OfKernel, OfWeights
from dnn2fpga.read.qkeras_numbers import quietly
from dnn2fpga.read.qkeras_quantizers import QKerasQuantizer, scaled
from dnn2fpga.tensors.basics import Shape

_VARIANCE = "quantized_relu_po2(6,quadratic_approximation=True)"


class QBatchNormalization(BatchNormalizationLayer):
    """``x * inverse + (beta - mean * inverse)``, where all four numbers may be quantized."""

    stands_for: ClassVar[tuple[str, ...]] = known_as("qnormalization", "QBatchNormalization")

    beta_quantizer: OfWeights = Field(default="quantized_po2(5)", validate_default=True)
    gamma_quantizer: OfKernel = Field(default="quantized_relu_po2(6,2048)", validate_default=True)
    mean_quantizer: OfWeights = Field(default="quantized_po2(5)", validate_default=True)
    variance_quantizer: OfKernel = Field(default=_VARIANCE, validate_default=True)
    inverse_quantizer: OfWeights = None

    @quietly
    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        variance = quantized(self.variance_quantizer, arrays["moving_variance"])
        inverse = np.float32(1) / deviation(variance, self.epsilon)
        if self.scale:
            inverse = inverse * quantized(self.gamma_quantizer, arrays["gamma"])
        inverse = quantized(self.inverse_quantizer, inverse)
        offset = -quantized(self.mean_quantizer, arrays["moving_mean"]) * inverse
        if self.center:
            offset = quantized(self.beta_quantizer, arrays["beta"]) + offset
        return [Affine(name, inverse, offset)]


def quantized(quantizer: QKerasQuantizer | None, values: np.ndarray) -> np.ndarray:
    """Numbers that a quantizer rounds, in float32."""
    return quantizer.weights(single(values)).float32 if quantizer else single(values)


# Pooling


class _Averaging(LayerOptions):
    """An average, multiplied by its number of pixels and by the quantized inverse of that, and the activation."""

    average_quantizer: OfWeights = None
    activation: Activation = LINEAR

    @quietly
    def averaged(self, name: str, shape: Shape, layers: list[Layer], pixels: int) -> list[Layer]:
        (average,) = layers
        if self.average_quantizer:
            inverse = self.average_quantizer.weights(np.asarray(1 / pixels, np.float32))
            layers = [average, *scaled("", shape, pixels * Fraction(inverse.reals.item()))]
        after = average.output_shape(shape)
        return in_order(name, [*layers, *self.activation.layers(name, after, {})])


class QAveragePooling2D(_Averaging, AveragePooling2DLayer):
    stands_for: ClassVar[tuple[str, ...]] = known_as("qpooling", "QAveragePooling2D")

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        return self.averaged(name, shape, super().layers(name, shape, arrays), math.prod(self.pool_size))


class QGlobalAveragePooling2D(_Averaging, GlobalAveragePooling2DLayer):
    stands_for: ClassVar[tuple[str, ...]] = known_as("qpooling", "QGlobalAveragePooling2D")

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        return self.averaged(name, shape, super().layers(name, shape, arrays), math.prod(shape[:2]))


QKERAS: dict[str, type[LayerOptions]] = by_class(
    *(QActivation, QDense, QConv2D, QDepthwiseConv2D, QSeparableConv2D),
    *(QDenseBatchnorm, QConv2DBatchnorm, QDepthwiseConv2DBatchnorm, QBatchNormalization),
    *(QAveragePooling2D, QGlobalAveragePooling2D),
)
