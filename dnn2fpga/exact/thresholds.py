"""Codes that count thresholds: signs, three levels, and whatever else a source finds by comparing."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from dnn2fpga.exact.accumulator import Accumulator
from dnn2fpga.exact.encoding import Encoding
from dnn2fpga.exact.pieces import Reach
from dnn2fpga.exact.rules import Rule
from dnn2fpga.exact.steps import Steps
from dnn2fpga.tensors.basics import Unsupported
from dnn2fpga.tensors.conversion import Conversion


@dataclass(frozen=True)
class Thresholds(Rule):
    """The lowest code, plus the number of thresholds that a number reaches.

    :param thresholds: what it takes to reach them, rising; as many as there are codes after the lowest. Two that are
        equal skip a code.
    """

    thresholds: tuple[Reach, ...]

    def codes(self, x: np.ndarray, encoding: Encoding) -> np.ndarray:
        reached = [(x >= float(one.bound)) if one.inclusive else (x > float(one.bound)) for one in self.thresholds]
        return np.asarray(encoding.low + np.sum(reached, axis=0), np.float64)

    @property
    def conversion(self) -> Conversion:
        raise Unsupported("an input of the model must be rounded, not compared with thresholds")

    def steps(self, sums: Accumulator, encoding: Encoding) -> list[Steps]:
        if not all(piece.is_exact for pieces in sums.pieces for piece in pieces):
            return super().steps(sums, encoding)
        lows = encoding.for_lanes(sums.lanes).low
        return [self._of_lane(sums, k, int(low)) for k, low in enumerate(lows)]

    def _of_lane(self, sums: Accumulator, lane: int, low: int) -> Steps:
        return Steps.of_pieces(
            sums.pieces[lane],
            code=lambda x: low + self._reached(x),
            reach=lambda code: self.thresholds[code - low - 1],
            low=int(sums.low[lane]),
            high=int(sums.high[lane]),
            ends=(low, low + len(self.thresholds)),
        )

    def _reached(self, x: Fraction) -> int:
        return sum(x > one.bound or (one.inclusive and x == one.bound) for one in self.thresholds)
