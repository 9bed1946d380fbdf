"""Quantizer: where a source makes integers of real numbers. A graph with quantizers computes what its source computes;
`passes.to_integers` turns it into integers exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from dnn2fpga.exact.accumulator import Accumulator
from dnn2fpga.exact.encoding import Encoding
from dnn2fpga.exact.lowered import Lowered, Rounding
from dnn2fpga.exact.rules import IntegerRule, Rounded, Rule
from dnn2fpga.layers.activation import Clamp
from dnn2fpga.layers.base import Layer, OnSums
from dnn2fpga.tensors.basics import Shape, Unsupported

__all__ = ["IntegerRule", "Quantizer", "Rounded", "Rule"]


HALF_EVEN = Rounded()
SINGLE_BITS = 24  # of codes that float32 tells apart


@dataclass(frozen=True, eq=False)
class Quantizer(OnSums, Layer):
    """The numbers of a tensor, rounded to codes of a grid.

    :param encoding: of the codes; one entry for all channels (of the last axis), or one per channel.
    """

    encoding: Encoding
    rule: Rule = HALF_EVEN

    kind: ClassVar[str] = "quantizer"

    @property
    def keeps_ending(self) -> bool:
        return True

    def output_shape(self, input_shape: Shape) -> Shape:
        self.encoding.for_lanes(input_shape[-1])
        return input_shape

    def compute(self, x: np.ndarray) -> np.ndarray:
        codes = self.rule.codes(np.asarray(x, np.float64), self.encoding)
        reals = self.encoding.reals(codes)
        return reals if self.encoding.format.width > SINGLE_BITS else reals.astype(np.asarray(x).dtype)

    @property
    def never_decreases(self) -> bool:
        return self.rule.never_decreases

    def in_floating_point(self, low: float, high: float) -> Layer | None:
        if not self.rule.rounds:
            raise Unsupported(
                "counts thresholds, and does not only round numbers: without it the network computes something else; "
                "leave --requantize out"
            )
        if not self.never_decreases:
            return None
        ends = self.encoding.reals(np.stack(np.broadcast_arrays(self.encoding.low, self.encoding.high)))
        least, most, step = float(ends[0].min()), float(ends[1].max()), float(self.encoding.scale.max())
        # one step is part of the scale's choice: sigmoids are seldom given a code for 1
        return None if least - step <= low and high <= most + step else Clamp(self.name, least, most)

    def in_lanes(self, lanes: int) -> Quantizer | None:
        encoding, rule = self.encoding.in_lanes(lanes), self.rule.in_lanes(lanes)
        return None if encoding is None or rule is None else replace(self, encoding=encoding, rule=rule)

    def after_sums(self, sums: Accumulator) -> Lowered:
        return Rounding(sums, self.encoding, self.rule)
