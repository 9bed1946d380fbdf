"""Random small networks of every layer kind, drawn by hypothesis, without Keras.

A specimen is a float graph and every choice that a user has about its numbers and its hardware.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import seed as hypothesis_seed
from hypothesis import strategies as st

from dnn2fpga.errors import UserError
from dnn2fpga.graph.float import Graph
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.layers.activation import TABLES, Clamp, Table
from dnn2fpga.layers.affine import Affine
from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.conv2d import Conv2D
from dnn2fpga.layers.dense import Dense
from dnn2fpga.layers.depthwise_conv2d import DepthwiseConv2D
from dnn2fpga.layers.pooling import AveragePooling, GlobalAverage, MaxPooling
from dnn2fpga.layers.reshape import Reshape
from dnn2fpga.optimize.calibration import TensorStatistics, calibrate
from dnn2fpga.optimize.post_training import Quantization, quantize
from dnn2fpga.passes.simplify import simplify
from dnn2fpga.plan.goals import Aim, PlanGoal
from dnn2fpga.plan.settings import LayerPlan, PlanSettings, Stages
from dnn2fpga.quantize.ranges import RangeMethod
from dnn2fpga.quantize.settings import Granularity, Numbers, Scales, Symmetry
from dnn2fpga.quantize.weight_sets import WeightSet
from dnn2fpga.tensors.basics import Shape
from rtl_lib.core.arithmetic import Overflow, Rounding
from rtl_lib.matrix.folded.multipliers import Multiplier
from rtl_lib.matrix.folded.sums import WeightMemory
from rtl_lib.matrix.matrix_product import Engine

WIDEST_TABLE_INPUT = 10  # bits: a table of 2^16 entries in every lane only costs time
MOST_NUMBERS = 400  # in one tensor
FEWEST_FRAMES, FEWEST_BEATS = 10, 100
# Of a layer in binary32, which is slow hardware: it takes one term after the other.
MOST_BINARY32_WEIGHTS, MOST_BINARY32_PIXELS = 16, 16
WEIGHT_WIDTHS = {
    WeightSet.INTEGER: (1, 16),
    WeightSet.BINARY: (1, 1),
    WeightSet.TERNARY: (2, 2),
    WeightSet.POWER_OF_TWO: (2, 5),
    WeightSet.ADDITIVE_POWER_OF_TWO: (3, 7),
}
INPUT_SETTINGS = {"scales", "calibration", "activation_symmetry", "activation_granularity"}
FOLDED = ("dense", "conv2d", "depthwise_conv2d")
STALLS = ("source", "sink", "random", "burst", "full")


@dataclass(frozen=True)
class Specimen:
    """A network, and how it is to be quantized, pipelined and stalled."""

    graph: Graph  # simplified
    quantization: Quantization
    plan: PlanSettings
    stalls: str
    seed: int  # of the data and the stalls
    lowest_input: float

    def samples(self) -> np.ndarray:
        """Real inputs."""
        rng = np.random.default_rng(self.seed)
        return rng.uniform(self.lowest_input, 1, (8, *self.graph.input_shape)).astype(np.float32)

    def statistics(self) -> dict[str, TensorStatistics]:
        return calibrate(self.graph, self.samples())

    def quantize(self) -> QuantizedGraph:
        """Calibrated on random data; raises ``UserError`` for a network that the tool refuses."""
        return quantize(self.graph, self.statistics(), self.quantization)

    def is_too_wide(self) -> bool:
        """The one reason why a network of up to 16 bits may be refused."""
        try:
            self.quantize()
        except UserError as reason:
            if "does not fit 64-bit" in str(reason):
                return True
            raise
        return False

    def frames(self, quantized: QuantizedGraph) -> np.ndarray:
        """Quantized inputs: the two extremes, then any integers of the format."""
        f = quantized.input.format
        shape = quantized.input.shape
        extremes = [np.full((1, *shape), value) for value in (f.minimum, f.maximum)]
        count = max(FEWEST_FRAMES, FEWEST_BEATS // quantized.input.beats)
        anything = np.random.default_rng(self.seed).integers(f.minimum, f.maximum + 1, (count, *shape))
        return np.concatenate([*extremes, anything]).astype(f.dtype)

    def __repr__(self) -> str:
        """What hypothesis prints of a network that failed."""
        lines = [f"input {self.graph.input_shape}, {self.quantization.input_bits} bits"]
        lines[0] += f", lanes {self.quantization.input_lanes or 'all'}, from {self.lowest_input}"
        lines[0] += f", {_shown(self.quantization.model_dump(include=INPUT_SETTINGS))}"
        for node in self.graph.nodes:
            options = {key: value for key, value in vars(node.layer).items() if key != "name"}
            settings = self.quantization.layers[node.name].model_dump(exclude_none=True)
            shape = self.graph.shapes[node.name]
            lines.append(f"{node.name}: {node.layer.kind} {_shown(options)} → {shape}, {_shown(settings)}")
        lines.append(f"{self.plan}, stalls {self.stalls}, seed {self.seed}")
        return "\n  ".join(lines)


def _shown(values: dict[str, Any]) -> dict[str, str]:
    arrays = {name: f"array{list(value.shape)}" for name, value in values.items() if isinstance(value, np.ndarray)}
    return {name: getattr(value, "name", str(value)) for name, value in values.items()} | arrays


def on_a_random_network(seed: int, check: Callable[[Specimen], None]) -> None:
    """Runs ``check`` on one network. If it raises, hypothesis looks for a smaller network with which it does, too.

    A run of hypothesis for each network, because one run for many would draw many of them almost alike.
    """
    calls = 0

    @settings(
        max_examples=2,
        database=None,
        deadline=None,
        derandomize=False,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis_seed(seed)
    @given(specimens())
    def run(specimen: Specimen) -> None:
        nonlocal calls
        calls += 1
        if calls > 1:  # the first that hypothesis draws is always the smallest there is
            check(specimen)

    run()


@dataclass
class _Stream:
    """What the next layer will get: a shape, and how many of its numbers travel in one beat."""

    shape: Shape
    lanes: int


@st.composite
def quantized_networks(draw: st.DrawFn, most_layers: int = 4) -> tuple[QuantizedGraph, np.ndarray]:
    """An integer network and a few quantized frames for it."""
    specimen = draw(specimens(most_layers, largest_extent=6))
    assume(not specimen.is_too_wide())
    quantized = specimen.quantize()
    return quantized, np.concatenate(
        [quantized.input.quantize(specimen.samples()[:1]), specimen.frames(quantized)[1:3]]
    )


@st.composite
def specimens(draw: st.DrawFn, most_layers: int = 5, largest_extent: int = 9) -> Specimen:
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    stream, input_lanes = draw(_inputs(largest_extent))
    input_shape = stream.shape
    layers: list[Layer] = []
    for index in range(draw(st.integers(1, most_layers))):
        kinds = [kind for kind, (often, fits) in KINDS.items() if fits(stream) for _ in range(often)]
        layer = draw(_layers(f"layer_{index}", draw(st.sampled_from(kinds)), stream, rng))
        shape = layer.output_shape(stream.shape)
        stream = _Stream(shape, _lanes_behind(layer, stream, shape))
        layers.append(layer)
    graph = simplify(Graph.chain("random", "input", input_shape, layers))
    assume(any(node.layer.kind != "reshape" for node in graph.nodes))  # without hardware there is nothing to build
    quantization = draw(_quantizations(graph, input_lanes))
    plan = draw(_plans(graph, quantization))
    lowest = draw(st.sampled_from([-1.0, 0.0]))
    return Specimen(graph, quantization, plan, draw(st.sampled_from(STALLS)), seed, lowest)


@st.composite
def _inputs(draw: st.DrawFn, largest_extent: int) -> tuple[_Stream, int | None]:
    """A vector in any number of beats, or an image."""
    if draw(st.booleans()):
        extent = st.integers(1, largest_extent)
        shape = draw(st.tuples(extent, extent, st.integers(1, 4)))
        return _Stream(shape, shape[-1]), None
    size = draw(st.integers(1, 24))
    lanes = draw(st.sampled_from([lanes for lanes in range(1, size + 1) if size % lanes == 0]))
    return _Stream((size,), lanes), lanes


def _is_image(stream: _Stream) -> bool:
    return len(stream.shape) == 3


# Each kind: how often it is drawn, and behind which streams it can be built.
KINDS: dict[str, tuple[int, Callable[[_Stream], bool]]] = {
    "dense": (2, lambda stream: True),
    "clamp": (1, lambda stream: True),
    "table": (1, lambda stream: True),
    "reshape": (1, lambda stream: math.prod(stream.shape) <= MOST_NUMBERS),
    "affine": (1, lambda stream: stream.lanes == stream.shape[-1]),
    "flatten": (1, _is_image),
    "conv2d": (5, _is_image),
    "depthwise_conv2d": (2, _is_image),
    "max_pooling": (3, _is_image),
    "average_pooling": (2, _is_image),
    "global_average": (1, _is_image),
}


def _lanes_behind(layer: Layer, stream: _Stream, shape: Shape) -> int:
    if isinstance(layer, Clamp | Table | Reshape) and len(shape) == 1:
        return stream.lanes
    return shape[-1]


@st.composite
def _layers(draw: st.DrawFn, name: str, kind: str, stream: _Stream, rng: np.random.Generator) -> Layer:
    channels = stream.shape[-1]
    outputs = st.integers(1, 5)
    match kind:
        case "dense":
            n = draw(outputs)
            return Dense(name, _weights(rng, (channels, n)), _weights(rng, (n,)))
        case "clamp":
            return Clamp(name, *draw(st.sampled_from([(0.0, math.inf), (0.0, 6.0), (-0.5, 0.5)])))
        case "table":
            return Table(name, draw(st.sampled_from(sorted(TABLES))))
        case "affine":
            return Affine(name, _weights(rng, (channels,)) * 2, _weights(rng, (channels,)))
        case "flatten":
            return Reshape(name, None)
        case "reshape":
            size = math.prod(stream.shape)
            n = draw(st.sampled_from([n for n in range(1, min(size, 12) + 1) if size % n == 0]))
            rows = draw(st.sampled_from([rows for rows in range(1, size // n + 1) if size // n % rows == 0]))
            return Reshape(name, (rows, size // n // rows, n))
        case "global_average":
            return GlobalAverage(name, keep_dimensions=draw(st.booleans()))
    padding = draw(st.sampled_from(["valid", "same"]))
    largest = (5, 5) if padding == "same" else stream.shape[:2]
    size = (draw(st.integers(1, min(5, largest[0]))), draw(st.integers(1, min(5, largest[1]))))
    strides = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    if "pooling" in kind and draw(st.booleans()):
        strides = size  # windows that do not overlap
    if kind == "conv2d":
        n = draw(outputs)
        weights = _weights(rng, (*size, channels, n))
        return Conv2D(name, weights, _weights(rng, (n,)), strides=strides, padding=padding)
    if kind == "depthwise_conv2d":
        n = channels * draw(st.integers(1, max(5 // channels, 1)))
        return DepthwiseConv2D(name, _weights(rng, (*size, n)), _weights(rng, (n,)), strides=strides, padding=padding)
    return (MaxPooling if kind == "max_pooling" else AveragePooling)(name, size, strides, padding)


def _weights(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    return rng.uniform(-1, 1, shape).astype(np.float32)


@st.composite
def _quantizations(draw: st.DrawFn, graph: Graph, input_lanes: int | None) -> Quantization:
    """Every layer with settings of its own."""
    has_table = any(isinstance(layer, Table) for layer in graph.layers)
    activation_bits = st.integers(1, WIDEST_TABLE_INPUT if has_table else 16)
    layers = {}
    for node in graph.nodes:
        own = draw(_weight_settings(node.layer, graph.shapes[node.name])) if node.layer.has_weights else {}
        # wrapping cannot be joined with a clamp, nor with floating point
        clamps = node.layer.as_clamp() or getattr(node.layer, "clamp", None) not in (None, (-math.inf, math.inf))
        wraps = not clamps and own.get("numbers") is not Numbers.BINARY32
        overflows = [overflow for overflow in Overflow if wraps or overflow is not Overflow.WRAP]
        tensor = draw(_tensor_settings())
        if clamps and own.get("numbers") is Numbers.BINARY32:  # takes one clamp for all channels
            tensor["activation_granularity"] = Granularity.PER_TENSOR
        layers[node.name] = {
            **own,
            **tensor,
            "activation_bits": draw(activation_bits),
            "rounding": draw(st.sampled_from(Rounding)),
            "overflow": draw(st.sampled_from(overflows)),
        }
    return Quantization(
        **draw(_tensor_settings()), layers=layers, input_bits=draw(activation_bits), input_lanes=input_lanes
    )


@st.composite
def _plans(draw: st.DrawFn, graph: Graph, quantization: Quantization) -> PlanSettings:
    """Foldings and FIFOs layer by layer, or whatever the planner chooses."""
    layers = {}
    for node in graph.nodes:
        own: dict[str, Any] = {}
        numbers = quantization.layers[node.name].numbers
        if node.layer.kind in FOLDED and numbers is not Numbers.BINARY32:
            weights = node.layer.weights  # type: ignore[attr-defined]
            inputs = weights.size // weights.shape[-1]  # of one output
            own["engine"] = draw(st.sampled_from([None, None, *Engine]))
            own["pe"] = draw(st.none() | st.integers(1, graph.shapes[node.name][-1]))
            own["simd"] = draw(st.none() | st.integers(1, inputs))
            own["multiplier"] = draw(st.sampled_from([None, *Multiplier]))
            own["weight_memory"] = draw(st.sampled_from([None, *WeightMemory]))
        if node.layer.kind not in ("reshape", "pass_through"):
            own["fifo"] = draw(st.sampled_from([None, None, None, 0, 2, 3, 7]))
        layers[node.name] = LayerPlan.model_validate(own)
    goals = [None, None, PlanGoal(reuse_factor=draw(st.integers(1, 40))), PlanGoal(aim=draw(st.sampled_from(Aim)))]
    return PlanSettings(
        levels_per_register=draw(st.integers(1, 4)),
        engine=draw(st.sampled_from([None, None, *Engine])),
        stages=draw(st.sampled_from(Stages)),
        pixels=draw(st.sampled_from([1, 1, 1, 2, 3, 4])),
        layers=layers,
        goal=draw(st.sampled_from(goals)),
    )


@st.composite
def _tensor_settings(draw: st.DrawFn) -> dict[str, Any]:
    """Of a layer's output, or of the input."""
    return {
        "scales": draw(st.sampled_from(Scales)),
        "calibration": draw(st.sampled_from(RangeMethod)),
        "activation_symmetry": draw(st.sampled_from(Symmetry)),
        "activation_granularity": draw(st.sampled_from(Granularity)),
    }


@st.composite
def _weight_settings(draw: st.DrawFn, layer: Layer, shape: Shape) -> dict[str, Any]:
    # Most weights are plain integers, and few layers are in binary32.
    weight_set = draw(st.sampled_from([WeightSet.INTEGER] * 4 + list(WeightSet)))
    symmetries = list(Symmetry) if weight_set is WeightSet.INTEGER else [Symmetry.SYMMETRIC]
    weights, pixels = layer.parameter_count - shape[-1], math.prod(shape[:-1])
    small = weights <= MOST_BINARY32_WEIGHTS and pixels <= MOST_BINARY32_PIXELS
    return {
        "numbers": draw(st.sampled_from([Numbers.INTEGER] * 5 + [Numbers.BINARY32] * small)),
        "weight_set": weight_set,
        "weight_bits": draw(st.integers(*WEIGHT_WIDTHS[weight_set])),
        "weight_symmetry": draw(st.sampled_from(symmetries)),
        "weight_calibration": draw(st.sampled_from(RangeMethod)),
        "granularity": draw(st.sampled_from(Granularity)),
    }
