"""Per-channel scale and offset: batch normalization (mostly folded into a neighbour by a pass) and rescaling."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from dnn2fpga.graph import Interval, KerasLayer, Layer, Shape, Unsupported
from dnn2fpga.layers.registry import register
from dnn2fpga.layers.requantization import Requantized, requantization
from dnn2fpga.layers.scaling import LayerSettings, activation_tensor, clamped
from dnn2fpga.quantized_graph import IntegerArray, Tensor
from rtl_lib.operator import Operator


@register
class QuantizedAffine(Requantized):
    """One entry of ``multiplier``, ``shift`` and ``offset`` a channel."""

    kind: ClassVar[str] = "affine"

    offset: IntegerArray

    def operators(self, input: Tensor) -> list[Operator]:
        return [self.requantize(input.format, self.offset)]

    @property
    def weight_bits(self) -> int:
        return 32 * self.multiplier.size


@register
@dataclass(frozen=True, eq=False)
class Affine(Layer):
    """``clamp(x * scale + offset)`` along the last axis."""

    scale: np.ndarray
    offset: np.ndarray
    clamp: tuple[float, float] = (-math.inf, math.inf)

    kind: ClassVar[str] = "affine"
    keras_classes: ClassVar[tuple[str, ...]] = ("BatchNormalization", "Rescaling")

    @classmethod
    def from_keras(cls, source: KerasLayer) -> list[Layer]:
        channels = source.input_shape[-1]
        if source.class_name == "Rescaling":
            scale, offset = (
                np.broadcast_to(np.asarray(source.config[key], np.float32), (channels,)) for key in ("scale", "offset")
            )
            return [cls(source.name, scale, offset)]
        axis = source.config.get("axis", -1)
        axis = axis[0] if isinstance(axis, list) else axis
        if axis not in (-1, len(source.input_shape)):
            raise Unsupported(f"axis={axis}: only the last axis is built")
        w = {key: value.astype(np.float64) for key, value in source.weights.items()}
        scale = w.get("gamma", np.ones(channels)) / np.sqrt(w["moving_variance"] + source.config["epsilon"])
        offset = w.get("beta", np.zeros(channels)) - w["moving_mean"] * scale
        return [cls(source.name, scale.astype(np.float32), offset.astype(np.float32))]

    def output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def compute(self, x: np.ndarray) -> np.ndarray:
        return np.clip(x * self.scale + self.offset, *self.clamp)

    @property
    def parameter_count(self) -> int:
        return 2 * self.scale.size

    def as_affine(self) -> tuple[np.ndarray, np.ndarray] | None:
        return (self.scale, self.offset) if self.clamp == (-math.inf, math.inf) else None

    def absorb_affine(self, scale: np.ndarray, offset: np.ndarray) -> Affine | None:
        return self.as_affine() and replace(self, scale=self.scale * scale, offset=self.offset * scale + offset)

    def absorb_clamp(self, low: float, high: float) -> Affine:
        return replace(self, clamp=(max(low, self.clamp[0]), min(high, self.clamp[1])))

    def quantize(self, input: Tensor, interval: Interval, settings: LayerSettings) -> QuantizedAffine:
        if input.lanes != len(self.scale):
            raise Unsupported(f"its {len(self.scale)} channels must arrive in one beat, not in {input.lanes} lanes")
        seen = clamped(interval, *self.clamp)
        output = activation_tensor(input.shape, input.lanes, seen, settings.activation_bits, settings.scales)
        fields = requantization(output, input.scale * self.scale / output.scale, self.clamp, settings)
        # With a shift of its own the offset would be rounded to the output's steps: give it eight more bits.
        extra = np.maximum(8 - fields["shift"], 0)
        fields["multiplier"], fields["shift"] = fields["multiplier"] << extra, fields["shift"] + extra
        offset = np.floor(np.ldexp(self.offset / output.scale, fields["shift"]) + 0.5).astype(np.int64)
        return QuantizedAffine(name=self.name, input="", offset=offset, **fields)
