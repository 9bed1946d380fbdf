"""What convolution and dense layers share: a weight matrix, a bias, and what may be folded into them."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from dnn2fpga.graph import Interval, KerasLayer, Layer, Shape, Unsupported
from dnn2fpga.layers.activation import activation_layers
from dnn2fpga.layers.requantization import Requantized, requantization
from dnn2fpga.layers.scaling import LayerSettings, activation_tensor, clamped, quantize_weights
from dnn2fpga.quantized_graph import IntegerArray, Tensor
from rtl_lib.formats import Format

UNLIMITED = (-math.inf, math.inf)
GUARD_BITS = 12  # a sum of 2^12 negligible weights stays below one output step


@dataclass(frozen=True, eq=False)
class Linear(Layer):
    """``clamp(x · weights + bias)``; the last axis of ``weights`` is the output channel."""

    weights: np.ndarray
    bias: np.ndarray
    clamp: tuple[float, float] = UNLIMITED

    quantized: ClassVar[type[QuantizedLinear]]

    @classmethod
    def with_activation(cls, source: KerasLayer, **options: Any) -> list[Layer]:
        """The layer itself and, where Keras gave it an activation, that one behind it."""
        kernel = np.asarray(source.weights["kernel"], np.float32)
        bias = np.asarray(source.weights.get("bias", np.zeros(kernel.shape[-1])), np.float32)
        return [
            cls(name=source.name, weights=kernel, bias=bias, **options),
            *activation_layers(f"{source.name}_activation", source.config.get("activation")),
        ]

    @property
    def parameter_count(self) -> int:
        return self.weights.size + self.bias.size

    def absorb_affine(self, scale: np.ndarray, offset: np.ndarray) -> Self | None:
        if self.clamp != UNLIMITED:
            return None
        return replace(self, weights=self.weights * scale, bias=self.bias * scale + offset)

    def absorb_clamp(self, low: float, high: float) -> Self | None:
        return replace(self, clamp=(max(low, self.clamp[0]), min(high, self.clamp[1])))

    def clip(self, x: np.ndarray) -> np.ndarray:
        return x if self.clamp == UNLIMITED else np.clip(x, *self.clamp)

    @abstractmethod
    def output_lanes(self, input: Tensor) -> int: ...

    def geometry(self) -> dict[str, Any]:
        """The fields of the integer layer that are not numbers of the model."""
        return {}

    def quantize(self, input: Tensor, interval: Interval, settings: LayerSettings) -> QuantizedLinear:
        output = activation_tensor(
            self.output_shape(input.shape),
            self.output_lanes(input),
            clamped(interval, *self.clamp),
            settings.activation_bits,
            settings.scales,
        )
        # A channel that training or pruning has left without weights needs no fine scale: only its bias counts.
        negligible = output.scale / input.scale * 2.0 ** -(input.width + GUARD_BITS)
        weights, weight_scale = quantize_weights(self.weights, settings, negligible)
        accumulator_scale = input.scale * weight_scale
        bias = np.floor(self.bias / accumulator_scale + 0.5)
        if (np.abs(bias) >= 2.0**62).any():
            raise Unsupported("a bias is too large beside its channel's weights; train the model again")
        return self.quantized(
            name=self.name,
            input="",
            weight_width=settings.weight_bits,
            weights=weights,
            bias=bias.astype(np.int64),
            **self.geometry(),
            **requantization(output, accumulator_scale / output.scale, self.clamp, settings),
        )

    def matrix_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.weights.shape[-1])


class QuantizedLinear(Requantized):
    """Integer weights of ``weight_width`` bits, biases at the accumulator's scale."""

    weight_width: int
    weights: IntegerArray
    bias: IntegerArray

    @property
    def weight_bits(self) -> int:
        biases = Format.containing(int(self.bias.min(initial=0)), int(self.bias.max(initial=0))).width
        return self.weights.size * self.weight_width + self.bias.size * max(biases, self.weight_width)

    def checked_weights(self) -> np.ndarray:
        """The weights, once they are known to fit their format; raises ``ValueError``."""
        format = Format(True, self.weight_width)
        if self.weights.ndim < 2 or not self.weights.size:
            raise ValueError(f"weights must be a matrix, not of shape {self.weights.shape}")
        if not format.contains(int(self.weights.min(initial=0)), int(self.weights.max(initial=0))):
            raise ValueError(f"weights must fit {self.weight_width} signed bits")
        outputs = self.weights.shape[-1]
        for name in ("bias", "multiplier", "shift"):
            if getattr(self, name).shape != (outputs,):
                raise ValueError(f"{name} must have shape ({outputs},), not {getattr(self, name).shape}")
        return self.weights
