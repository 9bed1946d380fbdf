"""Small ``.onnx`` files of any nodes, written without the package ``onnx``."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dnn2fpga.errors import UserError
from dnn2fpga.read.onnx import read_onnx

KINDS = {"float32": 1, "uint8": 2, "int8": 3, "int16": 5, "int32": 6, "int64": 7, "float64": 11}
QONNX, MICROSOFT = "qonnx.custom_op.general", "com.microsoft"


def varint(value: int) -> bytes:
    value %= 2**64
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def integer(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def sized(number: int, content: bytes | str) -> bytes:
    content = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(content)) + content


def single(number: int, value: float) -> bytes:
    return varint(number << 3 | 5) + struct.pack("<f", value)


def tensor(name: str, values: Any, more: bytes = b"") -> bytes:
    """A constant; doubles become float32."""
    array = np.asarray(values)
    array = array.astype(np.float32) if array.dtype == np.float64 else array
    shape = b"".join(integer(1, extent) for extent in array.shape)
    return shape + integer(2, KINDS[array.dtype.name]) + sized(8, name) + sized(9, array.tobytes()) + more


def attribute(name: str, value: Any) -> bytes:
    start = sized(1, name)
    if isinstance(value, bytes):
        return start + value
    if isinstance(value, int):
        return start + integer(3, value) + integer(20, 2)
    if isinstance(value, float):
        return start + single(2, value) + integer(20, 1)
    if isinstance(value, str):
        return start + sized(4, value) + integer(20, 3)
    if isinstance(value, np.ndarray):
        return start + sized(5, tensor("", value)) + integer(20, 4)
    return start + b"".join(integer(8, one) for one in value) + integer(20, 7)


def port(name: str, shape: tuple[int | None, ...] | None, kind: int = 1) -> bytes:
    """An input or output; None is an open extent."""
    dims = b"".join(sized(1, sized(2, "n") if extent is None else integer(1, extent)) for extent in shape or ())
    whole = integer(1, kind) + (b"" if shape is None else sized(2, dims))
    return sized(1, name) + sized(2, sized(1, whole))


@dataclass
class Model:
    """Nodes and constants; `x` is the input unless told, the last node's result the output."""

    shape: tuple[int | None, ...] | None = (1, 2, 6, 5)
    opset: int = 17
    nodes: list[bytes] = field(default_factory=list)
    constants: list[bytes] = field(default_factory=list)
    inputs: list[bytes] = field(default_factory=list)
    more: bytes = b""  # of the graph
    last: str = ""

    def constant(self, name: str, values: Any) -> str:
        self.constants.append(tensor(name, values))
        return name

    def node(self, kind: str, name: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        content = b"".join(sized(1, one) for one in inputs) + sized(2, name) + sized(4, kind) + sized(7, domain)
        self.nodes.append(content + b"".join(sized(5, attribute(*one)) for one in attributes.items()))
        self.last = name
        return name

    @property
    def content(self) -> bytes:
        inputs = self.inputs or [port("x", self.shape)]
        graph = b"".join(
            [
                *(sized(1, one) for one in self.nodes),
                *(sized(5, one) for one in self.constants),
                *(sized(11, one) for one in inputs),
                sized(12, port(self.last, None)),
                self.more,
            ]
        )
        opset = sized(8, sized(1, "") + integer(2, self.opset))
        return integer(1, 8) + opset + sized(7, graph)

    def write(self, folder: Path) -> Path:
        path = folder / "model.onnx"
        path.write_bytes(self.content)
        return path


# Models of one node

W = np.linspace(-1, 1, 3 * 2 * 3 * 3).reshape(3, 2, 3, 3)
ZERO = np.uint8(3)  # a zero point


def convolution(model: Model | None = None, weights: Any = W, **attributes: Any) -> Model:
    model = model or Model()
    model.node("Conv", "y", "x", model.constant("w", weights), **attributes)
    return model


def one(
    kind: str, *constants: Any, domain: str = "", shape: tuple[int, ...] = (1, 2, 6, 5), **attributes: Any
) -> Model:
    """A node with `x`, or nothing, before its constants."""
    model = Model(shape)
    names = [model.constant(f"c{k}", value) for k, value in enumerate(constants)]
    model.node(kind, "y", "x", *names, domain=domain, **attributes)
    return model


def quant(scale: Any = 0.5, zero: Any = 0.0, bits: Any = 4.0, **attributes: Any) -> Model:
    return one("Quant", scale, zero, bits, domain=QONNX, **attributes)


def refused(model: Model, folder: Path) -> str:
    """Why a model is not read."""
    with pytest.raises(UserError) as error:
        read_onnx(model.write(folder))
    return str(error.value)
