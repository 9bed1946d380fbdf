"""Per-channel scale and offset: batch normalization (mostly folded into a neighbour by a pass) and rescaling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from dnn2fpga.exact.accumulator import Accumulator
from dnn2fpga.exact.encoding import of_lanes
from dnn2fpga.exact.lowered import Lowered, Sums
from dnn2fpga.exact.pieces import Line
from dnn2fpga.exact.rationals import rationals
from dnn2fpga.layers.base import AffineMap, BuildableLayer, Normalization, OnSums
from dnn2fpga.layers.registry import register
from dnn2fpga.layers.requantization import Requantized, requantization
from dnn2fpga.quantize.operations import Operations, RealOperations, Wires
from dnn2fpga.quantize.scaling import Observed, QuantizationChoice, activation_tensor, ratio_bits
from dnn2fpga.quantize.settings import LayerSettings
from dnn2fpga.tensors.basics import Shape, Unsupported
from dnn2fpga.tensors.tensor import Tensor
from rtl_lib.core.operator import Operator


@register
class QuantizedAffine(Requantized):
    """One entry of ``multiplier``, ``shift`` and ``offset`` a channel."""

    kind: ClassVar[str] = "affine"

    def operators(self, input: Tensor) -> list[Operator]:
        return [self.requantize_input(input)]

    @property
    def weight_bits(self) -> int:
        return 32 * self.multiplier.size


@dataclass(frozen=True, eq=False)
class Affine(OnSums, BuildableLayer):
    """``clamp(x * scale + offset)`` along the last axis."""

    scale: np.ndarray
    offset: np.ndarray
    clamp: tuple[float, float] = (-math.inf, math.inf)
    normalization: Normalization | None = None

    kind: ClassVar[str] = "affine"

    def output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def in_lanes(self, lanes: int) -> Affine | None:
        scale, offset = (of_lanes(np.ravel(values), lanes) for values in (self.scale, self.offset))
        return None if scale is None or offset is None else Affine(self.name, scale, offset, self.clamp)

    def after_sums(self, sums: Accumulator) -> Lowered:
        scale, offset = (rationals(np.ravel(values)) for values in (self.scale, self.offset))
        size = max(scale.size, offset.size)
        lines = [Line(*pair) for pair in zip(np.resize(scale, size), np.resize(offset, size), strict=True)]
        return Sums(sums.then(lines))

    @property
    def parameter_count(self) -> int:
        return 2 * self.scale.size

    def as_affine(self) -> AffineMap | None:
        unlimited = self.clamp == (-math.inf, math.inf)
        return AffineMap(self.scale, self.offset, self.normalization) if unlimited else None

    def absorb_affine(self, affine: AffineMap) -> Affine | None:
        if self.as_affine() is None:
            return None
        scale, offset = self.scale * affine.scale, self.offset * affine.scale + affine.offset
        return replace(self, scale=scale, offset=offset, normalization=None)

    def absorb_clamp(self, low: float, high: float) -> Affine:
        return replace(self, clamp=(max(low, self.clamp[0]), min(high, self.clamp[1])))

    def choose(self, seen: Observed, settings: LayerSettings, input: Tensor) -> QuantizationChoice:
        if input.lanes != len(self.scale):
            raise Unsupported(f"its {len(self.scale)} channels must arrive in one beat, not in {input.lanes} lanes")
        return QuantizationChoice(activation_tensor(input.shape, input.lanes, seen, settings))

    def quantize(self, choice: QuantizationChoice, settings: LayerSettings, input: Tensor) -> QuantizedAffine:
        output = choice.output
        ratio, added = input.scales * self.scale / output.scales, self.offset / output.scales
        codes = input.extremes
        fields = requantization(output, ratio, self.clamp, settings, codes, input.zero_points, added)
        return QuantizedAffine(name=self.name, **fields)

    def apply(self, ops: RealOperations, x: Any) -> Any:
        return ops.clip(x * self.scale + self.offset, *self.clamp)

    def forward_codes(self, ops: Operations, wires: Wires, parameters: dict[str, Any], q: Any) -> Any:
        output = wires.output
        levels = ops.float64(q) - wires.input.zero_points
        multiplier, steps = ops.multiplier(
            wires.input.scales * self.scale.astype(np.float64) / output.scales,
            ratio_bits(output.tensor, wires.settings),
        )
        steps = ops.at_least(steps, 2.0**8)
        offset = ops.round(self.offset.astype(np.float64) / output.scales * steps) / steps
        return ops.fit(levels * multiplier + offset, output, self.clamp, wires.settings)

    def keep_channels(self, inputs: Sequence[np.ndarray], output: np.ndarray) -> Affine:
        normalization = self.normalization and self.normalization.of_channels(output)
        return replace(self, scale=self.scale[output], offset=self.offset[output], normalization=normalization)
