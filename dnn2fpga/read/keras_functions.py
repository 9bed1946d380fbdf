"""Functions of one tensor."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Self

import numpy as np

from dnn2fpga.layers.activation import Clamp
from dnn2fpga.layers.affine import Affine
from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.pass_through import Identity, Softmax
from dnn2fpga.layers.pooling import GlobalAverage
from dnn2fpga.read.builder import SymbolicTensor
from dnn2fpga.read.keras_activations import FUNCTIONS
from dnn2fpga.read.keras_calls import Call
from dnn2fpga.read.keras_config import Serialized
from dnn2fpga.read.keras_layers import ReshapeLayer
from dnn2fpga.read.keras_operation import OneTensor, Operation, named
from dnn2fpga.read.keras_options import (
    Axis,
    Floating,
    Placement,
    Real,
    by_class,
    require_last_axis,
)
from dnn2fpga.tensors.basics import Unsupported


class _Unary(Operation):
    x: OneTensor = named("x", "features", "t", "tensor", "input_tensor", "input", "logits")

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

    x_min: Real = named("x_min", "clip_value_min")
    x_max: Real = named("x_max", "clip_value_max")

    def layers(self, at: Placement, x: SymbolicTensor) -> list[Layer]:
        if not self.x_min < self.x_max:
            raise Unsupported(f"clips to {self.x_min} … {self.x_max}: the first must be smaller")
        return [Clamp(at.name, self.x_min, self.x_max)]


class ReshapeOf(_Unary):
    """Reshape to a shape that begins with the batch."""

    stands_for: ClassVar[tuple[str, ...]] = ("ops.Reshape", "tf.reshape")

    newshape: list[int | None] = named("newshape", "shape")

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
    """Cast to another type of real numbers: the numbers stay."""

    stands_for: ClassVar[tuple[str, ...]] = ("ops.Cast", "tf.cast")

    dtype: Floating

    def layers(self, at: Placement, x: SymbolicTensor) -> list[Layer]:
        return [Identity(at.name)]


FUNCTIONS_OF_ONE: dict[str, type[Operation]] = by_class(
    FunctionOf, SoftmaxOf, NegativeOf, ClipOf, ReshapeOf, MeanOf, Unchanged, CastOf
)
