"""Calls of functions on tensors and constants. Keras 3 keeps ``x + y`` and ``keras.ops.add(x, y)`` as an object of the
class ``Add`` of its operations; Keras 2 keeps ``x + y`` and ``tf.add(x, y)`` as a ``TFOpLambda``.
"""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import AliasChoices, BeforeValidator, ConfigDict, Field, InstanceOf, PlainValidator

from dnn2fpga.read.keras_calls import Call, Input
from dnn2fpga.read.keras_config import Serialized
from dnn2fpga.read.keras_options import (
    KerasOptions,
    numbers,
)
from dnn2fpga.tensors.basics import Unsupported

_NOT_ARGUMENTS = ("name", "trainable", "function")  # in a configuration; ``name`` also in calls of TensorFlow's


def _one(value: Any) -> Any:
    """A tensor that is given in a list of its own."""
    return value[0] if isinstance(value, list) and len(value) == 1 and isinstance(value[0], Input) else value


def named(*names: str) -> Any:
    """An argument, as Keras calls it, and as TensorFlow does."""
    return Field(validation_alias=AliasChoices(*names))


def _operand(value: Any) -> Any:
    """A tensor or a constant."""
    tensor = _one(value)
    return tensor if isinstance(tensor, Input) else numbers(value)


OneTensor = Annotated[InstanceOf[Input], BeforeValidator(_one)]
Operand = Annotated[Any, PlainValidator(_operand)]


class Operation(KerasOptions):
    """A function; its fields are the arguments of the call and those that Keras keeps in the object, in the order of
    the function's parameters.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    @classmethod
    def read(cls, item: Serialized, call: Call) -> Self:
        parameters = [name for name in cls.model_fields if name != "dtype"]
        if len(call.positional) > len(parameters):
            raise Unsupported(f"is called with {len(call.positional)} arguments; at most {len(parameters)}")
        given = {**item.config, **dict(zip(parameters, call.positional, strict=False)), **call.named}
        return cls.model_validate({k: v for k, v in given.items() if v is not None and k not in _NOT_ARGUMENTS})
