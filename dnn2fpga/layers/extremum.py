"""The largest, or smallest, of several tensors, number by number."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from typing import Any, ClassVar

import numpy as np

from dnn2fpga.exact.accumulator import Accumulator, Codes, Requantizer
from dnn2fpga.exact.lowered import Lowered, Sums, aligned
from dnn2fpga.layers.joins import Aligned, Join, alignment, in_pixels, require_one_shape
from dnn2fpga.layers.registry import register
from dnn2fpga.layers.requantization import requantized_fields
from dnn2fpga.quantize.operations import Operations, RealOperations, Wires
from dnn2fpga.quantize.scaling import QuantizationChoice
from dnn2fpga.quantize.settings import LayerSettings
from dnn2fpga.tensors.basics import Shape, Unsupported
from dnn2fpga.tensors.tensor import Tensor
from rtl_lib.core.operator import Operator
from rtl_lib.elementwise.extremum import Extremum as Comparison
from rtl_lib.elementwise.extremum import Order


@register
class QuantizedExtremum(Aligned):
    """``clamp(round(max over k of (input[k] * multiplier[k] + offset[k]) / 2**shift), low, high)``, or ``min``:
    ``multiplier [inputs, lanes]``, ``shift [lanes]``, ``offset [inputs, lanes]``.
    """

    kind: ClassVar[str] = "extremum"

    order: Order

    def operators(self, *inputs: Tensor) -> list[Operator]:
        return [Comparison(**self.aligning_fields(inputs), order=self.order)]


@dataclass(frozen=True, eq=False)
class Extremum(Join):
    """``clamp(max(x[0], x[1], …))`` of tensors of one shape, or ``min`` where not ``maximum``."""

    maximum: bool

    kind: ClassVar[str] = "extremum"

    def output_shape(self, *input_shapes: Shape) -> Shape:
        return require_one_shape("a maximum" if self.maximum else "a minimum", input_shapes)

    def quantize(self, choice: QuantizationChoice, settings: LayerSettings, *inputs: Tensor) -> QuantizedExtremum:
        output = choice.output
        fields = alignment(output, np.stack([one.scales / output.scales for one in inputs]), self.clamp, settings)
        zero = np.stack([one.zero_points for one in inputs]) * fields["multiplier"]
        return QuantizedExtremum(
            name=self.name,
            order=Order.MAXIMUM if self.maximum else Order.MINIMUM,
            offset=(output.zero_points << fields["shift"]) - zero,
            **fields,
        )

    def lowered(self, *inputs: Codes) -> Lowered:
        multiplier, scale = aligned(inputs, np.array([Fraction(1)] * len(inputs), object))
        zero = np.stack([one.encoding.zero_point for one in inputs]) * multiplier
        pick = np.max if self.maximum else np.min
        low, high = (
            pick(np.stack(codes) * multiplier - zero, axis=0)
            for codes in zip(*((one.encoding.low, one.encoding.high) for one in inputs), strict=True)
        )

        def build(name: str, output: Tensor, last: Requantizer) -> QuantizedExtremum:
            if (last.multiplier < 0).any():
                raise Unsupported("an extremum with a falling function after it is not exact")
            fields = requantized_fields(output, last)
            merged = {"multiplier": multiplier * last.multiplier, "offset": last.offset - zero * last.multiplier}
            order = Order.MAXIMUM if self.maximum else Order.MINIMUM
            return QuantizedExtremum(name=name, order=order, **{**fields, **merged})

        shape = self.output_shape(*(one.tensor.shape for one in inputs))
        sums = Accumulator.of_line(
            inputs, shape, (low, high), scale, 0 * scale, build, has_two_lines=False, has_sources=False
        )
        return Sums(sums)

    def apply(self, ops: RealOperations, *x: Any) -> Any:
        return ops.clip(reduce(ops.maximum if self.maximum else ops.minimum, x), *self.clamp)

    def forward_codes(self, ops: Operations, wires: Wires, parameters: dict[str, Any], *q: Any) -> Any:
        inputs, output = in_pixels(ops, wires)
        multipliers, _ = ops.multipliers([wire.scales / output.scales for wire in inputs])
        aligned = [
            (ops.float64(codes) - wire.zero_points) * multiplier
            for codes, wire, multiplier in zip(q, inputs, multipliers, strict=True)
        ]
        return ops.fit(
            reduce(ops.maximum if self.maximum else ops.minimum, aligned), output, self.clamp, wires.settings
        )
