"""Products of two tensors; one of them may be a gate: one number per channel, for all pixels of an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.linear import UNLIMITED
from dnn2fpga.tensors.basics import Shape, Unsupported


@dataclass(frozen=True, eq=False)
class Product(Layer):
    """``clamp(x[0] * x[1])`` of two tensors of one shape, or of an image ``[rows, columns, channels]`` and a gate
    ``[1, 1, channels]`` or ``[channels]``, in any order.
    """

    clamp: tuple[float, float] = UNLIMITED

    kind: ClassVar[str] = "product"

    def output_shape(self, *input_shapes: Shape) -> Shape:
        if len(input_shapes) != 2:
            raise Unsupported(f"a product has two inputs, not {len(input_shapes)}; write it as products of two")
        one, other = input_shapes
        if one == other or is_gate_of(other, one):
            return one
        if is_gate_of(one, other):
            return other
        raise Unsupported(
            "a product needs inputs of one shape, or an image and one number per channel ([1, 1, channels]), not "
            f"{list(one)} and {list(other)}"
        )

    def compute(self, *x: np.ndarray) -> np.ndarray:
        shape = self.output_shape(*(values.shape[1:] for values in x))
        rank = len(shape)
        one, other = (v.reshape(len(v), *(1,) * (rank + 1 - v.ndim), *v.shape[1:]) for v in x)
        return np.clip(one * other, *self.clamp)


def is_gate_of(gate: Shape, image: Shape) -> bool:
    """Whether a tensor of shape ``gate`` holds one number per channel of an ``image`` of several pixels."""
    return len(image) == 3 and image[:2] != (1, 1) and gate in ((1, 1, image[-1]), image[-1:])
