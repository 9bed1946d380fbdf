"""Products of two tensors; one of them may be a gate: one number per channel, for all pixels of an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from dnn2fpga.exact.accumulator import Accumulator, Codes, Requantizer
from dnn2fpga.exact.lowered import Lowered, Sums, require_narrow
from dnn2fpga.layers.joins import Join, in_pixels
from dnn2fpga.layers.registry import register
from dnn2fpga.layers.requantization import Requantized, requantization, requantized_fields
from dnn2fpga.quantize.operations import Operations, RealOperations, Wires
from dnn2fpga.quantize.scaling import QuantizationChoice
from dnn2fpga.quantize.settings import LayerSettings
from dnn2fpga.tensors.basics import Shape, Unsupported
from dnn2fpga.tensors.tensor import Tensor
from rtl_lib.core.operator import Operator
from rtl_lib.elementwise.product import GatedProduct
from rtl_lib.elementwise.product import Product as Multiplication


def product_shape(one: Shape, other: Shape) -> Shape:
    """The shape of a product.

    :raises Unsupported: when there is none.
    """
    if one == other or is_gate_of(other, one):
        return one
    raise Unsupported(
        "a product needs inputs of one shape, or an image and one number per channel ([1, 1, channels]), not "
        f"{list(one)} and {list(other)}"
    )


def is_gate_of(gate: Shape, image: Shape) -> bool:
    """Return whether a tensor of shape ``gate`` holds one number per channel of an ``image`` of several pixels."""
    return len(image) == 3 and image[:2] != (1, 1) and gate in ((1, 1, image[-1]), image[-1:])


@register
class QuantizedProduct(Requantized):
    """``(input[0] - its zero point) * (input[1] - its zero point)``, requantized. The second input may be a gate."""

    kind: ClassVar[str] = "product"
    reads_several: ClassVar[bool] = True

    def operators(self, *inputs: Tensor) -> list[Operator]:
        if len(inputs) != 2:
            raise ValueError(f"a product must have two inputs, not {len(inputs)}")
        if self.sources is not None:
            raise ValueError("a product must not have sources")
        one, other = inputs
        product_shape(one.shape, other.shape)
        if not one.lanes == other.lanes == self.output.lanes:
            raise ValueError(f"both inputs must have the {self.output.lanes} lanes of the output")
        fields = {
            **self.operator_fields,
            "input_formats": (one.format, other.format),
            "zero_point": np.stack([one.zero_points, other.zero_points]),
        }
        if one.shape == other.shape:
            return [Multiplication(**fields)]
        return [GatedProduct(**fields, size=(one.shape[0], one.shape[1]))]


@dataclass(frozen=True, eq=False)
class Product(Join):
    """``clamp(x[0] * x[1])`` of two tensors of one shape, or of an image ``[rows, columns, channels]`` and a gate
    ``[1, 1, channels]`` or ``[channels]``.
    """

    kind: ClassVar[str] = "product"

    def output_shape(self, *input_shapes: Shape) -> Shape:
        if len(input_shapes) != 2:
            raise Unsupported(f"a product has two inputs, not {len(input_shapes)}; write it as products of two")
        return product_shape(*(input_shapes[k] for k in self.input_order(*input_shapes)))

    def input_order(self, *input_shapes: Shape) -> tuple[int, ...]:
        """The gate comes last."""
        return (1, 0) if is_gate_of(*input_shapes) else (0, 1)

    def quantize(self, choice: QuantizationChoice, settings: LayerSettings, *inputs: Tensor) -> QuantizedProduct:
        one, other = inputs
        ratio = one.scales * other.scales / choice.output.scales
        levels = [[end - tensor.zero_points for end in tensor.extremes] for tensor in inputs]
        ends = [left * right for left in levels[0] for right in levels[1]]
        interval = (np.min(ends, axis=0), np.max(ends, axis=0))
        return QuantizedProduct(name=self.name, **requantization(choice.output, ratio, self.clamp, settings, interval))

    def lowered(self, *inputs: Codes) -> Lowered:
        one, other = (input.encoding for input in inputs)
        require_narrow(one.reach * other.reach)
        ends = [
            (left - one.zero_point) * (right - other.zero_point)
            for left in (one.low, one.high)
            for right in (other.low, other.high)
        ]
        interval = (np.min(ends, axis=0), np.max(ends, axis=0))
        scale = one.scale * other.scale

        def build(name: str, output: Tensor, last: Requantizer) -> QuantizedProduct:
            return QuantizedProduct(name=name, **requantized_fields(output, last))

        shape = self.output_shape(*(input.tensor.shape for input in inputs))
        return Sums(Accumulator.of_line(inputs, shape, interval, scale, 0 * scale, build, has_sources=False))

    def apply(self, ops: RealOperations, *x: Any) -> Any:
        one, gate = (x[k] for k in self.input_order(*(tuple(values.shape[1:]) for values in x)))
        return ops.clip(one * _for_all_pixels(ops, gate, one), *self.clamp)

    def forward_codes(self, ops: Operations, wires: Wires, parameters: dict[str, Any], *q: Any) -> Any:
        inputs, output = in_pixels(ops, wires)
        one, gate = (ops.float64(codes) - wire.zero_points for codes, wire in zip(q, inputs, strict=True))
        ratio = inputs[0].scales * inputs[1].scales / output.scales
        return ops.requantize(one * _for_all_pixels(ops, gate, one), ratio, output, self.clamp, wires.settings)


def _for_all_pixels(ops: RealOperations, gate: Any, image: Any) -> Any:
    """A gate in the shape of an image of one pixel; another tensor as it is."""
    if len(gate.shape) == len(image.shape):
        return gate
    return ops.reshape(gate, (-1, *(1,) * (len(image.shape) - len(gate.shape)), *gate.shape[1:]))
