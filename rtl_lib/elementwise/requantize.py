"""Requantize: from an accumulator's scale to the next tensor's, with the activation's clamp for free.

``y = fit(round((x * multiplier + offset) / 2**shift), low, high)`` lane by lane (docs/arithmetic.md). A multiplier
that is a power of two is wires; another one is written as a plain product, from which Vivado and yosys infer a DSP
block.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from amaranth.hdl import Module, Signal, Value

from rtl_lib.core import arithmetic
from rtl_lib.core.arithmetic import Overflow, Rounding
from rtl_lib.core.features import Features, Kind, pipeline_features
from rtl_lib.core.formats import Format
from rtl_lib.core.operator import Beatwise
from rtl_lib.core.pipeline import Pipeline, PipelineBuilder
from rtl_lib.core.stream import Beat


@dataclass(frozen=True, eq=False)
class Requantize(Beatwise):
    """Element-wise; ``multiplier``, ``shift`` and ``offset`` have one entry per lane (int64), the clamp ``low`` …
    ``high`` has one for all or one per lane.
    """

    input_format: Format
    output_format: Format
    multiplier: np.ndarray
    shift: np.ndarray
    offset: np.ndarray
    low: int | np.ndarray
    high: int | np.ndarray
    rounding: Rounding = Rounding.HALF_UP
    overflow: Overflow = Overflow.SATURATE

    def __post_init__(self) -> None:
        if not self.multiplier.shape == self.shift.shape == self.offset.shape == (self.lanes,):
            raise ValueError("multiplier, shift and offset must be vectors of the same length")
        if (self.shift < 0).any():
            raise ValueError("shift must not be negative; use a larger multiplier")
        low, high = int(self.clamp[0].min()), int(self.clamp[1].max())
        if not self.output_format.contains(low, high):
            raise ValueError(f"the clamp [{low}, {high}] must lie in the output format {self.output_format}")
        bits = self.input_format.width + max(abs(int(m)).bit_length() for m in self.multiplier)
        bits = max(bits, *(abs(int(o)).bit_length() for o in self.offset), int(self.shift.max())) + 1
        if bits > 62:
            raise OverflowError(f"a product of {bits} bits does not fit 64-bit integers exactly")

    @property
    def lanes(self) -> int:
        return len(self.multiplier)

    @property
    def input_beats(self) -> tuple[Beat, ...]:
        return (Beat(self.input_format, self.lanes),)

    @property
    def output_beat(self) -> Beat:
        return Beat(self.output_format, self.lanes)

    @cached_property
    def clamp(self) -> tuple[np.ndarray, np.ndarray]:
        """``low`` and ``high`` of every lane."""
        low, high = (np.broadcast_to(np.asarray(bound, np.int64), (self.lanes,)) for bound in (self.low, self.high))
        return low, high

    @cached_property
    def multiplies(self) -> bool:
        """True if any lane needs a real multiplication."""
        return bool((self.multiplier & (self.multiplier - 1)).any() or (self.multiplier < 0).any())

    @property
    def luts(self) -> float:
        """Predicted: a rounding increment and a clamp, each one for every result bit (products are DSP blocks)."""
        return 2 * self.output_beat.layout.size

    def compute(self, x: np.ndarray) -> np.ndarray:
        """``[..., lanes]`` → the same shape in the output format's dtype."""
        y = arithmetic.requantize(
            x.astype(np.int64),
            self.multiplier,
            self.shift,
            self.offset,
            self.low,
            self.high,
            self.rounding,
            self.overflow,
        )
        return y.astype(self.output_format.dtype)

    def create(self) -> RequantizePipeline:
        return RequantizePipeline(self)

    @property
    def latency(self) -> int:
        """Registers: [the product,] the result."""
        return 2 if self.multiplies else 1

    def datapath(self, m: Module, build: PipelineBuilder, lanes: list[Value]) -> list[Value]:
        """The results, ``latency`` registers after ``lanes``."""
        results = []
        for k, lane in enumerate(lanes):
            multiplier, shift = int(self.multiplier[k]), int(self.shift[k])
            product = _times(lane, multiplier)
            if self.multiplies:
                product = build.register(product, f"product_{k}")
            rounded = arithmetic.shift_right(product + int(self.offset[k]), shift, self.rounding)
            fitted = arithmetic.fit(rounded, int(self.clamp[0][k]), int(self.clamp[1][k]), self.overflow)
            results.append(build.register(narrow(m, fitted, self.output_format), f"result_{k}"))
        return results

    def datapath_features(self) -> Features:
        bill = Features().add(Kind.REGISTER, self.output_beat.layout.size)
        for multiplier, shift, offset in zip(self.multiplier, self.shift, self.offset, strict=True):
            bits = self.input_format.width + int(abs(multiplier)).bit_length() - 1
            if not (real := multiplier <= 0 or multiplier & (multiplier - 1)):
                bill.add(Kind.REGISTER, bits * self.multiplies)
            else:
                factor = int(abs(multiplier)).bit_length()
                bill.add(Kind.PRODUCT, 1, self.input_format.width, factor + 1, self.input_format.width + factor)
                bits += 1
            adds = bool(offset) or bool(shift and self.rounding is not Rounding.FLOOR)
            bill.add(Kind.OFFSET if real else Kind.CONSTANT_ADDER, (bits + 1) * adds)
            bill.add(Kind.EVEN, bits * (self.rounding is Rounding.HALF_EVEN and shift > 0))
            bill.add(
                Kind.CLAMP,
                1,
                max(bits + adds - int(shift), 1),
                self.output_format.width,
                adds and self.output_format.signed,
            )
        return bill


class RequantizePipeline(Pipeline):
    """Hardware of ``Requantize``."""

    def __init__(self, spec: Requantize) -> None:
        self.spec = spec
        super().__init__(spec.input_beat, spec.output_beat, spec.latency)

    def features(self) -> Features:
        return pipeline_features(self.latency) + self.spec.datapath_features()

    def datapath(self, m: Module, build: PipelineBuilder, lanes: list[Value]) -> list[Value]:
        return self.spec.datapath(m, build, lanes)


def _times(value: Value, constant: int) -> Value:
    """``value * constant``; a power of two as wires."""
    if constant > 0 and constant & (constant - 1) == 0:
        return value << (constant.bit_length() - 1)
    return value * constant


def narrow(m: Module, value: Value, format: Format) -> Signal:
    """``value``, known to lie in ``format``, as a signal of exactly that format."""
    result = Signal(format.shape)
    m.d.comb += result.eq(value)
    return result
