"""Activations: clamps (ReLU and its kin) cost nothing in front of a requantize; the others are exact tables."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from dnn2fpga.graph import Interval, KerasLayer, Layer, Shape
from dnn2fpga.layers.image import other_than
from dnn2fpga.layers.pass_through import Identity, Softmax
from dnn2fpga.layers.registry import register
from dnn2fpga.layers.requantization import Requantized, requantization
from dnn2fpga.layers.scaling import LayerSettings, activation_tensor, clamped
from dnn2fpga.quantized_graph import IntegerArray, QuantizedLayer, Tensor
from rtl_lib.lookup_table import LookupTable
from rtl_lib.operator import Operator


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (np.tanh(0.5 * x) + 1)


# function and range of the tabulated activations
TABLES: dict[str, tuple[Callable[[np.ndarray], np.ndarray], Interval]] = {
    "tanh": (np.tanh, Interval(-1.0, 1.0)),
    "sigmoid": (_sigmoid, Interval(0.0, 1.0)),
}
CLAMPS: dict[str, tuple[float, float]] = {"relu": (0.0, math.inf), "relu6": (0.0, 6.0)}


def activation_layers(name: str, activation: Any) -> list[Layer]:
    """The layer of an activation argument that ``refused_activation`` let pass: none for linear."""
    if activation in CLAMPS:
        return [Clamp(name, *CLAMPS[activation])]
    if activation in TABLES:
        return [Table(name, activation)]
    return [Softmax(name)] if activation == "softmax" else []


def refused_activation(activation: Any) -> list[str]:
    """Why an activation argument cannot be built."""
    built = ("linear", *CLAMPS, *TABLES, "softmax")
    if activation is None or (isinstance(activation, str) and activation in built):
        return []
    shown = f"'{activation}'" if isinstance(activation, str) else "that is a function of its own"
    return [f"activation {shown} (built: {', '.join(built)} as the last layer)"]


@register
class QuantizedClamp(Requantized):
    """A clamp that stands alone."""

    kind: ClassVar[str] = "clamp"

    def operators(self, input: Tensor) -> list[Operator]:
        return [self.requantize(input.format)]


@register
@dataclass(frozen=True, eq=False)
class Clamp(Layer):
    """``min(max(x, low), high)``: ReLU is (0, ∞), ReLU6 is (0, 6)."""

    low: float
    high: float

    kind: ClassVar[str] = "clamp"
    keras_classes: ClassVar[tuple[str, ...]] = ("ReLU",)

    @classmethod
    def refused_options(cls, config: dict[str, Any]) -> list[str]:
        return other_than(config, negative_slope=(0.0, None), threshold=(0.0, None))

    @classmethod
    def from_keras(cls, source: KerasLayer) -> list[Layer]:
        largest = source.config.get("max_value")
        return [cls(source.name, 0.0, math.inf if largest is None else float(largest))]

    def output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def compute(self, x: np.ndarray) -> np.ndarray:
        return np.clip(x, self.low, self.high)

    def as_clamp(self) -> tuple[float, float]:
        return self.low, self.high

    def quantize(self, input: Tensor, interval: Interval, settings: LayerSettings) -> QuantizedClamp:
        seen = clamped(interval, self.low, self.high)
        output = activation_tensor(input.shape, input.lanes, seen, settings.activation_bits, settings.scales)
        ratio = np.full(input.lanes, input.scale / output.scale)
        return QuantizedClamp(
            name=self.name, input="", **requantization(output, ratio, (self.low, self.high), settings)
        )


@register
class QuantizedTable(QuantizedLayer):
    """``table``: one output integer for each input integer, from the format's minimum up."""

    kind: ClassVar[str] = "table"

    function: str
    table: IntegerArray

    def operators(self, input: Tensor) -> list[Operator]:
        return [LookupTable(input.format, self.output.format, self.table, input.lanes)]


@register
@dataclass(frozen=True, eq=False)
class Table(Layer):
    """An activation function that is not a clamp."""

    function: str

    kind: ClassVar[str] = "table"
    keras_classes: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def from_keras(cls, source: KerasLayer) -> list[Layer]:
        return activation_layers(source.name, source.config["activation"])

    def output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def compute(self, x: np.ndarray) -> np.ndarray:
        return TABLES[self.function][0](x)

    def quantize(self, input: Tensor, interval: Interval, settings: LayerSettings) -> QuantizedTable:
        function, bounds = TABLES[self.function]
        output = activation_tensor(input.shape, input.lanes, bounds, settings.activation_bits, settings.scales)
        codes = np.arange(input.format.minimum, input.format.maximum + 1)
        table = output.quantize(function(codes * input.scale))
        return QuantizedTable(name=self.name, input="", output=output, function=self.function, table=table)


@register
@dataclass(frozen=True, eq=False)
class Activation(Layer):
    """Keras' ``Activation`` layer: one of the above, by name."""

    keras_classes: ClassVar[tuple[str, ...]] = ("Activation",)

    @classmethod
    def refused_options(cls, config: dict[str, Any]) -> list[str]:
        return refused_activation(config.get("activation"))

    @classmethod
    def from_keras(cls, source: KerasLayer) -> list[Layer]:
        return activation_layers(source.name, source.config["activation"]) or [Identity(source.name)]
