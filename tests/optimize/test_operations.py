"""Operations on TensorFlow against NumPy."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from dnn2fpga.keras_import import tf
from dnn2fpga.layers.conv2d import Conv2D
from dnn2fpga.layers.depthwise_conv2d import DepthwiseConv2D
from dnn2fpga.layers.pooling import AveragePooling, MaxPooling
from dnn2fpga.optimize.operations import TensorFlowOperations
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
