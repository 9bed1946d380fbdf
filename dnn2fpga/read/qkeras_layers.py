"""What the layers of QKeras mean in our layers (0.9 and qkeras-v3 1.2.1). In files of 0.9 a class has no package.

A layer computes ``activation(operation(x, quantized kernel) + quantized bias)``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import BeforeValidator, Field

from dnn2fpga.exact.encoding import ExactWeights
from dnn2fpga.layers.affine import Affine
from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.conv2d import Conv2D
from dnn2fpga.layers.dense import Dense
from dnn2fpga.layers.depthwise_conv2d import DepthwiseConv2D
from dnn2fpga.layers.linear import Linear
from dnn2fpga.layers.pass_through import Identity
from dnn2fpga.read.keras_activations import LINEAR, activation_of
from dnn2fpga.read.keras_layers import (
    AveragePooling2DLayer,
    Conv2DLayer,
    DenseLayer,
    DepthwiseConv2DLayer,
    GlobalAveragePooling2DLayer,
    SeparableConv2DLayer,
)
from dnn2fpga.read.keras_options import Arrays, Axis, LayerOptions, Shapes, by_class, require_last_axis
from dnn2fpga.read.keras_scaling import BatchNormalizationLayer
from dnn2fpga.read.qkeras_notation import OfKernel, OfWeights, is_quantizer, quantizer_of
from dnn2fpga.read.qkeras_numbers import Grid
from dnn2fpga.read.qkeras_quantizers import QKerasQuantizer, scaled
from dnn2fpga.tensors.basics import Shape, Unsupported


def _both(name: str) -> tuple[str, ...]:
    """A class in files of qkeras-v3, and of QKeras 0.9."""
    return f"qkeras>{name}", name


# Activations


class Quantizing(LayerOptions):
    """A quantizer in place of an activation."""

    stands_for: ClassVar[tuple[str, ...]] = ()

    quantizer: QKerasQuantizer

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        return self.quantizer.layers(name, shape)


def _activation(value: Any) -> LayerOptions:
    return Quantizing(quantizer=quantizer_of(value)) if is_quantizer(value) else activation_of(value)


Activation = Annotated[LayerOptions, BeforeValidator(_activation)]


def in_order(name: str, layers: Sequence[Layer]) -> list[Layer]:
    """Layers with names: the last one has that of the source's tensor."""
    *before, last = layers
    return [*(replace(layer, name=f"{name}_{layer.kind}") for layer in before), replace(last, name=name)]


class QActivation(LayerOptions):
    stands_for: ClassVar[tuple[str, ...]] = _both("QActivation")

    activation: Activation

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        return in_order(name, self.activation.layers(name, shape, {}) or [Identity(name)])


# Layers with weights


def linear(
    kind: type[Linear], kernel: np.ndarray, quantizer: QKerasQuantizer | None, bias: Grid, **geometry: Any
) -> Linear:
    """A layer with a quantized kernel, or with the kernel as it is.

    :param kernel: float32, as Keras has it; of depthwise convolutions the last two axes are the output.
    """
    outputs = bias.codes.size
    shape = kernel.shape if kernel.shape[-1] == outputs else (*kernel.shape[:-2], outputs)
    if quantizer is None:
        return kind(name="", weights=kernel.reshape(shape), bias=bias.float32, **geometry)
    grid = quantizer.weights(kernel)
    scale = np.broadcast_to(grid.scale, kernel.shape)
    while scale.size > outputs:
        scale = scale[0]
    exact = ExactWeights.of(grid.codes.reshape(shape), scale.reshape(-1), bias.reals)
    return kind.of_codes("", exact, **geometry)


class _Weighted(LayerOptions):
    """The options that QKeras' layers add to those of Keras."""

    activation: Activation = LINEAR
    bias_quantizer: OfWeights = None

    def quantized_bias(self, arrays: Arrays, outputs: int) -> Grid:
        if "bias" not in arrays:
            return Grid.of(np.zeros(outputs), Fraction(1))
        bias = np.asarray(arrays["bias"], np.float32)
        return self.bias_quantizer.weights(bias) if self.bias_quantizer else Grid.of(np.ones(outputs), bias)

    def activated(self, name: str, layers: Sequence[Layer], shape: Shape) -> list[Layer]:
        """Layers that read ``shape``, and the activation."""
        for layer in layers:
            shape = layer.output_shape(shape)
        return in_order(name, [*layers, *self.activation.layers(name, shape, {})])


class QDense(_Weighted, DenseLayer):
    stands_for: ClassVar[tuple[str, ...]] = _both("QDense")

    kernel_quantizer: OfKernel = None

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        kernel, bias = single(arrays["kernel"]), self.quantized_bias(arrays, self.units)
        return self.activated(name, [linear(Dense, kernel, self.kernel_quantizer, bias)], shape)


class QConv2D(_Weighted, Conv2DLayer):
    stands_for: ClassVar[tuple[str, ...]] = _both("QConv2D")

    kernel_quantizer: OfKernel = None
    mask: None = None

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        kernel, bias = single(arrays["kernel"]), self.quantized_bias(arrays, self.filters)
        return self.activated(name, [linear(Conv2D, kernel, self.kernel_quantizer, bias, **self.geometry)], shape)


class QDepthwiseConv2D(_Weighted, DepthwiseConv2DLayer):
    stands_for: ClassVar[tuple[str, ...]] = _both("QDepthwiseConv2D")

    depthwise_quantizer: OfKernel = None

    def arrays(self, shape: Shape) -> Shapes:
        return {"depthwise_kernel" if name == "kernel" else name: s for name, s in super().arrays(shape).items()}

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        kernel = single(arrays["depthwise_kernel"])
        bias = self.quantized_bias(arrays, shape[-1] * self.depth_multiplier)
        layer = linear(DepthwiseConv2D, kernel, self.depthwise_quantizer, bias, **self.geometry)
        return self.activated(name, [layer], shape)


class QSeparableConv2D(_Weighted, SeparableConv2DLayer):
    stands_for: ClassVar[tuple[str, ...]] = _both("QSeparableConv2D")

    depthwise_quantizer: OfKernel = None
    pointwise_quantizer: OfKernel = None

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        between, bias = shape[-1] * self.depth_multiplier, self.quantized_bias(arrays, self.filters)
        first, second = single(arrays["depthwise_kernel"]), single(arrays["pointwise_kernel"])
        none = self.quantized_bias({}, between)
        depthwise = linear(DepthwiseConv2D, first, self.depthwise_quantizer, none, **self.geometry)
        return self.activated(name, [depthwise, linear(Conv2D, second, self.pointwise_quantizer, bias)], shape)


def single(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, np.float32)


# Layers with weights and a batch normalization, which is folded into them before they are quantized


class _Folded(LayerOptions):
    further_arrays: ClassVar[int] = 1  # a counter of training steps
    kernel: ClassVar[str] = "kernel"

    axis: Axis = -1
    epsilon: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1e-3
    center: bool = True
    scale: bool = True

    def arrays(self, shape: Shape) -> Shapes:
        own = super().arrays(shape)
        outputs = self._folding_shape(own[self.kernel])
        names = ["gamma"] * self.scale + ["beta"] * self.center + ["moving_mean", "moving_variance"]
        return own | {f"batchnorm/{name}": (math.prod(outputs),) for name in names}

    def _folding_shape(self, kernel: Shape) -> Shape:
        """The last axes of the kernel, which are those of its outputs."""
        return kernel[-1:]

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        """As the source folds: in float32, step by step."""
        *_, last = super().layers(name, shape, arrays)
        require_last_axis(self.axis, last.output_shape(shape))
        w = {key.removeprefix("batchnorm/"): single(value) for key, value in arrays.items()}
        factor = np.float32(1) / np.sqrt(w["moving_variance"] + np.float32(self.epsilon))
        if not np.isfinite(factor).all():
            raise Unsupported("its variances must be positive; train the model again")
        factor = factor * w["gamma"] if self.scale else factor
        bias = factor * (w.get("bias", np.float32(0)) - w["moving_mean"])
        kernel = factor.reshape(self._folding_shape(w[self.kernel].shape)) * w[self.kernel]
        return super().layers(name, shape, {self.kernel: kernel, "bias": bias + w["beta"] if self.center else bias})


class QDenseBatchnorm(_Folded, QDense):
    stands_for: ClassVar[tuple[str, ...]] = _both("QDenseBatchnorm")


class QConv2DBatchnorm(_Folded, QConv2D):
    stands_for: ClassVar[tuple[str, ...]] = _both("QConv2DBatchnorm")


class QDepthwiseConv2DBatchnorm(_Folded, QDepthwiseConv2D):
    stands_for: ClassVar[tuple[str, ...]] = _both("QDepthwiseConv2DBatchnorm")
    kernel: ClassVar[str] = "depthwise_kernel"

    def _folding_shape(self, kernel: Shape) -> Shape:
        return kernel[-2:]


class QBatchNormalization(BatchNormalizationLayer):
    """``x * inverse + (beta - mean * inverse)``, where all four numbers may be quantized."""

    stands_for: ClassVar[tuple[str, ...]] = _both("QBatchNormalization")

    beta_quantizer: OfWeights = None
    gamma_quantizer: OfKernel = None
    mean_quantizer: OfWeights = None
    variance_quantizer: OfKernel = None
    inverse_quantizer: OfWeights = None

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        variance = quantized(self.variance_quantizer, arrays["moving_variance"])
        inverse = np.float32(1) / np.sqrt(variance + np.float32(self.epsilon))
        if not np.isfinite(inverse).all():
            raise Unsupported("its variances must be positive; train the model again")
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

    def averaged(self, name: str, shape: Shape, layers: list[Layer], pixels: int) -> list[Layer]:
        (average,) = layers
        if self.average_quantizer:
            inverse = self.average_quantizer.weights(np.float32(1) / np.asarray(pixels, np.float32))
            layers = [average, *scaled("", shape, pixels * Fraction(inverse.reals.item()))]
        after = average.output_shape(shape)
        return in_order(name, [*layers, *self.activation.layers(name, after, {})])


class QAveragePooling2D(_Averaging, AveragePooling2DLayer):
    stands_for: ClassVar[tuple[str, ...]] = _both("QAveragePooling2D")

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        return self.averaged(name, shape, super().layers(name, shape, arrays), math.prod(self.pool_size))


class QGlobalAveragePooling2D(_Averaging, GlobalAveragePooling2DLayer):
    stands_for: ClassVar[tuple[str, ...]] = _both("QGlobalAveragePooling2D")

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        return self.averaged(name, shape, super().layers(name, shape, arrays), math.prod(shape[:2]))


QKERAS: dict[str, type[LayerOptions]] = by_class(
    *(QActivation, QDense, QConv2D, QDepthwiseConv2D, QSeparableConv2D),
    *(QDenseBatchnorm, QConv2DBatchnorm, QDepthwiseConv2DBatchnorm, QBatchNormalization),
    *(QAveragePooling2D, QGlobalAveragePooling2D),
)
