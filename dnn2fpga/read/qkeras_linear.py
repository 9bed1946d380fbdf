"""QKeras' layers with weights (0.9 and qkeras-v3 1.2.1). In files of 0.9 a class has no package.

A layer computes ``activation(operation(x, quantized kernel) + quantized bias)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Protocol

import numpy as np
from pydantic import Field

from dnn2fpga.exact.encoding import ExactWeights
from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.conv2d import Conv2D
from dnn2fpga.layers.dense import Dense
from dnn2fpga.layers.depthwise_conv2d import DepthwiseConv2D
from dnn2fpga.layers.linear import Linear
from dnn2fpga.read.keras_activations import LINEAR
from dnn2fpga.read.keras_layers import Conv2DLayer, DenseLayer, DepthwiseConv2DLayer, SeparableConv2DLayer
from dnn2fpga.read.keras_options import Arrays, Axis, LayerOptions, Shapes, require_last_axis
from dnn2fpga.read.qkeras_activations import Activation, in_order, known_as
from dnn2fpga.read.qkeras_notation import OfKernel, OfWeights
from dnn2fpga.read.qkeras_numbers import Grid, quietly
from dnn2fpga.tensors.basics import Shape, Unsupported


class OfKernels(Protocol):
    """The quantizer of a kernel."""

    def weights(self, x: np.ndarray) -> Grid:
        """Quantize weights (float32)."""


@quietly
def linear(kind: type[Linear], kernel: np.ndarray, quantizer: OfKernels | None, bias: Grid, **geometry: Any) -> Linear:
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


def plain_bias(arrays: Arrays, outputs: int) -> Grid:
    """The bias as it is, or zeros where there is none."""
    if "bias" not in arrays:
        return Grid.of(np.zeros(outputs), Fraction(1))
    return Grid.of(np.ones(outputs), single(arrays["bias"]))


class _Quantized(LayerOptions):
    """The options that QKeras' layers add to those of Keras."""

    activation: Activation = LINEAR
    bias_quantizer: OfWeights = None

    @quietly
    def quantized_bias(self, arrays: Arrays, outputs: int) -> Grid:
        if self.bias_quantizer and "bias" in arrays:
            return self.bias_quantizer.weights(single(arrays["bias"]))
        return plain_bias(arrays, outputs)

    def then_activated(self, name: str, layers: Sequence[Layer], shape: Shape) -> list[Layer]:
        """Layers that read ``shape``, and the activation."""
        for layer in layers:
            shape = layer.output_shape(shape)
        return in_order(name, [*layers, *self.activation.layers(name, shape, {})])


class QDense(_Quantized, DenseLayer):
    stands_for: ClassVar[tuple[str, ...]] = known_as("qlayers", "QDense")

    kernel_quantizer: OfKernel = None

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        kernel, bias = single(arrays["kernel"]), self.quantized_bias(arrays, self.units)
        return self.then_activated(name, [linear(Dense, kernel, self.kernel_quantizer, bias)], shape)


class QConv2D(_Quantized, Conv2DLayer):
    stands_for: ClassVar[tuple[str, ...]] = known_as("qconvolutional", "QConv2D")

    kernel_quantizer: OfKernel = None
    mask: None = None

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        kernel, bias = single(arrays["kernel"]), self.quantized_bias(arrays, self.filters)
        return self.then_activated(name, [linear(Conv2D, kernel, self.kernel_quantizer, bias, **self.geometry)], shape)


class QDepthwiseConv2D(_Quantized, DepthwiseConv2DLayer):
    stands_for: ClassVar[tuple[str, ...]] = known_as("qconvolutional", "QDepthwiseConv2D")

    depthwise_quantizer: OfKernel = None

    def arrays(self, shape: Shape) -> Shapes:
        return {"depthwise_kernel" if name == "kernel" else name: s for name, s in super().arrays(shape).items()}

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        kernel = single(arrays["depthwise_kernel"])
        bias = self.quantized_bias(arrays, shape[-1] * self.depth_multiplier)
        layer = linear(DepthwiseConv2D, kernel, self.depthwise_quantizer, bias, **self.geometry)
        return self.then_activated(name, [layer], shape)


class QSeparableConv2D(_Quantized, SeparableConv2DLayer):
    stands_for: ClassVar[tuple[str, ...]] = known_as("qconvolutional", "QSeparableConv2D")

    depthwise_quantizer: OfKernel = None
    pointwise_quantizer: OfKernel = None

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        between, bias = shape[-1] * self.depth_multiplier, self.quantized_bias(arrays, self.filters)
        first, second = single(arrays["depthwise_kernel"]), single(arrays["pointwise_kernel"])
        none = self.quantized_bias({}, between)
        depthwise = linear(DepthwiseConv2D, first, self.depthwise_quantizer, none, **self.geometry)
        return self.then_activated(name, [depthwise, linear(Conv2D, second, self.pointwise_quantizer, bias)], shape)


@quietly
def single(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, np.float32)


# Layers with weights and a batch normalization, which is folded into them before they are quantized


class _BatchNormalized(LayerOptions):
    further_arrays: ClassVar[int] = 1  # a counter of training steps

    axis: Axis = -1
    epsilon: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1e-3
    center: bool = True
    scale: bool = True

    def statistics(self, outputs: int) -> Shapes:
        """The arrays of the batch normalization."""
        names = ["gamma"] * self.scale + ["beta"] * self.center + ["moving_mean", "moving_variance"]
        return {f"batchnorm/{name}": (outputs,) for name in names}

    @quietly
    def folded(self, arrays: Arrays, kernel: str, axes: int, shape: Shape) -> Arrays:
        """Kernel and bias as the source folds them: in float32, step by step.

        :param axes: of the kernel, from the last one on, that are those of the outputs.
        :param shape: of the input, and so the number of axes of the output.
        """
        require_last_axis(self.axis, shape)
        w = {key.removeprefix("batchnorm/"): single(value) for key, value in arrays.items()}
        factor = np.float32(1) / deviation(w["moving_variance"], self.epsilon)
        factor = factor * w["gamma"] if self.scale else factor
        bias = factor * (w.get("bias", np.float32(0)) - w["moving_mean"])
        bias = bias + w["beta"] if self.center else bias
        return {kernel: factor.reshape(w[kernel].shape[-axes:]) * w[kernel], "bias": bias}


def deviation(variance: np.ndarray, epsilon: float) -> np.ndarray:
    """Standard deviations in float32."""
    squares = variance + np.float32(epsilon)
    if not (squares > 0).all():
        raise Unsupported("its variances must be positive; train the model again")
    return np.asarray(np.sqrt(squares))


class QDenseBatchnorm(_BatchNormalized, QDense):
    stands_for: ClassVar[tuple[str, ...]] = known_as("qdense_batchnorm", "QDenseBatchnorm")

    def arrays(self, shape: Shape) -> Shapes:
        return super().arrays(shape) | self.statistics(self.units)

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        return super().layers(name, shape, self.folded(arrays, "kernel", 1, shape))


class QConv2DBatchnorm(_BatchNormalized, QConv2D):
    stands_for: ClassVar[tuple[str, ...]] = known_as("qconv2d_batchnorm", "QConv2DBatchnorm")

    def arrays(self, shape: Shape) -> Shapes:
        return super().arrays(shape) | self.statistics(self.filters)

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        return super().layers(name, shape, self.folded(arrays, "kernel", 1, shape))


class QDepthwiseConv2DBatchnorm(_BatchNormalized, QDepthwiseConv2D):
    stands_for: ClassVar[tuple[str, ...]] = known_as("qdepthwiseconv2d_batchnorm", "QDepthwiseConv2DBatchnorm")

    def arrays(self, shape: Shape) -> Shapes:
        return super().arrays(shape) | self.statistics(shape[-1] * self.depth_multiplier)

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        return super().layers(name, shape, self.folded(arrays, "depthwise_kernel", 2, shape))
