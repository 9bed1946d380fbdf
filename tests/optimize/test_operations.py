"""Operations on TensorFlow against NumPy."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from dnn2fpga.keras_import import tf
from dnn2fpga.layers.conv2d import Conv2D
from dnn2fpga.layers.depthwise_conv2d import DepthwiseConv2D
from dnn2fpga.layers.numpy_operations import NUMPY
from dnn2fpga.layers.pooling import AveragePooling, MaxPooling
from dnn2fpga.optimize.operations import TensorFlowOperations
from dnn2fpga.quantize.operations import RealOperations
from dnn2fpga.quantize.scaling import multipliers_and_shift
from dnn2fpga.tensors.padding import PaddingRule
from rtl_lib.image.window_schedule import Padding

OPS = TensorFlowOperations()


@pytest.mark.parametrize("padding", ["valid", "same", Padding(0, 0, 1, 0)])
@pytest.mark.parametrize("strides", list(product((1, 2, 3), (1, 2, 3))))
def test_windows_of_every_stride(strides: tuple[int, int], padding: PaddingRule) -> None:
    """Windows of every stride are right, also where one row or column of outputs is left, which oneDNN's convolution
    with uneven strides gets wrong.
    """
    rng = np.random.default_rng(0)
    for rows, columns, height, width in product((4, 7), (1, 3, 4), (1, 4), (1, 2, 3)):
        if (width > columns and padding == "valid") or (isinstance(padding, Padding) and not 1 < width < columns):
            continue
        x = rng.integers(-3, 4, (16, rows, columns, 2)).astype(np.float32)
        weights = rng.integers(-3, 4, (height, width, 2, 3)).astype(np.float32)
        conv = Conv2D("conv", weights, np.zeros(3, np.float32), strides=strides, padding=padding)
        np.testing.assert_array_equal(OPS.conv2d(tf.constant(x), weights, strides, padding), conv.compute(x))
        deep = DepthwiseConv2D("deep", weights[..., 0], np.zeros(2, np.float32), strides=strides, padding=padding)
        found = OPS.depthwise_conv2d(tf.constant(x), deep.weights, strides, padding)
        np.testing.assert_array_equal(found, deep.compute(x))
        most = MaxPooling("most", (height, width), strides, padding)
        np.testing.assert_array_equal(most.forward(OPS, {}, tf.constant(x)), most.compute(x))
        mean = AveragePooling("mean", (height, width), strides, padding)
        np.testing.assert_allclose(mean.forward(OPS, {}, tf.constant(x)), mean.compute(x), atol=1e-6)


RNG = np.random.default_rng(0)
X, Y, WEIGHTS = (RNG.normal(size=shape).astype(np.float32) for shape in ((5, 4, 6, 3), (5, 4, 6, 3), (3, 2)))
REAL = {
    "clip": lambda ops, x: ops.clip(x, -0.5, math.inf),
    "like": lambda ops, x: x * ops.like(x, 0.1),
    "reshape": lambda ops, x: ops.reshape(x, (-1, 12, 6)),
    "matmul": lambda ops, x: ops.matmul(x, WEIGHTS),
    "conv2d": lambda ops, x: ops.conv2d(x, WEIGHTS.reshape(1, 1, 3, 2), (2, 2), "same"),
    "depthwise_conv2d": lambda ops, x: ops.depthwise_conv2d(x, WEIGHTS.reshape(1, 2, 3), (1, 1), Padding(0, 0, 1, 1)),
    "max_pool": lambda ops, x: ops.max_pool(x, (2, 3), (2, 1), Padding(1, 0, 2, 2), 0.0),
    "window_sum": lambda ops, x: ops.window_sum(x, (2, 3), (2, 1), Padding(1, 0, 2, 2)),
    "sum_of_pixels": lambda ops, x: ops.sum_of_pixels(x),
    "concatenate": lambda ops, x: ops.concatenate([x, x], 2),
    "maximum": lambda ops, x: ops.maximum(x, Y),
    "minimum": lambda ops, x: ops.minimum(x, Y),
    "function": lambda ops, x: ops.function("tanh", x) - ops.function("sigmoid", x),
}


def test_every_operation_on_real_numbers_is_compared() -> None:
    assert set(REAL) == {name for name in vars(RealOperations) if not name.startswith("_")}


@pytest.mark.parametrize("name", REAL)
def test_tensorflow_and_numpy_agree(name: str) -> None:
    found, expected = REAL[name](OPS, tf.constant(X)), REAL[name](NUMPY, X)
    assert expected.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert REAL[name](NUMPY, X.astype(np.float64)).dtype == np.float64


@pytest.mark.parametrize("inputs", [1, 2, 3])
def test_multipliers_are_those_of_the_integer_model(inputs: int) -> None:
    rng = np.random.default_rng(inputs)
    ratios = rng.choice([-1, 1], (inputs, 500)) * np.exp2(rng.uniform(-45, 20, (inputs, 500)))
    ratios[:, :200] = np.exp2(rng.integers(-20, 5, (inputs, 200)))
    ratios[0, ::7] = 0
    multipliers, steps = OPS.multipliers(list(ratios))
    expected, shift = multipliers_and_shift(ratios)
    np.testing.assert_array_equal(steps, np.exp2(shift))
    np.testing.assert_array_equal(np.stack(multipliers), np.ldexp(expected, -shift))
    assert (np.abs(expected).max(axis=0) < 2**37).all()
