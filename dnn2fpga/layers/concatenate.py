"""Tensors one after the other along an axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dnn2fpga.layers.base import Layer
from dnn2fpga.tensors.basics import Shape, Unsupported


@dataclass(frozen=True, eq=False)
class Concatenate(Layer):
    """Tensors that differ at most in their extent along ``axis`` (of the shape without the batch, from 0)."""

    axis: int

    kind: ClassVar[str] = "concatenate"

    def output_shape(self, *input_shapes: Shape) -> Shape:
        first, axis = input_shapes[0], self.axis
        if not 0 <= axis < len(first):
            raise Unsupported(f"a concatenation of {list(first)} has no axis {axis}")
        if len({(*shape[:axis], 0, *shape[axis + 1 :]) for shape in input_shapes}) != 1:
            shown = ", ".join(str(list(shape)) for shape in input_shapes)
            raise Unsupported(f"a concatenation along axis {axis} needs inputs that differ only there, not {shown}")
        return (*first[:axis], sum(shape[axis] for shape in input_shapes), *first[axis + 1 :])

    def compute(self, *x: np.ndarray) -> np.ndarray:
        return np.concatenate(x, axis=self.axis + 1)
