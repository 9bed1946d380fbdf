"""Small ``.tflite`` files of any operator, with any quantization."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from flatbuffer_writer import Number, Table, written

FLOAT32, INT32, UINT8, INT64, INT16, INT8 = 0, 2, 3, 4, 7, 9
KINDS = {"float32": FLOAT32, "int32": INT32, "uint8": UINT8, "int64": INT64, "int16": INT16, "int8": INT8}
SAME, VALID = 0, 1
NONE, RELU, RELU_N1_TO_1, RELU6, FUSED_TANH = 0, 1, 2, 3, 4

# By operator: its number, and the number of its table of options
CODES = {
    "ADD": (0, 11),
    "AVERAGE_POOL_2D": (1, 5),
    "CONCATENATION": (2, 10),
    "CONV_2D": (3, 1),
    "DEPTHWISE_CONV_2D": (4, 2),
    "DEQUANTIZE": (6, 38),
    "FULLY_CONNECTED": (9, 8),
    "LOGISTIC": (14, 0),
    "MAX_POOL_2D": (17, 5),
    "MUL": (18, 21),
    "RELU": (19, 0),
    "RELU6": (21, 0),
    "RESHAPE": (22, 17),
    "SOFTMAX": (25, 9),
    "TANH": (28, 0),
    "CUSTOM": (32, 0),
    "PAD": (34, 22),
    "MEAN": (40, 27),
    "SUB": (41, 28),
    "STRIDED_SLICE": (45, 32),
    "MAXIMUM": (55, 39),
    "MINIMUM": (57, 39),
    "SHAPE": (77, 55),
    "PACK": (83, 59),
    "LEAKY_RELU": (98, 75),
    "QUANTIZE": (114, 89),
    "HARD_SWISH": (117, 91),
}


def whole(*values: int) -> dict[int, Number]:
    """Options that are all of 32 bits, from field 0 on."""
    return {k: Number("i", value) for k, value in enumerate(values)}


def window(padding: int, stride: int, *rest: int, activation: int = NONE) -> dict[int, Number]:
    """The options of convolutions and pooling: padding, strides (columns, rows), more extents, activation."""
    options = {0: Number("b", padding), 1: Number("i", stride), 2: Number("i", stride)}
    options |= {3 + k: Number("i", value) for k, value in enumerate(rest)}
    return options | {3 + len(rest): Number("b", activation)}


def fused(activation: int) -> dict[int, Number]:
    """The options of ADD, MUL, SUB and FULLY_CONNECTED."""
    return {0: Number("b", activation)}


@dataclass
class Model:
    """A file in the making; tensors have the numbers that their methods return."""

    tensors: list[Table] = field(default_factory=list)
    buffers: list[Table] = field(default_factory=lambda: [Table({})])
    operators: list[Table] = field(default_factory=list)
    codes: list[Table] = field(default_factory=list)

    def tensor(
        self,
        shape: Any,
        kind: str = "int8",
        scale: Any = None,
        zero: Any = 0,
        data: Any = None,
        axis: int = 0,
        **more: Any,
    ) -> int:
        """Add a tensor; a constant where there is ``data``."""
        fields: dict[int, Any] = {
            0: np.asarray(shape, np.int32),
            1: Number("b", KINDS[kind]),
            3: f"tensor_{len(self.tensors)}",
        }
        if data is not None:
            fields[2] = Number("I", len(self.buffers))
            self.buffers.append(Table({0: np.asarray(data, kind).tobytes()}))
        if scale is not None:
            scales = np.atleast_1d(np.asarray(scale, np.float32))
            zeros = np.broadcast_to(np.asarray(zero, np.int64), scales.shape)
            fields[4] = Table({2: scales, 3: zeros, 6: Number("i", axis)})
        self.tensors.append(Table(fields | more.get("fields", {})))
        return len(self.tensors) - 1

    def operator(
        self, name: str, inputs: list[int], outputs: list[int], options: dict[int, Any] | None = None, version: int = 2
    ) -> None:
        """Add an operator."""
        code, kind = CODES[name]
        fields: dict[int, Any] = {0: Number("b", min(code, 127)), 2: Number("i", version), 3: Number("i", code)}
        self.codes.append(Table(fields | ({1: "own"} if name == "CUSTOM" else {})))
        entry: dict[int, Any] = {0: Number("I", len(self.codes) - 1), 1: _int32(inputs), 2: _int32(outputs)}
        if kind:
            entry |= {3: Number("B", kind), 4: Table(options or {})}
        self.operators.append(Table(entry))

    def file(self, inputs: list[int], outputs: list[int], version: int = 3) -> bytes:
        """Return the bytes of the file."""
        graph = Table({0: self.tensors, 1: _int32(inputs), 2: _int32(outputs), 3: self.operators, 4: "main"})
        root = {0: Number("I", version), 1: self.codes, 2: [graph], 3: "made for a test", 4: self.buffers}
        return written(Table(root), b"TFL3")


def _int32(values: list[int]) -> np.ndarray:
    return np.asarray(values, np.int32)
