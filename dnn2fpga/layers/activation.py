"""Activations: clamps (ReLU and its kin) cost nothing before a requantization; the others are exact tables."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from dnn2fpga.exact.accumulator import Accumulator, Codes, Requantizer
from dnn2fpga.exact.lowered import Lowered, Sums
from dnn2fpga.exact.pieces import Bounds, Curve
from dnn2fpga.layers.base import BuildableLayer, OnSums
from dnn2fpga.layers.quantized import QuantizedLayer
from dnn2fpga.layers.registry import register
from dnn2fpga.layers.requantization import Requantized, requantization, requantized_fields
from dnn2fpga.quantize.operations import Operations, RealOperations, Wires
from dnn2fpga.quantize.ranges import Distribution, RangeMethod
from dnn2fpga.quantize.scaling import Observed, QuantizationChoice, activation_tensor, with_one_scale
from dnn2fpga.quantize.settings import LayerSettings
from dnn2fpga.task import Ending
from dnn2fpga.tensors.basics import Interval, Shape
from dnn2fpga.tensors.tensor import IntegerArray, Tensor
from rtl_lib.core.operator import Operator
from rtl_lib.elementwise.lookup_table import LookupTable

# The ranges of the tabulated activations.
TABLES = {"tanh": Interval(-1.0, 1.0), "sigmoid": Interval(0.0, 1.0)}


@register
class QuantizedClamp(Requantized):
    """A clamp that stands alone."""

    kind: ClassVar[str] = "clamp"

    def operators(self, input: Tensor) -> list[Operator]:
        return [self.requantize_input(input)]


def sums_of(input: Codes) -> Accumulator:
    """The numbers of a tensor of codes, for what follows sums."""

    def build(name: str, output: Tensor, last: Requantizer) -> QuantizedClamp:
        return QuantizedClamp(name=name, **requantized_fields(output, last))

    own = input.encoding
    interval, offset = (own.low, own.high), -own.scale * own.zero_point
    return Accumulator.of_line((input,), input.tensor.shape, interval, own.scale, offset, build, is_code=True)


@dataclass(frozen=True, eq=False)
class Clamp(OnSums, BuildableLayer):
    """``min(max(x, low), high)``: ReLU is (0, ∞), ReLU6 is (0, 6)."""

    low: float
    high: float

    kind: ClassVar[str] = "clamp"

    def output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def as_clamp(self) -> tuple[float, float]:
        return self.low, self.high

    @property
    def bounds(self) -> tuple[float, float]:
        return self.low, self.high

    def after_sums(self, sums: Accumulator) -> Lowered:
        low, high = (None if math.isinf(bound) else Fraction(bound) for bound in (self.low, self.high))
        return Sums(sums.then([Bounds(low, high)]))

    def choose(self, seen: Observed, settings: LayerSettings, input: Tensor) -> QuantizationChoice:
        return QuantizationChoice(activation_tensor(input.shape, input.lanes, seen, settings))

    def quantize(self, choice: QuantizationChoice, settings: LayerSettings, input: Tensor) -> QuantizedClamp:
        output = choice.output
        ratio, codes = input.scales / output.scales, input.extremes
        fields = requantization(output, ratio, self.as_clamp(), settings, codes, input.zero_points)
        return QuantizedClamp(name=self.name, **fields)

    def apply(self, ops: RealOperations, x: Any) -> Any:
        return ops.clip(x, self.low, self.high)

    def forward_codes(self, ops: Operations, wires: Wires, parameters: dict[str, Any], q: Any) -> Any:
        repeats = q.shape[-1] // wires.input.tensor.lanes
        source = wires.input
        levels = ops.reshape(q, (-1, repeats, source.tensor.lanes)) if repeats > 1 else q
        fitted = ops.requantize(
            levels - source.zero_points,
            source.scales / wires.output.scales,
            wires.output,
            self.as_clamp(),
            wires.settings,
        )
        return ops.reshape(fitted, (-1, *wires.output.tensor.shape))


@register
class QuantizedTable(QuantizedLayer):
    """``table``: one output integer for each input integer, from the format's minimum up; for all lanes, or ``[lanes,
    integers]``.
    """

    kind: ClassVar[str] = "table"

    function: str
    table: IntegerArray

    @property
    def ending(self) -> Ending:
        return {ending.value: ending for ending in Ending}.get(self.function, Ending.LINEAR)

    def operators(self, input: Tensor) -> list[Operator]:
        return [LookupTable(input.format, self.output.format, self.table, input.lanes)]


@dataclass(frozen=True, eq=False)
class Table(OnSums, BuildableLayer):
    """An activation function that is not a clamp."""

    function: str

    kind: ClassVar[str] = "table"
    fixed_range: ClassVar[bool] = True

    def output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def after_sums(self, sums: Accumulator) -> Lowered:
        """In float32, as sources compute it."""
        return Sums(sums.then([Curve(self.function, lambda x: self.compute(x.astype(np.float32)).astype(np.float64))]))

    def choose(self, seen: Observed, settings: LayerSettings, input: Tensor) -> QuantizationChoice:
        bounds = TABLES[self.function]
        # The function's bounds, not what was seen, so that every table of a width is the same.
        fixed = settings.model_copy(update={"calibration": RangeMethod.MIN_MAX})
        return QuantizationChoice(activation_tensor(input.shape, input.lanes, _Bounds(bounds), with_one_scale(fixed)))

    def quantize(self, choice: QuantizationChoice, settings: LayerSettings, input: Tensor) -> QuantizedTable:
        codes = np.arange(input.format.minimum, input.format.maximum + 1)
        x = (codes - input.zero_point) * input.uniform_scale
        one = choice.output.model_copy(update={"shape": (len(codes),), "lanes": 1})
        return QuantizedTable(
            name=self.name,
            output=choice.output,
            function=self.function,
            table=one.quantize(self.compute(x)[None])[0],
        )

    @property
    def bounds(self) -> tuple[float, float]:
        interval = TABLES[self.function]
        return interval.low, interval.high

    @property
    def ending(self) -> Ending:
        return Ending(self.function)

    @property
    def needs_uniform_scale(self) -> bool:
        return True

    def apply(self, ops: RealOperations, x: Any) -> Any:
        return ops.function(self.function, x)

    def forward_codes(self, ops: Operations, wires: Wires, parameters: dict[str, Any], q: Any) -> Any:
        table = self.quantize(QuantizationChoice(wires.output.tensor), wires.settings, wires.input.tensor).table
        return ops.lookup(self.function, q, wires, table)


@dataclass(frozen=True)
class _Bounds:
    """A function's range in place of observations."""

    interval: Interval
    channels: int = 1

    def whole(self) -> Distribution:
        return Distribution.of(np.array([self.interval.low, self.interval.high]))

    def channel(self, index: int) -> Distribution:
        return self.whole()
