"""Single operators of ONNX beside what onnxruntime made of random numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx_codes import FOLDER, channels_first, channels_last, codes_of

from dnn2fpga.layers.quantizer import Quantizer
from dnn2fpga.passes.to_integers import to_integers
from dnn2fpga.read.onnx import read_onnx
from dnn2fpga.read.settings import ReadSettings

RECORDED = np.load(FOLDER / "onnx_operators" / "io.npz")
NAMES = [str(name) for name in RECORDED["operators"]]
EVERY = pytest.mark.parametrize("number", range(len(NAMES)), ids=NAMES)
CODES = [number for number in range(len(NAMES)) if RECORDED["codes"][number]]
KEEPS_ORDER = "an input with channels last"


def part(name: str, number: int) -> np.ndarray:
    ends = [0, *RECORDED[f"{name}_ends"]]
    return np.asarray(RECORDED[name][ends[number] : ends[number + 1]])


class Operator:
    """A file, and what its graph makes of what it reads."""

    def __init__(self, number: int, folder: Path) -> None:
        path = folder / "model.onnx"
        path.write_bytes(part("models", number).tobytes())
        self.graph = read_onnx(path)
        self.in_order = NAMES[number] == KEEPS_ORDER
        shape = next(iter(self.graph.inputs.values()))
        first = shape if self.in_order else (*shape[2:], *shape[:2])
        inputs = part("x", number).astype(np.float64).reshape(len(self.graph.inputs), -1, *first)
        given = [each if self.in_order else channels_last(each) for each in inputs]
        self.x = dict(zip(self.graph.inputs, given, strict=True))
        self.reals = dict(self.graph.tensors(self.x))

    def in_source_order(self, values: np.ndarray) -> np.ndarray:
        return (values if self.in_order else channels_first(values)).reshape(-1)


@EVERY
def test_operator(number: int, tmp_path: Path) -> None:
    operator, expected = Operator(number, tmp_path), part("y", number)
    reals = operator.reals[operator.graph.dag.outputs[0]]
    if number not in CODES:
        atol = 2e-6 * max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(operator.in_source_order(reals), expected, atol=atol, rtol=0)
        return
    encoding = quantizer(operator).encoding
    np.testing.assert_array_equal(operator.in_source_order(codes_of(encoding, reals)), expected)


def quantizer(operator: Operator) -> Quantizer:
    """The one that made the codes of the output."""
    return [node.layer for node in operator.graph.nodes if isinstance(node.layer, Quantizer)][-1]


@pytest.mark.parametrize("number", CODES, ids=lambda number: NAMES[number])
def test_operator_in_integers(number: int, tmp_path: Path) -> None:
    operator = Operator(number, tmp_path)
    integers = to_integers(operator.graph, ReadSettings().input_encoding)
    graph = integers.graph
    boundaries = dict(
        graph.boundaries(graph.quantized(operator.x if len(operator.x) > 1 else next(iter(operator.x.values()))))
    )
    codes = boundaries[graph.dag.outputs[0]].reshape(operator.reals[operator.graph.dag.outputs[0]].shape)
    np.testing.assert_array_equal(operator.in_source_order(codes), part("y", number))


def test_there_are_many() -> None:
    assert len(set(NAMES)) >= 60
    assert len(CODES) >= 30
