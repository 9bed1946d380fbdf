"""How the host makes integers of the real numbers that enter a model, where the source has a rule of its own."""

from __future__ import annotations

import numpy as np

from dnn2fpga.exact.rounding import RoundingMode
from dnn2fpga.files.described import Described
from dnn2fpga.tensors.tensor import Tensor
from rtl_lib.core import arithmetic
from rtl_lib.core.arithmetic import Overflow


class Conversion(Described):
    """``fit(round(x / scale) + zero_point)`` into the whole range of the input's format.

    :param zero_point_first: ``round(x / scale + zero_point)`` instead.
    :param binary32: the division is one of float32.
    """

    rounding: RoundingMode = RoundingMode.HALF_UP
    overflow: Overflow = Overflow.SATURATE
    zero_point_first: bool = False
    binary32: bool = False

    def codes(self, x: np.ndarray, tensor: Tensor) -> np.ndarray:
        """Return the integers of real numbers ``[samples, *shape]``."""
        kind = np.float32 if self.binary32 else np.float64
        beats = np.asarray(x, kind).reshape(-1, tensor.beats, tensor.lanes)
        levels = (beats / tensor.scales.astype(kind)).astype(np.float64)
        before, after = (tensor.zero_points, 0) if self.zero_point_first else (0, tensor.zero_points)
        low, high = tensor.format.minimum, tensor.format.maximum
        codes = arithmetic.fit(_integers(self.rounding.round(levels + before)) + after, low, high, self.overflow)
        return np.asarray(codes).astype(tensor.format.dtype).reshape(np.shape(x))


def _integers(x: np.ndarray) -> np.ndarray:
    """As int64; what is far outside of every format stays outside."""
    return np.clip(x, -(2.0**52), 2.0**52).astype(np.int64)
