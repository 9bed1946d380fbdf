"""``.onnx`` files, however they are written; and those that are none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_codes import FOLDER
from onnx_models import (
    Model,
    convolution,
    integer,
    refused,
    single,
    sized,
    varint,
)

from dnn2fpga.errors import UserError
from dnn2fpga.read.front_ends import read_model
from dnn2fpga.read.onnx import read_onnx
from dnn2fpga.read.protobuf import DamagedMessage, Message


def test_origin(tmp_path: Path) -> None:
    graph = read_model(convolution().write(tmp_path))
    assert graph.origin is not None
    assert (graph.origin.reader, graph.origin.file) == ("ONNX", "model.onnx")


def test_numbers_are_read_however_they_are_written(tmp_path: Path) -> None:
    values = np.array([1.5, -2.0, 0.25, 8.0], np.float32)
    head = integer(1, 2) + integer(1, 2) + integer(2, 1) + sized(8, "w")
    packed = sized(4, values.tobytes())
    unpacked = b"".join(single(4, float(value)) for value in values)
    for content in (packed, unpacked):
        model = Model((1, 2))
        model.constants.append(head + content)
        model.node("MatMul", "y", "x", "w")
        [dense] = read_onnx(model.write(tmp_path)).layers
        np.testing.assert_array_equal(dense.parameters["weights"], values.reshape(2, 2))


@pytest.mark.parametrize("values", [[0, 1, -1, 127, 128, 300, -(2**63), 2**63 - 1], []])
def test_packed_integers(values: list[int]) -> None:
    packed = Message.of(memoryview(sized(7, b"".join(varint(value) for value in values))))
    single = Message.of(memoryview(b"".join(integer(7, value) for value in values)))
    assert packed.integers(7).tolist() == single.integers(7).tolist() == values


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\x0a", "does not end"),
        (b"\x0a\x05ab", "outside of the file"),
        (b"\x0b", "in a way (number 3)"),
        (b"\x02\x00", "outside of the file"),
        (b"\xff" * 11, "does not end"),
        (b"\x39\x00", "outside of the file"),
    ],
)
def test_damaged_messages(content: bytes, expected: str) -> None:
    with pytest.raises(DamagedMessage, match=expected.replace("(", r"\(").replace(")", r"\)")):
        Message.of(memoryview(content))


def test_a_field_of_another_kind() -> None:
    message = Message.of(memoryview(integer(1, 5) + sized(2, "text")))
    for read in (message.text, message.message, message.bytes_of):
        with pytest.raises(DamagedMessage, match="is an integer"):
            read(1)
    with pytest.raises(DamagedMessage, match="no integer"):
        message.integer(2)


def test_too_many_fields() -> None:
    with pytest.raises(DamagedMessage, match="more than 524,288 fields"):
        Message.of(memoryview(integer(1, 0) * 600_000))


def circle() -> Model:
    model = Model()
    model.node("Cast", "a", "x", to=1)
    model.node("Cast", "x", "a", to=1)
    return model


def in_graph(content: bytes) -> Callable[[], Model]:
    def make() -> Model:
        model = convolution()
        model.more = content
        return model

    return make


def of_constant(content: bytes, kind: int = 1, shape: tuple[int, ...] = (3, 2, 3, 3)) -> Callable[[], Model]:
    def make() -> Model:
        model = Model()
        head = b"".join(integer(1, extent) for extent in shape) + integer(2, kind) + sized(8, "w")
        model.constants.append(head + content)
        model.node("Conv", "y", "x", "w")
        return model

    return make


def twice() -> Model:
    model = convolution()
    model.node("Relu", "y", "x")
    return model


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (in_graph(sized(15, b"")), "sparse weights"),
        (of_constant(sized(13, sized(1, "location") + sized(2, "/etc/passwd"))), "lie in another file"),
        (of_constant(integer(14, 1)), "lie in another file"),
        (of_constant(sized(9, bytes(10))), "it has 10 bytes, not 216"),
        (of_constant(b""), "it has 0 numbers, not 54"),
        (of_constant(b"", kind=8), "numbers of type 8 are not supported"),
        (of_constant(b"", shape=(1 << 30, 1 << 30)), "numbers; at most 67,108,864"),
        (of_constant(b"", shape=(-1, 2)), "it has the shape [-1, 2]"),
        (twice, "two of its tensors have one name"),
        (circle, "two of its tensors have one name"),
    ],
)
def test_refused_files(make: Callable[[], Model], expected: str, tmp_path: Path) -> None:
    assert expected in refused(make(), tmp_path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "has no graph"),
        (b"hello\n", "is not an ONNX model that can be read"),
        (sized(7, b"") + sized(25, b""), "functions"),
    ],
)
def test_what_is_no_model(content: bytes, expected: str, tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(content)
    with pytest.raises(UserError, match=expected):
        read_onnx(tmp_path / "a.onnx")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read_onnx(tmp_path / "a.onnx")


def test_the_command(dnn2fpga: Any, tmp_path: Path) -> None:
    """A model that brings its integers needs no data; one in floating point does, channels last."""
    (tmp_path / "own.onnx").write_bytes((FOLDER / "brevitas_residual" / "model.onnx").read_bytes())
    outcome = dnn2fpga("quantize", "own.onnx", "-o", "own")
    assert outcome.code == 0
    text = (tmp_path / "own" / "model.yaml").read_text()
    assert "reader: ONNX" in text
    assert "conv2d" in text
    (tmp_path / "float.onnx").write_bytes((FOLDER / "onnx_float_torch" / "model.onnx").read_bytes())
    x = np.load(FOLDER / "onnx_float_torch" / "io.npz")["x"]
    np.save(tmp_path / "first.npy", x)
    np.save(tmp_path / "last.npy", x.transpose(0, 2, 3, 1))
    assert dnn2fpga("quantize", "float.onnx", "--data", "first.npy", "-o", "float").code == 2
    assert dnn2fpga("quantize", "float.onnx", "--data", "last.npy", "-o", "float").code == 0
