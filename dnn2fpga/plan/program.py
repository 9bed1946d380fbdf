"""The integer program of the planner: one candidate per layer, solved exactly (HiGHS).

Beside the candidates, each layer has a variable for the cycle in which its part of the latency is over; it is not
before that of any layer that it reads, and the candidate's own cycles later. So the latency is the longest path's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from dnn2fpga.plan.candidates import Candidates

SLIGHTLY = 1e-6  # what a cycle of latency counts where only resources do


@dataclass(frozen=True, eq=False)
class Program:
    """The integer program that chooses among candidates.

    :param offered: at least one candidate of each layer.
    :param upstream: by layer, the nearest layers with candidates that it reads from.
    """

    offered: Sequence[Candidates]
    upstream: Mapping[str, Sequence[str]]

    def solve(
        self, prices: np.ndarray, left: np.ndarray, *, latency: float = np.inf, price_of_cycle: float = SLIGHTLY
    ) -> list[Candidates] | None:
        """The cheapest choice; None where none fits.

        :param prices: of one of each resource, in the order of ``COSTS``.
        :param left: of each resource, what may be used at most.
        :param latency: cycles of the longest path, at most.
        :param price_of_cycle: of the longest path.
        """
        if not self.offered:
            return []
        costs = np.concatenate([of_layer.costs for of_layer in self.offered])
        counts = [len(of_layer) for of_layer in self.offered]
        owner = np.repeat(np.arange(len(counts)), counts)
        one_each = (owner == np.arange(len(counts))[:, np.newaxis]).astype(float)
        ends = len(counts) + 1  # the end of each layer's part, and that of the longest path
        constraints = [
            LinearConstraint(np.hstack([one_each, np.zeros((len(counts), ends))]), 1, 1),
            LinearConstraint(np.hstack([costs.T, np.zeros((costs.shape[1], ends))]), -np.inf, left),
            LinearConstraint(self._paths(owner), 0, np.inf),
        ]
        goal = np.concatenate([costs @ prices, np.zeros(len(counts)), [price_of_cycle]])
        found = milp(
            goal,
            constraints=constraints,
            integrality=np.concatenate([np.ones(len(owner)), np.zeros(ends)]),
            bounds=Bounds(0, np.concatenate([np.ones(len(owner)), np.full(len(counts), np.inf), [latency]])),
        )
        if found.x is None:
            return None
        picked = np.flatnonzero(found.x[: len(owner)] > 0.5)
        starts = np.searchsorted(owner, np.arange(len(counts)))
        return [
            of_layer.only(np.array([k - start]))
            for of_layer, k, start in zip(self.offered, picked, starts, strict=True)
        ]

    def _paths(self, owner: np.ndarray) -> np.ndarray:
        """Rows that must not be negative: the end of a layer's part, less that of one before it, less its own cycles;
        and the end of the longest path, less that of every layer.
        """
        tails = np.concatenate([of_layer.tail for of_layer in self.offered])
        layers = {of_layer.layer: place for place, of_layer in enumerate(self.offered)}
        rows = []
        for name, place in layers.items():
            sources: Sequence[str | None] = self.upstream.get(name) or [None]
            for before in sources:
                row = np.zeros(len(owner) + len(layers) + 1)
                row[: len(owner)] = np.where(owner == place, -tails, 0)
                row[len(owner) + place] = 1
                if before is not None:
                    row[len(owner) + layers[before]] = -1
                rows.append(row)
            last = np.zeros(len(owner) + len(layers) + 1)
            last[-1], last[len(owner) + place] = 1, -1
            rows.append(last)
        return np.array(rows)
