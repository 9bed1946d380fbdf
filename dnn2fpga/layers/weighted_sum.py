"""Weighted sums of tensors: addition, subtraction, average."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from dnn2fpga.exact.accumulator import Accumulator, Codes, Requantizer
from dnn2fpga.exact.lowered import Lowered, Sums, aligned
from dnn2fpga.exact.pairs import MOST_PAIRS, Pairs
from dnn2fpga.layers.base import AffineMap
from dnn2fpga.layers.joins import Aligned, Join, alignment, in_pixels, require_one_shape
from dnn2fpga.layers.linear import UNLIMITED
from dnn2fpga.layers.registry import register
from dnn2fpga.layers.requantization import requantized_fields
from dnn2fpga.quantize.operations import Operations, RealOperations, Wires
from dnn2fpga.quantize.scaling import QuantizationChoice
from dnn2fpga.quantize.settings import LayerSettings
from dnn2fpga.tensors.basics import Shape, Unsupported
from dnn2fpga.tensors.tensor import Tensor
from rtl_lib.core.operator import Operator
from rtl_lib.elementwise.weighted_sum import WeightedSum as Sum

LARGEST_DENOMINATOR = 64  # of an exact weight
LARGEST_PLAIN_MULTIPLIER = 1 << 16
OFFSET_BITS = 8  # fraction bits: an offset must not be rounded to the output's steps


@register
class QuantizedWeightedSum(Aligned):
    """``clamp(round((sum over k of input[k] * multiplier[k] + offset) / 2**shift), low, high)``: ``multiplier [inputs,
    lanes]``, ``shift [lanes]``, ``offset [lanes]``.
    """

    kind: ClassVar[str] = "weighted_sum"

    def operators(self, *inputs: Tensor) -> list[Operator]:
        return [Sum(**self.aligning_fields(inputs))]

    @property
    def weight_bits(self) -> int:
        return 16 * self.multiplier.size


@dataclass(frozen=True, eq=False)
class WeightedSum(Join):
    """``clamp(weights[0] * x[0] + weights[1] * x[1] + … + offset)`` of tensors of one shape.

    An addition has the weights 1, 1, …; a subtraction 1, -1; an average of n tensors 1/n, 1/n, ….

    :param weights: ``[inputs]``, or ``[inputs, channels]``.
    :param offset: one number, or ``[channels]``.
    """

    weights: np.ndarray | Sequence[float]
    offset: np.ndarray | float = 0.0

    kind: ClassVar[str] = "weighted_sum"

    def __post_init__(self) -> None:
        for name in ("weights", "offset"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.float64))

    def output_shape(self, *input_shapes: Shape) -> Shape:
        if len(input_shapes) != len(self.weights):
            raise ValueError(f"a sum with {len(self.weights)} weights needs as many inputs, not {len(input_shapes)}")
        return require_one_shape("a sum", input_shapes)

    def absorb_affine(self, affine: AffineMap) -> WeightedSum | None:
        if self.clamp != UNLIMITED:
            return None
        weights = np.stack([weight * affine.scale for weight in self.weights])
        return replace(self, weights=weights, offset=self.offset * affine.scale + affine.offset)

    def keep_channels(self, inputs: Sequence[np.ndarray], output: np.ndarray) -> WeightedSum:
        of_channels = {
            name: getattr(self, name)
            for name, rank in (("weights", 1), ("offset", 0))
            if np.ndim(getattr(self, name)) > rank
        }
        return replace(self, **{name: values[..., output] for name, values in of_channels.items()})

    @property
    def has_offset(self) -> bool:
        return bool(np.any(self.offset))

    def quantize(self, choice: QuantizationChoice, settings: LayerSettings, *inputs: Tensor) -> QuantizedWeightedSum:
        output = choice.output
        weights = [in_all_lanes(weight, output) for weight in self.weights]
        ratios = np.stack([w * one.scales / output.scales for w, one in zip(weights, inputs, strict=True)])
        fields = alignment(output, ratios, self.clamp, settings)
        multiplier, shift = fields["multiplier"], fields["shift"]
        extra = np.maximum(OFFSET_BITS - shift, 0) if self.has_offset else 0
        multiplier, shift = multiplier << extra, shift + extra
        offset = np.floor(np.ldexp(in_all_lanes(self.offset, output) / output.scales, shift) + 0.5).astype(np.int64)
        zero = sum(one.zero_points * m for one, m in zip(inputs, multiplier, strict=True))
        offset += (output.zero_points << shift) - zero
        fields |= {"multiplier": multiplier, "shift": shift, "offset": offset}
        return QuantizedWeightedSum(name=self.name, **fields)

    def lowered(self, *inputs: Codes) -> Lowered:
        weights = np.array(
            [Fraction(float(weight)).limit_denominator(LARGEST_DENOMINATOR) for weight in self.weights], object
        )
        if np.ndim(self.weights) > 1 or self.has_offset or (np.asarray(weights, np.float64) != self.weights).any():
            raise Unsupported("adds with weights that are no simple fractions")
        multiplier, scale = aligned(inputs, weights)
        pairs = _pairs(inputs, multiplier)
        zero = sum(one.encoding.zero_point * m for one, m in zip(inputs, multiplier, strict=True))
        ends = [
            np.stack([end * m for end, m in zip(codes, multiplier, strict=True)])
            for codes in zip(*((one.encoding.low, one.encoding.high) for one in inputs), strict=True)
        ]
        interval = (np.minimum(*ends).sum(axis=0) - zero, np.maximum(*ends).sum(axis=0) - zero)

        def build(name: str, output: Tensor, last: Requantizer) -> QuantizedWeightedSum:
            fields = requantized_fields(output, last)
            merged = {"multiplier": multiplier * last.multiplier, "offset": last.offset - zero * last.multiplier}
            return QuantizedWeightedSum(name=name, **{**fields, **merged})

        shape = self.output_shape(*(one.tensor.shape for one in inputs))
        sums = Accumulator.of_line(
            inputs, shape, interval, scale, 0 * scale, build, has_two_lines=False, has_sources=False
        )
        return Sums(replace(sums, pairs=pairs))

    def apply(self, ops: RealOperations, *x: Any) -> Any:
        total: Any = sum(values * ops.like(values, weight) for weight, values in zip(self.weights, x, strict=True))
        return ops.clip(total + ops.like(total, self.offset), *self.clamp)

    def forward_codes(self, ops: Operations, wires: Wires, parameters: dict[str, Any], *q: Any) -> Any:
        inputs, output = in_pixels(ops, wires)
        weights = [in_all_lanes(weight, output.tensor) for weight in self.weights]
        ratios = [w * wire.scales / output.scales for w, wire in zip(weights, inputs, strict=True)]
        multipliers, steps = ops.multipliers(ratios)
        total = sum(
            (ops.float64(codes) - wire.zero_points) * multiplier
            for codes, wire, multiplier in zip(q, inputs, multipliers, strict=True)
        )
        if self.has_offset:
            steps = ops.at_least(steps, 2.0**OFFSET_BITS)
            total = total + ops.round(in_all_lanes(self.offset, output.tensor) / output.scales * steps) / steps
        return ops.fit(total, output, self.clamp, wires.settings)


def _pairs(inputs: Sequence[Codes], multiplier: np.ndarray) -> Pairs | None:
    """The sum in another form, where it has one, and is not small as it is."""
    needed = any(one.mapped for one in inputs) or np.abs(multiplier).max() > LARGEST_PLAIN_MULTIPLIER
    if len(inputs) != 2 or not needed:
        return None
    counts = [len(one.mapped.table) if one.mapped else int(np.ptp([_ends(one)])) + 1 for one in inputs]
    if math.prod(counts) > MOST_PAIRS:
        return None
    tables, first, sources = [], [], []
    for one, factor in zip(inputs, multiplier, strict=True):
        if one.mapped:
            codes, start, source = one.mapped.table, one.mapped.first, one.mapped.source
        else:
            (start, end), source = _ends(one), one
            codes = np.arange(start, end + 1)[:, np.newaxis]
        tables.append((codes - one.encoding.zero_point) * factor)
        first.append(start)
        sources.append(source)

    def build(
        name: str,
        output: Tensor,
        multiplier: np.ndarray,
        shift: np.ndarray,
        offset: np.ndarray,
        low: np.ndarray,
        high: np.ndarray,
    ) -> QuantizedWeightedSum:
        last = Requantizer(np.ones_like(shift), shift, offset, low, high)
        return QuantizedWeightedSum(name=name, **{**requantized_fields(output, last), "multiplier": multiplier})

    return Pairs(tuple(sources), (first[0], first[1]), (tables[0], tables[1]), build)


def _ends(codes: Codes) -> tuple[int, int]:
    """The lowest and the highest code of any lane."""
    return int(codes.encoding.low.min()), int(codes.encoding.high.max())


def in_all_lanes(value: float | np.ndarray, tensor: Tensor) -> np.ndarray:
    """A number, or one per channel, in float64 ``[lanes]``.

    :raises ValueError: where the channels do not travel in one beat.
    """
    values = np.asarray(value, np.float64)
    if values.ndim and tensor.lanes != values.size:
        raise ValueError(f"its {values.size} channels must arrive in one beat, not in {tensor.lanes} lanes")
    return np.broadcast_to(values, (tensor.lanes,))
