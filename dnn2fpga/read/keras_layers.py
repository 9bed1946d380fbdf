"""The meaning of Keras' layer classes in our layers."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.conv2d import Conv2D
from dnn2fpga.layers.dense import Dense
from dnn2fpga.layers.depthwise_conv2d import DepthwiseConv2D
from dnn2fpga.layers.pass_through import Identity
from dnn2fpga.layers.pooling import AveragePooling, GlobalAverage, MaxPooling, Pooling
from dnn2fpga.layers.reshape import Reshape
from dnn2fpga.layers.zero_padding import ZeroPadding
from dnn2fpga.read.keras_activations import ACTIVATIONS, LINEAR, Activation
from dnn2fpga.read.keras_options import (
    Arrays,
    Extent,
    ImageOptions,
    LayerOptions,
    Pair,
    Shapes,
    Undilated,
    by_class,
)
from dnn2fpga.read.keras_scaling import SCALINGS
from dnn2fpga.read.limits import LARGEST_EXTENT
from dnn2fpga.tensors.basics import Shape, Unsupported
from rtl_lib.image.window_schedule import Padding

# Layers with weights


class _Weighted(LayerOptions):
    use_bias: bool = True
    activation: Activation = LINEAR

    @property
    def keeps_arrays(self) -> bool:
        return True

    def bias(self, outputs: int) -> Shapes:
        return {"bias": (outputs,)} if self.use_bias else {}

    def activated(self, layer: Layer, shape: Shape) -> list[Layer]:
        """The layer and its activation, as two."""
        return [layer, *self.activation.layers(f"{layer.name}_activation", layer.output_shape(shape), {})]


def _single(kernel: np.ndarray, arrays: Arrays) -> dict[str, Any]:
    """Weights and bias in single precision."""
    bias = arrays.get("bias", np.zeros(kernel.shape[-1]))
    return {"weights": np.asarray(kernel, np.float32), "bias": np.asarray(bias, np.float32)}


class DenseLayer(_Weighted):
    stands_for: ClassVar[tuple[str, ...]] = ("Dense",)
    ranks: ClassVar[tuple[int, ...]] = (1, 3)
    input_described: ClassVar[str] = "a vector or an image (rows, columns, channels)"

    units: Extent

    def arrays(self, shape: Shape) -> Shapes:
        return {"kernel": (shape[-1], self.units), **self.bias(self.units)}

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        return self.activated(Dense(name=name, **_single(arrays["kernel"], arrays)), shape)


class ConvolutionLayer(_Weighted, ImageOptions):
    """The options of all convolutions."""

    kernel_size: Pair
    strides: Pair = (1, 1)
    padding: Literal["valid", "same"] = "valid"
    dilation_rate: Undilated = 1
    groups: Literal[1] = 1

    @property
    def geometry(self) -> dict[str, Any]:
        return {"strides": self.strides, "padding": self.padding}


class Conv2DLayer(ConvolutionLayer):
    stands_for: ClassVar[tuple[str, ...]] = ("Conv2D",)

    filters: Extent

    def arrays(self, shape: Shape) -> Shapes:
        return {"kernel": (*self.kernel_size, shape[-1], self.filters), **self.bias(self.filters)}

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        return self.activated(Conv2D(name=name, **_single(arrays["kernel"], arrays), **self.geometry), shape)


class DepthwiseConv2DLayer(ConvolutionLayer):
    stands_for: ClassVar[tuple[str, ...]] = ("DepthwiseConv2D",)

    depth_multiplier: Extent = 1

    def arrays(self, shape: Shape) -> Shapes:
        kernel = (*self.kernel_size, shape[-1], self.depth_multiplier)
        return {"kernel": kernel, **self.bias(shape[-1] * self.depth_multiplier)}

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        kernel = arrays["kernel"].reshape(*self.kernel_size, -1)
        return self.activated(DepthwiseConv2D(name=name, **_single(kernel, arrays), **self.geometry), shape)


class SeparableConv2DLayer(ConvolutionLayer):
    stands_for: ClassVar[tuple[str, ...]] = ("SeparableConv2D",)

    filters: Extent
    depth_multiplier: Extent = 1

    def arrays(self, shape: Shape) -> Shapes:
        depthwise = (*self.kernel_size, shape[-1], self.depth_multiplier)
        pointwise = (1, 1, shape[-1] * self.depth_multiplier, self.filters)
        return {"depthwise_kernel": depthwise, "pointwise_kernel": pointwise, **self.bias(self.filters)}

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        kernel = arrays["depthwise_kernel"].reshape(*self.kernel_size, -1)
        depthwise = DepthwiseConv2D(name=f"{name}_depthwise", **_single(kernel, {}), **self.geometry)
        pointwise = Conv2D(name=name, **_single(arrays["pointwise_kernel"], arrays))  # bias and activation are its own
        return [depthwise, *self.activated(pointwise, depthwise.output_shape(shape))]


# Layers without weights


class FlattenLayer(LayerOptions):
    stands_for: ClassVar[tuple[str, ...]] = ("Flatten",)

    data_format: Literal["channels_last"] | None = None

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        return [Reshape(name, None)]


class ReshapeLayer(LayerOptions):
    stands_for: ClassVar[tuple[str, ...]] = ("Reshape",)

    target_shape: list[Annotated[int, Field(ge=-1, le=LARGEST_EXTENT**2)]]

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        known, size = math.prod(extent for extent in self.target_shape if extent != -1), math.prod(shape)
        target = tuple(size // max(known, 1) if extent == -1 else extent for extent in self.target_shape)
        if math.prod(target) != size or self.target_shape.count(-1) > 1:
            raise Unsupported(f"target_shape={self.target_shape} does not hold the {size:,} numbers of shape {shape}")
        if len(target) not in (1, 3):
            raise Unsupported(f"target shape {target}: only vectors and images are supported")
        return [Reshape(name, target)]


Pads = tuple[Annotated[int, Field(ge=0, le=LARGEST_EXTENT)], Annotated[int, Field(ge=0, le=LARGEST_EXTENT)]]


class ZeroPadding2DLayer(ImageOptions):
    stands_for: ClassVar[tuple[str, ...]] = ("ZeroPadding2D",)

    padding: tuple[Pads, Pads] = ((1, 1), (1, 1))

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        (top, bottom), (left, right) = self.padding
        return [ZeroPadding(name, Padding(top, bottom, left, right))]


class _PoolingLayer(ImageOptions):
    kind: ClassVar[type[Pooling]]

    pool_size: Pair = (2, 2)
    strides: Pair | None = None
    padding: Literal["valid", "same"] = "valid"

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        return [self.kind(name, self.pool_size, self.strides or self.pool_size, self.padding)]


class MaxPooling2DLayer(_PoolingLayer):
    stands_for: ClassVar[tuple[str, ...]] = ("MaxPooling2D",)
    kind: ClassVar[type[Pooling]] = MaxPooling


class AveragePooling2DLayer(_PoolingLayer):
    stands_for: ClassVar[tuple[str, ...]] = ("AveragePooling2D",)
    kind: ClassVar[type[Pooling]] = AveragePooling


class GlobalAveragePooling2DLayer(ImageOptions):
    stands_for: ClassVar[tuple[str, ...]] = ("GlobalAveragePooling2D",)

    keepdims: bool = False

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        return [GlobalAverage(name, self.keepdims)]


class OnlyInTraining(LayerOptions):
    """Layers that do nothing at inference."""

    stands_for: ClassVar[tuple[str, ...]] = (
        *("Identity", "ActivityRegularization", "Dropout", "SpatialDropout1D", "SpatialDropout2D", "AlphaDropout"),
        *("GaussianDropout", "GaussianNoise", "RandomBrightness", "RandomColorDegeneration", "RandomColorJitter"),
        *("RandomContrast", "RandomElasticTransform", "RandomErasing", "RandomFlip", "RandomGaussianBlur"),
        *("RandomGrayscale", "RandomInvert", "RandomPerspective", "RandomPosterization", "RandomRotation"),
        *("RandomSaturation", "RandomSharpness", "RandomShear", "RandomTranslation", "RandomZoom", "RandomHue"),
        *("AugMix", "CutMix", "MixUp", "RandAugment"),
    )

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        return [Identity(name)]


LAYERS: dict[str, type[LayerOptions]] = (
    ACTIVATIONS
    | SCALINGS
    | by_class(
        *(DenseLayer, Conv2DLayer, DepthwiseConv2DLayer, SeparableConv2DLayer),
        *(FlattenLayer, ReshapeLayer, ZeroPadding2DLayer),
        *(MaxPooling2DLayer, AveragePooling2DLayer, GlobalAveragePooling2DLayer, OnlyInTraining),
    )
)
