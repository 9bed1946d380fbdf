"""Calls of functions on tensors and constants. Keras 3 keeps ``x + y`` and ``keras.ops.add(x, y)`` as an object of the
class ``Add`` of its operations; Keras 2 keeps ``x + y`` and ``tf.add(x, y)`` as a ``TFOpLambda``.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import AliasChoices, BeforeValidator, ConfigDict, Field, InstanceOf, PlainValidator

from dnn2fpga.layers.activation import Clamp
from dnn2fpga.layers.affine import Affine
from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.pass_through import Identity, Softmax
from dnn2fpga.layers.pooling import GlobalAverage
from dnn2fpga.read.builder import SymbolicTensor
from dnn2fpga.read.keras_activations import FUNCTIONS
from dnn2fpga.read.keras_calls import Call, Input
from dnn2fpga.read.keras_config import Serialized
from dnn2fpga.read.keras_joins import concatenation, extremum, product, weighted_sum
from dnn2fpga.read.keras_layers import ReshapeLayer
from dnn2fpga.read.keras_options import (
    Axis,
    Floating,
    KerasOptions,
    Placement,
    Real,
    by_class,
    numbers,
    require_last_axis,
)
from dnn2fpga.read.keras_scaling import per_channel
from dnn2fpga.tensors.basics import Unsupported

_NOT_ARGUMENTS = ("name", "trainable", "function")  # in a configuration; ``name`` also in calls of TensorFlow's


def _one(value: Any) -> Any:
    """A tensor that is given in a list of its own."""
    return value[0] if isinstance(value, list) and len(value) == 1 and isinstance(value[0], Input) else value


def _named(*names: str) -> Any:
    """An argument, as Keras calls it, and as TensorFlow does."""
    return Field(validation_alias=AliasChoices(*names))


def _operand(value: Any) -> Any:
    """A tensor or a constant."""
    tensor = _one(value)
    return tensor if isinstance(tensor, Input) else numbers(value)


OneTensor = Annotated[InstanceOf[Input], BeforeValidator(_one)]
Operand = Annotated[Any, PlainValidator(_operand)]


class Operation(KerasOptions):
    """A function; its fields are the arguments of the call and those that Keras keeps in the object, in the order of
    the function's parameters.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    @classmethod
    def read(cls, item: Serialized, call: Call) -> Self:
        parameters = [name for name in cls.model_fields if name != "dtype"]
        if len(call.positional) > len(parameters):
            raise Unsupported(f"is called with {len(call.positional)} arguments; at most {len(parameters)}")
        given = {**item.config, **dict(zip(parameters, call.positional, strict=False)), **call.named}
        return cls.model_validate({k: v for k, v in given.items() if v is not None and k not in _NOT_ARGUMENTS})


# Of two operands


class _Binary(Operation):
    x1: Operand = _named("x1", "x")
    x2: Operand = _named("x2", "y")

    @abstractmethod
    def join(self, at: Placement, one: SymbolicTensor, other: SymbolicTensor) -> SymbolicTensor:
        """The function of two tensors."""

    @abstractmethod
    def after_constant(self, name: str, constant: np.ndarray) -> Layer:
        """The function of a constant (a number per channel) and a tensor."""

    def before_constant(self, name: str, constant: np.ndarray) -> Layer:
        """The function of a tensor and a constant."""
        return self.after_constant(name, constant)

    def add(self, at: Placement, *inputs: SymbolicTensor) -> SymbolicTensor:
        if not isinstance(self.x1, Input):
            return self._of_constant(at, self.after_constant, self.x1, inputs[0])
        if not isinstance(self.x2, Input):
            return self._of_constant(at, self.before_constant, self.x2, inputs[0])
        one, other = inputs[self.x1.index], inputs[self.x2.index]
        if one.shape != other.shape and len(one.shape) != len(other.shape):
            raise Unsupported(
                f"its operands have the shapes {one.shape} and {other.shape}: they must have as many axes"
            )
        return self.join(at, one, other)

    @staticmethod
    def _of_constant(at: Placement, function: Any, constant: Any, tensor: SymbolicTensor) -> SymbolicTensor:
        with np.errstate(over="ignore", divide="ignore"):  # told below
            return at.builder.add(function(at.name, per_channel("the constant", constant, tensor.shape)), tensor)


class Addition(_Binary):
    stands_for: ClassVar[tuple[str, ...]] = ("ops.Add", "tf.__operators__.add", "tf.math.add")

    def join(self, at: Placement, one: SymbolicTensor, other: SymbolicTensor) -> SymbolicTensor:
        return weighted_sum(at, (1.0, 1.0), one, other)

    def after_constant(self, name: str, constant: np.ndarray) -> Layer:
        return Affine(name, np.ones_like(constant), constant)


class Subtraction(_Binary):
    stands_for: ClassVar[tuple[str, ...]] = ("ops.Subtract", "tf.math.subtract")

    def join(self, at: Placement, one: SymbolicTensor, other: SymbolicTensor) -> SymbolicTensor:
        return weighted_sum(at, (1.0, -1.0), one, other)

    def after_constant(self, name: str, constant: np.ndarray) -> Layer:
        return Affine(name, -np.ones_like(constant), constant)

    def before_constant(self, name: str, constant: np.ndarray) -> Layer:
        return Affine(name, np.ones_like(constant), -constant)


class Multiplication(_Binary):
    stands_for: ClassVar[tuple[str, ...]] = ("ops.Multiply", "tf.math.multiply")

    def join(self, at: Placement, one: SymbolicTensor, other: SymbolicTensor) -> SymbolicTensor:
        return product(at, one, other)

    def after_constant(self, name: str, constant: np.ndarray) -> Layer:
        return Affine(name, constant, np.zeros_like(constant))


class Division(_Binary):
    stands_for: ClassVar[tuple[str, ...]] = ("ops.TrueDivide", "ops.Divide", "tf.math.truediv", "tf.math.divide")

    def join(self, at: Placement, one: SymbolicTensor, other: SymbolicTensor) -> SymbolicTensor:
        raise Unsupported("divides by a tensor, which is not supported; divide by a constant")

    def after_constant(self, name: str, constant: np.ndarray) -> Layer:
        raise Unsupported("divides by a tensor, which is not supported; divide by a constant")

    def before_constant(self, name: str, constant: np.ndarray) -> Layer:
        if not constant.all():
            raise Unsupported("divides by zero")
        return Affine(name, 1 / constant, np.zeros_like(constant))


class MaximumOf(_Binary):
    stands_for: ClassVar[tuple[str, ...]] = ("ops.Maximum", "tf.math.maximum")

    def join(self, at: Placement, one: SymbolicTensor, other: SymbolicTensor) -> SymbolicTensor:
        return extremum(at, True, one, other)

    def after_constant(self, name: str, constant: np.ndarray) -> Layer:
        return Clamp(name, _same_everywhere(constant), math.inf)


class MinimumOf(_Binary):
    stands_for: ClassVar[tuple[str, ...]] = ("ops.Minimum", "tf.math.minimum")

    def join(self, at: Placement, one: SymbolicTensor, other: SymbolicTensor) -> SymbolicTensor:
        return extremum(at, False, one, other)

    def after_constant(self, name: str, constant: np.ndarray) -> Layer:
        return Clamp(name, -math.inf, _same_everywhere(constant))


def _same_everywhere(constant: np.ndarray) -> float:
    if (constant != constant[0]).any():
        raise Unsupported("the constant must be one number for all channels")
    return float(constant[0])


class SumOf(Operation):
    stands_for: ClassVar[tuple[str, ...]] = ("tf.math.add_n",)

    inputs: list[InstanceOf[Input]]

    def add(self, at: Placement, *inputs: SymbolicTensor) -> SymbolicTensor:
        return weighted_sum(at, (1.0,) * len(inputs), *inputs)


class Concatenation(Operation):
    stands_for: ClassVar[tuple[str, ...]] = ("ops.Concatenate", "tf.concat")

    xs: list[InstanceOf[Input]] = _named("xs", "values")
    axis: int = -1

    def add(self, at: Placement, *inputs: SymbolicTensor) -> SymbolicTensor:
        return concatenation(at, self.axis, *inputs)


# Of one operand


class _Unary(Operation):
    x: OneTensor = _named("x", "features", "t", "tensor", "input_tensor", "input", "logits")

    @abstractmethod
    def layers(self, at: Placement, x: SymbolicTensor) -> list[Layer]:
        """Our layers, in order."""

    def add(self, at: Placement, *inputs: SymbolicTensor) -> SymbolicTensor:
        tensor = inputs[0]
        for layer in self.layers(at, tensor):
            tensor = at.builder.add(layer, tensor)
        return tensor


class FunctionOf(_Unary):
    """An activation function; it has the name of the class (Keras), or of TensorFlow's function."""

    stands_for: ClassVar[tuple[str, ...]] = (
        *("ops.Relu", "ops.Relu6", "ops.Sigmoid", "ops.Tanh"),
        *("tf.nn.relu", "tf.nn.relu6", "tf.math.sigmoid", "tf.math.tanh"),
    )
    _function: str = ""

    @classmethod
    def read(cls, item: Serialized, call: Call) -> Self:
        found = super().read(item, call)
        found._function = item.keys[0].rpartition(".")[2].lower()
        return found

    def layers(self, at: Placement, x: SymbolicTensor) -> list[Layer]:
        return FUNCTIONS[self._function](at.name)


class SoftmaxOf(_Unary):
    stands_for: ClassVar[tuple[str, ...]] = ("ops.Softmax", "tf.nn.softmax")

    axis: Axis = -1

    def layers(self, at: Placement, x: SymbolicTensor) -> list[Layer]:
        require_last_axis(self.axis, x.shape)
        return [Softmax(at.name)]


class NegativeOf(_Unary):
    stands_for: ClassVar[tuple[str, ...]] = ("ops.Negative", "tf.math.negative")

    def layers(self, at: Placement, x: SymbolicTensor) -> list[Layer]:
        ones = np.ones(x.shape[-1], np.float32)
        return [Affine(at.name, -ones, 0 * ones)]


class ClipOf(_Unary):
    stands_for: ClassVar[tuple[str, ...]] = ("ops.Clip", "tf.clip_by_value")

    x_min: Real = _named("x_min", "clip_value_min")
    x_max: Real = _named("x_max", "clip_value_max")

    def layers(self, at: Placement, x: SymbolicTensor) -> list[Layer]:
        if not self.x_min < self.x_max:
            raise Unsupported(f"clips to {self.x_min} … {self.x_max}: the first must be smaller")
        return [Clamp(at.name, self.x_min, self.x_max)]


class ReshapeOf(_Unary):
    """To a shape that begins with the batch."""

    stands_for: ClassVar[tuple[str, ...]] = ("ops.Reshape", "tf.reshape")

    newshape: list[int | None] = _named("newshape", "shape")

    def layers(self, at: Placement, x: SymbolicTensor) -> list[Layer]:
        if len(self.newshape) < 2 or self.newshape[0] not in (-1, None):
            raise Unsupported(f"the new shape {self.newshape} must begin with -1, for the batch, and go on")
        target = [-1 if extent is None else extent for extent in self.newshape[1:]]
        return ReshapeLayer.model_validate({"target_shape": target}).layers(at.name, x.shape, {})


class MeanOf(_Unary):
    stands_for: ClassVar[tuple[str, ...]] = ("ops.Mean", "ops.Average", "tf.math.reduce_mean")

    axis: Axis = None
    keepdims: bool = False

    def layers(self, at: Placement, x: SymbolicTensor) -> list[Layer]:
        axes = self.axis if isinstance(self.axis, list) else []
        if len(x.shape) != 3 or {axis % 4 for axis in axes} != {1, 2}:
            raise Unsupported(
                f"axis={self.axis}: only the mean over rows and columns of an image, [1, 2], is supported"
            )
        return [GlobalAverage(at.name, self.keepdims)]


class Unchanged(_Unary):
    stands_for: ClassVar[tuple[str, ...]] = ("ops.Copy", "ops.StopGradient", "tf.identity", "tf.stop_gradient")

    def layers(self, at: Placement, x: SymbolicTensor) -> list[Layer]:
        return [Identity(at.name)]


class CastOf(_Unary):
    """To another type of real numbers: the numbers stay."""

    stands_for: ClassVar[tuple[str, ...]] = ("ops.Cast", "tf.cast")

    dtype: Floating

    def layers(self, at: Placement, x: SymbolicTensor) -> list[Layer]:
        return [Identity(at.name)]


OPERATIONS: dict[str, type[KerasOptions]] = by_class(
    *(Addition, Subtraction, Multiplication, Division, MaximumOf, MinimumOf, SumOf, Concatenation),
    *(FunctionOf, SoftmaxOf, NegativeOf, ClipOf, ReshapeOf, MeanOf, Unchanged, CastOf),
)
