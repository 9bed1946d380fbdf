"""What Keras' layer classes mean in our layers. A front end asks ``options_of`` for the meaning of each object in a
configuration; the options that matter are the fields of its class here, with Keras' own defaults.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from dnn2fpga.graph import Layer, Normalization, Shape, Unsupported
from dnn2fpga.layers.activation import Clamp, Table
from dnn2fpga.layers.affine import Affine
from dnn2fpga.layers.conv2d import Conv2D
from dnn2fpga.layers.dense import Dense
from dnn2fpga.layers.depthwise_conv2d import DepthwiseConv2D
from dnn2fpga.layers.pass_through import Identity, Softmax
from dnn2fpga.layers.pooling import AveragePooling, GlobalAverage, MaxPooling, Pooling
from dnn2fpga.layers.reshape import Reshape
from dnn2fpga.read.keras_config import Serialized
from dnn2fpga.read.limits import LARGEST_EXTENT

Arrays = Mapping[str, np.ndarray]
Shapes = dict[str, Shape]

EPSILON = 1e-7  # keras.config.epsilon(): the smallest standard deviation that Normalization divides by


def _pair(value: Any) -> Any:
    return (value, value) if isinstance(value, int) else value


def _one(value: Any) -> Any:
    """A number that is given once for each direction."""
    return value[0] if isinstance(value, list | tuple) and value and value.count(value[0]) == len(value) else value


def _numbers(value: Any) -> Any:
    """Arrays that Keras has serialized as objects."""
    if isinstance(value, dict) and value.get("class_name") in ("__numpy__", "__tensor__"):
        config = value.get("config")
        return config.get("value") if isinstance(config, dict) else None
    return value


def _dtype(value: Any) -> Any:
    """The name of a policy that is given as an object."""
    policy = value.get("config") if isinstance(value, dict) else None
    return policy.get("name") if isinstance(policy, dict) else value


Extent = Annotated[int, Field(ge=1, le=LARGEST_EXTENT)]
Pair = Annotated[tuple[Extent, Extent], BeforeValidator(_pair)]
Undilated = Annotated[Literal[1], BeforeValidator(_one)]
Real = Annotated[float, Field(allow_inf_nan=False)]
Reals = Annotated[Real | list[Real] | list[list[Real]] | list[list[list[Real]]], BeforeValidator(_numbers)]
Axis = int | list[int] | None
Floating = Literal["float16", "bfloat16", "float32", "float64", "mixed_float16", "mixed_bfloat16"]


class KerasOptions(BaseModel):
    """One Keras class: its options that matter at inference, its arrays, and the layers that it stands for."""

    model_config = ConfigDict(frozen=True, extra="ignore", arbitrary_types_allowed=True)

    stands_for: ClassVar[tuple[str, ...]]  # Keras classes
    ranks: ClassVar[tuple[int, ...]] = (1, 2, 3)  # of its input
    input_described: ClassVar[str] = "a tensor of at most three axes"

    dtype: Annotated[Floating, BeforeValidator(_dtype)] = "float32"

    @property
    def keeps_arrays(self) -> bool:
        return False

    def arrays(self, shape: Shape) -> Shapes:
        """Names and shapes of its arrays in Keras' order, for an input of ``shape``."""
        return {}

    @abstractmethod
    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        """Our layers, in order.

        :raises Unsupported, ValueError: for what only the shapes can tell.
        """

    def check_input(self, shape: Shape) -> None:
        """Raises ``Unsupported`` for what an input of ``shape`` cannot be."""
        if len(shape) not in self.ranks:
            raise Unsupported(f"its input must be {self.input_described}, not of shape {shape}")


class _Image(KerasOptions):
    ranks: ClassVar[tuple[int, ...]] = (3,)
    input_described: ClassVar[str] = "an image (rows, columns, channels)"

    data_format: Literal["channels_last"] | None = None


# Activations


class Function(KerasOptions):
    """An activation by its name."""

    stands_for: ClassVar[tuple[str, ...]] = ()

    function: str

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        return _FUNCTIONS[self.function](name)


_FUNCTIONS: dict[str, Callable[[str], list[Layer]]] = {
    "linear": lambda name: [],
    "relu": lambda name: [Clamp(name, 0.0, math.inf)],
    "relu6": lambda name: [Clamp(name, 0.0, 6.0)],
    "tanh": lambda name: [Table(name, "tanh")],
    "sigmoid": lambda name: [Table(name, "sigmoid")],
    "softmax": lambda name: [Softmax(name)],
}
_SUPPORTED = f"supported: {', '.join(_FUNCTIONS)} as the last layer"


def _activation(value: Any) -> KerasOptions:
    """An activation argument: a name, a layer, or a function that only its author has."""
    if value is None or (isinstance(value, str) and value in _FUNCTIONS):
        return Function(function=value or "linear")
    if isinstance(value, str):
        raise ValueError(f"activation '{value}' ({_SUPPORTED})")
    try:
        item = Serialized.model_validate(value)
    except ValidationError:
        item = None
    if item is None or item.class_name in ("function", "__lambda__"):
        written = value.get("config") if isinstance(value, dict) else None
        named = f"the function '{written}'" if isinstance(written, str) else "a function"
        close = next((name for name in _FUNCTIONS if str(written).startswith(name)), None)
        instead = f"activation='{close}'" if close else "the name of one that Keras has"
        raise ValueError(
            f"activation is {named}, whose code is not in the file; write {instead} and save it again ({_SUPPORTED})"
        )
    options, problems = options_of(item)
    if options is None or options.keeps_arrays:
        raise ValueError(f"activation {item.class_name}: {'; '.join(problems) or 'is no activation'}")
    return options


Activation = Annotated[KerasOptions, BeforeValidator(_activation)]
LINEAR = Function(function="linear")


class ActivationLayer(KerasOptions):
    stands_for: ClassVar[tuple[str, ...]] = ("Activation",)

    activation: Activation

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        return self.activation.layers(name, shape, arrays) or [Identity(name)]


class ReLU(KerasOptions):
    stands_for: ClassVar[tuple[str, ...]] = ("ReLU",)

    max_value: Annotated[float, Field(ge=0)] | None = None
    negative_slope: Literal[0] | None = None
    threshold: Literal[0] | None = None

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        return [Clamp(name, 0.0, math.inf if self.max_value is None else self.max_value)]


class SoftmaxLayer(KerasOptions):
    stands_for: ClassVar[tuple[str, ...]] = ("Softmax",)

    axis: Axis = -1

    def check_input(self, shape: Shape) -> None:
        _require_last_axis(self.axis, shape)

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        return [Softmax(name)]


# Layers with weights


class _Weighted(KerasOptions):
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


class _Convolution(_Weighted, _Image):
    kernel_size: Pair
    strides: Pair = (1, 1)
    padding: Literal["valid", "same"] = "valid"
    dilation_rate: Undilated = 1
    groups: Literal[1] = 1

    @property
    def geometry(self) -> dict[str, Any]:
        return {"strides": self.strides, "padding": self.padding}


class Conv2DLayer(_Convolution):
    stands_for: ClassVar[tuple[str, ...]] = ("Conv2D",)

    filters: Extent

    def arrays(self, shape: Shape) -> Shapes:
        return {"kernel": (*self.kernel_size, shape[-1], self.filters), **self.bias(self.filters)}

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        return self.activated(Conv2D(name=name, **_single(arrays["kernel"], arrays), **self.geometry), shape)


class DepthwiseConv2DLayer(_Convolution):
    stands_for: ClassVar[tuple[str, ...]] = ("DepthwiseConv2D",)

    depth_multiplier: Extent = 1

    def arrays(self, shape: Shape) -> Shapes:
        kernel = (*self.kernel_size, shape[-1], self.depth_multiplier)
        return {"kernel": kernel, **self.bias(shape[-1] * self.depth_multiplier)}

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        kernel = arrays["kernel"].reshape(*self.kernel_size, -1)
        return self.activated(DepthwiseConv2D(name=name, **_single(kernel, arrays), **self.geometry), shape)


class SeparableConv2DLayer(_Convolution):
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


# Scale and offset


class BatchNormalizationLayer(KerasOptions):
    stands_for: ClassVar[tuple[str, ...]] = ("BatchNormalization",)

    axis: Axis = -1
    epsilon: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1e-3
    center: bool = True
    scale: bool = True

    @property
    def keeps_arrays(self) -> bool:
        return True

    def check_input(self, shape: Shape) -> None:
        _require_last_axis(self.axis, shape)

    def arrays(self, shape: Shape) -> Shapes:
        names = ["gamma"] * self.scale + ["beta"] * self.center + ["moving_mean", "moving_variance"]
        return dict.fromkeys(names, shape[-1:])

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        w = {key: value.astype(np.float64) for key, value in arrays.items()}
        normalization = Normalization(
            gamma=w.get("gamma", np.ones(shape[-1])),
            beta=w.get("beta", np.zeros(shape[-1])),
            mean=w["moving_mean"],
            variance=w["moving_variance"],
            epsilon=np.full(shape[-1], self.epsilon),
        )
        deviation = np.sqrt(normalization.variance + normalization.epsilon)
        if not (deviation > 0).all():
            raise Unsupported("its variances must be positive; train the model again")
        scale = normalization.gamma / deviation
        offset = normalization.beta - normalization.mean * scale
        return [Affine(name, scale.astype(np.float32), offset.astype(np.float32), normalization=normalization)]


class NormalizationLayer(KerasOptions):
    """Constants: given in the configuration, or taken from data (``adapt``) and kept as arrays."""

    stands_for: ClassVar[tuple[str, ...]] = ("Normalization",)

    axis: Axis = -1
    mean: Reals | None = None
    variance: Reals | None = None
    invert: bool = False

    @property
    def keeps_arrays(self) -> bool:
        return self.mean is None

    def check_input(self, shape: Shape) -> None:
        if self.axis not in _ALL_TOGETHER:
            _require_last_axis(self.axis, shape)

    def arrays(self, shape: Shape) -> Shapes:
        if not self.keeps_arrays:
            return {}
        kept = () if self.axis in _ALL_TOGETHER else shape[-1:]
        return {"mean": kept, "variance": kept, "count": ()}

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        given = arrays if self.keeps_arrays else {"mean": self.mean, "variance": self.variance}
        mean, variance = (_per_channel(key, given[key], shape) for key in ("mean", "variance"))
        if not (variance >= 0).all():
            raise Unsupported("its variances must not be negative")
        deviation = np.maximum(np.sqrt(variance), np.float32(EPSILON))
        scale, offset = (deviation, mean) if self.invert else (1 / deviation, -mean / deviation)
        return [Affine(name, scale.astype(np.float32), offset.astype(np.float32))]


class RescalingLayer(KerasOptions):
    stands_for: ClassVar[tuple[str, ...]] = ("Rescaling",)

    scale: Reals
    offset: Reals = 0.0

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        scale, offset = _per_channel("scale", self.scale, shape), _per_channel("offset", self.offset, shape)
        return [Affine(name, scale, offset)]


_ALL_TOGETHER: tuple[Axis, ...] = (None, [])  # axes of a normalization with one mean for everything


def _per_channel(name: str, value: Any, shape: Shape) -> np.ndarray:
    """A constant as one number a channel."""
    try:
        array = np.asarray(value, np.float32)
        if math.prod(array.shape[:-1]) != 1:
            raise ValueError
        return np.broadcast_to(array.reshape(-1) if array.ndim else array, shape[-1:])
    except ValueError:
        raise Unsupported(f"{name} must be one number, or one for each of the {shape[-1]} channels") from None


def _require_last_axis(axis: Axis, shape: Shape) -> None:
    if axis not in (-1, len(shape), [-1], [len(shape)]):
        raise Unsupported(f"axis={axis}: only the last axis is supported")


# Layers without weights


class FlattenLayer(KerasOptions):
    stands_for: ClassVar[tuple[str, ...]] = ("Flatten",)

    data_format: Literal["channels_last"] | None = None

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        return [Reshape(name, None)]


class ReshapeLayer(KerasOptions):
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


class _PoolingLayer(_Image):
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


class GlobalAveragePooling2DLayer(_Image):
    stands_for: ClassVar[tuple[str, ...]] = ("GlobalAveragePooling2D",)

    keepdims: bool = False

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        return [GlobalAverage(name, self.keepdims)]


class OnlyInTraining(KerasOptions):
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


_KINDS = (
    *(DenseLayer, Conv2DLayer, DepthwiseConv2DLayer, SeparableConv2DLayer, BatchNormalizationLayer),
    *(NormalizationLayer, RescalingLayer, ActivationLayer, ReLU, SoftmaxLayer, FlattenLayer, ReshapeLayer),
    *(MaxPooling2DLayer, AveragePooling2DLayer, GlobalAveragePooling2DLayer, OnlyInTraining),
)
UNKNOWN_KIND = "this kind of layer is not supported"
BY_CLASS: dict[str, type[KerasOptions]] = {name: kind for kind in _KINDS for name in kind.stands_for}


def options_of(item: Serialized) -> tuple[KerasOptions | None, list[str]]:
    """What a layer in a configuration means, or why it is not supported, one line for each problem."""
    if item.class_name == "Lambda":
        return None, ["holds Python code, which is never run; express it with built-in layers"]
    if item.foreign:
        return None, [f"{item.foreign} is not one of Keras' own classes and is never loaded"]
    kind = BY_CLASS.get(item.class_name)
    if kind is None or "ops" in (item.module or "").split("."):
        return None, [UNKNOWN_KIND]
    try:
        return kind.model_validate(item.config), []
    except ValidationError as error:
        return None, [_line(problem) for problem in error.errors()]


def _line(problem: Any) -> str:
    option, value = str(problem["loc"][0]), problem["input"]
    shown = str(value) if len(str(value)) < 60 else "..."
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    if problem["type"] == "missing":
        return f"{option} is missing"
    if problem["type"] == "literal_error":
        return f"{option}={value!r} (supported: {problem['ctx']['expected']})"
    return f"{option}={shown}: {problem['msg']}"
