"""Random matrices for the adder solver, and what they should give: integers only, by NumPy's own products."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from rtl_lib.core.formats import Format
from rtl_lib.matrix.parallel.adder_graph import AdderGraph
from rtl_lib.matrix.parallel.adder_solver import solve
from rtl_lib.matrix.parallel.adder_values import Interval

MOST_INPUTS = 1 << 12  # of a space that is searched whole


@dataclass(frozen=True)
class Problem:
    """``(x @ weights + bias) * multipliers + offsets`` for inputs from their intervals."""

    weights: np.ndarray
    intervals: list[Interval]
    bias: np.ndarray
    multipliers: np.ndarray
    offsets: np.ndarray

    def expected(self, x: np.ndarray) -> np.ndarray:
        return (x.astype(np.int64) @ self.weights + self.bias) * self.multipliers + self.offsets

    def solve(self, share: bool = True) -> AdderGraph:
        return solve(self.weights, self.intervals, self.bias, self.multipliers, self.offsets, share)

    @property
    def output_intervals(self) -> list[Interval]:
        """The intervals of the outputs, from what each input adds at its two ends."""
        factors = (self.weights * self.multipliers)[:, :, None] * np.array(self.intervals)[:, None, :]
        constants = self.expected(np.zeros(len(self.intervals), int))
        lows, highs = factors.min(axis=2).sum(axis=0) + constants, factors.max(axis=2).sum(axis=0) + constants
        return list(zip(lows.tolist(), highs.tolist(), strict=True))

    @property
    def formats(self) -> list[Format]:
        return [Format.containing(low, high) for low, high in self.intervals]

    def inputs(self, count: int = 24) -> np.ndarray:
        """The extremes of every output and of all inputs, and random ones; all there are when they are few."""
        low, high = np.array(self.intervals).T
        if np.prod(high - low + 1.0) <= MOST_INPUTS:
            return np.array(list(itertools.product(*(range(a, b + 1) for a, b in self.intervals))))
        rising = (self.weights * self.multipliers).T > 0
        anything = np.random.default_rng(0).integers(low, high + 1, (count, len(low)))
        either = np.where(np.random.default_rng(1).random((count, len(low))) < 0.5, low, high)
        return np.concatenate([[low, high], np.where(rising, high, low), np.where(rising, low, high), anything, either])

    def __repr__(self) -> str:
        arrays = (a.tolist() for a in (self.weights, self.bias, self.multipliers, self.offsets))
        return f"Problem({self.intervals}, {', '.join(map(str, arrays))})"


def interval(rng: np.random.Generator, kind: str) -> Interval:
    form = Format(False, int(rng.integers(1, 13)))
    a, b = sorted(rng.integers(0, form.maximum + 1, 2).tolist())
    match kind:
        case "bit":
            return 0, 1
        case "point":
            point = int(rng.choice([0, 3, -5, a, -a]))
            return point, point
        case "unsigned":
            return 0, form.maximum
        case "signed":
            return ~form.maximum, form.maximum
        case "above 0":
            return a + 1, b + 1
        case "below 0":
            return ~b, ~a
        case "across":
            return -a, b
    raise ValueError(kind)


KINDS = ["bit", "point", "unsigned", "signed", "above 0", "below 0", "across"]


@st.composite
def problems(draw: st.DrawFn, most_inputs: int = 7) -> Problem:
    inputs, outputs = draw(st.integers(1, most_inputs)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    kinds = draw(st.sampled_from([KINDS, *([kind] for kind in KINDS), ["bit", "unsigned"], ["bit", "signed"]]))
    largest = 2 ** draw(st.integers(0, 12))
    weights = rng.integers(-largest, largest + 1, (inputs, outputs))
    weights *= rng.random((inputs, outputs)) < draw(st.sampled_from([0.3, 0.7, 1.0]))
    match draw(st.sampled_from(["any", "any", "zero", "one power", "negative", "equal", "shifted"])):
        case "zero":
            weights[:] = 0
        case "one power":
            weights[:] = 0
            weights[-1, -1] = draw(st.sampled_from([1, -1])) * largest
        case "negative":
            weights[:, 0] = -abs(weights[:, 0])
        case "equal":
            weights[:] = weights[:, :1]
        case "shifted":
            weights[:] = weights[:, :1] * rng.choice([1, -1, 2, -4], outputs)

    def constants(most: int) -> np.ndarray:
        return rng.integers(-most, most + 1, outputs)

    return Problem(
        weights,
        [interval(rng, str(rng.choice(kinds))) for _ in range(inputs)],
        constants(largest) if draw(st.booleans()) else np.zeros(outputs, int),
        constants(draw(st.sampled_from([2, 8, 100]))) if draw(st.booleans()) else np.ones(outputs, int),
        constants(1 << draw(st.integers(0, 12))) if draw(st.booleans()) else np.zeros(outputs, int),
    )


def many_bits() -> st.SearchStrategy[Problem]:
    """One-bit inputs, more than a table accepts, among others."""

    def build(seed: int, inputs: int, wide: int, bits: int, biased: bool) -> Problem:
        rng = np.random.default_rng(seed)
        weights = rng.integers(-(1 << bits), (1 << bits) + 1, (inputs + wide, 2))
        bias = rng.integers(-50, 50, 2) * biased
        intervals = [(0, 1)] * inputs + [interval(rng, "signed") for _ in range(wide)]
        order = rng.permutation(inputs + wide)
        one, none = np.ones(2, int), np.zeros(2, int)
        return Problem(weights, [intervals[k] for k in order], bias, one, none)

    return st.builds(
        build, st.integers(0, 2**32), st.integers(2, 20), st.integers(0, 3), st.integers(0, 7), st.booleans()
    )


def every_value(graph: AdderGraph, x: np.ndarray) -> list[np.ndarray]:
    """Return the numbers of each value of a graph."""
    values: list[np.ndarray] = []
    for value in graph.values:
        values.append(value.evaluate(x.astype(np.int64), values))
    return values
