"""HGQ2's layers with weights: dense, convolution, and batch normalization alone or folded into a dense layer."""

from __future__ import annotations

import re
from abc import abstractmethod
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from dnn2fpga.exact.encoding import ExactWeights
from dnn2fpga.layers.affine import Affine
from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.conv2d import Conv2D
from dnn2fpga.layers.dense import Dense
from dnn2fpga.layers.depthwise_conv2d import DepthwiseConv2D
from dnn2fpga.layers.linear import Linear
from dnn2fpga.read.hgq_options import HgqOptions, fixed_point, variables_of
from dnn2fpga.read.hgq_quantizers import Options, exact_weights
from dnn2fpga.read.keras_activations import LINEAR, Activation
from dnn2fpga.read.keras_options import Arrays, Axis, Extent, Pair, Shapes, Undilated, by_class, require_last_axis
from dnn2fpga.tensors.basics import Shape, Unsupported

_GLOBAL_EPSILON = 1e-7  # keras.config.epsilon()

Epsilon = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Constants(HgqOptions):
    """A layer with a kernel and a bias (of a batch normalization: a scale and an offset), which are quantized."""

    kq_conf: Options = None
    bq_conf: Options = None

    @property
    def has_bias(self) -> bool:
        return True

    @abstractmethod
    def variables(self, shape: Shape) -> Shapes:
        """Return the names and shapes of its own variables, in Keras' order."""

    @abstractmethod
    def kernel_shape(self, shape: Shape) -> Shape:
        """Return the shape of what the kernel quantizer quantizes; its last axis is the output."""

    def constants(self, shape: Shape) -> Shapes:
        kernel = self.kernel_shape(shape)
        bias = variables_of(self.bq_conf, "bq", kernel[-1:]) if self.has_bias else {}
        return self.variables(shape) | variables_of(self.kq_conf, "kq", kernel) | bias

    def quantized_kernel(self, kernel: np.ndarray, arrays: Arrays) -> np.ndarray:
        return fixed_point(self.kq_conf, "kq", arrays).values(kernel)

    def quantized_bias(self, bias: np.ndarray, arrays: Arrays) -> np.ndarray:
        return fixed_point(self.bq_conf, "bq", arrays).values(bias)


class _Weighted(_Constants):
    """A layer whose kernel makes products."""

    activation: Activation = LINEAR

    def variables(self, shape: Shape) -> Shapes:
        kernel = self.kernel_shape(shape)
        return {"kernel": kernel, **({"bias": kernel[-1:]} if self.has_bias else {}), **self.ebops}

    @abstractmethod
    def product(self, name: str, exact: ExactWeights) -> Linear:
        """Return the layer that multiplies."""

    def weights(self, arrays: Arrays) -> ExactWeights:
        """Return what is multiplied and added."""
        kernel = self.quantized_kernel(arrays["kernel"], arrays)
        bias = self.quantized_bias(arrays["bias"], arrays) if self.has_bias else np.zeros(kernel.shape[-1:])
        return exact_weights(kernel, bias)

    def computed(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        product = self.product(f"{name}_product", self.weights(arrays))
        return [product, *self.activation.layers(f"{name}_activation", product.output_shape(shape), {})]

    def result_shape(self, shape: Shape) -> Shape:
        kernel = self.kernel_shape(shape)
        nothing = ExactWeights(np.broadcast_to(np.int64(0), kernel), np.ones(kernel[-1:]), np.zeros(kernel[-1:]))
        return self.product("", nothing).output_shape(shape)


class QDense(_Weighted):
    stands_for: ClassVar[tuple[str, ...]] = ("hgq>QDense",)

    units: Extent
    use_bias: bool = True

    @property
    def has_bias(self) -> bool:
        return self.use_bias

    def kernel_shape(self, shape: Shape) -> Shape:
        return (shape[-1], self.units)

    def product(self, name: str, exact: ExactWeights) -> Linear:
        return Dense.of_codes(name, exact)


class QBatchNormDense(QDense):
    """As HGQ2 0.2.0 computes it: it scales the kernel by the statistics of its *inputs*, and subtracts the mean's
    product with the kernel *before* scaling.
    """

    stands_for: ClassVar[tuple[str, ...]] = ("hgq>QBatchNormDense",)

    scale: bool = True
    epsilon: Epsilon = 1e-3

    def variables(self, shape: Shape) -> Shapes:
        inputs = shape[-1:]
        gamma: Shapes = {"bn_gamma": inputs} if self.scale else {}
        own = {"kernel": self.kernel_shape(shape), "bias": (self.units,)}
        return {**own, **gamma, **self.ebops, "moving_mean": inputs, "moving_variance": inputs}

    def weights(self, arrays: Arrays) -> ExactWeights:
        kernel, mean = arrays["kernel"], arrays["moving_mean"]
        scale = scale_of(arrays, self.epsilon)
        bias = arrays["bias"] - mean @ kernel
        return exact_weights(
            self.quantized_kernel(scale[:, np.newaxis] * kernel, arrays), self.quantized_bias(bias, arrays)
        )


class QEinsumDense(_Weighted):
    """Equations that are a dense layer on the last axis, such as ``bc,cd->bd`` and ``...c,cd->...d``."""

    stands_for: ClassVar[tuple[str, ...]] = ("hgq>QEinsumDense",)

    equation: str
    output_shape: list[int | None]
    bias_axes: str | None = None

    @property
    def has_bias(self) -> bool:
        return bool(self.bias_axes)

    def check_input(self, shape: Shape) -> None:
        super().check_input(shape)
        found = re.fullmatch(r"(\.\.\.|[a-zA-Z]+)([a-zA-Z]),\2([a-zA-Z])->\1\3", self.equation.replace(" ", ""))
        axes = found[1] + found[2] + found[3] if found else ""
        letters = axes.replace(".", "")
        if not found or len(set(letters)) < len(letters) or ("." not in axes and len(letters) != len(shape) + 2):
            raise Unsupported(
                f"equation='{self.equation[:40]}' for an input of shape {shape}: only a product along the last axis is "
                "supported, such as 'bc,cd->bd' or '...c,cd->...d'"
            )
        if self.bias_axes and self.bias_axes != found[3]:
            raise Unsupported(f"bias_axes='{self.bias_axes[:40]}': a bias per output, '{found[3]}', is supported")

    def kernel_shape(self, shape: Shape) -> Shape:
        units = self.output_shape[-1] if self.output_shape else None
        if not units or units < 1:
            raise Unsupported(f"output_shape={self.output_shape}: its last extent must be a number of outputs")
        return (shape[-1], units)

    def product(self, name: str, exact: ExactWeights) -> Linear:
        return Dense.of_codes(name, exact)


class QEinsumDenseBatchnorm(QEinsumDense):
    """As HGQ2 0.2.0 computes it: with Keras' global epsilon, 1e-7, whatever its own ``epsilon``."""

    stands_for: ClassVar[tuple[str, ...]] = ("hgq>QEinsumDenseBatchnorm",)

    normalize_axes: str | None = None
    scale: bool = True

    def check_input(self, shape: Shape) -> None:
        super().check_input(shape)
        if not self.bias_axes or (self.normalize_axes or self.bias_axes) != self.bias_axes:
            raise Unsupported(f"normalize_axes='{self.normalize_axes}': must be the outputs, as in bias_axes")

    def variables(self, shape: Shape) -> Shapes:
        kernel = self.kernel_shape(shape)
        outputs = kernel[-1:]
        gamma: Shapes = {"bn_gamma": outputs} if self.scale else {}
        own = {"kernel": kernel, "bias": outputs}
        return {**own, **gamma, **self.ebops, "moving_mean": outputs, "moving_variance": outputs}

    def weights(self, arrays: Arrays) -> ExactWeights:
        scale = scale_of(arrays, _GLOBAL_EPSILON)
        bias = arrays["bias"] + -arrays["moving_mean"] * scale
        return exact_weights(self.quantized_kernel(arrays["kernel"] * scale, arrays), self.quantized_bias(bias, arrays))


class QConv2D(_Weighted):
    """A convolution in one group, or in as many groups as channels: a depthwise convolution."""

    stands_for: ClassVar[tuple[str, ...]] = ("hgq>QConv2D",)
    ranks: ClassVar[tuple[int, ...]] = (3,)
    input_described: ClassVar[str] = "an image (rows, columns, channels)"

    filters: Extent
    kernel_size: Pair
    strides: Pair = (1, 1)
    padding: Literal["valid", "same"] = "valid"
    data_format: Literal["channels_last"] | None = None
    dilation_rate: Undilated = 1
    groups: Extent = 1
    use_bias: bool = True

    @property
    def has_bias(self) -> bool:
        return self.use_bias

    def check_input(self, shape: Shape) -> None:
        super().check_input(shape)
        if self.groups not in (1, shape[-1]) or self.filters % self.groups:
            raise Unsupported(f"groups={self.groups}: 1 and {shape[-1]}, the number of channels, are supported")

    def kernel_shape(self, shape: Shape) -> Shape:
        return (*self.kernel_size, shape[-1] // self.groups, self.filters)

    def product(self, name: str, exact: ExactWeights) -> Linear:
        geometry: dict[str, Any] = {"strides": self.strides, "padding": self.padding}
        if self.groups == 1:
            return Conv2D.of_codes(name, exact, **geometry)
        depthwise = ExactWeights(exact.codes.reshape(*self.kernel_size, self.filters), exact.scale, exact.bias)
        return DepthwiseConv2D.of_codes(name, depthwise, **geometry)


class QBatchNormalization(_Constants):
    """A quantized scale and a quantized offset for each channel."""

    stands_for: ClassVar[tuple[str, ...]] = ("hgq>QBatchNormalization",)

    axis: Axis = -1
    epsilon: Epsilon = 1e-3
    center: bool = True
    scale: bool = True

    def check_input(self, shape: Shape) -> None:
        super().check_input(shape)
        require_last_axis(self.axis, shape)

    def kernel_shape(self, shape: Shape) -> Shape:
        return shape[-1:]

    def variables(self, shape: Shape) -> Shapes:
        trained = ["bn_gamma"] * self.scale + ["bn_beta"] * self.center
        return dict.fromkeys([*trained, "moving_mean", "moving_variance"], shape[-1:]) | self.ebops

    def computed(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        scale = scale_of(arrays, self.epsilon)
        beta = arrays["bn_beta"] if self.center else np.float32(1)  # HGQ2 0.2.0 adds 1 where nothing was meant
        offset = beta - arrays["moving_mean"] * scale
        return [Affine(f"{name}_scaled", self.quantized_kernel(scale, arrays), self.quantized_bias(offset, arrays))]


def scale_of(arrays: Arrays, epsilon: float) -> np.ndarray:
    """Return ``gamma / sqrt(variance + epsilon)`` of a batch normalization, in float32 as HGQ2 computes it.

    :raises Unsupported: when a variance is not above 0.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = arrays.get("bn_gamma", np.float32(1)) / np.sqrt(arrays["moving_variance"] + np.float32(epsilon))
    if not np.isfinite(scale).all():
        raise Unsupported("its variances must be positive; train the model again")
    return np.asarray(scale)


LINEAR_LAYERS = by_class(
    *(QDense, QBatchNormDense, QEinsumDense, QEinsumDenseBatchnorm, QConv2D, QBatchNormalization),
)
