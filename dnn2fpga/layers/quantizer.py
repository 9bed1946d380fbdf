"""Quantizer: where a source makes integers of real numbers. A graph with quantizers computes what its source computes;
`passes.to_integers` turns it into integers exactly.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dnn2fpga.exact.encoding import Encoding
from dnn2fpga.exact.rationals import floats
from dnn2fpga.exact.rounding import RoundingMode
from dnn2fpga.layers.base import Layer
from dnn2fpga.tensors.basics import Shape
from rtl_lib.core import arithmetic
from rtl_lib.core.arithmetic import Overflow


class Rule(ABC):
    """How a real number becomes a code."""

    @abstractmethod
    def codes(self, x: np.ndarray, encoding: Encoding) -> np.ndarray:
        """Return the codes (float64) of real numbers ``[..., channels]``, computed in float64."""


@dataclass(frozen=True)
class Rounded(Rule):
    """``fit(round(x / scale) + zero_point, low, high)``.

    :param overflow: what becomes of codes outside of ``low`` … ``high``; with `Overflow.WRAP` these bounds are those
        of a two's-complement or unsigned number.
    :param zero_point_first: ``round(x / scale + zero_point)`` instead (QONNX).
    :param binary32: where this converts an input of the model, whether the source divides in float32 (and the host
        must do so, too).
    """

    rounding: RoundingMode = RoundingMode.HALF_EVEN
    overflow: Overflow = Overflow.SATURATE
    zero_point_first: bool = False
    binary32: bool = False

    def codes(self, x: np.ndarray, encoding: Encoding) -> np.ndarray:
        kind = np.float32 if self.binary32 else np.float64
        levels = (np.asarray(x, kind) / floats(encoding.scale).astype(kind)).astype(np.float64)
        before, after = (encoding.zero_point, 0) if self.zero_point_first else (0, encoding.zero_point)
        codes = self.rounding.round(levels + before) + after
        if self.overflow is Overflow.WRAP:
            return encoding.low + np.mod(codes - encoding.low, encoding.high - encoding.low + 1)
        return np.asarray(arithmetic.fit(codes, encoding.low, encoding.high, self.overflow))


@dataclass(frozen=True, eq=False)
class IntegerRule(Rule):
    """A function of the source's own accumulators: ``code = function(x / unit)``, where ``x / unit`` is an integer.

    :param unit: exact, ``[1]`` or ``[channels]``: the scale of the accumulators.
    :param function: from int64 ``[..., channels]`` to codes; it never decreases.
    """

    unit: np.ndarray
    function: Callable[[np.ndarray], np.ndarray]

    def codes(self, x: np.ndarray, encoding: Encoding) -> np.ndarray:
        return self.function(np.rint(np.asarray(x, np.float64) / floats(self.unit)).astype(np.int64))


@dataclass(frozen=True, eq=False)
class Quantizer(Layer):
    """The numbers of a tensor, rounded to codes of a grid.

    :param encoding: of the codes; one entry for all channels (of the last axis), or one per channel.
    """

    encoding: Encoding
    rule: Rule = Rounded()

    kind: ClassVar[str] = "quantizer"

    def output_shape(self, input_shape: Shape) -> Shape:
        self.encoding.for_lanes(input_shape[-1])
        return input_shape

    def compute(self, x: np.ndarray) -> np.ndarray:
        codes = self.rule.codes(np.asarray(x, np.float64), self.encoding)
        return self.encoding.reals(codes).astype(np.asarray(x).dtype)
