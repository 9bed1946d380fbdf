"""Codes that count thresholds: signs, three levels, and whatever else a source finds by comparing."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from dnn2fpga.exact.encoding import Encoding
from dnn2fpga.layers.quantizer import Rule


@dataclass(frozen=True)
class Threshold:
    """Where a code begins: at ``bound``, or above it where not ``inclusive``."""

    bound: Fraction
    inclusive: bool = True


@dataclass(frozen=True)
class Thresholds(Rule):
    """The lowest code, plus the number of thresholds that a number reaches.

    :param thresholds: rising, as many as there are codes after the lowest; equal ones skip codes.
    """

    thresholds: tuple[Threshold, ...]

    def codes(self, x: np.ndarray, encoding: Encoding) -> np.ndarray:
        reached = [(x >= float(one.bound)) if one.inclusive else (x > float(one.bound)) for one in self.thresholds]
        return np.asarray(encoding.low + np.sum(reached, axis=0), np.float64)
