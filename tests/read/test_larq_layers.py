"""Layers of larq and of hls4ml in models made by hand: what they mean, that integers compute the same, and what is
refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from handmade_models import SETTINGS, layer, model, same_in_integers

from dnn2fpga.errors import UserError
from dnn2fpga.graph.float import Graph
from dnn2fpga.passes.to_integers import to_integers

RNG = np.random.default_rng(7)
KERNEL = RNG.normal(0, 0.5, (3, 3, 2, 4)).astype(np.float32)
KERNEL[0, 0] = 0  # the sign of 0 is +1
KERNEL4 = RNG.normal(size=(3, 3, 4, 1))
BIAS = np.round(RNG.normal(0, 16, 4)) / 16
X = RNG.integers(-40, 40, (20, 6, 5, 2)) / 16
X[0], X[1], X[2, ::2] = 0, 0.5, 1

SIGN = np.vectorize(lambda x: 1.0 if x >= 0 else -1.0)
FUNCTIONS = {  # of activations, as larq defines them
    "ste_sign": SIGN,
    "approx_sign": SIGN,
    "swish_sign": SIGN,
    "ste_heaviside": lambda x: np.float64(x > 0),
    "ste_tern": lambda x: np.sign(np.sign(x + np.float32(0.05)) + np.sign(x - np.float32(0.05))),
    None: lambda x: x,
}
OBJECTS = {  # quantizers with options, as files hold them
    "half": ("SteTern", {"threshold_value": 0.5}, lambda x: np.sign(np.sign(x + 0.5) + np.sign(x - 0.5))),
    "zero": ("SteTern", {"threshold_value": 0.0}, np.sign),
    "below": ("SteTern", {"threshold_value": -0.5}, lambda x: np.sign(np.sign(x + 0.5) + np.sign(x - 0.5))),
    "two bits": ("DoReFa", {"k_bit": 2}, lambda x: np.rint(np.clip(x, 0, 1) * 3) / 3),
    "one bit": ("DoReFa", {"k_bit": 1, "mode": "activations"}, lambda x: np.rint(np.clip(x, 0, 1))),
    "older name": ("DoReFaQuantizer", {"k_bit": 3}, lambda x: np.rint(np.clip(x, 0, 1) * 7) / 7),
    "nothing": ("NoOp", {"precision": 1}, lambda x: x),
}


def object_of(name: str, options: dict[str, Any]) -> dict[str, Any]:
    return {"class_name": name, "config": {"name": "q", "trainable": True, "dtype": "float32", **options}}


def convolved(x: np.ndarray, kernel: np.ndarray, strides: int, around: float | None) -> np.ndarray:
    """A convolution, window by window; ``around`` what is around the image, None for nothing."""
    if around is not None:
        extents = [max((-(-n // strides) - 1) * strides + 3 - n, 0) for n in x.shape[1:3]]
        x = np.pad(x, ((0, 0), *((n // 2, n - n // 2) for n in extents), (0, 0)), constant_values=around)
    rows, columns = ((n - 3) // strides + 1 for n in x.shape[1:3])
    result = np.empty((len(x), rows, columns, kernel.shape[-1]))
    for r in range(rows):
        for c in range(columns):
            window = x[:, r * strides : r * strides + 3, c * strides : c * strides + 3]
            result[:, r, c] = np.tensordot(window, kernel, 3)
    return result


def conv(folder: Path, **options: Any) -> Graph:
    given = {"filters": 4, "kernel_size": [3, 3], "kernel_quantizer": "ste_sign", "use_bias": True}
    one = layer("QuantConv2D", **{**given, **options})
    return model(folder, one, shape=(6, 5, 2), arrays={"quantconv2d/kernel": KERNEL, "quantconv2d/bias": BIAS})


@pytest.mark.parametrize("quantizer", FUNCTIONS)
@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("around", [0.0, 1.0, -1.0, 2.0, None])
def test_convolutions_and_what_is_around_them(
    quantizer: str | None, strides: int, around: float | None, tmp_path: Path
) -> None:
    options = {"padding": "valid"} if around is None else {"padding": "same", "pad_values": around}
    graph = conv(tmp_path, input_quantizer=quantizer, strides=[strides] * 2, **options)
    expected = convolved(FUNCTIONS[quantizer](X), SIGN(KERNEL), strides, around) + BIAS
    np.testing.assert_array_equal(graph.run(X), expected)
    if quantizer is not None:
        same_in_integers(graph, 40)


@pytest.mark.parametrize("name", OBJECTS)
def test_quantizers_with_options(name: str, tmp_path: Path) -> None:
    class_name, options, function = OBJECTS[name]
    graph = conv(tmp_path, input_quantizer=object_of(class_name, options))
    expected = convolved(function(X), SIGN(KERNEL), 1, None) + BIAS
    np.testing.assert_allclose(graph.run(X), expected, rtol=0, atol=1e-6)
    if class_name == "SteTern":
        same_in_integers(graph, 40)


@pytest.mark.parametrize("bits", [1, 2, 3])
def test_the_integers_of_dorefa(bits: int, tmp_path: Path) -> None:
    """After a layer, as an input of the model would arrive in its format; on ties, too."""
    first = layer("QuantConv2D", filters=4, kernel_size=[3, 3], kernel_quantizer="ste_sign", use_bias=True)
    rescaled = layer("Rescaling", scale=1 / 16)
    second = layer("QuantDepthwiseConv2D", kernel_size=[3, 3], depthwise_quantizer="ste_sign", use_bias=False)
    second["config"]["input_quantizer"] = object_of("DoReFa", {"k_bit": bits})
    arrays = {"quantconv2d/kernel": KERNEL, "quantconv2d/bias": BIAS, "quantdepthwiseconv2d/depthwise_kernel": KERNEL4}
    graph = model(tmp_path, first, rescaled, second, shape=(6, 5, 2), arrays=arrays)
    integers = to_integers(graph, SETTINGS.input_encoding)
    computed = dict(integers.graph.boundaries(integers.graph.quantized(X)))
    expected = dict(graph.tensors({"input": X}))
    for source in ("quantdepthwiseconv2d_quantizer", "quantdepthwiseconv2d"):
        tensor = integers.graph.tensors[integers.tensors[source]]
        codes = computed[integers.tensors[source]].reshape(expected[source].shape) - tensor.zero_points
        np.testing.assert_allclose(codes, expected[source] * (2**bits - 1), rtol=0, atol=1e-9)
        assert len(np.unique(codes)) > bits


@pytest.mark.parametrize(
    ("quantizer", "expected"),
    [
        ("ste_sign", SIGN(KERNEL)),
        ("SteSign", SIGN(KERNEL)),
        ("ste_heaviside", KERNEL > 0),
        (object_of("SteTern", {"threshold_value": 0.25}), np.sign(KERNEL) * (np.abs(KERNEL) >= 0.25)),
        (
            object_of("SteTern", {"ternary_weight_networks": True}),
            np.sign(KERNEL) * (np.abs(KERNEL) >= 0.7 * np.abs(KERNEL).mean()),
        ),
        ("magnitude_aware_sign", SIGN(KERNEL) * np.abs(KERNEL).mean(axis=(0, 1, 2))),
        (object_of("DoReFa", {"k_bit": 2}), np.rint(np.clip(KERNEL, 0, 1) * 3) / 3),
        (
            object_of("DoReFa", {"k_bit": 3, "mode": "weights"}),
            2 * np.rint((np.tanh(KERNEL) / np.abs(np.tanh(KERNEL)).max() / 2 + 0.5) * 7) / 7 - 1,
        ),
        (None, KERNEL),
        (object_of("NoOp", {"precision": 1}), KERNEL),
    ],
)
def test_kernels(quantizer: Any, expected: np.ndarray, tmp_path: Path) -> None:
    graph = conv(tmp_path, kernel_quantizer=quantizer, input_quantizer="ste_sign")
    np.testing.assert_allclose(graph.nodes[-1].layer.weights, expected, rtol=1e-6, atol=1e-7)


def test_depthwise_and_separable(tmp_path: Path) -> None:
    """What is around an image is that of the depthwise part."""
    depthwise, pointwise = KERNEL[..., :1].copy(), RNG.normal(size=(1, 1, 2, 3))
    quantizers = {"depthwise_quantizer": "ste_sign", "pointwise_quantizer": "ste_tern", "input_quantizer": "ste_sign"}
    common = {"kernel_size": [3, 3], "padding": "same", "pad_values": 1.0, "use_bias": False, **quantizers}
    arrays = {
        "quantseparableconv2d/depthwise_kernel": depthwise,
        "quantseparableconv2d/pointwise_kernel": pointwise,
        "quantdepthwiseconv2d/depthwise_kernel": RNG.normal(size=(3, 3, 3, 1)),
    }
    first = layer("QuantSeparableConv2D", filters=3, **common)
    graph = model(tmp_path, first, layer("QuantDepthwiseConv2D", **common), shape=(6, 5, 2), arrays=arrays)
    parts = [convolved(SIGN(X[..., [k]]), SIGN(depthwise[:, :, [k]]), 1, 1.0) for k in range(2)]
    ternary = np.sign(pointwise[0, 0]) * (np.abs(pointwise[0, 0]) >= 0.05)
    separable = np.concatenate(parts, axis=-1) @ ternary
    tensors = dict(graph.tensors({"input": X}))
    np.testing.assert_array_equal(tensors["quantseparableconv2d"], separable)
    kernel = SIGN(arrays["quantdepthwiseconv2d/depthwise_kernel"])
    parts = [convolved(SIGN(separable[..., [k]]), kernel[:, :, [k]], 1, 1.0) for k in range(3)]
    np.testing.assert_array_equal(tensors["quantdepthwiseconv2d"], np.concatenate(parts, axis=-1))
    same_in_integers(graph, 40)


@pytest.mark.parametrize(
    ("activation", "function"),
    [
        ("ste_sign", SIGN),
        (object_of("SteHeaviside", {}), FUNCTIONS["ste_heaviside"]),
        ({"class_name": "function", "config": "hard_tanh", "module": "builtins"}, lambda x: np.clip(x, -1, 1)),
        ("binary_tanh", lambda x: -SIGN(-x)),
        ("ternary_tanh", lambda x: np.float64(x > 0.5) - (x <= -0.5)),
    ],
)
def test_activations(activation: Any, function: Any, tmp_path: Path) -> None:
    expected = function(convolved(SIGN(X), SIGN(KERNEL), 1, None) + BIAS)
    graph = conv(tmp_path, input_quantizer="ste_sign", activation=activation)
    assert graph.nodes[-1].name == "quantconv2d"
    np.testing.assert_array_equal(graph.run(X), expected)
    same_in_integers(graph, 40)


def test_a_quantizer_among_the_layers(tmp_path: Path) -> None:
    for one in (object_of("ApproxSign", {}), layer("Activation", activation="approx_sign")):
        graph = model(tmp_path, one, shape=(6, 5, 2), arrays={})
        np.testing.assert_array_equal(graph.run(X), SIGN(X))


@pytest.mark.parametrize("class_name", ["BinaryDense", "TernaryDense", "BinaryConv2D", "TernaryConv2D"])
@pytest.mark.parametrize("height", [1.0, 0.25, "Glorot"])
def test_binary_layers(class_name: str, height: Any, tmp_path: Path) -> None:
    name, dense = class_name.lower(), "Dense" in class_name
    kernel = KERNEL.reshape(18, 4) if dense else KERNEL
    size = {"units": 4} if dense else {"filters": 4, "kernel_size": [3, 3]}
    one = layer(class_name, H=height, use_bias=False, **size)
    graph = model(tmp_path, one, shape=kernel.shape[:-1], arrays={f"{name}/kernel": kernel})
    inputs, outputs = (18, 4) if dense else (9 * 2, 9 * 4)
    h = np.sqrt(1.5 / (inputs + outputs)) if height == "Glorot" else height
    relative = kernel / h
    levels = np.where(relative > 0, 1, -1)
    if "Ternary" in class_name:
        levels = np.float64(relative > 0.5) - (relative <= -0.5)
    np.testing.assert_allclose(graph.nodes[0].layer.weights, h * levels, rtol=1e-7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_quantizer": "magnitude_aware_sign"}, "of activations depends on the other samples; use ste_sign"),
        ({"input_quantizer": object_of("SteTern", {"ternary_weight_networks": True})}, "depends on the other samples"),
        ({"input_quantizer": object_of("DoReFa", {"mode": "weights"})}, "of activations depends on the data"),
        ({"kernel_quantizer": object_of("DoReFa", {"mode": "other"})}, "mode='other' (supported: 'activations'"),
        ({"kernel_quantizer": object_of("DoReFa", {"k_bit": 40})}, "k_bit=40"),
        ({"kernel_quantizer": "xnor"}, "the quantizer xnor: this kind of layer is not supported (supported: ste_sign"),
        ({"kernel_quantizer": 5}, "the quantizer 5"),
        ({"padding": "same", "pad_values": 0.5, "input_quantizer": "ste_sign"}, "pad_values=0.5: must be a whole"),
        ({"padding": "same", "pad_values": 1, "input_quantizer": "dorefa_quantizer"}, "is not supported with DoReFa"),
        ({"pad_values": "nan"}, "pad_values=nan"),
        ({"dilation_rate": [2, 2]}, "dilation_rate="),
    ],
)
def test_refusals(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        conv(tmp_path, **options)
    assert message in str(caught.value)


def test_a_class_of_the_same_name_without_a_height(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"layer 'binarydense' \(BinaryDense\): H is missing"):
        model(tmp_path, layer("BinaryDense", units=4), arrays={"binarydense/kernel": np.zeros((6, 4))})
