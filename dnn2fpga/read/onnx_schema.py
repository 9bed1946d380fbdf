"""The content of an ``.onnx`` file: nodes, attributes and constants, by the field numbers of ``onnx.proto``.

Source: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

import enum
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from dnn2fpga.read.limits import LARGEST_EXTENT, MOST_LAYERS, MOST_PARAMETERS
from dnn2fpga.read.protobuf import DamagedMessage, Message

MOST_NODES = 8 * MOST_LAYERS  # constants, shapes and quantizers are nodes, too
MOST_TENSORS = 8 * MOST_NODES  # names of tensors, and constants
MOST_READ = 256  # inputs, outputs or attributes of a node
DEEPEST_SHAPE = 8  # axes
LONGEST_NAME = 80  # characters, in messages


class Kind(enum.IntEnum):
    """The types of numbers that are told apart (``TensorProto.DataType``)."""

    FLOAT = 1
    UINT8 = 2
    INT8 = 3
    UINT16 = 4
    INT16 = 5
    INT32 = 6
    INT64 = 7
    BOOL = 9
    FLOAT16 = 10
    DOUBLE = 11
    UINT32 = 12
    UINT64 = 13

    @property
    def dtype(self) -> np.dtype:
        """The type in NumPy."""
        return np.dtype({Kind.FLOAT: "float32", Kind.DOUBLE: "float64"}.get(self, self.name.lower()))


def kind_of(number: int) -> Kind:
    """Return the type of a number in a file.

    :raises DamagedMessage: when it is none that is read.
    """
    if number not in set(Kind):
        raise DamagedMessage(f"numbers of type {number} are not supported; save the model in float32 (or int8)")
    return Kind(number)


class Domain(enum.Enum):
    """Who defines an operator."""

    ONNX = ("", "ai.onnx")
    QONNX = ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general")
    MICROSOFT = ("com.microsoft",)


DOMAINS = {name: domain for domain in Domain for name in domain.value}


@dataclass(frozen=True, eq=False)
class OnnxNode:
    """A node.

    :param number: its place in the file.
    :param library: what its domain is called.
    :param domain: None where it is not one of those that are known.
    :param inputs: names of tensors; empty where one is left out.
    """

    number: int
    library: str
    domain: Domain | None
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Message] = field(repr=False)

    @property
    def label(self) -> str:
        """The name in messages."""
        return f"node {self.number} ({self.kind[:LONGEST_NAME]}, '{self.outputs[0][:LONGEST_NAME]}')"


@dataclass(frozen=True)
class OnnxPort:
    """An input or an output of the model.

    :param shape: with the batch; None for an extent without a number, and for a shape that is not stated.
    """

    name: str
    kind: int
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True, eq=False)
class OnnxModel:
    """The network of a file.

    :param opset: the version of ONNX' own operators.
    """

    nodes: tuple[OnnxNode, ...]
    inputs: tuple[OnnxPort, ...]
    outputs: tuple[OnnxPort, ...]
    constants: Mapping[str, Message]
    opset: int

    @cached_property
    def readers(self) -> Mapping[str, list[OnnxNode]]:
        """The nodes that read each tensor."""
        found: dict[str, list[OnnxNode]] = defaultdict(list)
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                found[name].append(node)
        return found

    def only_reader(self, name: str) -> OnnxNode | None:
        """Return the one node that reads a tensor; None where there are more, or it leaves the model."""
        readers = self.readers.get(name, [])
        return readers[0] if len(readers) == 1 and all(port.name != name for port in self.outputs) else None


def parse(data: bytes) -> OnnxModel:
    """Return what a file says.

    :raises DamagedMessage: when it contradicts itself, or has what is never read.
    """
    root = Message.of(memoryview(data))
    if not root.has(7):
        raise DamagedMessage("it has no graph")
    if root.has(25):
        raise DamagedMessage("it has functions of its own; save it with its functions inlined (onnx.inliner)")
    graph = root.message(7)
    if graph.has(15):
        raise DamagedMessage("it has sparse weights, which are not supported; save them dense")
    nodes = tuple(_node(k, one) for k, one in enumerate(graph.messages(1, MOST_NODES)))
    constants = {one.text(8): one for one in graph.messages(5, MOST_TENSORS)}
    ports = [tuple(_port(one) for one in graph.messages(number, MOST_TENSORS)) for number in (11, 12)]
    if not ports[1]:
        raise DamagedMessage("it has no output")
    inputs = tuple(port for port in ports[0] if port.name not in constants)  # older files list constants, too
    names = [*constants, *(port.name for port in inputs), *(name for node in nodes for name in node.outputs if name)]
    if len(set(names)) < len(names):
        raise DamagedMessage("two of its tensors have one name")
    versions = [one.integer(2) for one in root.messages(8, MOST_READ) if one.text(1) in Domain.ONNX.value]
    return OnnxModel(nodes, inputs, ports[1], constants, max(versions, default=1))


def _node(number: int, message: Message) -> OnnxNode:
    inputs, outputs = (tuple(message.texts(k, MOST_READ)) for k in (1, 2))
    if not outputs or not outputs[0]:
        raise DamagedMessage(f"node {number} has no output")
    attributes = {one.text(1): one for one in message.messages(5, MOST_READ)}
    library = message.text(7)
    return OnnxNode(number, library, DOMAINS.get(library), message.text(4), inputs, outputs, attributes)


def _port(message: Message) -> OnnxPort:
    tensor = message.message(2).message(1)
    dims = tensor.message(2).messages(1, DEEPEST_SHAPE) if tensor.has(2) else None
    shape = None if dims is None else tuple(one.integer(1) if one.has(1) else None for one in dims)
    return OnnxPort(message.text(1), tensor.integer(1), shape)


def array_of(message: Message) -> np.ndarray:
    """Return the numbers of a constant (``TensorProto``).

    :raises DamagedMessage: when they are not in the file, or are others than it says.
    """
    if message.has(13) or message.integer(14):
        raise DamagedMessage("its numbers lie in another file, which is never opened; save the model as one file")
    shape, kind = tuple(message.integers(1).tolist()), kind_of(message.integer(2))
    if len(shape) > DEEPEST_SHAPE or any(not 0 <= extent <= LARGEST_EXTENT**2 for extent in shape):
        raise DamagedMessage(f"it has the shape {list(shape[: DEEPEST_SHAPE + 1])}")
    size = math.prod(shape)
    if size > MOST_PARAMETERS:
        raise DamagedMessage(f"it has {size:,} numbers; at most {MOST_PARAMETERS:,}")
    raw = message.bytes_of(9)
    values = np.frombuffer(raw, kind.dtype.newbyteorder("<")) if _fits(raw, size, kind) else _listed(message, kind)
    if values.size != size:
        raise DamagedMessage(f"it has {values.size:,} numbers, not {size:,}")
    return values.astype(kind.dtype).reshape(shape)


def _fits(raw: memoryview, size: int, kind: Kind) -> bool:
    if len(raw) not in (0, size * kind.dtype.itemsize):
        raise DamagedMessage(f"it has {len(raw):,} bytes, not {size * kind.dtype.itemsize:,}")
    return bool(len(raw))


def _listed(message: Message, kind: Kind) -> np.ndarray:
    """Numbers that are not written as bytes."""
    if kind is Kind.FLOAT:
        return message.numbers(4, np.float32)
    if kind is Kind.DOUBLE:
        return message.numbers(10, np.float64)
    values = message.integers({Kind.INT64: 7, Kind.UINT64: 11, Kind.UINT32: 11}.get(kind, 5))
    if kind is Kind.FLOAT16:
        return values.astype(np.uint16).view(np.float16)
    return values.astype(kind.dtype)


def attribute(message: Message) -> Any:
    """Return the value of an attribute: an integer, a float, a string, an array, or a list of integers or floats.

    :raises DamagedMessage: when it is something else, such as a graph.
    """
    for number, value in _ATTRIBUTES.items():
        if message.has(number):
            return value(message, number)
    return _EMPTY.get(message.integer(20), 0)


_EMPTY: dict[int, Any] = {1: 0.0, 3: "", 6: [], 7: [], 8: []}  # by the type of the attribute; else the integer 0


def _refused(message: Message, number: int) -> Any:
    raise DamagedMessage(
        f"its attribute '{message.text(1)[:LONGEST_NAME]}' is a graph, a reference or sparse, which is not supported"
    )


_ATTRIBUTES = {
    2: lambda message, number: message.single(number),
    3: lambda message, number: message.integer(number),
    4: lambda message, number: message.text(number),
    5: lambda message, number: array_of(message.message(number)),
    7: lambda message, number: message.numbers(number, np.float32).tolist(),
    8: lambda message, number: message.integers(number).tolist(),
    **dict.fromkeys((6, 9, 10, 11, 14, 15, 21, 22, 23), _refused),
}
