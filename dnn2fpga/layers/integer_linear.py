"""Layers with weights as the hardware computes them: in integers, or in binary32 between integers."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from pydantic import Field, model_validator

from dnn2fpga.layers.requantization import Fitted, Requantized
from dnn2fpga.quantize.settings import Symmetry
from dnn2fpga.quantize.weight_sets import WeightSet, levels_of
from dnn2fpga.tensors.basics import Unsupported
from dnn2fpga.tensors.tensor import Binary32Array, IntegerArray, Tensor
from rtl_lib.binary32.matrix import Binary32Matrix
from rtl_lib.core.arithmetic import Overflow
from rtl_lib.core.formats import Format
from rtl_lib.core.operator import Operator
from rtl_lib.elementwise.requantize import Requantize
from rtl_lib.matrix.constant_matrix import ConstantMatrix
from rtl_lib.matrix.matrix_product import MatrixProduct

WIDEST = 16  # bits of a weight
_SMALL_SETS = ((WeightSet.BINARY, 1), (WeightSet.TERNARY, 2))


class QuantizedLinear(Requantized):
    """Integer weights of ``weight_set``, each stored in ``weight_width`` bits (asymmetric ones beside a zero point
    for each output, which is taken off here), and biases at the accumulator's scale.
    """

    weight_set: WeightSet = WeightSet.INTEGER
    weight_symmetry: Symmetry = Symmetry.SYMMETRIC
    weight_width: int = Field(ge=1, le=16)
    weights: IntegerArray
    bias: IntegerArray

    @property
    def weight_bits(self) -> int:
        biases = Format.containing(int(self.bias.min(initial=0)), int(self.bias.max(initial=0))).width
        asymmetric = self.weight_symmetry is Symmetry.ASYMMETRIC
        own = max(biases, self.weight_width) + asymmetric * self.weight_width
        return self.weights.size * self.weight_width + self.bias.size * own

    def product(self, weights: np.ndarray, input: Tensor, lanes: int | None = None, groups: int = 1) -> list[Operator]:
        """Vectors in beats of ``lanes`` numbers (default: the input's) × ``weights [inputs, outputs]``, requantized: by
        the engine, or after it where there are ``sources``.

        :param groups: of inputs and outputs that have nothing to do with one another (``matrix.folded.folding``).
        """
        matrix, lanes = ConstantMatrix(weights, self.bias, input.format), lanes or input.lanes
        requantize = self.requantize(matrix.output_beat)
        if requantize.read_lanes.changes_nothing:
            return [MatrixProduct(matrix, requantize, lanes, groups)]
        return [MatrixProduct(matrix, Requantize.handing_on(matrix.output_beat), lanes, groups), requantize]

    def checked_weights(self) -> np.ndarray:
        """The weights, once they are known to be of their set; raises ``ValueError``."""
        if self.weights.ndim < 2 or not self.weights.size:
            raise ValueError(f"weights must be a matrix, not of shape {self.weights.shape}")
        if self.weight_symmetry is Symmetry.ASYMMETRIC:
            channels = self.weights.reshape(-1, self.weights.shape[-1])
            span = np.maximum(channels.max(axis=0), 0) - np.minimum(channels.min(axis=0), 0)
            if span.max() >= 1 << self.weight_width:
                raise ValueError(f"the weights of an output must lie within 2^{self.weight_width} integers around 0")
        elif not levels_of(self.weight_set, self.weight_width).contain(self.weights):
            raise ValueError(f"weights must be of the set '{self.weight_set.value}' in {self.weight_width} bits")
        outputs = self.weights.shape[-1]
        lengths = dict.fromkeys(self.arrays, *self.of_sources((outputs,))) | {"bias": outputs}
        for name, array in self.arrays.items():
            if name != "weights" and array.shape != (lengths[name],):
                raise ValueError(f"{name} must have shape ({lengths[name]},), not {array.shape}")
        return self.weights


class Binary32Linear(Fitted):
    """``clamp(round(Σ (input - zero) · weights + bias) + zero_point, low, high)`` in IEEE binary32, term after term;
    weights and bias hold the scales of both ends.
    """

    weights: Binary32Array
    bias: Binary32Array
    zero: IntegerArray  # the input's zero point, one for all lanes or one a row of the weights

    @model_validator(mode="after")
    def _shapes_agree(self) -> Self:
        if self.weights.ndim < 2 or self.bias.shape != self.weights.shape[-1:]:
            raise ValueError(f"bias must have one entry an output, not shape {self.bias.shape}")
        return self

    @property
    def weight_width(self) -> int:
        return 32

    @property
    def weight_bits(self) -> int:
        return self.weight_width * (self.weights.size + self.bias.size)

    def matrix(self, input: Tensor, lanes: int) -> Binary32Matrix:
        """The product for beats of ``lanes`` numbers."""
        if self.zero.size not in (1, input.lanes) or lanes % self.zero.size:
            raise ValueError(f"zero must have one entry, or one for each of the {input.lanes} lanes")
        if self.output.lanes != self.bias.size:
            raise ValueError(f"output must have {self.bias.size} lanes, not {self.output.lanes}")
        if isinstance(self.low, tuple) or isinstance(self.high, tuple):
            raise ValueError("low and high must be one integer for all lanes")
        if self.arithmetic.overflow is Overflow.WRAP:
            raise ValueError("overflow 'wrap' is not supported in binary32; let this layer saturate")
        if isinstance(self.low, tuple) or isinstance(self.high, tuple):
            raise ValueError("a clamp with bounds for each channel is not supported in binary32; use scales per tensor")
        symmetric = self.arithmetic.overflow is Overflow.SATURATE_SYMMETRIC and self.low == -self.high - 1
        return Binary32Matrix(
            weights=self.weights.reshape(-1, self.weights.shape[-1]),
            bias=self.bias,
            input_format=input.format,
            lanes=lanes,
            input_zero_point=np.resize(self.zero, lanes),
            output_format=self.output.format,
            low=self.low + symmetric,
            high=self.high,
            output_zero_point=self.output.zero_points,
            rounding=self.arithmetic.rounding,
        )


def weight_fields(weights: np.ndarray) -> dict[str, Any]:
    """The smallest set that holds given integer weights, and its width.

    :raises Unsupported: when there is none.
    """
    low, high = int(weights.min(initial=0)), int(weights.max(initial=0))
    for weight_set, width in _SMALL_SETS:
        if levels_of(weight_set, width).contain(weights):
            return {"weight_set": weight_set, "weight_width": width}
    symmetric = Format.containing(-max(-low, high), max(-low, high)).width
    whole = max(Format.containing(min(low, -1), high).width, 2)
    if whole < symmetric and whole <= WIDEST:
        return {"weight_set": WeightSet.TWOS_COMPLEMENT, "weight_width": whole}
    if symmetric > WIDEST:
        raise Unsupported(
            f"its weights need {symmetric} bits beside the scales of its input's channels; at most {WIDEST}"
        )
    return {"weight_set": WeightSet.INTEGER, "weight_width": symmetric}
