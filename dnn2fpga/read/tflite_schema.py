"""The content of a ``.tflite`` file: tensors and operators, by the numbers of TensorFlow Lite's public schema."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from dnn2fpga.read.flatbuffer import DamagedFile, FlatBuffer, Table
from dnn2fpga.read.limits import LARGEST_EXTENT, MOST_JOINED, MOST_LAYERS, MOST_NUMBERS
from dnn2fpga.read.tflite_builtins import Builtin

SIGNATURE = b"TFL3"  # after the first distance
SIGNATURE_AT = 4
SCHEMA_VERSION = 3
MOST_TENSORS = 8 * MOST_LAYERS
DEEPEST_SHAPE = 8  # axes
LONGEST_NAME = 80  # characters, in messages


class Kind(enum.IntEnum):
    """The types of numbers that are told apart."""

    FLOAT32 = 0
    FLOAT16 = 1
    INT32 = 2
    UINT8 = 3
    INT64 = 4
    INT16 = 7
    INT8 = 9
    FLOAT64 = 10
    INT4 = 17

    @property
    def dtype(self) -> np.dtype:
        """The type in NumPy.

        :raises DamagedFile: where it has none.
        """
        if self is Kind.INT4:
            raise DamagedFile("holds numbers of 4 bits, which are not supported; convert the model with int8 weights")
        return np.dtype(self.name.lower())


class Activation(enum.IntEnum):
    """The function that an operator applies to its result before it is written."""

    NONE = 0
    RELU = 1
    RELU_N1_TO_1 = 2
    RELU6 = 3
    TANH = 4
    SIGN_BIT = 5

    @property
    def limits(self) -> tuple[float, float] | None:
        """The least and the largest result; None where it does more than that."""
        return _LIMITS.get(self)


_LIMITS = {
    Activation.NONE: (-math.inf, math.inf),
    Activation.RELU: (0.0, math.inf),
    Activation.RELU_N1_TO_1: (-1.0, 1.0),
    Activation.RELU6: (0.0, 6.0),
}


@dataclass(frozen=True, eq=False)
class Quantization:
    """``real = scale * (code - zero point)``; vectors of one entry, or one per index of an axis."""

    scale: np.ndarray  # float32
    zero_point: np.ndarray  # int64
    axis: int

    @property
    def is_uniform(self) -> bool:
        """Whether there is one scale and one zero point."""
        return self.scale.size == 1 and self.zero_point.size == 1


@dataclass(frozen=True, eq=False)
class TfliteTensor:
    """A tensor.

    :param shape: with the batch.
    :param kind: None where the type of its numbers is not known.
    :param content: the bytes of a constant; None where it is computed.
    :param quantization: None where there is none.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    kind: Kind | None
    content: memoryview | None = field(repr=False)
    quantization: Quantization | None

    @property
    def label(self) -> str:
        """The name in messages."""
        return f"tensor {self.index} ('{self.name[:LONGEST_NAME]}')"

    @cached_property
    def numbers(self) -> np.ndarray:
        """The numbers of a constant, in its shape.

        :raises DamagedFile: when it has none, or another number of them.
        """
        if self.content is None or self.kind is None:
            raise DamagedFile(f"{self.label} must be a constant of a known type")
        if min(self.shape, default=1) < 1:
            raise DamagedFile(f"{self.label} has the shape {list(self.shape)}")
        size = math.prod(self.shape) * self.kind.dtype.itemsize
        if size != len(self.content):
            raise DamagedFile(f"{self.label} has {len(self.content):,} bytes, not {size:,}")
        little = self.kind.dtype.newbyteorder("<")
        return np.frombuffer(self.content, little).astype(self.kind.dtype).reshape(self.shape)


@dataclass(frozen=True, eq=False)
class TfliteOperator:
    """An operator.

    :param number: its place in the file.
    :param kind: None where it is not one of those that are known.
    :param name: what it is called.
    :param inputs: indices of tensors; -1 where one is left out.
    :param options: its table of options, if there is one.
    """

    number: int
    kind: Builtin | None
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Table | None

    @property
    def label(self) -> str:
        """The name in messages."""
        return f"operator {self.number} ({self.name})"


@dataclass(frozen=True, eq=False)
class TfliteModel:
    """The only network of a file."""

    tensors: tuple[TfliteTensor, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operators: tuple[TfliteOperator, ...]


def parse(data: bytes) -> TfliteModel:
    """Return what a file says.

    :raises DamagedFile: when it contradicts itself, or is larger than anything that is supported.
    """
    root = FlatBuffer(data).root()
    if (version := root.number(0, "I")) != SCHEMA_VERSION:
        raise DamagedFile(f"its schema has version {version}; version {SCHEMA_VERSION} is read")
    graphs = root.tables(2, MOST_LAYERS)
    if len(graphs) != 1:
        raise DamagedFile(f"it has {len(graphs)} subgraphs; exactly 1 is supported (no control flow)")
    buffers = root.tables(4, MOST_TENSORS + 1)
    codes = [_code(table) for table in root.tables(1, MOST_LAYERS)]
    (graph,) = graphs
    contents = [_content(data, table) for table in buffers]
    tensors = tuple(_tensor(k, table, contents) for k, table in enumerate(graph.tables(0, MOST_TENSORS)))
    count = len(tensors)
    operators = tuple(_operator(k, one, codes, count) for k, one in enumerate(graph.tables(3, MOST_LAYERS)))
    return TfliteModel(tensors, _indices(graph, 1, count), _indices(graph, 2, count), operators)


def _code(table: Table) -> tuple[Builtin | None, str]:
    """Older files have the operator in a field of 8 bits, in which newer ones write at most 127."""
    number = max(table.number(0, "b"), table.number(3, "i"))
    known = Builtin(number) if number in set(Builtin) else None
    if known is Builtin.CUSTOM:
        return None, f"CUSTOM '{table.text(1)[:LONGEST_NAME]}'"
    return known, f"number {number}" if known is None else known.name


def _content(data: bytes, table: Table) -> memoryview | None:
    """The bytes of a buffer; large files keep them after the FlatBuffer, at an offset."""
    offset, size = table.number(1, "Q"), table.number(2, "Q")
    if offset > 1:  # 0 and 1 stand for none
        table.buffer.require(offset, size)
        return memoryview(data)[offset : offset + size]
    return table.bytes_of(0) or None


def _tensor(index: int, table: Table, contents: list[memoryview | None]) -> TfliteTensor:
    shape = tuple(int(extent) for extent in table.numbers(0, np.int32))
    if len(shape) > DEEPEST_SHAPE or any(not -1 <= extent <= LARGEST_EXTENT**2 for extent in shape):
        raise DamagedFile(f"tensor {index} has the shape {shape[: DEEPEST_SHAPE + 1]}")
    if math.prod(shape) > MOST_NUMBERS:
        raise DamagedFile(f"tensor {index} has {math.prod(shape):,} numbers; at most {MOST_NUMBERS:,}")
    buffer, kind = table.number(2, "I"), table.number(1, "b")
    if buffer >= max(len(contents), 1):
        raise DamagedFile(f"tensor {index} lies in buffer {buffer} of {len(contents)}")
    return TfliteTensor(
        index=index,
        name=table.text(3),
        shape=shape,
        kind=Kind(kind) if kind in set(Kind) else None,
        content=contents[buffer] if contents else None,
        quantization=_quantization(index, table.table(4), shape),
    )


def _quantization(index: int, table: Table | None, shape: tuple[int, ...]) -> Quantization | None:
    if table is None:
        return None
    scale, zero, axis = table.numbers(2, np.float32), table.numbers(3, np.int64), table.number(6, "i")
    if not scale.size:
        return None
    zero = zero if zero.size else np.zeros(1, np.int64)
    if not (np.isfinite(scale) & (scale >= np.finfo(np.float32).tiny)).all():
        raise DamagedFile(f"tensor {index} has a scale that is not a positive number")
    if abs(zero).max() > 255:
        raise DamagedFile(f"tensor {index} has the zero point {zero[abs(zero).argmax()]}")
    if scale.size > 1 and not (0 <= axis < len(shape) and shape[axis] == scale.size):
        raise DamagedFile(f"tensor {index} has {scale.size:,} scales along axis {axis} of {list(shape)}")
    if zero.size not in (1, scale.size):
        raise DamagedFile(f"tensor {index} has {zero.size:,} zero points for {scale.size:,} scales")
    return Quantization(scale, zero, axis)


def _operator(number: int, table: Table, codes: list[tuple[Builtin | None, str]], count: int) -> TfliteOperator:
    code = table.number(0, "I")
    if code >= len(codes):
        raise DamagedFile(f"operator {number} is of kind {code} of {len(codes)}")
    inputs, outputs = _indices(table, 1, count, optional=True), _indices(table, 2, count)
    if not outputs:
        raise DamagedFile(f"operator {number} has no output")
    kind, name = codes[code]
    return TfliteOperator(number, kind, name, inputs, outputs, table.table(4))


def _indices(table: Table, field_number: int, count: int, optional: bool = False) -> tuple[int, ...]:
    indices = table.numbers(field_number, np.int32)
    if indices.size > 2 * MOST_JOINED:
        raise DamagedFile(f"a list of tensors has {indices.size:,} entries; at most {2 * MOST_JOINED}")
    if indices.size and not (-1 if optional else 0) <= indices.min() <= indices.max() < count:
        raise DamagedFile(f"there is no tensor {indices.max() if indices.max() >= count else indices.min()}")
    return tuple(int(index) for index in indices)
