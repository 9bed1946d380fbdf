"""Layers with zeros around the image, of every kind and meaning."""

from __future__ import annotations

from typing import Any

import numpy as np

from dnn2fpga.graph.float import Graph
from dnn2fpga.layers.base import BuildableLayer
from dnn2fpga.layers.conv2d import Conv2D
from dnn2fpga.layers.depthwise_conv2d import DepthwiseConv2D
from dnn2fpga.layers.pooling import AveragePooling, MaxPooling
from dnn2fpga.optimize.post_training import Quantization
from rtl_lib.image.window_schedule import Padding

SHAPE, CHANNELS = (7, 6, 3), 3
UNEVEN, EVEN = Padding(2, 0, 1, 2), Padding(1, 1, 1, 1)


def reading(kind: str, kernel: tuple[int, int], strides: tuple[int, int], **options: Any) -> BuildableLayer:
    rng = np.random.default_rng(0)
    options = {"padding": "valid", **options}
    if kind == "conv2d":
        return Conv2D("layer", rng.normal(size=(*kernel, CHANNELS, 2)), rng.normal(size=2), strides=strides, **options)
    if kind == "depthwise_conv2d":
        return DepthwiseConv2D("layer", rng.normal(size=(*kernel, 6)), rng.normal(size=6), strides=strides, **options)
    return {"max_pooling": MaxPooling, "average_pooling": AveragePooling}[kind]("layer", kernel, strides, **options)


def samples(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Mostly negative: a zero that should not count would be the largest."""
    return np.random.default_rng(1).uniform(-2, 0.5, (6, *shape)).astype(np.float32)


SETTINGS = {
    "default": Quantization(),
    "shifted": Quantization(scales="free", activation_symmetry="asymmetric", activation_granularity="per_channel"),
    "one zero point": Quantization(activation_symmetry="asymmetric", rounding="half_even", activation_bits=5),
}
LAYERS = {
    "conv2d": reading("conv2d", (3, 3), (2, 2), padding=EVEN),
    "conv2d uneven": reading("conv2d", (3, 4), (2, 1), padding=UNEVEN),
    "depthwise_conv2d": reading("depthwise_conv2d", (3, 3), (2, 2), padding=UNEVEN),
    "max_pooling": reading("max_pooling", (3, 3), (2, 2), padding=UNEVEN),
    "max_pooling of zeros": reading("max_pooling", (3, 3), (2, 2), padding=UNEVEN, count_include_pad=True),
    "average_pooling": reading("average_pooling", (3, 3), (2, 2), padding=UNEVEN),
    "average_pooling of zeros": reading("average_pooling", (3, 3), (2, 2), padding=UNEVEN, count_include_pad=True),
    "average_pooling of zeros, same": reading(
        "average_pooling", (3, 3), (2, 2), padding="same", count_include_pad=True
    ),
}


def network(name: str) -> Graph:
    """With weights in front, so that zero points and scales are chosen for each channel."""
    front = Conv2D("front", np.random.default_rng(2).normal(size=(1, 1, CHANNELS, 3)), np.array([-1.0, 0.5, 0]))
    return Graph.chain("network", "input", SHAPE, [front, LAYERS[name]])
