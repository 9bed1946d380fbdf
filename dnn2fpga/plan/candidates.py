"""The candidates for the engine of a layer: foldings and engines, their costs and their cycles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product as pairs
from typing import Any

import numpy as np

from dnn2fpga.plan.estimate.resources import (
    Resources,
    after_parallel_resources,
    estimate,
    folded_resources,
    parallel_resources,
)
from dnn2fpga.plan.layout import LayerLayout
from dnn2fpga.plan.settings import PlanSettings
from rtl_lib.core.operator import Operator
from rtl_lib.matrix.folded.multipliers import Multiplier
from rtl_lib.matrix.folded.sums import WeightMemory
from rtl_lib.matrix.matrix_product import Engine, MatrixProduct

COSTS = ("lut", "ff", "dsp", "bram18")
PARALLEL_TERMS = 60_000  # weights that are not 0; more make no adder graph in reasonable time
STEP = 0.03
BEST_GUESS = 0.6  # an adder graph may turn out as small as this part of what was guessed
REGISTERS_OF_A_FOLD = 6  # input, product, a tree register, sum, result, gathering


@dataclass(frozen=True, eq=False)
class Candidates:
    """The candidates of one layer; one row for each.

    :param options: what makes it, for ``LayerPlan``.
    :param slots: cycles per vector.
    :param cycles: cycles per frame, when it is never kept waiting.
    :param tail: cycles from the last input of a frame to its last output, roughly.
    :param costs: ``[candidates, 4]`` in the order of ``COSTS``.
    :param exact_parallel: returns the resources of the parallel engine once its adder graph is solved, which needs
        seconds; until then they are a rough estimate.
    """

    layer: str
    exact_parallel: Callable[[], Resources]
    options: list[dict[str, Any]]
    slots: np.ndarray
    cycles: np.ndarray
    tail: np.ndarray
    costs: np.ndarray
    is_guess: bool = True

    def __len__(self) -> int:
        return len(self.options)

    def only(self, kept: np.ndarray) -> Candidates:
        """Some of them: indices."""
        return replace(
            self,
            options=[self.options[k] for k in kept],
            slots=self.slots[kept],
            cycles=self.cycles[kept],
            tail=self.tail[kept],
            costs=self.costs[kept],
        )

    def within(self, interval: float) -> Candidates:
        return self.only(np.flatnonzero(self.cycles <= interval))

    @property
    def is_parallel(self) -> np.ndarray:
        return np.array([options["engine"] is Engine.PARALLEL for options in self.options])

    @property
    def may_be_wrong(self) -> bool:
        """Whether costs are only a guess."""
        return self.is_guess and bool(self.is_parallel.any())

    def with_exact_parallel(self) -> Candidates:
        return replace(self._with_parallel(costs_of(self.exact_parallel())), is_guess=False)

    def at_best(self) -> Candidates:
        """With the least that guesses may turn out to be."""
        return self._with_parallel(BEST_GUESS * self.costs) if self.may_be_wrong else self

    def _with_parallel(self, costs: np.ndarray) -> Candidates:
        return replace(self, costs=np.where(self.is_parallel[:, np.newaxis], costs, self.costs))

    def with_lost(self, cycles: int) -> Candidates:
        """Return the candidates when every folded engine loses ``cycles`` more per frame, between its vectors."""
        return replace(self, cycles=self.cycles + np.where(self.slots > 1, cycles, 0))

    def reused(self, factor: int) -> Candidates:
        """The one with most slots up to ``factor`` (or the fewest there are), and the cheapest of those."""
        allowed = np.flatnonzero(self.slots <= max(factor, self.slots.min()))
        most = allowed[self.slots[allowed] == self.slots[allowed].max()]
        return self.only(most[[np.argmin(self.costs[most] @ (1.0, 0.25, 200.0, 100.0))]])

    def undominated(self, with_tail: bool) -> Candidates:
        """Those than which no other is better in everything that counts; as good is what differs by less than a step.

        :param with_tail: whether the latency counts.
        """
        counting = np.column_stack([self.costs[:, [0, 2, 3]], *([self.tail] if with_tail else [])])
        table = np.ceil(np.log1p(counting) / np.log1p(STEP))
        order = np.lexsort([self.costs.sum(axis=1), *table.T[::-1]])
        kept: list[int] = []
        front = np.zeros((0, table.shape[1]))
        for k in order:
            if not (front <= table[k]).all(axis=1).any():
                kept.append(int(k))
                front = np.vstack([front, table[k]])
        return self.only(np.array(kept, dtype=int))


def costs_of(resources: Resources) -> np.ndarray:
    """Return numbers of resources in the order of ``COSTS``."""
    return np.array([getattr(resources, name) for name in COSTS], float)


@dataclass
class _Rows:
    options: list[dict[str, Any]] = field(default_factory=list)
    slots: list[np.ndarray] = field(default_factory=list)
    tail: list[np.ndarray] = field(default_factory=list)
    costs: list[np.ndarray] = field(default_factory=list)

    def add(self, options: list[dict[str, Any]], slots: np.ndarray, tail: np.ndarray, cost: Resources) -> None:
        self.options += options
        self.slots.append(slots)
        self.tail.append(tail)
        columns = [np.broadcast_to(getattr(cost, name), slots.shape) for name in COSTS]
        self.costs.append(np.column_stack(columns).astype(float))


def matrix_product_of(operators: Sequence[Operator]) -> MatrixProduct | None:
    """The operator of a layer that can be folded."""
    return next((operator for operator in operators if isinstance(operator, MatrixProduct)), None)


def candidates(product: MatrixProduct, layout: LayerLayout, pixels: int, settings: PlanSettings) -> Candidates:
    """Return every candidate that the settings of the layer leave open.

    :param pixels: that arrive in a beat; where a pixel is a vector the engine is replicated this many times.
    """
    layer = layout.layer
    chosen = settings.options(layer.name)
    levels = chosen.get("levels_per_register", 3)
    copies = pixels if product.beatwise else 1
    vectors = layout.wire.beats(layer.output)
    # The number of vectors that the last row of an image brings at once.
    burst = layout.wire.rows.beats_per_row if len(layer.output.shape) == 3 else 1
    rows = _Rows()
    if chosen.get("engine") is not Engine.FOLDED and np.count_nonzero(product.matrix.weights) <= PARALLEL_TERMS:
        one = np.ones(1, dtype=int)
        depth = np.ceil((np.log2(product.matrix.n_inputs) + 2) / levels)
        guess = parallel_resources(product, levels, settings.family) * copies
        rows.add([{"engine": Engine.PARALLEL}], one, one * (depth + burst), guess)
    if chosen.get("engine") is not Engine.PARALLEL:
        pe, simd = _foldings(product, chosen)
        turns, chunks = -(-product.matrix.n_outputs // pe), -(-(product.matrix.n_inputs // product.groups) // simd)
        for style in _styles(chosen, settings):
            made_of = style["multiplier"], style["weight_memory"]
            cost = folded_resources(product, pe, simd, *made_of, levels, settings.family)
            options = [
                {"engine": Engine.FOLDED, "pe": int(p), "simd": int(s), **style} for p, s in zip(pe, simd, strict=True)
            ]
            tail = REGISTERS_OF_A_FOLD + _tail(product, turns, chunks, burst)
            rows.add(options, turns * chunks, tail, cost * copies)
    slots = np.concatenate(rows.slots)
    return Candidates(
        layer=layer.name,
        exact_parallel=lambda: (
            (
                estimate(product.parallel.create(levels), settings.family)
                + after_parallel_resources(product, settings.family)
            )
            * copies
        ),
        options=rows.options,
        slots=slots,
        cycles=slots * vectors,
        tail=np.concatenate(rows.tail),
        costs=np.concatenate(rows.costs),
    )


def _tail(product: MatrixProduct, turns: np.ndarray, chunks: np.ndarray, burst: int) -> np.ndarray:
    """Cycles of work that are left when the last input has come."""
    if product.beatwise:
        return turns * chunks * burst
    beats = product.matrix.n_inputs // product.lanes
    return turns * chunks - chunks + -(-chunks // beats)


def _foldings(product: MatrixProduct, chosen: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """The useful pairs of PE and SIMD: those with one fewer would take a slot more."""
    inputs, outputs = product.matrix.n_inputs // product.groups, product.matrix.n_outputs
    pe = np.array([chosen["pe"]] if "pe" in chosen else _parts(outputs))
    simd = np.array([chosen["simd"]] if "simd" in chosen else _parts(inputs))
    if not product.beatwise and "simd" not in chosen:
        # A vector that arrives in parts is read in parts.
        simd = simd[(inputs % simd == 0) & ((product.lanes % simd == 0) | (simd % product.lanes == 0))]
    grid = np.meshgrid(pe, simd, indexing="ij")
    return grid[0].ravel(), grid[1].ravel()


def _parts(count: int) -> list[int]:
    return sorted({-(-count // k) for k in range(1, count + 1)})


def _styles(chosen: dict[str, Any], settings: PlanSettings) -> Iterator[dict[str, Any]]:
    multipliers = [chosen["multiplier"]] if "multiplier" in chosen else [Multiplier.DSP, Multiplier.LUT]
    memories = (
        [chosen["weight_memory"]] if "weight_memory" in chosen else [WeightMemory.BLOCK, WeightMemory.DISTRIBUTED]
    )
    for multiplier, memory in pairs(multipliers, memories):
        yield {"multiplier": settings.of_family(multiplier), "weight_memory": memory}
