"""Small graphs with joins, made without Keras."""

from __future__ import annotations

import math

import numpy as np

from dnn2fpga.graph.dag import Dag, Node
from dnn2fpga.graph.float import Graph
from dnn2fpga.layers.activation import Clamp, Table
from dnn2fpga.layers.affine import Affine
from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.concatenate import Concatenate
from dnn2fpga.layers.conv2d import Conv2D
from dnn2fpga.layers.dense import Dense
from dnn2fpga.layers.depthwise_conv2d import DepthwiseConv2D
from dnn2fpga.layers.extremum import Extremum
from dnn2fpga.layers.pooling import GlobalAverage, MaxPooling
from dnn2fpga.layers.product import Product
from dnn2fpga.layers.reshape import Reshape
from dnn2fpga.layers.weighted_sum import WeightedSum
from dnn2fpga.passes.simplify import simplify
from dnn2fpga.tensors.basics import Shape

INPUTS: dict[str, Shape] = {"image": (5, 6, 2), "vector": (6,)}


class Growing:
    """A graph that grows node by node; weights are random, but always the same."""

    def __init__(self, inputs: dict[str, Shape]) -> None:
        self.rng = np.random.default_rng(0)
        self.shapes, self.inputs = dict(inputs), dict(inputs)
        self.nodes: list[Node[Layer]] = []

    def numbers(self, *shape: int) -> np.ndarray:
        return self.rng.uniform(-1, 1, shape).astype(np.float32)

    def add(self, layer: Layer, *x: str, name: str | None = None) -> str:
        name = name or layer.name
        self.shapes[name] = layer.output_shape(*(self.shapes[one] for one in x))
        self.nodes.append(Node(name, layer, x))
        return name

    def conv(self, name: str, x: str, filters: int, size: int = 3, stride: int = 1) -> str:
        weights = self.numbers(size, size, self.shapes[x][-1], filters) / size
        layer = Conv2D(name, weights, self.numbers(filters), strides=(stride, stride), padding="same")
        return self.add(layer, x)

    def depthwise(self, name: str, x: str) -> str:
        channels = self.shapes[x][-1]
        return self.add(DepthwiseConv2D(name, self.numbers(3, 3, channels), self.numbers(channels), padding="same"), x)

    def dense(self, name: str, x: str, outputs: int) -> str:
        return self.add(Dense(name, self.numbers(self.shapes[x][-1], outputs), self.numbers(outputs)), x)

    def relu(self, name: str, x: str) -> str:
        return self.add(Clamp(name, 0.0, math.inf), x)

    def graph(self, *outputs: str) -> Graph:
        return Graph("joined", self.inputs, Dag(tuple(self.inputs), tuple(self.nodes), outputs))


def every_join() -> Graph:
    """Every kind of join; concatenations of channels, rows, columns and vectors in several beats; a gate that comes
    first; a layer in two nodes; a requantization; two inputs and two outputs.
    """
    g = Growing(INPUTS)
    a, b = g.conv("a", "image", 3), g.conv("b", "image", 3, size=1)
    sum = g.add(WeightedSum("sum", (1.0, -0.5)), a, b)
    norm = g.add(Affine("norm", 1 + g.numbers(3), g.numbers(3)), sum)
    relu = g.relu("relu", norm)
    gate = g.add(Table("sigmoid", "sigmoid"), g.dense("excite", g.add(GlobalAverage("squeeze"), relu), 3))
    gated = g.add(Product("gated"), gate, relu)
    largest = g.add(Extremum("largest", maximum=True), gated, a, b)
    channels = g.add(Concatenate("channels", 2), largest, gated, "image")  # each with scales of its own
    shared = Conv2D("shared", g.numbers(1, 1, 8, 4), g.numbers(4))
    first = g.add(shared, channels)
    tanh = g.add(Table("tanh", "tanh"), g.conv("t", relu, 4))
    rows = g.add(Concatenate("rows", 0), first, g.conv("c", relu, 4), tanh)
    pooled = g.add(MaxPooling("pool", (3, 2), (3, 2), "valid"), rows)
    columns = g.add(Concatenate("columns", 1), pooled, g.conv("d", pooled, 4))
    flat = g.add(Reshape("flat", None), columns)
    short = g.dense("short", "vector", 6)
    vectors = g.add(Concatenate("vectors", 0), "vector", short)  # lane by lane
    beats = g.add(Concatenate("beats", 0), flat, vectors)  # one after the other
    second = g.add(shared, channels, name="second")
    square = g.add(Product("square", clamp=(-1.0, 2.0)), second, first)
    smallest = g.add(Extremum("smallest", maximum=False), g.add(GlobalAverage("mean"), square), g.dense("e", short, 4))
    return simplify(g.graph(g.dense("scores", beats, 3), g.dense("other", smallest, 2)))


def samples(graph: Graph, count: int = 8) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {name: rng.uniform(-1, 1, (count, *shape)).astype(np.float32) for name, shape in graph.inputs.items()}
