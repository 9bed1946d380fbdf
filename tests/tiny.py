"""A network small enough for every test, made without Keras."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dnn2fpga.graph.float import Graph
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.layers.activation import Clamp, Table
from dnn2fpga.layers.affine import Affine
from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.conv2d import Conv2D
from dnn2fpga.layers.dense import Dense
from dnn2fpga.layers.pass_through import Softmax
from dnn2fpga.layers.pooling import AveragePooling, MaxPooling
from dnn2fpga.layers.reshape import Reshape
from dnn2fpga.optimize.calibration import calibrate
from dnn2fpga.optimize.post_training import Quantization, quantize
from dnn2fpga.passes.simplify import simplify

INPUT_SHAPE = (6, 6, 1)


def float_graph() -> Graph:
    rng = np.random.default_rng(0)

    def numbers(*shape: int) -> np.ndarray:
        return rng.uniform(-0.5, 0.5, shape).astype(np.float32)

    layers = [
        Conv2D("conv", numbers(3, 3, 1, 2), numbers(2), padding="same"),
        Affine("norm", 1 + numbers(2), numbers(2)),
        Clamp("relu", 0.0, math.inf),
        MaxPooling("pool", (2, 2), (2, 2), "valid"),
        Affine("scale", 1 + numbers(2), numbers(2)),
        AveragePooling("average", (2, 2), (1, 1), "same"),
        Table("tanh", "tanh"),
        Reshape("flat", None),
        Dense("dense", numbers(18, 3), numbers(3)),
        Softmax("softmax"),
    ]
    return Graph.chain("tiny", "input", INPUT_SHAPE, layers, float_parameters=79)


def with_layers(graph: Graph, layers: Sequence[Layer]) -> Graph:
    """The same wiring with other layers."""
    by_node = dict(zip((node.name for node in graph.nodes), layers, strict=True))
    return graph.mapped(lambda node: by_node[node.name])


def samples(count: int = 8) -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 1, (count, *INPUT_SHAPE)).astype(np.float32)


def quantized_graph(settings: Quantization | None = None) -> QuantizedGraph:
    graph = simplify(float_graph())
    return quantize(graph, calibrate(graph, samples()), settings or Quantization())
