"""What the integer model of a graph computes, by the names of the tensors of its source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dnn2fpga.graph.float import Graph
from dnn2fpga.passes.to_integers import Integers, to_integers
from dnn2fpga.read.settings import ReadSettings

FROM_A_CODE = 1 / 8  # steps, at most: what float32 leaves of a number that was one code
MOST_LEVELS = 2**21  # beyond, steps are finer than float32's


class IntegerModel:
    """The integers of a model that brings them, for some inputs.

    :param x: real inputs ``[frames, ...]``; by name where there are several.
    """

    def __init__(self, graph: Graph, x: Any, settings: ReadSettings | None = None) -> None:
        self.integers: Integers = to_integers(graph, (settings or ReadSettings()).input_encoding)
        model = self.integers.graph
        self.computed: dict[str, np.ndarray] = dict(model.boundaries(model.quantized(x)))

    def __contains__(self, source: str) -> bool:
        return self.integers.tensors.get(source) in self.computed

    @property
    def sources(self) -> Iterable[str]:
        """The tensors of the source whose numbers it has, the model's inputs included."""
        return [name for name in self.integers.tensors if name in self]

    def codes(self, source: str) -> np.ndarray:
        return self.computed[self.integers.tensors[source]]

    def reals(self, source: str) -> np.ndarray:
        """The real numbers that the codes mean, float64."""
        tensor = self.integers.graph.tensors[self.integers.tensors[source]]
        return np.asarray((self.codes(source) - tensor.zero_points) * tensor.scales)

    def levels(self, source: str, reals: np.ndarray) -> np.ndarray:
        """Real numbers as codes of a tensor, not rounded."""
        tensor = self.integers.graph.tensors[self.integers.tensors[source]]
        return np.asarray(reals.reshape(len(reals), *self.codes(source).shape[1:]) / tensor.scales + tensor.zero_points)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """An integer model beside what its source recorded.

    :param differing: by tensor of the source that holds multiples of a step: how many codes are others.
    :param numbers: of these tensors, in all.
    :param deviation: by tensor that the source has in floating point only (sums times a float scale): the largest
        difference, as part of the largest number.
    """

    differing: dict[str, int]
    numbers: int
    deviation: dict[str, float]


def compare(model: IntegerModel, recorded: Mapping[str, np.ndarray]) -> Comparison:
    """Compare every tensor that both have: as integers, where the source's float32 tells one code from the next.

    :param recorded: real numbers by tensor of the source; maybe of the first frames only.
    """
    differing, deviation, numbers = {}, {}, 0
    for name in (name for name in recorded if name in model):
        frames = len(recorded[name])
        levels, codes = model.levels(name, recorded[name].astype(np.float64)), model.codes(name)[:frames]
        nearest = np.rint(levels)
        if np.abs(levels - nearest).max() < FROM_A_CODE and np.abs(levels).max() < MOST_LEVELS:
            differing[name] = int((nearest != codes).sum())
            numbers += codes.size
        else:
            reals = model.reals(name)[:frames].reshape(recorded[name].shape)
            deviation[name] = float(np.abs(reals - recorded[name]).max() / np.abs(recorded[name]).max())
    return Comparison(differing=differing, numbers=numbers, deviation=deviation)
