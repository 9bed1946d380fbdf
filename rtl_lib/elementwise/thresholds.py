"""Thresholds: any step function that rises, one for each lane.

``y = low + (how many of the lane's thresholds are <= x)`` (docs/arithmetic.md). Thresholds are sorted, so this number
is found by bisection, one bit of it per stage. A stage has one comparison, and a read-only memory gives the next stage
the threshold that belongs to the bits found so far::

    i ─┬─ x >= middle ─▐ bit       ▌─┬─ x >= threshold ─▐ bits      ▌─ ... ─ x >= threshold, + low ─▐ result ▌─ o
       │          └────▐ threshold ▌─┘         └────────▐ threshold ▌─
       └───────────────▐ x         ▌────────────────────▐ x         ▌─

(To compare with all thresholds at once takes fewer registers, but more LUTs: for 15 thresholds of 20 bits 108, not 75
LUTs of six inputs, for 63 of them 325, not 143.)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from amaranth.hdl import Cat, Const, Module, Value
from amaranth.lib.memory import Memory

from rtl_lib.core.features import Features, Kind, pipeline_features
from rtl_lib.core.formats import Format
from rtl_lib.core.operator import Beatwise
from rtl_lib.core.pipeline import Pipeline, PipelineBuilder
from rtl_lib.core.stream import Beat
from rtl_lib.elementwise.lookup_table import different_share
from rtl_lib.elementwise.requantize import narrow

MOST = (1 << 16) - 1  # thresholds of a lane
CONSTANT_SHARE = 0.4  # of a comparison with a variable: what one with a constant costs


@dataclass(frozen=True)
class Bisection:
    """The thresholds of one lane that depend on its input, so many that they make a whole tree.

    :param base: the result for the lowest input, less the thresholds that only fill the tree.
    :param thresholds: ``2**levels - 1``, sorted; those that fill the tree come first, and always count.
    """

    base: int
    levels: int
    thresholds: tuple[int, ...]

    @classmethod
    def of(cls, low: int, thresholds: np.ndarray, input: Format) -> Bisection:
        always = int((thresholds <= input.minimum).sum())
        steps = thresholds[(thresholds > input.minimum) & (thresholds <= input.maximum)].tolist()
        levels = len(steps).bit_length()
        filling = (1 << levels) - 1 - len(steps)
        return cls(low + always - filling, levels, (*[input.minimum] * filling, *steps))

    def rows(self, level: int) -> list[int]:
        """The thresholds that a level may compare with; the bits of the levels before it are the index."""
        step = 1 << (self.levels - level)
        return list(self.thresholds[step // 2 - 1 :: step])


@dataclass(frozen=True, eq=False)
class Thresholds(Beatwise):
    """Counts how many thresholds each number reaches.

    :param thresholds: int64 ``[lanes, steps]``, each row sorted. One above all inputs never counts; equal ones count
        together.
    :param low: the result below all thresholds, one number for all lanes or one per lane.
    :raises OverflowError: where integers of 64 bits would not be exact.
    """

    input_format: Format
    output_format: Format
    thresholds: np.ndarray
    low: int | np.ndarray

    def __post_init__(self) -> None:
        if self.thresholds.ndim != 2 or not len(self.thresholds) or self.thresholds.shape[1] > MOST:
            raise ValueError(f"thresholds must be [lanes, up to {MOST} steps], not {list(self.thresholds.shape)}")
        if (self.thresholds[:, 1:] < self.thresholds[:, :-1]).any():
            raise ValueError("the thresholds of a lane must be sorted")
        if np.shape(self.low) not in ((), (self.lanes,)):
            raise ValueError(f"low must be one number, or one for each of the {self.lanes} lanes")
        if self.input_format.width > 62:
            raise OverflowError(f"an input of {self.input_format.width} bits does not fit 64-bit integers exactly")
        lowest, highest = (
            self._results(np.full(self.lanes, x)) for x in (self.input_format.minimum, self.input_format.maximum)
        )
        if not self.output_format.contains(int(lowest.min()), int(highest.max())):
            reach = f"{lowest.min()} … {highest.max()}"
            raise ValueError(f"the results {reach} must lie in the output format {self.output_format}")

    @property
    def lanes(self) -> int:
        return len(self.thresholds)

    @property
    def input_beats(self) -> tuple[Beat, ...]:
        return (Beat(self.input_format, self.lanes),)

    @property
    def output_beat(self) -> Beat:
        return Beat(self.output_format, self.lanes)

    @cached_property
    def bisections(self) -> list[Bisection]:
        """One for each lane."""
        lows = np.broadcast_to(np.asarray(self.low), (self.lanes,)).tolist()
        return [Bisection.of(low, row, self.input_format) for low, row in zip(lows, self.thresholds, strict=True)]

    @property
    def latency(self) -> int:
        """Registers: one for each step of the longest bisection."""
        return max(1, *(lane.levels for lane in self.bisections))

    @property
    def luts(self) -> float:
        """Predicted: a comparison for each step of a bisection, and its share of the memory."""
        return 1.3 * self.input_format.width * sum(lane.levels for lane in self.bisections)

    def compute(self, x: np.ndarray) -> np.ndarray:
        """``[..., lanes]`` → the same shape in the output format's dtype."""
        return self._results(x).astype(self.output_format.dtype)

    def _results(self, x: np.ndarray) -> np.ndarray:
        lanes = zip(np.moveaxis(x.astype(np.int64), -1, 0), self.thresholds, strict=True)
        counts = [np.searchsorted(thresholds, lane, side="right") for lane, thresholds in lanes]
        return np.stack(counts, axis=-1) + self.low

    def create(self) -> ThresholdsPipeline:
        return ThresholdsPipeline(self)


class ThresholdsPipeline(Pipeline):
    """The hardware of ``Thresholds``."""

    def __init__(self, spec: Thresholds) -> None:
        self.spec = spec
        super().__init__(spec.input_beat, spec.output_beat, spec.latency)

    def features(self) -> Features:
        bill = pipeline_features(self.latency)
        width, out = self.input_beat.format.width, self.output_beat.format.width
        for lane in self.spec.bisections:
            bill.add(Kind.REGISTER, out * (self.latency - max(lane.levels, 1) + 1))
            bill.add(Kind.CONSTANT_ADDER, out * (lane.base % (1 << lane.levels) != 0))
            for level in range(lane.levels):
                # With a constant, a LUT compares several bits.
                bill.add(Kind.COMPARATOR, width if level else CONSTANT_SHARE * width, width)
                if level:
                    rows = np.array(lane.rows(level))
                    bill.add(Kind.ROM, 1, len(rows), width, different_share(rows, width))
                    bill.add(Kind.REGISTER, width + level)
        return bill

    def datapath(self, m: Module, build: PipelineBuilder, lanes: list[Value]) -> list[Value]:
        results: list[Value] = []
        for k, (value, lane) in enumerate(zip(lanes, self.spec.bisections, strict=True)):
            result = self._bisected(m, build, value, lane, k)
            result = build.register(narrow(m, result, self.output_beat.format), f"result_{k}")
            for later in range(max(lane.levels, 1), self.latency):  # lanes of fewer steps wait for the others
                result = build.register(result, f"result_{k}_{later}")
            results.append(result)
        return results

    def _bisected(self, m: Module, build: PipelineBuilder, value: Value, lane: Bisection, k: int) -> Value:
        """The result of a lane, but for its last register."""
        form = self.input_beat.format
        bits: Value = Const(0, 0)
        for level in range(lane.levels):
            if not level:
                threshold: Value = Const(*lane.rows(level), form.shape)
            else:
                rows: list[Any] = lane.rows(level)
                memory = m.submodules[f"thresholds_{k}_{level}"] = Memory(shape=form.shape, depth=len(rows), init=rows)
                read = memory.read_port()
                m.d.comb += [read.addr.eq(bits), read.en.eq(build.advance)]
                threshold = read.data
                value, bits = build.register(value, f"value_{k}_{level}"), build.register(bits, f"bits_{k}_{level}")
            bits = Cat(value >= threshold, bits)
        return bits + lane.base
