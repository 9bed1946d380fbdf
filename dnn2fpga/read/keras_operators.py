"""Operators and functions that read two tensors or more, or a tensor and a constant."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
from pydantic import InstanceOf

from dnn2fpga.layers.activation import Clamp
from dnn2fpga.layers.affine import Affine
from dnn2fpga.layers.base import Layer
from dnn2fpga.read.builder import SymbolicTensor
from dnn2fpga.read.keras_calls import Input
from dnn2fpga.read.keras_joins import concatenation, extremum, product, weighted_sum
from dnn2fpga.read.keras_operation import Operand, Operation, named
from dnn2fpga.read.keras_options import (
    Placement,
    by_class,
)
from dnn2fpga.read.keras_scaling import per_channel
from dnn2fpga.tensors.basics import Unsupported


class _Binary(Operation):
    x1: Operand = named("x1", "x")
    x2: Operand = named("x2", "y")

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

    xs: list[InstanceOf[Input]] = named("xs", "values")
    axis: int = -1

    def add(self, at: Placement, *inputs: SymbolicTensor) -> SymbolicTensor:
        return concatenation(at, self.axis, *inputs)


OPERATORS = by_class(Addition, Subtraction, Multiplication, Division, MaximumOf, MinimumOf, SumOf, Concatenation)
