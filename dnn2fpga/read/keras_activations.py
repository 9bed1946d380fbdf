"""Keras' activations: by name, as a layer, or as a layer in place of a name."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AliasChoices, BeforeValidator, Field, ValidationError

from dnn2fpga.layers.activation import Clamp, Table
from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.pass_through import Identity, Softmax
from dnn2fpga.layers.two_slope import TwoSlope
from dnn2fpga.read.keras_config import Serialized
from dnn2fpga.read.keras_options import Arrays, Axis, LayerOptions, by_class, options_of, require_last_axis
from dnn2fpga.read.larq_quantizers import LARQ_QUANTIZERS
from dnn2fpga.read.sign_functions import SIGN_FUNCTIONS
from dnn2fpga.tensors.basics import Shape


class Function(LayerOptions):
    """An activation by its name."""

    stands_for: ClassVar[tuple[str, ...]] = ()

    function: str

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        return (FUNCTIONS | SIGN_FUNCTIONS)[self.function](name)


FUNCTIONS: dict[str, Callable[[str], list[Layer]]] = {
    "linear": lambda name: [],
    "relu": lambda name: [Clamp(name, 0.0, math.inf)],
    "relu6": lambda name: [Clamp(name, 0.0, 6.0)],
    "tanh": lambda name: [Table(name, "tanh")],
    "sigmoid": lambda name: [Table(name, "sigmoid")],
    "softmax": lambda name: [Softmax(name)],
}
_SUPPORTED = f"supported: {', '.join(FUNCTIONS)} as the last layer"


def activation_of(value: Any) -> LayerOptions:
    """An activation argument: a name, a layer, or a function that only its author has."""
    if value is None or (isinstance(value, str) and value in FUNCTIONS | SIGN_FUNCTIONS):
        return Function(function=value or "linear")
    if isinstance(value, str):
        raise ValueError(f"activation '{value[:60]}' ({_SUPPORTED})")
    try:
        item = Serialized.model_validate(value)
    except ValidationError:
        item = None
    if item is None or item.class_name in ("function", "__lambda__"):
        written = value.get("config") if isinstance(value, dict) else None
        if isinstance(written, str) and written in SIGN_FUNCTIONS:  # known by its name
            return Function(function=written)
        named = f"the function '{written}'" if isinstance(written, str) else "a function"
        close = next((name for name in FUNCTIONS if str(written).startswith(name)), None)
        instead = f"activation='{close}'" if close else "the name of one that Keras has"
        raise ValueError(
            f"activation is {named}, whose code is not in the file; write {instead} and save it again ({_SUPPORTED})"
        )
    options, problems = options_of(item, {**ACTIVATIONS, **LARQ_QUANTIZERS})
    if options is None:
        raise ValueError(f"activation {item.class_name}: {'; '.join(problems)} ({_SUPPORTED})")
    return options


Activation = Annotated[LayerOptions, BeforeValidator(activation_of)]
LINEAR = Function(function="linear")


class ActivationLayer(LayerOptions):
    stands_for: ClassVar[tuple[str, ...]] = ("Activation",)

    activation: Activation

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        return self.activation.layers(name, shape, arrays) or [Identity(name)]


class ReLU(LayerOptions):
    stands_for: ClassVar[tuple[str, ...]] = ("ReLU",)

    max_value: Annotated[float, Field(ge=0)] | None = None
    negative_slope: Literal[0] | None = None
    threshold: Literal[0] | None = None

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        return [Clamp(name, 0.0, math.inf if self.max_value is None else self.max_value)]


class LeakyReLU(LayerOptions):
    stands_for: ClassVar[tuple[str, ...]] = ("LeakyReLU",)

    slope: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        default=0.3,
        validation_alias=AliasChoices("negative_slope", "alpha"),  # of Keras 3, of Keras 2
    )

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        return [TwoSlope(name, self.slope) if self.slope else Clamp(name, 0.0, math.inf)]


class SoftmaxLayer(LayerOptions):
    stands_for: ClassVar[tuple[str, ...]] = ("Softmax",)

    axis: Axis = -1

    def check_input(self, shape: Shape) -> None:
        require_last_axis(self.axis, shape)

    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        return [Softmax(name)]


ACTIVATIONS = by_class(ActivationLayer, ReLU, LeakyReLU, SoftmaxLayer)
