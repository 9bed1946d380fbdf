"""Estimate of the size of a parallel engine without solving its adder graph, which needs seconds.

An output is a sum of as many terms as its weights have digits other than 0. The solver saves a share of these additions
by finding what several outputs have in common; how large a share, and how many bits cross each bank of registers, is
estimated with coefficients that were fitted to solved graphs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rtl_lib.core.features import Features
from rtl_lib.core.formats import Format
from rtl_lib.matrix.parallel.adder_schedule import latency
from rtl_lib.matrix.parallel.engine import ParallelEngine, engine_features
from rtl_lib.matrix.parallel.signed_digits import canonical_signed_digits


@dataclass(frozen=True, eq=False)
class UnsolvedEngine(ParallelEngine):
    """A parallel engine, as far as it is known without its graph."""

    @cached_property
    def weights(self) -> np.ndarray:
        return self.matrix.weights * np.array([finish.multiplier for finish in self.finishes])

    @cached_property
    def digits(self) -> np.ndarray:
        """The number of digits of every output."""
        return np.count_nonzero(canonical_signed_digits(self.weights), axis=-1).sum(axis=0)

    @cached_property
    def intervals(self) -> list[tuple[int, int]]:
        """The intervals of every output after its multiplier."""
        numbers = zip(self.matrix.output_intervals, self.finishes, strict=True)
        ends = [[end * finish.multiplier + finish.offset for end in interval] for interval, finish in numbers]
        return [(min(both), max(both)) for both in ends]

    @property
    def unshared_luts(self) -> float:
        """One for each bit of each addition, about as wide as the mean of an input and the output."""
        widths = np.array([Format.containing(*interval).width for interval in self.intervals])
        additions = np.maximum(self.digits - 1, 0)
        return float((additions * (self.matrix.input_format.width + widths) / 2).sum())

    @property
    def depth(self) -> int:
        return int(max(self.digits.max(), 1) - 1).bit_length()

    @property
    def sharing_predictors(self) -> list[float]:
        """Logarithms, mostly, that the logarithm of the share that is left depends on."""
        nonzero, total = max(np.count_nonzero(self.weights), 1), max(self.digits.sum(), 1)
        inputs, outputs = self.weights.shape
        binary = np.count_nonzero(np.abs(self.weights) == 1) == self.weights.size
        sizes = [
            outputs,
            total / outputs,
            nonzero / (inputs * outputs),
            total / nonzero,
            self.matrix.input_format.width,
        ]
        return [1.0, *(float(np.log(size)) for size in sizes), float(binary)]

    def register_predictors(self, depth: int, levels_per_register: int) -> list[float]:
        """Return the predictors of the live register bits in all banks but the last, as multiples of the graph's LUTs:
        more in the first banks.
        """
        banks = latency(depth, levels_per_register) - 1
        left = 1 - np.minimum((np.arange(banks) + 1) * levels_per_register / (depth + 1), 1)
        return [float((left**power).sum()) / max(depth, 1) for power in range(3)]

    def features(self, levels_per_register: int, sharing: list[float], registers: list[float]) -> Features:
        """
        :param sharing, registers: the coefficients of the predictors.
        """
        luts = self.unshared_luts * float(np.exp(np.dot(self.sharing_predictors, sharing)))
        held = luts * float(np.dot(self.register_predictors(self.depth, levels_per_register), registers))
        banks = latency(self.depth, levels_per_register)
        return engine_features(self.requantize, self.finishes, self.intervals, banks, luts, luts / 4, held)
