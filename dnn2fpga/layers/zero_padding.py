"""Zeros around an image. A pass makes them part of the convolution or pooling after them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from dnn2fpga.layers.base import Layer
from dnn2fpga.tensors.basics import Shape
from rtl_lib.image.window_schedule import Padding


@dataclass(frozen=True, eq=False)
class ZeroPadding(Layer):
    """Rows and columns of zeros around ``[rows, columns, channels]``. Not supported in hardware by itself."""

    padding: Padding

    kind: ClassVar[str] = "zero_padding"

    def output_shape(self, input_shape: Shape) -> Shape:
        return (*self.padding.around(input_shape), input_shape[-1])

    def compute(self, x: np.ndarray) -> np.ndarray:
        pads = self.padding
        return np.pad(x, ((0, 0), (pads.top, pads.bottom), (pads.left, pads.right), (0, 0)))

    def as_padding(self) -> Padding:
        return self.padding

    def absorb_padding(self, padding: Padding, shape: Shape) -> ZeroPadding:
        return replace(self, padding=self.padding.plus(padding))
