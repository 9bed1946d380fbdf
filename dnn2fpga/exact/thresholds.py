"""Codes that count thresholds: signs, three levels, and whatever else a source finds by comparing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import ClassVar

import numpy as np

from dnn2fpga.exact.accumulator import Accumulator
from dnn2fpga.exact.encoding import Encoding, Lane
from dnn2fpga.exact.pieces import ExactPiece, Reach
from dnn2fpga.exact.rules import Rule
from dnn2fpga.exact.steps import Steps


@dataclass(frozen=True)
class Thresholds(Rule):
    """The lowest code, plus the number of thresholds that a number reaches.

    :param thresholds: what it takes to reach them, rising; as many as there are codes after the lowest. Two that are
        equal skip a code.
    """

    thresholds: tuple[Reach, ...]

    rounds: ClassVar[bool] = False

    def codes(self, x: np.ndarray, encoding: Encoding) -> np.ndarray:
        return np.asarray(encoding.low + self.counted(x), np.float64)

    def counted(self, x: np.ndarray) -> np.ndarray:
        """Return how many thresholds numbers reach."""
        reached = [(x >= float(one.bound)) if one.inclusive else (x > float(one.bound)) for one in self.thresholds]
        return np.asarray(np.sum(reached, axis=0))

    def steps(self, sums: Accumulator, encoding: Encoding) -> list[Steps]:
        if (exact := sums.exact_pieces) is None:
            return super().steps(sums, encoding)
        lanes = zip(exact, encoding.for_lanes(sums.lanes).lanes, sums.low.tolist(), sums.high.tolist(), strict=True)
        return [self.of_lane(*lane) for lane in lanes]

    def of_lane(self, pieces: tuple[ExactPiece, ...], lane: Lane, least: int, most: int) -> Steps:
        """Return the steps of one lane.

        :param least, most: the sums that can occur.
        """
        low = lane.low
        return Steps.of_pieces(
            pieces,
            code=lambda x: low + self._reached(x),
            reach=lambda code: self.thresholds[code - low - 1],
            low=least,
            high=most,
            ends=(low, low + len(self.thresholds)),
            unit=lane.scale,
        )

    def _reached(self, x: Fraction) -> int:
        return sum(x > one.bound or (one.inclusive and x == one.bound) for one in self.thresholds)


@dataclass(frozen=True)
class ThresholdsOfChannels(Rule):
    """`Thresholds` of its own for each channel, as many for all."""

    channels: tuple[Thresholds, ...]

    rounds: ClassVar[bool] = False

    def in_lanes(self, lanes: int) -> Rule | None:
        one = self.channels[:lanes]
        return replace(self, channels=one) if self.channels == one * (len(self.channels) // lanes) else None

    def codes(self, x: np.ndarray, encoding: Encoding) -> np.ndarray:
        counts = [one.counted(x[..., k]) for k, one in enumerate(self.channels)]
        return np.asarray(encoding.low + np.stack(counts, axis=-1), np.float64)

    def steps(self, sums: Accumulator, encoding: Encoding) -> list[Steps]:
        if (exact := sums.exact_pieces) is None:
            return super().steps(sums, encoding)
        lanes = zip(exact, encoding.for_lanes(sums.lanes).lanes, sums.low.tolist(), sums.high.tolist(), strict=True)
        return [one.of_lane(*lane) for one, lane in zip(self.channels, lanes, strict=True)]
