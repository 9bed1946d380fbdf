"""The surroundings of a node of an ``.onnx`` file: its tensors, its constants, its attributes and its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import Any

import numpy as np

from dnn2fpga.read.builder import GraphBuilder
from dnn2fpga.read.channels_first import Constant, Stream, Value
from dnn2fpga.read.channels_first_operator import Operator
from dnn2fpga.read.onnx_schema import OnnxModel, OnnxNode, attribute
from dnn2fpga.read.protobuf import Budget, DamagedMessage
from dnn2fpga.tensors.basics import Unsupported


@dataclass(frozen=True, eq=False)
class Call(Operator):
    """A node that is being read.

    :param values: what has been read so far, by the name of the tensor.
    :param entering: the inputs of the model.
    :param exact: how many exact numbers (scales, biases) the model may have; each takes microseconds.
    :param computed: how many numbers of constants it may compute.
    """

    node: OnnxNode
    model: OnnxModel
    builder: GraphBuilder
    values: Mapping[str, Value]
    has_integers: bool
    entering: Set[str]
    exact: Budget
    computed: Budget

    @property
    def name(self) -> str:
        """The name of the node of the result: as the tensor."""
        return self.node.outputs[0]

    @property
    def label(self) -> str:
        return self.node.label

    # Inputs

    @property
    def count(self) -> int:
        """The number of inputs."""
        return len(self.node.inputs)

    def has(self, place: int) -> bool:
        """Whether there is an input at a place."""
        return place < self.count and bool(self.node.inputs[place])

    def value(self, place: int) -> Value:
        """The input at a place.

        :raises DamagedMessage: when there is none.
        """
        if not self.has(place):
            raise DamagedMessage(f"has no input {place}")
        return self.values[self.node.inputs[place]]

    def is_constant(self, place: int) -> bool:
        return isinstance(self.value(place), Constant)

    def constant(self, place: int) -> Constant:
        """The constant at a place.

        :raises Unsupported: when it is computed.
        """
        value = self.value(place)
        if not isinstance(value, Constant):
            raise Unsupported(f"reads '{self.node.inputs[place]}', which must be a constant")
        return value

    def array(self, place: int) -> np.ndarray:
        """The numbers of the constant at a place."""
        return self.constant(place).array

    def integers(self, place: int) -> list[int]:
        """The integers of a constant that is a shape, a list of axes, …."""
        array = self.array(place)
        if array.dtype.kind not in "iu" or array.ndim > 1 or array.size > 64:
            raise Unsupported(f"reads '{self.node.inputs[place]}', which must be a short list of integers")
        return [int(value) for value in array.reshape(-1)]

    def scalar(self, place: int) -> np.ndarray:
        """The only number of a constant, as an array without axes."""
        array = self.array(place)
        if array.size != 1 or not np.isfinite(array.astype(np.float64)).all():
            raise Unsupported(f"reads '{self.node.inputs[place]}', which must be one number")
        return array.reshape(())

    def stream(self, place: int = 0, codes: bool = False) -> Stream:
        """The input at a place, which is computed.

        :param codes: whether ONNX must have codes there.
        :raises Unsupported: when it is a constant, or the other of codes and numbers.
        """
        value = self.value(place)
        if isinstance(value, Constant):
            raise Unsupported(f"reads the constant '{self.node.inputs[place]}' where a tensor is expected")
        if value.is_codes is not codes:
            raise Unsupported("needs codes (QuantizeLinear)" if codes else "computes with codes; use DequantizeLinear")
        return value

    def image(self, place: int = 0) -> Stream:
        """The input at a place, which is an image, of numbers or of codes."""
        value = self.value(place)
        if isinstance(value, Constant) or not value.is_image:
            raise Unsupported(f"needs an image [1, channels, rows, columns], not {[1, *value.shape]} in this order")
        return value

    def enters(self, stream: Stream) -> bool:
        """Whether it is an input of the model."""
        return stream.tensor.name in self.entering

    # Attributes

    def attribute(self, name: str, default: Any) -> Any:
        """An attribute, which is of the type of its default.

        :raises Unsupported: when it is of another.
        """
        message = self.node.attributes.get(name)
        value = default if message is None else attribute(message)
        if not isinstance(value, type(default)):
            raise Unsupported(f"has an attribute '{name}' of another type than {type(default).__name__}")
        return value

    def require(self, name: str, default: Any, why: str) -> None:
        """Refuse an attribute that is not the default."""
        if (value := self.attribute(name, default)) != default:
            raise Unsupported(f"{name}={value}: {why}")


Reader = Callable[[Call], Value]
