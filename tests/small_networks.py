"""Networks with random weights for tests of the planner."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dnn2fpga.graph.float import Graph
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.layers.activation import Clamp
from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.conv2d import Conv2D
from dnn2fpga.layers.dense import Dense
from dnn2fpga.layers.depthwise_conv2d import DepthwiseConv2D
from dnn2fpga.layers.pooling import MaxPooling
from dnn2fpga.layers.reshape import Reshape
from dnn2fpga.optimize.calibration import calibrate
from dnn2fpga.optimize.post_training import Quantization, quantize
from dnn2fpga.passes.simplify import simplify


def network(input_shape: tuple[int, ...], layers: Sequence[int | str], bits: int = 6) -> QuantizedGraph:
    """``layers``: filters of 3×3 or neurons; or "pool", "depthwise", "flat". Named ``<kind>_<place>``."""
    rng = np.random.default_rng(len(layers) + math.prod(input_shape))
    made: list[Layer] = []
    shape = input_shape
    for place, what in enumerate(layers):
        for layer in _layers(what, place, shape, rng):
            shape = layer.output_shape(shape)
            made.append(layer)
    graph = simplify(Graph.chain("small", "input", input_shape, made))
    x = rng.uniform(0, 1, (8, *input_shape)).astype(np.float32)
    widths = {"weight_bits": bits, "activation_bits": bits, "input_bits": bits}
    return quantize(graph, calibrate(graph, x), Quantization(**widths))  # type: ignore[arg-type]


def _layers(what: int | str, place: int, shape: tuple[int, ...], rng: np.random.Generator) -> list[Layer]:
    if what == "pool":
        return [MaxPooling(f"pool_{place}", (2, 2), (2, 2), "valid")]
    if what == "flat":
        return [Reshape(f"flat_{place}", None)]
    clamp = Clamp(f"clamp_{place}", 0.0, math.inf)
    channels = shape[-1]
    if what == "depthwise":
        return [DepthwiseConv2D(f"depthwise_{place}", rng.normal(size=(3, 3, channels)), np.zeros(channels)), clamp]
    n = int(what)
    if len(shape) == 1:
        return [Dense(f"dense_{place}", rng.normal(size=(channels, n)), rng.normal(size=n)), clamp]
    return [Conv2D(f"conv_{place}", rng.normal(size=(3, 3, channels, n)), rng.normal(size=n)), clamp]
