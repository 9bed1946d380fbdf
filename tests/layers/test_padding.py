"""Zeros around an image become part of the layer that reads them: in floating point, in integers, and in
training; and where they cannot, that is said.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from padded import CHANNELS, EVEN, LAYERS, SETTINGS, SHAPE, UNEVEN, network, reading, samples
from specimens import paddings

from dnn2fpga.errors import UserError
from dnn2fpga.exact.encoding import Encoding, ExactWeights
from dnn2fpga.graph import files as config_files
from dnn2fpga.graph.dag import Dag, Node
from dnn2fpga.graph.float import Graph
from dnn2fpga.keras_import import tf
from dnn2fpga.layers.activation import Clamp
from dnn2fpga.layers.affine import Affine
from dnn2fpga.layers.conv2d import Conv2D
from dnn2fpga.layers.pooling import AveragePooling, MaxPooling
from dnn2fpga.layers.quantizer import Quantizer
from dnn2fpga.layers.zero_padding import ZeroPadding
from dnn2fpga.optimize.calibration import calibrate
from dnn2fpga.optimize.operations import TensorFlowOperations
from dnn2fpga.optimize.post_training import Quantization, choose_all, quantize
from dnn2fpga.optimize.training_model import CodeModel
from dnn2fpga.passes.simplify import simplify
from dnn2fpga.passes.to_integers import to_integers
from rtl_lib.image.window_schedule import Padding

OPS = TensorFlowOperations()


KINDS = ("conv2d", "depthwise_conv2d", "max_pooling", "average_pooling")


@given(st.data(), st.sampled_from(KINDS))
def test_zeros_become_part_of_what_reads_them(data: st.DataObject, kind: str) -> None:
    kernel = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    strides = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    zeros = data.draw(paddings(SHAPE, kernel))
    x = samples()
    apart = Graph.chain("g", "input", SHAPE, [ZeroPadding("zeros", zeros), reading(kind, kernel, strides)])

    (layer,) = simplify(apart).layers

    expected = apart.run(x)
    np.testing.assert_allclose(layer.compute(x), expected, rtol=1e-6, atol=1e-6)
    assert layer.output_shape(SHAPE) == expected.shape[1:]
    parameters = {name: tf.constant(values, tf.float32) for name, values in layer.parameters.items()}
    np.testing.assert_allclose(layer.forward(OPS, parameters, tf.constant(x)), expected, rtol=1e-4, atol=1e-4)


@given(st.data(), st.sampled_from(["max_pooling", "average_pooling"]))
def test_pixels_outside_count_only_where_they_are_asked_to(data: st.DataObject, kind: str) -> None:
    """Window by window."""
    kernel = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    strides = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    pads = data.draw(paddings(SHAPE, kernel))
    x = samples()
    layer = reading(kind, kernel, strides, padding=pads)
    reduced = {"max_pooling": np.nanmax, "average_pooling": np.nanmean}[kind]
    around = ((0, 0), (pads.top, pads.bottom), (pads.left, pads.right), (0, 0))
    framed = np.pad(x.astype(float), around, constant_values=np.nan)

    for (r, c), found in np.ndenumerate(layer.compute(x)[0, ..., 1]):
        top, left = r * strides[0], c * strides[1]
        window = framed[0, top : top + kernel[0], left : left + kernel[1], 1]
        assert found == pytest.approx(float(reduced(window)), rel=1e-5)


@pytest.mark.parametrize("numbers", SETTINGS)
@pytest.mark.parametrize("name", LAYERS)
def test_what_is_trained_is_what_is_built(name: str, numbers: str) -> None:
    graph, settings, x = network(name), SETTINGS[numbers], samples()
    statistics = calibrate(graph, x)
    quantized = quantize(graph, statistics, settings)
    model = CodeModel(graph, settings, choose_all(graph, statistics, settings), learn_ranges=True)
    ((q, _),) = model.codes(tf.constant(x)).values()
    np.testing.assert_array_equal(np.asarray(q).astype(np.int64), quantized.run(quantized.input.quantize(x)))


@pytest.mark.parametrize("name", LAYERS)
def test_integers_are_close_to_the_real_numbers(name: str) -> None:
    """A zero that counts is the zero point, not the integer 0."""
    graph, x = network(name), samples()
    widths = {"activation_bits": 14, "weight_bits": 14, "input_bits": 14}
    quantized = quantize(graph, calibrate(graph, x), SETTINGS["shifted"].model_copy(update=widths))
    np.testing.assert_allclose(quantized.predict(x), graph.run(x), atol=5e-3)


def test_a_maximum_with_zeros_outside_does_not_change_places_with_a_batch_normalization() -> None:
    """The offset would be added to the zeros as well."""
    rng = np.random.default_rng(0)
    layers = [
        Conv2D("conv", rng.normal(size=(1, 1, 3, 3)), np.full(3, -5.0)),
        ZeroPadding("zeros", EVEN),
        MaxPooling("pool", (3, 3), (2, 2), "valid"),
        Affine("norm", np.ones(3), np.full(3, 2.0)),
        Clamp("relu", 1.0, 6.0),
    ]
    graph = Graph.chain("g", "input", SHAPE, layers)
    simplified = simplify(graph)
    assert [layer.name for layer in simplified.layers] == ["conv", "pool", "norm"]
    np.testing.assert_allclose(simplified.run(samples()), graph.run(samples()), atol=1e-5)


@pytest.mark.parametrize("high", [-5, 40])
def test_integers_that_a_model_brings_are_padded_with_the_code_of_zero(high: int) -> None:
    """The zero code is 3: also where no number of the source is as large."""
    given = Encoding.of(Fraction(1, 16), -100, high, zero_point=3)
    weights = ExactWeights.of(np.random.default_rng(0).integers(-7, 8, (3, 3, CHANNELS, 2)), Fraction(1, 8), 1)
    layers = [
        Quantizer("given", given),
        ZeroPadding("zeros", EVEN),
        MaxPooling("most", (3, 3), (1, 1), "valid"),
        ZeroPadding("more", UNEVEN),
        AveragePooling("mean", (4, 4), (1, 2), "valid"),
        Quantizer("means", Encoding.of(Fraction(1, 32), -128, 127)),
        Conv2D.of_codes("conv", weights, strides=(2, 2), padding=EVEN),
        Quantizer("result", Encoding.of(Fraction(1, 16), -128, 127, zero_point=-2)),
    ]
    graph, x = Graph.chain("g", "input", SHAPE, layers), np.minimum(samples(), (high - 3) / 16)
    expected = graph.run(x)
    integers = to_integers(graph, given).graph
    np.testing.assert_array_equal(integers.predict(x), expected)
    assert len(np.unique(expected)) > 9


def test_one_layer_of_zeros_may_have_several_readers() -> None:
    pool = Node("pool", MaxPooling("pool", (3, 3), (1, 1), "valid"), ("zeros",))
    conv = Node("conv", reading("conv2d", (3, 3), (1, 1)), ("zeros",))
    dag = Dag(("input",), (Node("zeros", ZeroPadding("zeros", EVEN), ("input",)), pool, conv), ("pool", "conv"))
    graph = Graph("g", {"input": SHAPE}, dag)
    simplified = simplify(graph)
    assert [layer.kind for layer in simplified.layers] == ["max_pooling", "conv2d"]


# What is refused

REFUSED = {
    "as wide as the kernel": (
        [ZeroPadding("zeros", Padding(3, 0, 0, 0)), reading("conv2d", (3, 3), (1, 1))],
        "'layer'",
    ),
    "two meanings of outside": (
        [ZeroPadding("zeros", EVEN), reading("max_pooling", (2, 2), (1, 1), padding="same")],
        "'layer' reads them",
    ),
    "read by a clamp": ([ZeroPadding("zeros", EVEN), Clamp("relu", 0, 6)], "'relu' reads them"),
    "an output": ([ZeroPadding("zeros", EVEN)], "they are an output"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_zeros_that_nothing_absorbs_are_refused(name: str) -> None:
    layers, expected = REFUSED[name]
    with pytest.raises(UserError, match=r"layer 'zeros' \(zero_padding\): .* rows and .* columns of zeros") as refusal:
        simplify(Graph.chain("g", "input", SHAPE, layers))
    assert expected in str(refusal.value)


@pytest.mark.parametrize("pads", [[1, 1], [1, 1, 1], [0, 0, 0, -1], [0.5, 0, 0, 0], [True, 0, 0, 0], "full", None, {}])
def test_a_file_with_another_padding_is_refused(pads: Any, tmp_path: Path) -> None:
    edit(tmp_path, pads)
    with pytest.raises(UserError, match=r"padding: must be 'valid', 'same' or \[top, bottom, left, right\]"):
        config_files.load(tmp_path)


@pytest.mark.parametrize("pads", [[3, 0, 0, 0], [0, 0, 0, 2**70]])
def test_a_file_with_more_padding_than_the_kernel_is_refused(pads: list[int], tmp_path: Path) -> None:
    edit(tmp_path, pads)
    with pytest.raises(UserError, match="padding must be smaller than the kernel"):
        config_files.load(tmp_path)


def test_a_file_says_how_much_is_added_where(tmp_path: Path) -> None:
    edit(tmp_path, list(UNEVEN))
    text = (tmp_path / "model.yaml").read_text()
    assert "padding: [2, 0, 1, 2]" in text
    assert config_files.load(tmp_path).layers[-1].padding == UNEVEN


def edit(folder: Path, pads: Any) -> None:
    graph, x = network("max_pooling"), samples()
    config_files.save(quantize(graph, calibrate(graph, x), Quantization()), folder)
    path = folder / "model.yaml"
    model = yaml.safe_load(path.read_text())
    if model["layers"][-1]["padding"] != pads:
        model["layers"][-1]["padding"] = pads
        path.write_text(yaml.safe_dump(model))
