"""The integer model: what the hardware computes, to the last bit, and the configuration files that hold it.

``model.yaml`` describes layers, shapes, formats and scales; ``weights.npz`` holds the integers. Both may be edited
by hand: they are validated whenever they are read, and need neither Keras nor TensorFlow.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from dnn2fpga.described import Described
from dnn2fpga.task import Ending, Interface, Task, unlabelled_task
from rtl_lib import arithmetic
from rtl_lib.arithmetic import Overflow, Rounding
from rtl_lib.formats import Format
from rtl_lib.operator import Operator

FORMAT_VERSION: Literal[2] = 2


def _integers(value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in "iu":
        raise ValueError(f"must be an array of integers, not of {array.dtype}")
    return array.astype(np.int64)


def _binary32(value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype != np.float32:
        raise ValueError(f"must be an array of float32, not of {array.dtype}")
    return array


# Array fields of a layer: kept in weights.npz, not in model.yaml.
IntegerArray = Annotated[np.ndarray, BeforeValidator(_integers), PlainSerializer(lambda a: a.tolist())]
Binary32Array = Annotated[np.ndarray, BeforeValidator(_binary32), PlainSerializer(lambda a: a.tolist())]


Extent = Annotated[int, Field(ge=1, le=2**28)]
Integer = Annotated[int, Field(ge=-(2**32), le=2**32)]  # of any format that a wire may have
Scale = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Tensor(Described):
    """A tensor on a wire: integers of a format; the real value is ``(integer - zero_point) * scale``.

    ``lanes`` numbers travel together in one beat; ``shape`` in row-major order gives the order of the beats.
    ``scale`` and ``zero_point`` are one number for all lanes, or one a lane (which is a channel).
    """

    shape: tuple[Extent, ...] = Field(min_length=1, max_length=8)
    lanes: Extent
    signed: bool
    width: int = Field(ge=1, le=32)
    scale: Scale | tuple[Scale, ...]
    zero_point: Integer | tuple[Integer, ...] = 0

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.size % self.lanes:
            raise ValueError(f"lanes must divide the {self.size} numbers of shape {list(self.shape)}, not {self.lanes}")
        for name in ("scale", "zero_point"):
            value = getattr(self, name)
            if isinstance(value, tuple) and len(value) != self.lanes:
                raise ValueError(f"{name} must be one number, or one for each of the {self.lanes} lanes")
        if not self.format.contains(int(self.zero_points.min()), int(self.zero_points.max())):
            raise ValueError(f"zero_point must lie in the format {self.format}, not be {self.zero_point}")
        return self

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def beats(self) -> int:
        return self.size // self.lanes

    @property
    def format(self) -> Format:
        return Format(self.signed, self.width)

    @property
    def scales(self) -> np.ndarray:
        """``scale`` of every lane."""
        return np.broadcast_to(np.asarray(self.scale, np.float64), (self.lanes,))

    @property
    def zero_points(self) -> np.ndarray:
        """``zero_point`` of every lane."""
        return np.broadcast_to(np.asarray(self.zero_point, np.int64), (self.lanes,))

    @property
    def uniform_scale(self) -> float:
        """The scale of all lanes; raises ``ValueError`` where they differ."""
        if isinstance(self.scale, tuple):
            raise ValueError("all channels of its input must have the same scale")
        return self.scale

    def numbers_like(self, other: Tensor) -> bool:
        """Whether the same integers mean the same numbers in both."""
        return (self.format, self.scale, self.zero_point) == (other.format, other.scale, other.zero_point)

    def quantize(self, x: np.ndarray) -> np.ndarray:
        """Real numbers ``[samples, *shape]`` → integers: nearest (half up), saturated."""
        beats = np.asarray(x, np.float64).reshape(-1, self.beats, self.lanes)
        q = np.floor(beats / self.scales + 0.5) + self.zero_points
        return arithmetic.clamp(q, self.format.minimum, self.format.maximum).astype(self.format.dtype).reshape(x.shape)

    def clips(self, x: np.ndarray) -> np.ndarray:
        """Which real numbers ``[samples, *shape]`` saturate by more than one step. One step is part of the scale's
        choice: an image in [0, 1] in 8 bits has scale 2^-8.
        """
        beats = np.asarray(x, np.float64).reshape(-1, self.beats, self.lanes)
        q = np.floor(beats / self.scales + 0.5) + self.zero_points
        return ((q < self.format.minimum - 1) | (q > self.format.maximum + 1)).reshape(np.shape(x))

    def dequantize(self, q: np.ndarray) -> np.ndarray:
        """Integers ``[samples, *shape]`` → real numbers."""
        beats = q.astype(np.float64).reshape(-1, self.beats, self.lanes)
        return ((beats - self.zero_points) * self.scales).reshape(q.shape)


class Arithmetic(Described):
    """How results are brought into a format."""

    rounding: Rounding = Rounding.HALF_UP
    overflow: Overflow = Overflow.SATURATE


class QuantizedLayer(Described):
    """One layer kind in integers. It is the chain of its operators:
    they compute the software model and create the hardware.
    """

    kind: ClassVar[str]

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    input: str
    output: Tensor

    @abstractmethod
    def operators(self, input: Tensor) -> list[Operator]:
        """In stream order; empty when the layer only renames a shape.
        Raises ``ValueError`` when input and layer do not match.
        """

    def output_shape(self, input: Tensor) -> tuple[int, ...]:
        """The shape that ``output`` must have."""
        return input.shape

    @property
    def weight_bits(self) -> int:
        """Bits of all weights and biases as stored."""
        return 0

    @property
    def ending(self) -> Ending:
        """What it makes of its numbers, in last place."""
        return Ending.LINEAR

    @classmethod
    def array_fields(cls) -> list[str]:
        return [name for name, field in cls.model_fields.items() if field.annotation is np.ndarray]


@dataclass(frozen=True)
class QuantizedGraph:
    """A chain of integer layers.

    ``run`` is the software model; ``tensors`` gives every layer boundary. Arrays are ``[frames, beats, lanes]`` on
    wires and ``[frames, *shape]`` outside.
    """

    name: str
    input_name: str
    input: Tensor
    layers: tuple[QuantizedLayer, ...]
    decided: Task | None = None
    notes: tuple[str, ...] = ()
    float_parameters: int = 0

    @property
    def output(self) -> Tensor:
        return self.layers[-1].output if self.layers else self.input

    @property
    def interface(self) -> Interface:
        """What the task depends on."""
        ending = self.decided.ending if self.decided else self.layers[-1].ending
        return Interface(input=self.input.shape, output=self.output.shape, ending=ending)

    @property
    def task(self) -> Task:
        """As it was decided when the model was quantized, or what its last layer says."""
        return self.decided or unlabelled_task(self.interface)

    @cached_property
    def operators(self) -> dict[str, list[Operator]]:
        """The operators of every layer, by its name. Made once: solving an adder graph takes seconds."""
        result, tensor = {}, self.input
        for layer in self.layers:
            result[layer.name] = layer.operators(tensor)
            tensor = layer.output
        return result

    def input_of(self, index: int) -> Tensor:
        return self.layers[index - 1].output if index else self.input

    def tensors(self, q: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """Every tensor for a batch of quantized inputs ``[frames, *shape]``, as ``[frames, beats, lanes]``, input
        first.
        """
        beats = q.reshape(len(q), self.input.beats, self.input.lanes)
        yield self.input_name, beats
        for layer in self.layers:
            for operator in self.operators[layer.name]:
                beats = operator.compute(beats)
            beats = beats.reshape(len(q), layer.output.beats, layer.output.lanes)
            yield layer.name, beats

    def run(self, q: np.ndarray, batch: int = 32) -> np.ndarray:
        """Quantized inputs ``[frames, *input.shape]`` → integer outputs ``[frames, *output.shape]``.

        ``batch`` frames at a time, so that the windows of a layer stay in the cache.
        """
        outputs = [np.zeros((0, *self.output.shape), self.output.format.dtype)]
        for start in range(0, len(q), batch):
            *_, (_, beats) = self.tensors(q[start : start + batch])
            outputs.append(beats.reshape(-1, *self.output.shape))
        return np.concatenate(outputs)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Real inputs → real outputs, through the integers; a batch of inputs at a time."""
        parts = [self.run(self.input.quantize(x[k : k + 1024])) for k in range(0, max(len(x), 1), 1024)]
        return self.output.dequantize(np.concatenate(parts))

    @property
    def weight_bits(self) -> int:
        return sum(layer.weight_bits for layer in self.layers)
