"""QKeras' quantizers against numbers that QKeras made (``samples/qkeras_quantizers/make.py``)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dnn2fpga.read.qkeras_notation import quantizer_of
from dnn2fpga.read.qkeras_quantizers import QKerasQuantizer
from dnn2fpga.tensors.basics import Unsupported

RECORDED = np.load(Path(__file__).parents[1] / "front_ends/samples/qkeras_quantizers/io.npz")
GROUPS = [name.removesuffix("/texts") for name in RECORDED if name.endswith("/texts")]
# Scales that are no powers of two: QKeras then adds the difference to the weight, which rounds once more.
ROUNDED_AGAIN = ("binary(alpha='auto')", "quantized_linear(6,1,alpha=0.3)")


def recorded(of_weights: bool) -> Iterator[Any]:
    for group in GROUPS:
        if group.endswith("numbers") != of_weights:
            for index, text in enumerate(RECORDED[f"{group}/texts"]):
                yield pytest.param(group, index, str(text), id=f"{group} {text}")


def read(group: str, text: str) -> QKerasQuantizer:
    quantizer = quantizer_of(text.removeprefix("trained "))
    quantizer._of_0_9 = group.startswith("v0")
    return quantizer.trained() if text.startswith("trained ") else quantizer


def same(x: np.ndarray, values: np.ndarray, expected: np.ndarray, text: str) -> None:
    values = np.broadcast_to(values, x.shape).astype(np.float32)
    if text.endswith(ROUNDED_AGAIN):
        values = x + (values - x)
    np.testing.assert_array_equal(values, expected)


@pytest.mark.parametrize(("group", "index", "text"), list(recorded(of_weights=True)))
def test_weights_become_what_qkeras_makes_of_them(group: str, index: int, text: str) -> None:
    x = RECORDED[f"x/{group.partition('/')[2]}"]
    same(x, read(group, text).weights(x).float32, RECORDED[group][index], text)


@pytest.mark.parametrize(("group", "index", "text"), list(recorded(of_weights=False)))
def test_activations_become_what_qkeras_makes_of_them(group: str, index: int, text: str) -> None:
    x = RECORDED["x/numbers"]
    values = x[np.newaxis, :, np.newaxis]
    for layer in read(group, text).layers("a", values.shape[1:]):
        values = layer.compute(values)
    same(x, values[0, :, 0], RECORDED[group][index], text)


@pytest.mark.parametrize("version", ["v0", "v3"])
def test_versions_differ_where_the_search_does_not_settle(version: str) -> None:
    magnitudes, counts = RECORDED["x/magnitudes"], RECORDED["x/counts"]
    quantizer = read(version, "quantized_bits(2,0,alpha='auto_po2')")
    values = quantizer.weights(np.repeat(magnitudes, counts)[:, np.newaxis]).float32[np.cumsum(counts) - 1, 0]
    np.testing.assert_array_equal(values, RECORDED[f"{version}/unsettled"])
    assert (RECORDED["v0/unsettled"] != RECORDED["v3/unsettled"]).any()


def test_frozen_scales() -> None:
    config = {"bits": 4, "alpha": "auto_po2", "post_training_scale": [[0.5, 1, 2, 0.25, 4]]}
    quantizer = quantizer_of({"class_name": "qkeras>quantized_bits", "config": config})
    np.testing.assert_array_equal(quantizer.weights(RECORDED["x/dense"]).float32, RECORDED["v3/dense/frozen"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("quantized_bits(4, 0, 1)", {"bits": 4, "integer": 0, "symmetric": True}),
        ("quantized_bits(4,alpha=1.0)", {"bits": 4, "alpha": 1.0}),
        ("quantized_bits( bits = 6 , alpha='auto' )", {"bits": 6, "alpha": "auto"}),
        ('quantized_bits(6,0,alpha="auto_po2",keep_negative=False)', {"alpha": "auto_po2", "keep_negative": False}),
        ("quantized_bits", {"bits": 8}),
        ("quantized_bits()", {"bits": 8}),
        ("quantized_bits(8,2,alpha=None)", {"integer": 2, "alpha": None}),
        ("quantized_relu(6,2,0,0.25)", {"bits": 6, "negative_slope": 0.25}),
        ("stochastic_ternary('auto',None,6.0)", {"alpha": "auto", "threshold": None, "temperature": 6.0}),
    ],
)
def test_texts(text: str, expected: dict[str, Any]) -> None:
    assert quantizer_of(text).model_dump().items() >= expected.items()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("quantized_bits(4", "quantizer quantized_bits\\(4 is not supported"),
        ("quantized_bits(4))", "cannot be understood"),
        ("quantized_bits(4,,1)", "cannot be understood"),
        ("quantized_bits(__import__('os'))", "cannot be understood"),
        ("quantized_bits(bits=4, 1)", "cannot be understood"),
        ("quantized_bits(4, bits=4)", "cannot be understood"),
        ("quantized_bits(sizes=4)", "sizes=4"),
        ("quantized_bits(2.5)", "bits"),
        ("quantized_bits(60)", "bits"),
        ("quantized_bits(8,alpha='best')", "alpha"),
        ("quantized_bits(8,alpha=0.0)", "alpha"),
        ("quantized_bits(8,alpha=nan)", "alpha"),
        ("quantized_bits(8,scale_axis=0)", "scale_axis"),
        ("quantized_bits(8,qnoise_factor=0.5)", "qnoise_factor"),
        ("quantized_relu(8,use_sigmoid=1)", "use_sigmoid"),
        ("quantized_ulaw(8)", "the quantizer quantized_ulaw is not supported"),
        ("quantized_nothing(8)", "the quantizer quantized_nothing is not supported; supported are quantized_bits"),
        ({"class_name": "quantized_bits"}, "config"),
        ({"class_name": "evil>quantized_bits", "config": {}}, "evil>quantized_bits is not supported"),
        (7, "the quantizer 7 is not supported"),
        ("(" * 1000, "is not supported"),
    ],
)
def test_what_cannot_be_understood_is_refused(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        quantizer_of(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("quantized_bits(1,alpha='auto')", "one bit .* makes NaN"),
        ("ternary(alpha='auto',threshold=0.2)", "threshold=0.2 has no meaning"),
        ("quantized_po2(8)", "powers of two span"),
        ("quantized_tanh(4)", "quantized_tanh is not supported for weights"),
        ("quantized_relu(4,0,0,0.5)", "quantized_relu is not supported for weights"),
    ],
)
def test_what_weights_cannot_be(text: str, message: str) -> None:
    with pytest.raises(Unsupported, match=message):
        quantizer_of(text).weights(np.float32([[2.0**-70, 0.7], [-3, 2.0**60]]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("quantized_bits(8,alpha='auto')", "alpha='auto' depends on the data"),
        ("binary(alpha='auto_po2')", "depends on the data"),
        ("quantized_po2(4)", "quantized_po2 is not supported as an activation"),
        ("quantized_relu_po2(4)", "not supported as an activation"),
        ("quantized_relu(3,0,0,0.3)", "no multiples of its step"),
        ("quantized_relu(4,0,0,0.375)", "negative_slope=0.375 must be a power of two"),
        ("quantized_relu(2,0,0,0.25)", "no multiples of its step"),
        ("quantized_relu(2,0,relu_upper_bound=0.3,is_quantized_clip=False)", "relu_upper_bound=0.3"),
    ],
)
def test_what_activations_cannot_be(text: str, message: str) -> None:
    with pytest.raises(Unsupported, match=message):
        quantizer_of(text).layers("a", (4,))


@pytest.mark.parametrize("scale", [[[1.0, 2.0]], [[0.0] * 5], [["a"] * 5], {"a": 1}, [[1.0] * 5] * 12])
def test_frozen_scales_must_be_one_for_each_output(scale: Any) -> None:
    config = {"bits": 4, "alpha": "auto", "post_training_scale": scale}
    with pytest.raises(Unsupported, match="post_training_scale must be"):
        quantizer_of({"class_name": "quantized_bits", "config": config}).weights(RECORDED["x/dense"])


@pytest.mark.parametrize("text", ["quantized_bits(4,alpha='auto')", "quantized_bits(4,alpha='auto_po2')"])
def test_weights_beyond_single_precision_are_refused(text: str) -> None:
    """Their squares and sums are infinite, and QKeras makes NaN of them."""
    x = np.full((64, 2), 3e38, np.float32)
    with pytest.raises((Unsupported, ValueError), match=r"too large|not finite"), np.errstate(all="ignore"):
        quantizer_of(text).weights(x * np.float32([1, -1]))
