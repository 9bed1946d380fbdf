"""Dense: a constant matrix for a vector that arrives in one beat, a folded one for a vector that arrives in many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from dnn2fpga.layers.integer_linear import Binary32Linear, QuantizedLinear
from dnn2fpga.layers.linear import Linear
from dnn2fpga.layers.registry import register
from dnn2fpga.quantize.operations import RealOperations
from dnn2fpga.tensors.basics import Shape
from dnn2fpga.tensors.tensor import Tensor
from rtl_lib.core.operator import Operator


@register
class QuantizedDense(QuantizedLinear):
    """``weights [inputs, outputs]``."""

    kind: ClassVar[str] = "dense"

    def operators(self, input: Tensor) -> list[Operator]:
        weights = self.checked_weights()
        if weights.ndim != 2 or weights.shape[0] != input.shape[-1]:
            raise ValueError(f"weights must be [{input.shape[-1]} inputs, outputs], not {weights.shape}")
        # Like Keras, on the last axis: of each beat, or of a vector in several beats.
        if input.shape[-1] != input.lanes and len(input.shape) != 1:
            raise ValueError(f"the {input.shape[-1]} channels must travel in one beat, not in {input.lanes} lanes")
        return self.product(weights, input)

    def output_shape(self, input: Tensor) -> Shape:
        return self.of_sources((*input.shape[:-1], self.weights.shape[1]))


@register
class Binary32Dense(Binary32Linear):
    """``weights [inputs, outputs]``; the terms in stream order."""

    kind: ClassVar[str] = "dense_binary32"

    def operators(self, input: Tensor) -> list[Operator]:
        whole_vector = len(input.shape) == 1 or input.shape[-1] == input.lanes
        if self.weights.ndim != 2 or self.weights.shape[0] != input.shape[-1] or not whole_vector:
            raise ValueError(f"weights must be [{input.shape[-1]} inputs, outputs], not {self.weights.shape}")
        return [self.matrix(input, input.lanes)]

    def output_shape(self, input: Tensor) -> Shape:
        return (*input.shape[:-1], self.weights.shape[1])


@dataclass(frozen=True, eq=False)
class Dense(Linear):
    """``x · weights + bias`` on the last axis."""

    kind: ClassVar[str] = "dense"
    quantized: ClassVar[type[QuantizedLinear]] = QuantizedDense
    binary32: ClassVar[type[Binary32Linear]] = Binary32Dense

    def output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.weights.shape[1])

    def product(self, ops: RealOperations, x: Any, weights: Any) -> Any:
        return ops.matmul(x, weights)
