"""How the host makes integers of the real numbers that enter a model, where the source has a rule of its own."""

from __future__ import annotations

from typing import Self

import numpy as np

from dnn2fpga.exact.encoding import Encoding
from dnn2fpga.exact.rounding import RoundingMode
from dnn2fpga.files.described import Described
from dnn2fpga.tensors.tensor import Integer, Tensor, one_or_each
from rtl_lib.core import arithmetic
from rtl_lib.core.arithmetic import Overflow


class Conversion(Described):
    """``fit(round(x / scale) + zero_point)``.

    :param zero_point_first: ``round(x / scale + zero_point)`` instead.
    :param binary32: the division is one of float32.
    :param low, high: the range, one for all lanes or one per lane, where it is not that of the input's format.
    """

    rounding: RoundingMode = RoundingMode.HALF_UP
    overflow: Overflow = Overflow.SATURATE
    zero_point_first: bool = False
    binary32: bool = False
    low: Integer | tuple[Integer, ...] | None = None
    high: Integer | tuple[Integer, ...] | None = None

    def within(self, encoding: Encoding, tensor: Tensor) -> Self:
        """Return the same into the codes of an encoding (one entry per lane) of a tensor."""
        format = tensor.format
        if (encoding.low == format.minimum).all() and (encoding.high == format.maximum).all():
            return self
        ends = {name: one_or_each([int(end) for end in vars(encoding)[name]]) for name in ("low", "high")}
        return self.model_copy(update=ends)

    def problem(self, tensor: Tensor) -> str | None:
        """Return why it cannot be that of a tensor, if it cannot."""
        for name, value in (("low", self.low), ("high", self.high)):
            if isinstance(value, tuple) and len(value) != tensor.lanes:
                return f"{name} must be one number, or one for each of the {tensor.lanes} lanes"
        low, high = self._range(tensor)
        least, most = tensor.format.minimum, tensor.format.maximum
        if (low > high).any() or (low < least).any() or (high > most).any():
            return f"low and high must lie in the format {tensor.format}, in this order"
        return None

    def _range(self, tensor: Tensor) -> tuple[np.ndarray, np.ndarray]:
        format = tensor.format
        low = format.minimum if self.low is None else self.low
        return np.asarray(low), np.asarray(format.maximum if self.high is None else self.high)

    def codes(self, x: np.ndarray, tensor: Tensor) -> np.ndarray:
        """Return the integers of real numbers ``[samples, *shape]``."""
        kind = np.float32 if self.binary32 else np.float64
        beats = np.asarray(x, kind).reshape(-1, tensor.beats, tensor.lanes)
        levels = (beats / tensor.scales.astype(kind)).astype(np.float64)
        before, after = (tensor.zero_points, 0) if self.zero_point_first else (0, tensor.zero_points)
        low, high = self._range(tensor)
        codes = arithmetic.fit(_integers(self.rounding.round(levels + before)) + after, low, high, self.overflow)
        return np.asarray(codes).astype(tensor.format.dtype).reshape(np.shape(x))


def _integers(x: np.ndarray) -> np.ndarray:
    """As int64; what is far outside of every format stays outside."""
    return np.clip(x, -(2.0**52), 2.0**52).astype(np.int64)
