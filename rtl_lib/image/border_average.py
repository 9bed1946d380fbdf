"""Division of window sums by the number of pixels that lie in the frame (average pooling with padding).

``y = fit(round(x * multiplier[rows inside × columns inside] / 2**shift), low, high)``; the component counts its
beats to know the position.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Module, Mux, Signal, Value

from rtl_lib.core import arithmetic
from rtl_lib.core.arithmetic import Overflow, Rounding
from rtl_lib.core.features import Features, Kind, clamp_features, index_bits, pipeline_features
from rtl_lib.core.formats import Format, index_signal
from rtl_lib.core.operator import Operator
from rtl_lib.core.pipeline import Pipeline, PipelineBuilder
from rtl_lib.core.stream import Beat
from rtl_lib.elementwise.requantize import narrow
from rtl_lib.elementwise.term import adder_of, is_wires


@dataclass(frozen=True, eq=False)
class BorderAverage(Operator):
    """``multiplier [rows, columns]`` of the output positions, the same for all ``channels``."""

    input_format: Format
    output_format: Format
    channels: int
    multiplier: np.ndarray
    shift: int
    rounding: Rounding = Rounding.HALF_UP
    overflow: Overflow = Overflow.SATURATE

    def __post_init__(self) -> None:
        if self.input_format.width + int(self.multiplier.max()).bit_length() > 61:
            raise OverflowError("a product does not fit 64-bit integers exactly")

    @property
    def input_beats(self) -> tuple[Beat, ...]:
        return (Beat(self.input_format, self.channels),)

    @property
    def output_beat(self) -> Beat:
        return Beat(self.output_format, self.channels)

    def compute(self, x: np.ndarray) -> np.ndarray:
        """``[frames, rows * columns, channels]`` → the same shape."""
        y = arithmetic.requantize(
            x.astype(np.int64),
            self.multiplier.reshape(1, -1, 1),
            self.shift,
            0,
            self.output_format.minimum,
            self.output_format.maximum,
            self.rounding,
            self.overflow,
        )
        return y.astype(self.output_format.dtype)

    def create(self) -> Pipeline:
        return _BorderAverage(self)


class _BorderAverage(Pipeline):
    """Registers: sum and its multiplier; product; result."""

    def __init__(self, spec: BorderAverage) -> None:
        self.spec = spec
        super().__init__(spec.input_beat, spec.output_beat, latency=3)

    def features(self) -> Features:
        spec = self.spec
        bits, factor = spec.input_format.width, int(spec.multiplier.max()).bit_length()
        rows, columns = spec.multiplier.shape
        even = spec.rounding is Rounding.HALF_EVEN and spec.shift > 0
        half = spec.rounding is not Rounding.FLOOR and spec.shift > 0
        clamp = max(bits + factor - spec.shift, 1) + half
        bill = (
            pipeline_features(self.latency)
            .add(Kind.REGISTER, spec.channels * spec.output_format.width)
            .add(Kind.EVEN, spec.channels * (bits + factor) * even)
        )
        signed_sum, one_sided = half and spec.output_format.signed, not spec.input_format.signed
        limited = clamp_features(clamp, spec.output_format.width, signed_sum=signed_sum, one_sided=one_sided)
        bill += limited * spec.channels
        # What is the same everywhere asks for no position. Of a power of two synthesis keeps one bit, which gates.
        same = int(spec.multiplier.flat[0])
        if (spec.multiplier != same).any():
            bill.add(Kind.COUNTER, index_bits(rows) + index_bits(columns)).add(Kind.TABLE, factor, 8)
        elif is_wires(same):
            dropped = 0 if even else max(spec.shift - factor + 1 - half, 0)  # low bits that nobody reads
            read = spec.channels * max(bits - dropped, 1)
            rounds = adder_of(int(half), bits) * spec.channels
            return bill.add(Kind.REGISTER, 2 * read + 1).add(Kind.GATE, read) + rounds
        bill.add(Kind.PRODUCT, spec.channels, bits + (not spec.input_format.signed), factor + 1, bits + factor)
        return bill.add(Kind.OFFSET, spec.channels * clamp * half)

    def datapath(self, m: Module, build: PipelineBuilder, lanes: list[Value]) -> list[Value]:
        spec = self.spec
        rows, columns = spec.multiplier.shape
        row, column = index_signal(rows), index_signal(columns)
        last_column = column == columns - 1
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += column.eq(Mux(last_column, 0, column + 1))
            with m.If(last_column):
                m.d.sync += row.eq(Mux(row == rows - 1, 0, row + 1))
        of_rows = [_steps(column, [int(v) for v in line]) for line in spec.multiplier]
        keys = [tuple(line) for line in spec.multiplier.tolist()]
        multiplier = build.register(_steps(row, of_rows, keys), "multiplier")
        results = []
        for k, lane in enumerate(lanes):
            product = build.register(build.register(lane, f"sum_{k}") * multiplier, f"product_{k}")
            rounded = arithmetic.shift_right(product, spec.shift, spec.rounding)
            fitted = arithmetic.fit(rounded, spec.output_format.minimum, spec.output_format.maximum, spec.overflow)
            results.append(build.register(narrow(m, fitted, spec.output_format), f"result_{k}"))
        return results


def _steps(position: Signal, values: list, keys: list | None = None) -> Value:
    """``values[position]``, compared only where the value changes."""
    keys = values if keys is None else keys
    result = Value.cast(values[0])
    for k in range(1, len(values)):
        if keys[k] != keys[k - 1]:
            result = Mux(position >= k, values[k], result)
    return result
