"""Sums of two tensors whose scales have no common step, or whose source rounds each of them first: one weighted sum of
the codes with the same result for every pair of codes, where there is one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dnn2fpga.exact.fit import LARGEST_MULTIPLIER_BITS, LARGEST_SHIFT
from dnn2fpga.exact.steps import Steps
from dnn2fpga.tensors.tensor import Tensor

MOST_PAIRS = 1 << 18  # every pair is looked at


@dataclass(frozen=True, eq=False)
class Pairs:
    """A sum of two tensors, as one table for each of them; no more than `MOST_PAIRS` entries times entries.

    :param inputs: the two tensors (`Codes`).
    :param first: the code to which the first entry of each table belongs.
    :param tables: int64 ``[codes, lanes]`` each: what a code adds to the sum.
    :param build: makes the layer, of ``multiplier [2, lanes]``, and of ``shift``, ``offset``, ``low`` and ``high`` of
        all lanes.
    """

    inputs: tuple[Any, ...]
    first: tuple[int, int]
    tables: tuple[np.ndarray, np.ndarray]
    build: Callable[[str, Tensor, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray], Any]

    def layer(self, name: str, output: Tensor, steps: tuple[Steps, ...]) -> Any | None:
        """Return the layer with the codes of a source's steps for every pair; None where there is none.

        :param steps: of every lane.
        """
        known: dict[tuple[bytes, int, int], tuple[int, ...] | None] = {}
        lanes = []
        for lane, own in enumerate(steps):
            left, right = (table[:, lane] for table in self.tables)
            codes = own.codes(left[:, None] + right[None, :])
            key = codes.tobytes() + left.tobytes() + right.tobytes(), own.least, own.most
            if key not in known:
                known[key] = self._line(left, right, codes, own)
            lanes.append(known[key])
        if any(lane is None for lane in lanes):
            return None
        m, n, shift, offset = (np.array(column, np.int64) for column in zip(*lanes, strict=True))  # type: ignore[arg-type]
        low, high = (np.array([vars(one)[end] for one in steps], np.int64) for end in ("least", "most"))
        return self.build(name, output, np.stack([m, n]), shift, offset, low, high)

    def _line(self, left: np.ndarray, right: np.ndarray, codes: np.ndarray, steps: Steps) -> tuple[int, ...] | None:
        """The smallest multipliers, shift and offset of a lane."""
        slope = (steps.last - steps.first) / max(steps.high - steps.low, 1)
        if len(steps.at) > 1:
            slope = (len(steps.at) - 1) / max(int(steps.at[-1] - steps.at[0]), 1)
        slope = -slope if steps.mirrored else slope
        ratios = [slope * (int(t[-1]) - int(t[0])) / max(len(t) - 1, 1) for t in (left, right)]
        a = self.first[0] + np.arange(len(left))[:, None]
        b = self.first[1] + np.arange(len(right))[None, :]
        reached, missed = codes > steps.least, codes < steps.most
        for shift in range(LARGEST_SHIFT):
            m, n = (round(ratio * 2**shift) for ratio in ratios)
            if max(abs(m), abs(n)).bit_length() > LARGEST_MULTIPLIER_BITS:
                return None
            rest = (codes << shift) - a * m - b * n
            low = int(rest.max(initial=-(2**62), where=reached))
            high = int(rest.min(initial=2**62, where=missed)) + (1 << shift) - 1
            if low <= high:
                return m, n, shift, (low if reached.any() else high if missed.any() else 0)
        return None
