"""Random small chains of every layer kind, without Keras: drawn by hypothesis, quantized with random settings."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

from dnn2fpga.graph import Graph, Layer, Shape
from dnn2fpga.layers.activation import Clamp, Table
from dnn2fpga.layers.affine import Affine
from dnn2fpga.layers.conv2d import Conv2D
from dnn2fpga.layers.dense import Dense
from dnn2fpga.layers.pooling import AveragePooling, GlobalAverage, MaxPooling
from dnn2fpga.layers.reshape import Reshape
from dnn2fpga.layers.scaling import Granularity, LayerSettings, Scales
from dnn2fpga.optimize.calibration import calibrate
from dnn2fpga.optimize.post_training import QuantizationSettings, quantize
from dnn2fpga.passes.simplify import simplify
from dnn2fpga.quantized_graph import QuantizedGraph
from rtl_lib.arithmetic import Overflow, Rounding

small = st.integers(1, 3)
# Wrapping cannot be joined with a clamp (tests/layers/test_quantization_rules.py), so it is not drawn here.
OVERFLOWS = (Overflow.SATURATE, Overflow.SATURATE_SYMMETRIC)


def layer(draw: st.DrawFn, name: str, shape: Shape, rng: np.random.Generator) -> Layer:
    """Any layer that takes ``shape``."""
    anywhere = ["dense", "clamp", "table", "affine"]
    kind = draw(
        st.sampled_from(anywhere if len(shape) == 1 else [*anywhere, "conv", "max", "average", "global", "flatten"])
    )
    match kind:
        case "dense":
            outputs = draw(st.integers(1, 4))
            return Dense(name, rng.uniform(-1, 1, (shape[-1], outputs)), rng.uniform(-1, 1, outputs))
        case "clamp":
            return Clamp(name, 0.0, draw(st.sampled_from([math.inf, 6.0, 0.3])))
        case "table":
            return Table(name, draw(st.sampled_from(["tanh", "sigmoid"])))
        case "affine":
            return Affine(name, rng.uniform(-2, 2, shape[-1]), rng.uniform(-1, 1, shape[-1]))
        case "flatten":
            return Reshape(name, None)
        case "global":
            return GlobalAverage(name, keep_dimensions=draw(st.booleans()))
    padding = draw(st.sampled_from(["valid", "same"]))
    largest = (5, 5) if padding == "same" else shape[:2]
    size = tuple(draw(st.integers(1, min(5, extent))) for extent in largest)
    strides = draw(st.tuples(small, small))
    if kind != "conv":
        return (MaxPooling if kind == "max" else AveragePooling)(name, size, strides, padding)
    filters = draw(small)
    weights = rng.uniform(-1, 1, (*size, shape[2], filters))
    return Conv2D(name, weights, rng.uniform(-1, 1, filters), strides=strides, padding=padding)


def layer_settings(draw: st.DrawFn) -> LayerSettings:
    bits = st.integers(2, 16)
    return LayerSettings(
        weight_bits=draw(bits),
        activation_bits=draw(st.integers(2, 10)),  # a table of 2^16 entries for each layer would only cost time
        scales=draw(st.sampled_from(Scales)),
        granularity=draw(st.sampled_from(Granularity)),
        rounding=draw(st.sampled_from(Rounding)),
        overflow=draw(st.sampled_from(OVERFLOWS)),
    )


@st.composite
def quantized_networks(draw: st.DrawFn, most_layers: int = 4) -> tuple[QuantizedGraph, np.ndarray]:
    """An integer network and a few quantized frames for it."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    extent = st.integers(1, 6)
    input_shape: Shape = draw(st.one_of(st.tuples(st.integers(1, 9)), st.tuples(extent, extent, small)))
    layers: list[Layer] = []
    shape = input_shape
    for index in range(draw(st.integers(1, most_layers))):
        layers.append(layer(draw, f"layer_{index}", shape, rng))
        try:
            shape = layers[-1].output_shape(shape)
        except ValueError:  # a window that does not fit
            layers.pop()
    layers = [one for one in layers if one.name] or [Clamp("only", 0.0, math.inf)]
    graph = simplify(Graph.chain("random", "input", input_shape, layers))
    x = rng.uniform(draw(st.sampled_from([-1.0, 0.0])), 1, (3, *input_shape)).astype(np.float32)
    options: dict[str, Any] = {"input_bits": draw(st.integers(2, 10)), "output_bits": draw(st.integers(2, 16))}
    quantized = quantize(graph, calibrate(graph, x), QuantizationSettings(defaults=layer_settings(draw), **options))
    f = quantized.input.format
    frames = rng.integers(f.minimum, f.maximum + 1, (2, *input_shape)).astype(f.dtype)
    return quantized, np.concatenate([frames, quantized.input.quantize(x[:1])])
