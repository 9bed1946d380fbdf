"""Every refusal of a node of an ``.onnx`` file: which node, and why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx_models import (
    MICROSOFT,
    QONNX,
    ZERO,
    Model,
    W,
    convolution,
    one,
    port,
    quant,
    refused,
    sized,
)

from dnn2fpga.read.onnx import read_onnx


def test_all_problems_at_once(tmp_path: Path) -> None:
    model = Model()
    model.node("Erf", "a", "x")
    model.node("Conv", "b", "x", model.constant("w", W[:, :, :, 0]))
    model.node("Add", "c", "a", "b")
    model.node("LSTM", "d", "c")
    message = refused(model, tmp_path)
    assert "node 0 (Erf, 'a'): is not supported" in message
    assert "node 1 (Conv, 'b'): has weights of shape [3, 2, 3]" in message
    assert "node 3 (LSTM, 'd'): is not supported" in message
    assert "node 2" not in message  # it follows from the others
    assert "supported are Add, AveragePool, " in message


def open_input(shape: tuple[int | None, ...] | None, kind: int = 1) -> Model:
    model = Model()
    model.inputs = [port("x", shape, kind)]
    model.node("Relu", "y", "x")
    return model


CEILING = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2], "ceil_mode": 1}


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (open_input((1, None, 6, 5)), "only the batch may be open, or 1"),
        (open_input((8, 2, 6, 5)), "only the batch may be open, or 1"),
        (open_input((1, 2, 6)), "vectors and images are supported"),
        (open_input((1, 2, 3, 4, 5)), "the input must be a vector or an image"),
        (open_input(None), "must have a shape with the batch first"),
        (open_input((1, 4), 9), "must hold float32"),
        (convolution(group=2), "has weights [3, 2, 3, 3] in 2 groups for 2 channels"),
        (convolution(kernel_shape=[5, 5]), "that is not that of its weights, [3, 3]"),
        (convolution(pads=[1, 1]), "pads=[1, 1], auto_pad='NOTSET'"),
        (convolution(pads=[3, 0, 0, 0]), "padding"),
        (convolution(auto_pad="MIDDLE"), "auto_pad='MIDDLE'"),
        (convolution(dilations=[1 << 15, 1 << 15]), "parameters; at most"),
        (convolution(strides=[0, 1]), "strides=[0, 1]: must be two extents"),
        (convolution(strides="two"), "has an attribute 'strides' of another type than list"),
        (convolution(strides=sized(6, b"")), "is a graph, a reference or sparse"),
        (one("Gemm", np.ones((2, 3))), "has weights for [1, 2], and reads [1, 2, 6, 5]; use Flatten"),
        (one("Gemm", np.ones((4, 3)), shape=(1, 4), transA=1), "transA=1"),
        (one("Gemm", np.ones((4, 3)), shape=(1, 4), alpha=-1.0), "alpha=-1.0: must be above 0"),
        (one("Gemm", np.ones((4, 3)), np.ones(2), shape=(1, 4)), "has biases of shape [2] for 3 outputs"),
        (one("MatMul", np.ones((4, 3, 2)), shape=(1, 4)), "not a matrix"),
        (one("MaxPool"), "has no kernel_shape"),
        (one("MaxPool", kernel_shape=[2, 2], dilations=[2, 2]), "dilated windows are not supported"),
        (one("AveragePool", **CEILING, count_include_pad=1), "count_include_pad with ceil_mode"),
        (one("ReduceMean", axes=[1]), "only the mean over pixels is supported"),
        (one("BatchNormalization", *[np.ones(2)] * 3, -np.ones(2)), "its variances must be positive"),
        (one("BatchNormalization", *[np.ones(2)] * 4, training_mode=1), "is in training mode"),
        (one("BatchNormalization", *[np.ones(3)] * 4), "for 2 channels"),
        (one("Add", np.arange(30.0).reshape(6, 5)), "with numbers that are not those of channels"),
        (one("Add", np.ones((7, 1, 1))), "has a constant of shape [7, 1, 1] beside [1, 2, 6, 5]"),
        (one("Add", np.array(np.inf)), "has a constant that is not finite"),
        (one("Div", np.array(0.0)), "divides by 0"),
        (one("LeakyRelu", alpha=-0.5), "has the slope -0.5, which is below 0"),
        (one("Clip", np.array(2.0), np.array(1.0)), "has the bounds 2.0 and 1.0"),
        (one("Softmax", axis=2), "only the channels (axis 1) are supported"),
        (one("Cast", to=7), "makes other numbers than float32"),
        (one("Flatten", axis=9), "axis=9: has 4 axes"),
        (one("Reshape", np.array([1, 7, -1])), "makes [1, 7, 8] of 60 numbers"),
        (one("Reshape", np.array([2, 30])), "the first axis must stay the batch of 1"),
        (one("Transpose", perm=[1, 0, 2, 3]), "the first axis must stay the batch"),
        (one("Transpose", perm=[0, 1, 2, 2]), "has no axes [0, 1, 2, 2]: there are 4"),
        (one("Identity"), "the model has no layers"),
        (one("Pad", np.array([0, 1, 0, 0, 0, 0, 0, 0])), "only rows and columns of zeros are supported"),
        (one("Pad", np.array([0, 0, 1, 1, 0, 0, 1, 1]), np.array(1.0)), "only rows and columns of zeros"),
        (one("Pad", np.array([0, 0, 1, 1, 0, 0, 1, 1]), mode="edge"), "mode=edge: only zeros are supported"),
        (quant(scale=0.0), "has a scale that is not a positive number"),
        (quant(scale=[0.5, np.nan]), "has a scale that is not a positive number"),
        (quant(zero=0.5), "that is no integer"),
        (quant(bits=2.5), "that is no integer"),
        (quant(bits=1.0, zero=1.0, signed=1), "has one signed bit and a zero point"),
        (quant(bits=33.0), "must have one number of bits, 1 to 32"),
        (quant(bits=[3.0, 4.0]), "must have one number of bits"),
        (quant(rounding_mode="STOCHASTIC"), "has the rounding mode 'STOCHASTIC'"),
        (one("FloatQuant", 1.0, 5.0, domain=QONNX), "makes floating-point numbers of few bits"),
        (one("MultiThreshold", np.array([[2.0, 1.0]]), domain=QONNX), "has thresholds that do not rise"),
        (one("MultiThreshold", np.ones((2, 3)), domain=QONNX, out_bias=0.5), "which is no multiple of an out_scale"),
        (one("MultiThreshold", np.ones(3), domain=QONNX), "not [channels, thresholds]"),
        (one("Quant", 1.0, 0.0, 4.0, domain="some.one"), "is not supported: an operator of 'some.one'"),
        (one("QuantizeLinear", np.ones(2), np.zeros(2, np.uint8)), "which only weights may have"),
        (one("QuantizeLinear", np.array(-1.0), ZERO), "has a scale that is not a positive number"),
        (one("QuantizeLinear", np.array(1.0), np.int32(0)), "has codes of type int32"),
        (one("DequantizeLinear", np.array(1.0), ZERO), "needs codes (QuantizeLinear)"),
        (one("QLinearSigmoid", np.array(1.0), ZERO, np.array(1.0), ZERO, domain=MICROSOFT), "needs codes"),
    ],
)  # fmt: skip
def test_refused_nodes(model: Model, expected: str, tmp_path: Path) -> None:
    assert expected in refused(model, tmp_path)


def test_a_scale_that_is_computed(tmp_path: Path) -> None:
    model = Model()
    scale = model.node("GlobalAveragePool", "scale", "x")
    model.node("Quant", "y", "x", scale, model.constant("z", 0.0), model.constant("b", 4.0), domain=QONNX)
    assert "reads 'scale', which must be a constant" in refused(model, tmp_path)


def test_codes_are_not_numbers(tmp_path: Path) -> None:
    model = Model()
    q = model.node("QuantizeLinear", "q", "x", model.constant("s", 0.5), model.constant("z", ZERO))
    model.node("Relu", "y", q)
    assert "computes with codes; use DequantizeLinear" in refused(model, tmp_path)


def test_codes_of_another_scale(tmp_path: Path) -> None:
    model = Model()
    q = model.node("QuantizeLinear", "q", "x", model.constant("s", 0.5), model.constant("z", ZERO))
    model.node("DequantizeLinear", "y", q, model.constant("t", 0.25), "z")
    assert "with another scale or zero point than they were made with" in refused(model, tmp_path)


def test_an_output_in_another_order(tmp_path: Path) -> None:
    model = convolution()
    model.node("Flatten", "flat", "y")
    assert "leaves in another order than that of its stream" in refused(model, tmp_path)


def test_what_nothing_depends_on_is_left_out(tmp_path: Path) -> None:
    model = Model()
    model.node("Erf", "unused", "x")
    convolution(model)
    assert [layer.kind for layer in read_onnx(model.write(tmp_path)).layers] == ["conv2d"]
