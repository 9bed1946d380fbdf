"""Reductions of a window, channel by channel: the maximum (max-pooling) or the sum (average pooling)."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from amaranth.hdl import Module, Mux, Value

from rtl_lib.core.features import Features, Kind, pipeline_features
from rtl_lib.core.formats import Format
from rtl_lib.core.operator import Beatwise
from rtl_lib.core.pipeline import Pipeline, PipelineBuilder
from rtl_lib.core.stream import Beat


class Reduction(enum.Enum):
    MAXIMUM = "maximum"
    SUM = "sum"


@dataclass(frozen=True)
class WindowReduction(Beatwise):
    """``window_size`` pixels of ``channels`` lanes in, one pixel out; lanes ordered ``[position][channel]``."""

    input_format: Format
    channels: int
    window_size: int
    reduction: Reduction

    @cached_property
    def output_format(self) -> Format:
        if self.reduction is Reduction.MAXIMUM:
            return self.input_format
        f = self.input_format
        return Format.containing(f.minimum * self.window_size, f.maximum * self.window_size)

    @property
    def input_beats(self) -> tuple[Beat, ...]:
        return (Beat(self.input_format, self.channels * self.window_size),)

    @property
    def output_beat(self) -> Beat:
        return Beat(self.output_format, self.channels)

    def compute(self, x: np.ndarray) -> np.ndarray:
        """``[..., window_size * channels]`` → ``[..., channels]``."""
        values = x.reshape(*x.shape[:-1], self.window_size, self.channels)
        if self.reduction is Reduction.MAXIMUM:
            return values.max(axis=-2)
        return values.sum(axis=-2, dtype=np.int64)

    def create(self) -> WindowReductionPipeline:
        return WindowReductionPipeline(self)


class WindowReductionPipeline(Pipeline):
    """A balanced tree, a register every ``LEVELS_PER_REGISTER`` levels."""

    LEVELS_PER_REGISTER = 2

    def __init__(self, spec: WindowReduction) -> None:
        self.spec = spec
        levels = (spec.window_size - 1).bit_length()
        super().__init__(spec.input_beat, spec.output_beat, latency=max(1, -(-levels // self.LEVELS_PER_REGISTER)))

    def features(self) -> Features:
        spec = self.spec
        bill = pipeline_features(self.latency)
        values, bits, maximum = spec.window_size, spec.input_format.width, spec.reduction is Reduction.MAXIMUM
        for level in range(self.latency * self.LEVELS_PER_REGISTER):
            pairs = values // 2
            if maximum:
                bill.add(Kind.COMPARATOR, pairs * bits * spec.channels, bits).add(
                    Kind.GATE, pairs * bits * spec.channels
                )
            else:
                bill.add(Kind.WIDE_SUM, pairs * bits * spec.channels)
                bits += pairs > 0
            values -= pairs
            if level % self.LEVELS_PER_REGISTER:
                bill.add(Kind.REGISTER, values * min(bits, spec.output_format.width) * spec.channels)
        return bill

    def datapath(self, m: Module, build: PipelineBuilder, lanes: list[Value]) -> list[Value]:
        spec = self.spec
        rows = [lanes[c :: spec.channels] for c in range(spec.channels)]
        for _ in range(self.latency):
            for _ in range(self.LEVELS_PER_REGISTER):
                rows = [self._level(row) for row in rows]
            rows = [[build.register(value) for value in row] for row in rows]
        return [row[0] for row in rows]

    def _level(self, row: list[Value]) -> list[Value]:
        pairs = [self._join(a, b) for a, b in zip(row[::2], row[1::2], strict=False)]
        return pairs + (row[-1:] if len(row) % 2 else [])

    def _join(self, a: Value, b: Value) -> Value:
        if self.spec.reduction is Reduction.MAXIMUM:
            return Mux(a > b, a, b)
        return a + b
