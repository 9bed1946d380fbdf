"""The description of Keras' classes (in ``keras_layers`` and its neighbours): the options that matter at inference are
the fields of a class, with Keras' own defaults.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, ValidationError
from pydantic_core import PydanticCustomError

from dnn2fpga.layers.base import Layer
from dnn2fpga.read.builder import GraphBuilder, SymbolicTensor
from dnn2fpga.read.keras_calls import NO_CALL, Call
from dnn2fpga.read.keras_config import Serialized
from dnn2fpga.read.limits import LARGEST_EXTENT
from dnn2fpga.tensors.basics import Shape, Unsupported

Arrays = Mapping[str, np.ndarray]
Shapes = dict[str, Shape | None]  # of arrays by name; None: it is in the file, and is not read

LARGEST_NUMBER = float(np.finfo(np.float32).max)
UNKNOWN_KIND = "this kind of layer is not supported"


def _pair(value: Any) -> Any:
    return (value, value) if isinstance(value, int) else value


def _one(value: Any) -> Any:
    """A number that is given once for each direction."""
    return value[0] if isinstance(value, list | tuple) and value and value.count(value[0]) == len(value) else value


def numbers(value: Any) -> Any:
    """One number, or a row of them, with any axes of one before; Keras serializes arrays as objects."""
    if isinstance(value, dict) and value.get("class_name") in ("__numpy__", "__tensor__"):
        config = value.get("config")
        value = config.get("value") if isinstance(config, dict) else None
    row = value if isinstance(value, list) else [value]
    while len(row) == 1 and isinstance(row[0], list):
        row = row[0]
    if not row or not all(type(number) in (int, float) and abs(number) <= LARGEST_NUMBER for number in row):
        raise PydanticCustomError("numbers", "must be one number, or one for each channel")
    return value


def policy_name(value: Any) -> Any:
    """The name of a policy that is given as an object."""
    policy = value.get("config") if isinstance(value, dict) else None
    return policy.get("name") if isinstance(policy, dict) else value


Extent = Annotated[int, Field(ge=1, le=LARGEST_EXTENT)]
Pair = Annotated[tuple[Extent, Extent], BeforeValidator(_pair)]
Undilated = Annotated[Literal[1], BeforeValidator(_one)]
Real = Annotated[float, Field(allow_inf_nan=False)]
Reals = Annotated[Any, PlainValidator(numbers)]
Axis = int | list[int] | None
K = TypeVar("K", bound="KerasOptions")
Floating = Literal["float16", "bfloat16", "float32", "float64", "mixed_float16", "mixed_bfloat16"]


class Placement:
    """A layer of the file, where it is put into the graph.

    :param name: of the layer, with the names of the models around it.
    :param load: reads its arrays, given their names and shapes, and how many more there may be.
    """

    def __init__(self, builder: GraphBuilder, name: str, load: Callable[[Shapes, int], Arrays]) -> None:
        self.builder, self.name, self._load = builder, name, load
        self._declared: Shapes = {}
        self._made: dict[Shape | None, list[Layer]] = {}

    def arrays(self, shapes: Shapes) -> Arrays:
        """Return its arrays of these names and shapes."""
        return self._load(shapes, 0)

    def layers(self, options: LayerOptions, shape: Shape) -> list[Layer]:
        """Return the layers that it stands for: wherever it is used, the same objects share their weights."""
        shapes = options.arrays(shape)
        key = None if options.keeps_arrays else shape
        if key not in self._made:
            self._declared = shapes
            self._made[key] = options.layers(self.name, shape, self._load(shapes, options.further_arrays))
        elif shapes != self._declared:
            raise Unsupported(f"is used for inputs of different shapes, of which {shape} does not suit its weights")
        return self._made[key]


class KerasOptions(BaseModel):
    """One Keras class: its options that matter at inference, and what it stands for."""

    model_config = ConfigDict(frozen=True, extra="ignore", arbitrary_types_allowed=True)

    stands_for: ClassVar[tuple[str, ...]]  # Keras classes

    dtype: Annotated[Floating, BeforeValidator(policy_name)] = "float32"

    @classmethod
    def read(cls, item: Serialized, call: Call) -> Self:
        """Read what an object means where it is called so.

        :raises Unsupported, ValidationError: when it means nothing that is supported.
        """
        if call.options:
            raise Unsupported("; ".join(f"is called with {option}, which is not supported" for option in call.options))
        return cls.model_validate(item.config)

    @property
    def keeps_arrays(self) -> bool:
        return False

    @abstractmethod
    def add(self, at: Placement, *inputs: SymbolicTensor) -> SymbolicTensor:
        """Add what it stands for to the graph.

        :raises Unsupported, ValueError: for what only the shapes can tell.
        """

    def outline(self, *inputs: SymbolicTensor) -> SymbolicTensor | None:
        """Return a tensor of the shape of its output, so that the layers after one that is refused are looked at, too;
        None where that is not known.
        """
        return None


class LayerOptions(KerasOptions):
    """A class that reads one tensor: also its arrays, and the layers that it stands for, in a chain.

    :cvar further_arrays: how many more may lie in the file after its own; they mean nothing at inference.
    """

    further_arrays: ClassVar[int] = 0
    ranks: ClassVar[tuple[int, ...]] = (1, 2, 3)  # of its input
    input_described: ClassVar[str] = "a tensor of at most three axes"

    def arrays(self, shape: Shape) -> Shapes:
        """Names (see `keras_weights`) and shapes of its arrays in Keras' order, for an input of ``shape``."""
        return {}

    @abstractmethod
    def layers(self, name: str, shape: Shape, arrays: Arrays) -> list[Layer]:
        """Our layers, in order.

        :raises Unsupported, ValueError: for what only the shapes can tell.
        """

    def check_input(self, shape: Shape) -> None:
        """Raise ``Unsupported`` for what an input of ``shape`` cannot be."""
        if len(shape) not in self.ranks:
            raise Unsupported(f"its input must be {self.input_described}, not of shape {shape}")

    def add(self, at: Placement, *inputs: SymbolicTensor) -> SymbolicTensor:
        if len(inputs) != 1:
            raise Unsupported(f"reads {len(inputs)} tensors; this kind of layer reads one")
        tensor = inputs[0]
        self.check_input(tensor.shape)
        for layer in at.layers(self, tensor.shape):
            tensor = at.builder.add(layer, tensor)
        return tensor


class ImageOptions(LayerOptions):
    ranks: ClassVar[tuple[int, ...]] = (3,)
    input_described: ClassVar[str] = "an image (rows, columns, channels)"

    data_format: Literal["channels_last"] | None = None


def require_last_axis(axis: Axis, shape: Shape) -> None:
    if axis not in (-1, len(shape), [-1], [len(shape)]):
        raise Unsupported(f"axis={axis}: only the last axis is supported")


def by_class(*kinds: type[K]) -> dict[str, type[K]]:
    """Kinds by the Keras classes that they stand for."""
    return {name: kind for kind in kinds for name in kind.stands_for}


def options_of(item: Serialized, kinds: Mapping[str, type[K]], call: Call = NO_CALL) -> tuple[K | None, list[str]]:
    """Return the meaning of an object in a configuration, or why it is not supported, one line for each problem.

    :param kinds: by class, those that may stand there.
    :param call: where it is used.
    """
    if item.class_name == "Lambda":
        return None, ["holds Python code, which is never run; express it with built-in layers"]
    kind = next((kinds[key] for key in item.keys if key in kinds), None)
    if kind is None and item.foreign:
        return None, [f"{item.foreign} is not one of Keras' own classes and is never loaded"]
    if kind is None:
        return None, [UNKNOWN_KIND]
    try:
        return kind.read(item, call), []
    except Unsupported as reason:
        return None, [str(reason)]
    except ValidationError as error:
        return None, [line_of(problem) for problem in error.errors()]


def line_of(problem: Any) -> str:
    option, value = str(problem["loc"][0]), problem["input"]
    shown = str(value) if len(str(value)) < 60 else "..."
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    if problem["type"] == "extra_forbidden":
        return f"is called with {option}={shown}, which is not supported"
    if problem["type"] == "missing":
        return f"{option} is missing"
    if problem["type"] == "literal_error":
        return f"{option}={repr(value)[:60]} (supported: {problem['ctx']['expected']})"
    return f"{option}={shown}: {problem['msg']}"
