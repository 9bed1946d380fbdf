"""Tensors one after the other along an axis. Nothing is computed: numbers keep their values, scales and zero points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from dnn2fpga.exact.accumulator import Codes
from dnn2fpga.exact.encoding import Encoding
from dnn2fpga.exact.lowered import Lowered, Moved
from dnn2fpga.layers.base import BuildableLayer
from dnn2fpga.layers.quantized import QuantizedLayer
from dnn2fpga.layers.registry import register
from dnn2fpga.quantize.operations import Operations, RealOperations, Wire, Wires
from dnn2fpga.quantize.scaling import Observed, QuantizationChoice
from dnn2fpga.quantize.settings import LayerSettings
from dnn2fpga.tensors.basics import Shape, Unsupported
from dnn2fpga.tensors.tensor import Tensor, one_or_each
from rtl_lib.core.operator import Operator
from rtl_lib.elementwise.concatenate import Axis, ConcatenateBeats, ConcatenateChannels, common_format


def concatenated_shape(axis: int, shapes: Sequence[Shape]) -> Shape:
    """The shape of a concatenation.

    :raises Unsupported: when there is none.
    """
    first = shapes[0]
    if not 0 <= axis < len(first):
        raise Unsupported(f"a concatenation of {list(first)} has no axis {axis}")
    if len({(*shape[:axis], 0, *shape[axis + 1 :]) for shape in shapes}) != 1:
        shown = ", ".join(str(list(shape)) for shape in shapes)
        raise Unsupported(f"a concatenation along axis {axis} needs inputs that differ only there, not {shown}")
    return (*first[:axis], sum(shape[axis] for shape in shapes), *first[axis + 1 :])


def concatenated(axis: int, inputs: Sequence[Tensor]) -> Tensor:
    """The tensor that a concatenation makes of its inputs: in the narrowest format that holds all of them.

    :raises ValueError: when there is none: what travels in one lane has one scale and one zero point.
    """
    shape = concatenated_shape(axis, [one.shape for one in inputs])
    format = common_format([one.format for one in inputs])
    if in_lanes_of_their_own(axis, inputs):
        lanes = sum(one.lanes for one in inputs)
        scale: Any = one_or_each([float(s) for one in inputs for s in one.scales])
        zero_point: Any = one_or_each([int(z) for one in inputs for z in one.zero_points])
    else:
        lanes, scale, zero_point = inputs[0].lanes, inputs[0].scale, inputs[0].zero_point
        if any((one.lanes, one.scale, one.zero_point) != (lanes, scale, zero_point) for one in inputs):
            raise ValueError("inputs that travel one after the other must have the same lanes, scale and zero point")
    return Tensor(
        shape=shape, lanes=lanes, signed=format.signed, width=format.width, scale=scale, zero_point=zero_point
    )


def in_lanes_of_their_own(axis: int, inputs: Sequence[Tensor]) -> bool:
    """Return whether the inputs are concatenated lane by lane in every beat; else they follow one after the other."""
    return axis == len(inputs[0].shape) - 1 and all(one.lanes == one.shape[-1] for one in inputs)


@register
class QuantizedConcatenate(QuantizedLayer):
    """Along ``axis``; channels travel in lanes of their own, rows and columns one after the other."""

    kind: ClassVar[str] = "concatenate"
    reads_several: ClassVar[bool] = True

    axis: int

    def operators(self, *inputs: Tensor) -> list[Operator]:
        if not self.output.numbers_like(concatenated(self.axis, inputs)):
            raise ValueError("a concatenation must keep the scales and zero points, in a format that holds all inputs")
        formats = tuple(one.format for one in inputs)
        if in_lanes_of_their_own(self.axis, inputs):
            return [ConcatenateChannels(input_formats=formats, lanes=tuple(one.lanes for one in inputs))]
        axis = Axis.ROWS if self.axis == 0 else Axis.COLUMNS
        sizes = tuple(self._size(one) for one in inputs)
        return [ConcatenateBeats(input_formats=formats, lanes=inputs[0].lanes, sizes=sizes, axis=axis)]

    def _size(self, input: Tensor) -> tuple[int, int]:
        """Rows and columns; what is no image has rows of as many beats as follow one another."""
        if len(input.shape) == 3 and input.lanes == input.shape[2]:
            return input.shape[0], input.shape[1]
        rows = math.prod(input.shape[: self.axis])
        return (input.beats, 1) if self.axis == 0 else (rows, input.beats // rows)

    def output_shape(self, *inputs: Tensor) -> Shape:
        return concatenated_shape(self.axis, [one.shape for one in inputs])


@dataclass(frozen=True, eq=False)
class Concatenate(BuildableLayer):
    """Tensors that differ at most in their extent along ``axis`` (of the shape without the batch, from 0)."""

    axis: int

    kind: ClassVar[str] = "concatenate"
    preserves_encoding: ClassVar[bool] = True

    def output_shape(self, *input_shapes: Shape) -> Shape:
        return concatenated_shape(self.axis, input_shapes)

    def needs_one_encoding(self, shapes: Sequence[Shape], in_beats: Sequence[bool]) -> bool:
        return self.axis < len(shapes[0]) - 1 or any(in_beats)

    def input_lanes(self, *inputs: Tensor) -> tuple[int, ...]:
        """Return the lanes of each input: whole vectors where the inputs share a beat, or where their scales differ;
        else beats of one size.
        """
        lanes = {one.lanes for one in inputs}
        last = self.axis == len(inputs[0].shape) - 1
        alike = len({(one.scale, one.zero_point) for one in inputs}) == 1 and isinstance(inputs[0].scale, float)
        if last and (len(inputs[0].shape) > 1 or not alike or all(one.lanes == one.shape[-1] for one in inputs)):
            return tuple(one.shape[-1] for one in inputs)
        return (math.gcd(*lanes),) * len(inputs)

    def channel_origins(self, output: Shape, *inputs: Shape) -> list[np.ndarray]:
        if self.axis < len(output) - 1:
            return super().channel_origins(output, *inputs)
        ends = np.cumsum([shape[-1] for shape in inputs])
        place = np.arange(output[-1])
        starts = ends - [shape[-1] for shape in inputs]
        return [np.where((s <= place) & (place < e), place - s, -1) for s, e in zip(starts, ends, strict=True)]

    def lowered(self, *inputs: Codes) -> Lowered:
        tensors, parts = [one.tensor for one in inputs], [one.encoding for one in inputs]
        output = concatenated(self.axis, tensors)
        if in_lanes_of_their_own(self.axis, tensors):
            encoding = Encoding(
                *(np.concatenate(values) for values in zip(*(vars(p).values() for p in parts), strict=True))
            )
        else:
            if any((one.scale != parts[0].scale).any() for one in parts):
                raise Unsupported("its inputs travel one after the other, with different scales")
            low, high = np.min([one.low for one in parts], axis=0), np.max([one.high for one in parts], axis=0)
            encoding = Encoding(parts[0].scale, parts[0].zero_point, low, high)
        return Moved(inputs, lambda name: QuantizedConcatenate(name=name, output=output, axis=self.axis), encoding)

    def choose(self, seen: Observed, settings: LayerSettings, *inputs: Tensor) -> QuantizationChoice:
        return QuantizationChoice(concatenated(self.axis, inputs))

    def quantize(self, choice: QuantizationChoice, settings: LayerSettings, *inputs: Tensor) -> QuantizedConcatenate:
        return QuantizedConcatenate(name=self.name, output=choice.output, axis=self.axis)

    def apply(self, ops: RealOperations, *x: Any) -> Any:
        return ops.concatenate(x, self.axis + 1)

    def forward_codes(self, ops: Operations, wires: Wires, parameters: dict[str, Any], *q: Any) -> Any:
        return self.apply(ops, *q)

    def carried_scales(self, ops: Operations, output: Tensor, *inputs: Wire) -> Any:
        if output.lanes < output.shape[-1] or self.axis < len(output.shape) - 1:
            return inputs[0].scales[:1]
        return ops.concatenate([wire.in_lanes(ops, wire.tensor.shape[-1]).scales for wire in inputs], 0)
