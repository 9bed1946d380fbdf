"""Keras' layers that join several tensors."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from dnn2fpga.layers.concatenate import Concatenate
from dnn2fpga.layers.extremum import Extremum
from dnn2fpga.layers.pass_through import Identity
from dnn2fpga.layers.product import Product
from dnn2fpga.layers.weighted_sum import WeightedSum
from dnn2fpga.read.builder import SymbolicTensor
from dnn2fpga.read.keras_options import KerasOptions, Placement, by_class
from dnn2fpga.tensors.basics import Unsupported


def weighted_sum(at: Placement, weights: tuple[float, ...], *inputs: SymbolicTensor) -> SymbolicTensor:
    return at.builder.add(WeightedSum(at.name, weights), *inputs)


def extremum(at: Placement, maximum: bool, *inputs: SymbolicTensor) -> SymbolicTensor:
    return at.builder.add(Extremum(at.name, maximum), *inputs)


def product(at: Placement, *inputs: SymbolicTensor) -> SymbolicTensor:
    """Multiply two at a time, from the first on."""
    tensor, *others = inputs
    for k, other in enumerate(others, 2):
        name = at.name if k == len(inputs) else f"{at.name}_of_{k}"
        tensor = at.builder.add(Product(name), tensor, other)
    return tensor


def concatenation(at: Placement, axis: int, *inputs: SymbolicTensor) -> SymbolicTensor:
    """Concatenate along an axis that Keras counts with the batch, which is 0; negative ones count from the end."""
    rank = len(inputs[0].shape)
    if not -rank <= axis <= rank or axis == 0:
        raise Unsupported(
            f"axis={axis}: must be an axis of {inputs[0].shape}, which is counted from 1, or from -1 down"
        )
    return at.builder.add(Concatenate(at.name, axis - 1 if axis > 0 else axis + rank), *inputs)


class _Merge(KerasOptions):
    """A layer that joins a list of tensors; of one tensor it makes nothing else."""

    @abstractmethod
    def join(self, at: Placement, *inputs: SymbolicTensor) -> SymbolicTensor:
        """Join at least two."""

    def add(self, at: Placement, *inputs: SymbolicTensor) -> SymbolicTensor:
        return self.join(at, *inputs) if len(inputs) > 1 else at.builder.add(Identity(at.name), *inputs)


class AddLayer(_Merge):
    stands_for: ClassVar[tuple[str, ...]] = ("Add",)

    def join(self, at: Placement, *inputs: SymbolicTensor) -> SymbolicTensor:
        return weighted_sum(at, (1.0,) * len(inputs), *inputs)


class SubtractLayer(_Merge):
    stands_for: ClassVar[tuple[str, ...]] = ("Subtract",)

    def join(self, at: Placement, *inputs: SymbolicTensor) -> SymbolicTensor:
        return weighted_sum(at, (1.0, -1.0), *inputs)


class AverageLayer(_Merge):
    stands_for: ClassVar[tuple[str, ...]] = ("Average",)

    def join(self, at: Placement, *inputs: SymbolicTensor) -> SymbolicTensor:
        return weighted_sum(at, (1.0 / len(inputs),) * len(inputs), *inputs)


class MultiplyLayer(_Merge):
    stands_for: ClassVar[tuple[str, ...]] = ("Multiply",)

    def join(self, at: Placement, *inputs: SymbolicTensor) -> SymbolicTensor:
        return product(at, *inputs)


class MaximumLayer(_Merge):
    stands_for: ClassVar[tuple[str, ...]] = ("Maximum",)

    def join(self, at: Placement, *inputs: SymbolicTensor) -> SymbolicTensor:
        return extremum(at, True, *inputs)


class MinimumLayer(_Merge):
    stands_for: ClassVar[tuple[str, ...]] = ("Minimum",)

    def join(self, at: Placement, *inputs: SymbolicTensor) -> SymbolicTensor:
        return extremum(at, False, *inputs)


class ConcatenateLayer(_Merge):
    stands_for: ClassVar[tuple[str, ...]] = ("Concatenate",)

    axis: int = -1

    def join(self, at: Placement, *inputs: SymbolicTensor) -> SymbolicTensor:
        return concatenation(at, self.axis, *inputs)


MERGES = by_class(*(AddLayer, SubtractLayer, AverageLayer, MultiplyLayer, MaximumLayer, MinimumLayer, ConcatenateLayer))
