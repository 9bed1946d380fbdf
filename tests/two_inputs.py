"""A small network with two inputs and two outputs, made without Keras, and data for it."""

from __future__ import annotations

import math

import numpy as np

from dnn2fpga.data import Data
from dnn2fpga.graph.dag import Dag, Node
from dnn2fpga.graph.float import Graph
from dnn2fpga.layers.activation import Clamp
from dnn2fpga.layers.conv2d import Conv2D
from dnn2fpga.layers.dense import Dense
from dnn2fpga.layers.pass_through import Softmax
from dnn2fpga.layers.reshape import Reshape
from dnn2fpga.layers.weighted_sum import WeightedSum
from dnn2fpga.passes.simplify import simplify

SHAPES = {"image": (4, 4, 1), "speed": (3,)}
OUTPUTS = ("kind", "angle")  # four classes, and two numbers


def float_graph() -> Graph:
    """Both inputs are added on the way, and both outputs read the sum."""
    rng = np.random.default_rng(5)

    def numbers(*shape: int) -> np.ndarray:
        return rng.uniform(-0.7, 0.7, shape).astype(np.float32)

    nodes = (
        Node("conv", Conv2D("conv", numbers(3, 3, 1, 2), numbers(2), padding="valid"), ("image",)),
        Node("relu", Clamp("relu", 0.0, math.inf), ("conv",)),
        Node("flat", Reshape("flat", None), ("relu",)),
        Node("seen", Dense("seen", numbers(8, 5), numbers(5)), ("flat",)),
        Node("felt", Dense("felt", numbers(3, 5), numbers(5)), ("speed",)),
        Node("both", WeightedSum("both", (1.0, 1.0)), ("seen", "felt")),
        Node("bent", Clamp("bent", 0.0, math.inf), ("both",)),
        Node("logits", Dense("logits", 2 * numbers(5, 4), numbers(4)), ("bent",)),
        Node("softmax", Softmax("softmax"), ("logits",)),
        Node("wheel", Dense("wheel", numbers(5, 2), numbers(2)), ("bent",)),
    )
    dag = Dag(tuple(SHAPES), nodes, ("softmax", "wheel"))
    return Graph("two_inputs", SHAPES, dag, output_names=OUTPUTS, float_parameters=125)


GRAPH = simplify(float_graph())


def inputs(count: int = 60, seed: int = 1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.uniform(-1, 1, (count, *shape)).astype(np.float32) for name, shape in SHAPES.items()}


def labels(x: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return labels from the float model's outputs."""
    outputs = GRAPH.run(x)
    return {"kind": outputs["kind"].argmax(axis=1), "angle": outputs["angle"]}


def data(count: int = 60, seed: int = 1) -> Data:
    x = inputs(count, seed)
    return Data(x, labels(x))
