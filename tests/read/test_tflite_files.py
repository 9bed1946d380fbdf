"""Ways of writing the same ``.tflite`` file: as older converters did, and as those of large files do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flatbuffer_writer import Number, Table
from tflite_codes import IntegerCodes
from tflite_models import NONE, RELU, Model, fused

from dnn2fpga.errors import UserError
from dnn2fpga.graph.float import Graph
from dnn2fpga.read.front_ends import read_model
from dnn2fpga.read.settings import ReadSettings
from dnn2fpga.read.tflite import read_tflite_model
from dnn2fpga.read.tflite_rules import TfliteRule

GRID = {"scale": 0.1, "zero": 3}
WEIGHTS = np.arange(12).reshape(3, 4)


def model() -> Model:
    """A fully connected layer."""
    m = Model()
    x = m.tensor([1, 4], **GRID)
    w = m.tensor([3, 4], scale=0.01, data=WEIGHTS)
    y = m.tensor([1, 3], **GRID)
    m.operator("FULLY_CONNECTED", [x, w], [y], fused(NONE))
    return m


def read(content: bytes, folder: Path) -> Graph:
    path = folder / "model.tflite"
    path.write_bytes(content)
    return read_tflite_model(path)


def weights(graph: Graph) -> np.ndarray:
    (layer,) = [node.layer for node in graph.nodes if node.layer.has_weights]
    return np.asarray(layer.exact.codes).T


def test_names(tmp_path: Path) -> None:
    graph = read(model().file([0], [2]), tmp_path)
    assert list(graph.inputs) == ["input"]
    assert [node.name for node in graph.nodes] == ["t0_input", "t2_fully_connected_sums", "t2_fully_connected"]
    np.testing.assert_array_equal(weights(graph), WEIGHTS)


def test_the_operator_in_the_older_field_alone(tmp_path: Path) -> None:
    m = model()
    m.codes = [Table({0: Number("b", 9)})]
    np.testing.assert_array_equal(weights(read(m.file([0], [2]), tmp_path)), WEIGHTS)


def test_a_constant_behind_the_flatbuffer(tmp_path: Path) -> None:
    m = model()
    m.buffers[1] = Table({1: Number("Q", 2**30), 2: Number("Q", 12)})
    size = len(m.file([0], [2]))
    m.buffers[1] = Table({1: Number("Q", size), 2: Number("Q", 12)})
    content = m.file([0], [2]) + WEIGHTS.astype(np.int8).tobytes()
    np.testing.assert_array_equal(weights(read(content, tmp_path)), WEIGHTS)
    with pytest.raises(UserError, match="lie outside of the file"):
        read(content[:-1], tmp_path)


def test_no_zero_points(tmp_path: Path) -> None:
    m = model()
    fields = dict(m.tensors[1].fields)
    fields[4] = Table({2: np.array([0.01], np.float32)})
    m.tensors[1] = replace(m.tensors[1], fields=fields)
    np.testing.assert_array_equal(weights(read(m.file([0], [2]), tmp_path)), WEIGHTS)


def test_the_rule_is_that_of_the_settings(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(model().file([0], [2]))
    for rule in TfliteRule:
        origin = read_model(path, ReadSettings(rule=rule.value)).origin
        assert origin is not None
        assert (origin.reader, origin.rule) == ("TensorFlow Lite", rule.value)


def test_several_inputs_and_outputs(tmp_path: Path) -> None:
    m = Model()
    tensors = [m.tensor([1, 4], **GRID) for _ in range(4)]
    m.operator("ADD", tensors[:2], tensors[2:3], fused(NONE))
    m.operator("MAXIMUM", tensors[:2], tensors[3:])
    graph = read(m.file(tensors[:2], tensors[2:]), tmp_path)
    assert list(graph.inputs) == ["tensor_0", "tensor_1"]
    assert graph.dag.outputs == ("t2_add", "t3_maximum")


def test_a_sum_that_always_saturates(tmp_path: Path) -> None:
    m = Model()
    a, b = m.tensor([1, 4], scale=0.01), m.tensor([1, 4], scale=0.01)
    y = m.tensor([1, 4], scale=1.0, zero=127)
    m.operator("ADD", [a, b], [y], fused(RELU))
    path = tmp_path / "model.tflite"
    path.write_bytes(m.file([a, b], [y]))
    codes = IntegerCodes(path, TfliteRule.TFLM, [np.arange(-64, 64, dtype=np.int8).reshape(32, 4)] * 2)
    assert (codes.output == 127).all()
    np.testing.assert_array_equal(codes.computed[y], codes.output)
