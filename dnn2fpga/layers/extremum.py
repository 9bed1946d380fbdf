"""The largest, or smallest, of several tensors, number by number."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import ClassVar

import numpy as np

from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.joins import require_one_shape
from dnn2fpga.tensors.basics import Shape


@dataclass(frozen=True, eq=False)
class Extremum(Layer):
    """``max(x[0], x[1], …)`` of tensors of one shape, or ``min`` where not ``maximum``."""

    maximum: bool

    kind: ClassVar[str] = "extremum"

    def output_shape(self, *input_shapes: Shape) -> Shape:
        return require_one_shape("a maximum" if self.maximum else "a minimum", input_shapes)

    def compute(self, *x: np.ndarray) -> np.ndarray:
        return reduce(np.maximum if self.maximum else np.minimum, x)
