"""How Keras' classes are described (in ``keras_layers`` and its neighbours): the options that matter at inference are
the fields of a class, with Keras' own defaults.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from dnn2fpga.layers.base import Layer
from dnn2fpga.read.keras_config import Serialized
from dnn2fpga.read.limits import LARGEST_EXTENT
from dnn2fpga.tensors.basics import Shape, Unsupported

Arrays = Mapping[str, np.ndarray]
Shapes = dict[str, Shape]

UNKNOWN_KIND = "this kind of layer is not supported"


def _pair(value: Any) -> Any:
    return (value, value) if isinstance(value, int) else value


def _one(value: Any) -> Any:
    """A number that is given once for each direction."""
    return value[0] if isinstance(value, list | tuple) and value and value.count(value[0]) == len(value) else value


def _numbers(value: Any) -> Any:
    """Arrays that Keras has serialized as objects."""
    if isinstance(value, dict) and value.get("class_name") in ("__numpy__", "__tensor__"):
        config = value.get("config")
        return config.get("value") if isinstance(config, dict) else None
    return value


def _dtype(value: Any) -> Any:
    """The name of a policy that is given as an object."""
    policy = value.get("config") if isinstance(value, dict) else None
    return policy.get("name") if isinstance(policy, dict) else value


Extent = Annotated[int, Field(ge=1, le=LARGEST_EXTENT)]
Pair = Annotated[tuple[Extent, Extent], BeforeValidator(_pair)]
Undilated = Annotated[Literal[1], BeforeValidator(_one)]
Real = Annotated[float, Field(allow_inf_nan=False)]
Reals = Annotated[Real | list[Real] | list[list[Real]] | list[list[list[Real]]], BeforeValidator(_numbers)]
Axis = int | list[int] | None
Floating = Literal["float16", "bfloat16", "float32", "float64", "mixed_float16", "mixed_bfloat16"]


class KerasOptions(BaseModel):
    """One Keras class: its options that matter at inference, its arrays, and the layers that it stands for."""

    model_config = ConfigDict(frozen=True, extra="ignore", arbitrary_types_allowed=True)

    stands_for: ClassVar[tuple[str, ...]]  # Keras classes
    ranks: ClassVar[tuple[int, ...]] = (1, 2, 3)  # of its input
    input_described: ClassVar[str] = "a tensor of at most three axes"

    dtype: Annotated[Floating, BeforeValidator(_dtype)] = "float32"

    @property
    def keeps_arrays(self) -> bool:
        return False

    def arrays(self, shape: Shape) -> Shapes:
        """Names and shapes of its arrays in Keras' order, for an input of ``shape``."""
        return {}

    @abstractmethod
    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        """Our layers, in order.

        :raises Unsupported, ValueError: for what only the shapes can tell.
        """

    def check_input(self, shape: Shape) -> None:
        """Raises ``Unsupported`` for what an input of ``shape`` cannot be."""
        if len(shape) not in self.ranks:
            raise Unsupported(f"its input must be {self.input_described}, not of shape {shape}")


class ImageOptions(KerasOptions):
    ranks: ClassVar[tuple[int, ...]] = (3,)
    input_described: ClassVar[str] = "an image (rows, columns, channels)"

    data_format: Literal["channels_last"] | None = None


def require_last_axis(axis: Axis, shape: Shape) -> None:
    if axis not in (-1, len(shape), [-1], [len(shape)]):
        raise Unsupported(f"axis={axis}: only the last axis is supported")


def by_class(*kinds: type[KerasOptions]) -> dict[str, type[KerasOptions]]:
    """Kinds by the Keras classes that they stand for."""
    return {name: kind for kind in kinds for name in kind.stands_for}


def options_of(item: Serialized, kinds: Mapping[str, type[KerasOptions]]) -> tuple[KerasOptions | None, list[str]]:
    """What an object in a configuration means, or why it is not supported, one line for each problem.

    :param kinds: by class, those that may stand there.
    """
    if item.class_name == "Lambda":
        return None, ["holds Python code, which is never run; express it with built-in layers"]
    if item.foreign:
        return None, [f"{item.foreign} is not one of Keras' own classes and is never loaded"]
    kind = kinds.get(item.class_name)
    if kind is None or "ops" in (item.module or "").split("."):
        return None, [UNKNOWN_KIND]
    try:
        return kind.model_validate(item.config), []
    except ValidationError as error:
        return None, [_line(problem) for problem in error.errors()]


def _line(problem: Any) -> str:
    option, value = str(problem["loc"][0]), problem["input"]
    shown = str(value) if len(str(value)) < 60 else "..."
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    if problem["type"] == "missing":
        return f"{option} is missing"
    if problem["type"] == "literal_error":
        return f"{option}={value!r} (supported: {problem['ctx']['expected']})"
    return f"{option}={shown}: {problem['msg']}"
