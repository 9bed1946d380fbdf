"""QKeras' quantizers in place of activations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator

from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.pass_through import Identity
from dnn2fpga.read.keras_activations import activation_of
from dnn2fpga.read.keras_options import Arrays, LayerOptions
from dnn2fpga.read.qkeras_notation import QUANTIZERS, is_quantizer, quantizer_of
from dnn2fpga.read.qkeras_quantizers import QKerasQuantizer
from dnn2fpga.tensors.basics import Shape


def known_as(module: str, name: str) -> tuple[str, ...]:
    """Return the names of a class: registered (qkeras-v3), by its module where it is not, alone (``.h5`` of 0.9)."""
    return f"qkeras>{name}", f"qkeras.{module}.{name}", name


class Quantizing(LayerOptions):
    """A quantizer in place of an activation."""

    stands_for: ClassVar[tuple[str, ...]] = ()

    quantizer: QKerasQuantizer

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        return self.quantizer.layers(name, shape)


def _activation(value: Any) -> LayerOptions:
    if is_quantizer(value):
        return Quantizing(quantizer=quantizer_of(value))
    try:
        return activation_of(_name_of_function(value))
    except ValueError as reason:
        raise ValueError(f"{reason}; and the quantizers {', '.join(QUANTIZERS)}") from reason


def _name_of_function(value: Any) -> Any:
    """QActivation keeps the name of one of Keras' functions as an object."""
    name = value.get("config") if isinstance(value, dict) else None
    is_function = isinstance(name, str) and (value.get("class_name"), value.get("module")) == ("function", "builtins")
    return name if is_function else value


Activation = Annotated[LayerOptions, BeforeValidator(_activation)]


def in_order(name: str, layers: Sequence[Layer]) -> list[Layer]:
    """Layers with names: the last one has that of the source's tensor."""
    *before, last = layers
    return [*(replace(layer, name=f"{name}_{layer.kind}") for layer in before), replace(last, name=name)]


class QActivation(LayerOptions):
    """QKeras' layer; and that of Keras, which may hold a quantizer, too."""

    stands_for: ClassVar[tuple[str, ...]] = (*known_as("qlayers", "QActivation"), "Activation")

    activation: Activation

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        return in_order(name, self.activation.layers(name, shape, {}) or [Identity(name)])
