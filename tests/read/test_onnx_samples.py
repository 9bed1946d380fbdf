"""ONNX files beside what their tools computed: every quantized number equal, floats to the last digits of float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from integer_model import IntegerModel
from onnx_codes import OWN, SAMPLES, Computed, channels_first, channels_last, codes_of

from dnn2fpga.graph.dag import Node
from dnn2fpga.layers.quantizer import Quantizer
from dnn2fpga.passes.to_integers import has_integers
from dnn2fpga.read.onnx import read_onnx
from dnn2fpga.read.onnx_schema import array_of, parse

EVERY = pytest.mark.parametrize("path", SAMPLES, ids=lambda path: f"{path.parent.name}/{path.name}")
QUANTIZED = pytest.mark.parametrize(
    "path", [path for path in SAMPLES if has_integers(read_onnx(path))], ids=lambda path: str(path.parent.name)
)
# Samples in which the source's float32 decides what real arithmetic has half-way between two codes, or nearly so.
# Every tensor is compared, given what the source had before it; how many codes differ, and by how many float32 ulps of
# the numbers that were added up they lie from a tie.
AT_TIES = {"onnx_qdq_branches": 32, "qonnx_rounding": 38}
ULPS = 4


def test_samples_are_there() -> None:
    assert len(OWN) >= 13


@EVERY
def test_output(path: Path) -> None:
    computed = Computed(path)
    expected = computed.recorded["y_dynamo" if "dynamo" in path.name else "y"]
    if path.parent.name not in AT_TIES:
        np.testing.assert_allclose(computed.output.reshape(expected.shape), expected, atol=1e-5, rtol=0)


@EVERY
def test_every_tensor(path: Path) -> None:
    """Given what the source itself had before each of them."""
    computed = Computed(path)
    sources = {
        node: channels_last(values)
        for name, values in computed.recorded.items()
        if name.startswith("t_") and (node := computed.node_of(name[2:])) is not None
    }
    frames = min((len(values) for values in sources.values()), default=1)
    differing, compared = 0, 0

    def step(node: Node[Any], *values: np.ndarray) -> np.ndarray:
        nonlocal differing, compared
        found = np.asarray(node.layer.compute(*values))
        expected = sources.get(node.name)
        if expected is None:
            return found
        compared += 1
        expected = expected[:frames].reshape(found.shape)
        if isinstance(node.layer, Quantizer):
            encoding = node.layer.encoding
            codes = expected.astype(np.int64) if expected.dtype.kind in "iu" else codes_of(encoding, expected)
            wrong = codes_of(encoding, found) != codes
            differing += int(wrong.sum())
            assert (distance_from_ties(encoding, values[0])[wrong] < ULPS).all(), node.name
            return np.asarray(encoding.reals(codes))
        if expected.dtype.kind in "iu":
            return found  # codes that only move
        scale = max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(found, expected, atol=1e-6 * scale, rtol=0, err_msg=node.name)
        return found

    inputs = dict.fromkeys(computed.graph.inputs, computed.x[:frames])
    for _ in computed.graph.dag.evaluate(inputs, step):
        pass
    assert differing == AT_TIES.get(path.parent.name, 0)
    assert compared or not any(name.startswith("t_") for name in computed.recorded) or "dynamo" in path.name


def distance_from_ties(encoding: Any, reals: np.ndarray) -> np.ndarray:
    """How far numbers lie from half-way between two codes, in float32 ulps of the largest of them."""
    levels = reals / encoding.scale.astype(np.float64)
    far = np.abs(levels - np.floor(levels) - 0.5) * encoding.scale.astype(np.float64)
    return np.asarray(far / np.spacing(np.float32(np.abs(reals).max())))


@QUANTIZED
def test_every_quantized_weight(path: Path) -> None:
    computed = Computed(path)
    names = [name[5:] for name in computed.recorded if name.startswith("wint_")]
    layers = [layer for layer in computed.layers.values() if layer.has_weights]
    for name, layer in zip(names, layers, strict=bool(names)):
        codes = layer.exact.codes  # type: ignore[attr-defined]
        expected = computed.recorded[f"wint_{name}"]
        scales = np.broadcast_to(computed.recorded[f"wscale_{name}"].reshape(-1), len(expected))
        assert layer.exact.scale.astype(np.float32).tolist() == scales.tolist()  # type: ignore[attr-defined]
        assert sorted(codes.reshape(-1)) == sorted(expected.reshape(-1))
        if expected.ndim == 4:
            in_order = expected[:, 0].transpose(1, 2, 0) if codes.ndim == 3 else expected.transpose(2, 3, 1, 0)
            np.testing.assert_array_equal(codes, in_order)
    assert layers


@QUANTIZED
def test_the_integer_model(path: Path) -> None:
    computed = Computed(path)
    integers = IntegerModel(computed.graph, computed.x)
    compared = 0
    for name, layer in computed.quantizers.items():
        if name in integers:
            codes = codes_of(layer.encoding, computed.reals[name])
            np.testing.assert_array_equal(integers.codes(name).reshape(codes.shape), codes, err_msg=name)
            compared += 1
    assert compared
    output = channels_first(integers.reals(computed.graph.dag.outputs[0]).reshape(channels_last(computed.output).shape))
    np.testing.assert_allclose(output, computed.output, atol=1e-6 * np.abs(output).max(), rtol=0)


@pytest.mark.parametrize(
    ("name", "constant"),
    [
        ("brevitas_mlp", "d1.weight"),
        ("brevitas_mlp", "d2.bias"),
        ("onnx_qdq_conv", "c2.weight_quantized"),
        ("onnx_qlinear_mlp", "d2.bias_quantized"),
        ("onnx_float_conv", "w3"),
    ],
)
def test_a_changed_constant_is_noticed(name: str, constant: str, tmp_path: Path) -> None:
    path = next(path for path in OWN if path.parent.name == name)
    before, content = Computed(path), path.read_bytes()
    raw = array_of(parse(content).constants[constant]).tobytes()
    changed = bytearray(raw)
    changed[-1] ^= 0x40 if constant.endswith("_quantized") else 0x80
    assert content.count(raw) == 1
    (tmp_path / "model.onnx").write_bytes(content.replace(raw, bytes(changed)))
    graph = read_onnx(tmp_path / "model.onnx")
    after = dict(graph.tensors(before.x))[graph.dag.outputs[0]]
    assert (channels_first(after) != before.output).any()
