"""Layers of QKeras in models made by hand: what they mean, that integers compute the same, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from handmade_models import SETTINGS, layer, model, same_in_integers

from dnn2fpga.errors import UserError
from dnn2fpga.graph.float import Graph
from dnn2fpga.passes.to_integers import to_integers


def dense(folder: Path, *after: dict[str, Any], **options: Any) -> Graph:
    rng = np.random.default_rng(1)
    kernel, bias = rng.normal(0, 0.5, (6, 5)), rng.normal(0, 0.5, 5)
    given = {"units": 5, "kernel_quantizer": "quantized_bits(4,0,alpha=1)", "bias_quantizer": "quantized_bits(6,1)"}
    first = layer("QDense", **{**given, **options})
    return model(folder, first, *after, arrays={"qdense/kernel": kernel, "qdense/bias": bias})


@pytest.mark.parametrize(
    "activation",
    [
        *("quantized_bits(4,1)", "quantized_bits(6,2,1)", "quantized_bits(3,1,keep_negative=False)"),
        *("quantized_bits(1)", "quantized_bits(1,0,alpha=0.5)"),
        *("quantized_relu(4,1)", "quantized_relu(6,2,0,0.25)"),
        *("quantized_tanh(5)", "quantized_tanh(4,symmetric=1)", "quantized_tanh(5,use_real_tanh=1)"),
        *("quantized_sigmoid(4)", "quantized_sigmoid(1)", "quantized_sigmoid(4,use_real_sigmoid=1)"),
        *("binary()", "binary(1)", "binary(alpha=0.25)", "ternary()", "ternary(alpha=0.5,threshold=0.75)"),
        *("quantized_linear(5,1)", "quantized_linear(5,1,alpha=0.3)", "quantized_linear(1,1)", "stochastic_ternary()"),
    ],
)
def test_integers_compute_the_same(activation: str, tmp_path: Path) -> None:
    after = layer("QActivation", activation=activation)
    graph = dense(tmp_path, after, layer("Activation", activation="linear"))
    assert [node.name for node in graph.nodes][-2] == "qactivation"
    same_in_integers(graph)


@pytest.mark.parametrize("activation", ["quantized_relu(4,1)", "relu", "linear", None])
def test_an_activation_in_a_layer_is_one_after_it(activation: str | None, tmp_path: Path) -> None:
    graph = dense(tmp_path, activation=activation)
    assert graph.nodes[-1].name == "qdense"
    same_in_integers(graph)


def test_activations_of_keras_in_qkeras_and_the_reverse(tmp_path: Path) -> None:
    """QActivation keeps a function as an object (qkeras-v3), Activation a quantizer."""
    function = {"module": "builtins", "class_name": "function", "config": "relu", "registered_name": "function"}
    quantizer = {"class_name": "quantized_relu", "config": {"bits": 4, "integer": 1}, "module": "qkeras.quantizers"}
    registered = {**quantizer, "registered_name": "qkeras>quantized_relu"}
    after = layer("QActivation", activation=function), layer("Activation", activation=registered)
    graph = dense(tmp_path, *after)
    assert [node.layer.kind for node in graph.nodes] == ["dense", "clamp", "quantizer"]
    same_in_integers(graph)


@pytest.mark.parametrize(
    "names",
    [
        {"class_name": "QDense"},
        {"class_name": "qkeras>QDense"},
        {"class_name": "QDense", "module": "qkeras.qlayers", "registered_name": "qkeras>QDense"},
        {"class_name": "QDense", "module": "qkeras.qlayers", "registered_name": "QDense"},
        {"class_name": "QDense", "module": "antigravity.qlayers", "registered_name": "qkeras>QDense"},
    ],
)
def test_names_of_a_class(names: dict[str, Any], tmp_path: Path) -> None:
    """What a file names is never imported."""
    described = layer("QDense", units=1, kernel_quantizer="quantized_bits(4)", use_bias=False) | names
    graph = model(tmp_path, described, shape=(2,), arrays={"qdense/kernel": [[1], [2]]})
    assert [node.layer.kind for node in graph.nodes] == ["dense"]
    assert not {"antigravity", "qkeras"} & set(sys.modules)


@pytest.mark.parametrize(
    "names",
    [
        {"class_name": "QDense", "module": "elsewhere", "registered_name": "elsewhere>QDense"},
        {"class_name": "QDense", "module": "elsewhere.qlayers", "registered_name": "QDense"},
        {"class_name": "elsewhere>QDense"},
    ],
)
def test_classes_of_others(names: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not one of Keras' own classes and is never loaded"):
        model(tmp_path, layer("QDense", units=1) | names, arrays={})


def test_a_number_as_alpha_scales_what_is_rounded_without_it(tmp_path: Path) -> None:
    graph = dense(tmp_path, activation="quantized_bits(4,1,alpha=0.5)")
    assert [node.layer.kind for node in graph.nodes] == ["dense", "quantizer", "affine"]
    same_in_integers(graph)


def test_folded_batch_normalization(tmp_path: Path) -> None:
    """By names: in ``.h5`` files a counter lies between the arrays."""
    rng = np.random.default_rng(3)
    arrays = {
        "qdensebatchnorm/kernel": rng.normal(0, 1, (6, 4)),
        "qdensebatchnorm/bias": rng.normal(0, 1, 4),
        "qdensebatchnorm/bn/gamma": rng.uniform(0.5, 2, 4),
        "qdensebatchnorm/iteration": 7,
        "qdensebatchnorm/bn/moving_variance": rng.uniform(0.5, 2, 4),
        "qdensebatchnorm/bn/moving_mean": rng.normal(0, 1, 4),
        "qdensebatchnorm/bn/beta": rng.normal(0, 1, 4),
    }
    folded = layer("QDenseBatchnorm", units=4, kernel_quantizer="quantized_bits(12,4,alpha=1)", epsilon=0.001)
    graph = model(tmp_path, folded, arrays=arrays)
    w = {name.rpartition("/")[2]: np.float32(value) for name, value in arrays.items()}
    factor = w["gamma"] / np.sqrt(w["moving_variance"] + np.float32(0.001))
    (node,) = graph.nodes
    np.testing.assert_allclose(node.layer.weights, w["kernel"] * factor, atol=2.0**-8)
    np.testing.assert_allclose(node.layer.bias, (w["bias"] - w["moving_mean"]) * factor + w["beta"], rtol=1e-5)


def test_a_depthwise_kernel_has_one_scale_per_multiplier(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    kernel = rng.normal(0, 1, (2, 2, 3, 2)) * np.array([1, 8])
    depthwise = layer(
        "QDepthwiseConv2D",
        kernel_size=[2, 2],
        depth_multiplier=2,
        use_bias=False,
        depthwise_quantizer="quantized_bits(4,1,alpha='auto')",
        activation="quantized_bits(8,3)",
    )
    arrays = {"qdepthwiseconv2d/depthwise_kernel": kernel}
    graph = model(tmp_path, depthwise, shape=(4, 4, 3), arrays=arrays)
    scale = graph.nodes[0].layer.exact.scale
    assert scale[0] == scale[2] == scale[4] < scale[1] == scale[3] == scale[5]
    same_in_integers(graph, 20)


@pytest.mark.parametrize("name", ["QAveragePooling2D", "QGlobalAveragePooling2D"])
def test_averages_times_a_quantized_inverse(name: str, tmp_path: Path) -> None:
    """2 * 3 pixels: 1 / 6 becomes 5 / 32."""
    pool = layer(
        name, pool_size=[2, 3], average_quantizer="quantized_bits(6,0,alpha=1)", activation="quantized_relu(6,3)"
    )
    graph = model(tmp_path, pool, shape=(2, 3, 2), arrays={})
    x = np.random.default_rng(5).integers(-128, 128, (50, 2, 3, 2)) / 16
    expected = np.clip(np.rint(x.sum(axis=(1, 2)) * 5 / 32 * 8), 0, 63) / 8
    np.testing.assert_array_equal(graph.run(x).reshape(50, 2), expected)


def test_batch_normalization_of_quantized_numbers(tmp_path: Path) -> None:
    arrays = {
        "qbatchnormalization/gamma": [1.1, 2.3, 0.6],
        "qbatchnormalization/beta": [0.3, -0.6, 1.4],
        "qbatchnormalization/moving_mean": [0.9, -0.2, 2.5],
        "qbatchnormalization/moving_variance": [1.2, 3.5, 0.3],
    }
    graph = model(tmp_path, layer("QBatchNormalization", epsilon=0), shape=(3,), arrays=arrays)
    (node,) = graph.nodes  # with QKeras' own quantizers: powers of two, of the variance even ones
    np.testing.assert_array_equal(node.layer.scale, np.float32([1, 2, 0.5]) / np.sqrt(np.float32([1, 4, 0.25])))
    mean, beta = np.float32([1, -0.25, 2]), np.float32([0.25, -0.5, 1])
    np.testing.assert_array_equal(node.layer.offset, beta - mean * node.layer.scale)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_quantizer": "quantized_ulaw(4)"}, "layer 'qdense' (QDense): the quantizer quantized_ulaw is not"),
        ({"kernel_quantizer": "quantized_bits(1,alpha='auto')"}, "one bit with alpha='auto' makes NaN"),
        ({"kernel_quantizer": "quantized_tanh(4)"}, "quantized_tanh is not supported for weights"),
        ({"activation": "quantized_bits(4,alpha='auto')"}, "depends on the data"),
        ({"activation": "quantized_po2(4)"}, "quantized_po2 is not supported as an activation"),
        ({"activation": "hard_swish"}, "and the quantizers quantized_bits, "),
        ({"bias_quantizer": {"class_name": "quantized_bits", "config": {"bits": 99}}}, "quantized_bits: bits=99"),
        ({"bias_quantizer": {"class_name": "quantized_bits"}}, "config is missing"),
        ({"units": 4}, "its kernel has shape (6, 5) in the file; the configuration says (6, 4)"),
    ],
)
def test_refusals(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        dense(tmp_path, **options)
    assert message in str(caught.value)


def test_a_kernel_without_a_quantizer_is_no_integer(tmp_path: Path) -> None:
    graph = dense(tmp_path, kernel_quantizer=None, activation="quantized_relu(4,1)")
    with pytest.raises(UserError, match="its source has no quantizer for them; use --requantize"):
        to_integers(graph, SETTINGS.input_encoding)
