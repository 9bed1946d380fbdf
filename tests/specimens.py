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
from specimen_choices import plans, quantizations

from dnn2fpga.errors import UserError
from dnn2fpga.graph.float import Graph
from dnn2fpga.graph.ports import Values, or_named
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
from dnn2fpga.plan.settings import PlanSettings
from dnn2fpga.tensors.basics import Shape
from dnn2fpga.tensors.tensor import Tensor
from rtl_lib.image.window_schedule import Padding

MOST_NUMBERS = 400  # in one tensor
FEWEST_FRAMES, FEWEST_BEATS = 10, 100
INPUT_SETTINGS = {"scales", "calibration", "activation_symmetry", "activation_granularity"}
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

    def samples(self) -> Values:
        """Real inputs."""
        rng = np.random.default_rng(self.seed)
        return or_named(
            {
                name: rng.uniform(self.lowest_input, 1, (8, *shape)).astype(np.float32)
                for name, shape in self.graph.inputs.items()
            }
        )

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

    def frames(self, quantized: QuantizedGraph, least: int = FEWEST_FRAMES) -> Values:
        """Quantized inputs: the two extremes, then any integers of the format; ``least`` of them at least."""
        rng = np.random.default_rng(self.seed)
        count = max(FEWEST_FRAMES, least, FEWEST_BEATS // max(tensor.beats for tensor in quantized.inputs.values()))

        def of(tensor: Tensor) -> np.ndarray:
            f, shape = tensor.format, tensor.shape
            extremes = [np.full((1, *shape), value) for value in (f.minimum, f.maximum)]
            anything = rng.integers(f.minimum, f.maximum + 1, (count, *shape))
            return np.concatenate([*extremes, anything]).astype(f.dtype)

        return or_named({name: of(tensor) for name, tensor in quantized.inputs.items()})

    def __repr__(self) -> str:
        """Return what hypothesis prints of a network that failed."""
        inputs = ", ".join(f"{name} {shape}" for name, shape in self.graph.inputs.items())
        lines = [f"{inputs}, {self.quantization.input_bits} bits"]
        lines[0] += f", lanes {self.quantization.input_lanes or 'all'}, from {self.lowest_input}"
        lines[0] += f", {_shown(self.quantization.model_dump(include=INPUT_SETTINGS))}"
        for node in self.graph.nodes:
            options = {key: value for key, value in vars(node.layer).items() if key != "name"}
            settings = self.quantization.layers[node.name].model_dump(exclude_none=True)
            shape = self.graph.shapes[node.name]
            reads = ", ".join(node.inputs)
            lines.append(f"{node.name}: {node.layer.kind} of {reads} {_shown(options)} → {shape}, {_shown(settings)}")
        lines.append(f"outputs {', '.join(self.graph.dag.outputs)}")
        lines.append(f"{self.plan}, stalls {self.stalls}, seed {self.seed}")
        return "\n  ".join(lines)


def _shown(values: dict[str, Any]) -> dict[str, str]:
    arrays = {name: f"array{list(value.shape)}" for name, value in values.items() if isinstance(value, np.ndarray)}
    return {name: getattr(value, "name", str(value)) for name, value in values.items()} | arrays


def on_a_random_network(
    seed: int, check: Callable[[Specimen], None], networks: Callable[[], st.SearchStrategy[Specimen]] | None = None
) -> None:
    """Run ``check`` on one network. If it raises, hypothesis looks for a smaller network with which it does, too.

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
    @given((networks or specimens)())
    def run(specimen: Specimen) -> None:
        nonlocal calls
        calls += 1
        if calls > 1:  # the first that hypothesis draws is always the smallest there is
            check(specimen)

    run()


@dataclass
class Stream:
    """The stream that the next layer will read: a shape, and how many of its numbers travel in one beat."""

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
        layer = draw(layers_of_kind(f"layer_{index}", draw(st.sampled_from(kinds)), stream, rng))
        shape = layer.output_shape(stream.shape)
        stream = Stream(shape, lanes_after(layer, stream, shape))
        layers.append(layer)
    graph = simplify(Graph.chain("random", "input", input_shape, layers))
    assume(any(node.layer.kind != "reshape" for node in graph.nodes))  # without hardware there is nothing to build
    quantization = draw(quantizations(graph, input_lanes))
    plan = draw(plans(graph, quantization))
    lowest = draw(st.sampled_from([-1.0, 0.0]))
    return Specimen(graph, quantization, plan, draw(st.sampled_from(STALLS)), seed, lowest)


@st.composite
def _inputs(draw: st.DrawFn, largest_extent: int) -> tuple[Stream, int | None]:
    """A vector in any number of beats, or an image."""
    if draw(st.booleans()):
        extent = st.integers(1, largest_extent)
        shape = draw(st.tuples(extent, extent, st.integers(1, 4)))
        return Stream(shape, shape[-1]), None
    size = draw(st.integers(1, 24))
    lanes = draw(st.sampled_from([lanes for lanes in range(1, size + 1) if size % lanes == 0]))
    return Stream((size,), lanes), lanes


def _is_image(stream: Stream) -> bool:
    return len(stream.shape) == 3


# Each kind: how often it is drawn, and after which streams it is supported.
KINDS: dict[str, tuple[int, Callable[[Stream], bool]]] = {
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


def lanes_after(layer: Layer, stream: Stream, shape: Shape) -> int:
    if isinstance(layer, Clamp | Table | Reshape) and len(shape) == 1:
        return stream.lanes
    return shape[-1]


@st.composite
def layers_of_kind(draw: st.DrawFn, name: str, kind: str, stream: Stream, rng: np.random.Generator) -> Layer:
    channels = stream.shape[-1]
    outputs = st.integers(1, 5)
    match kind:
        case "dense":
            n = draw(outputs)
            return Dense(name, random_weights(rng, (channels, n)), random_weights(rng, (n,)))
        case "clamp":
            return Clamp(name, *draw(st.sampled_from([(0.0, math.inf), (0.0, 6.0), (-0.5, 0.5)])))
        case "table":
            return Table(name, draw(st.sampled_from(sorted(TABLES))))
        case "affine":
            return Affine(name, random_weights(rng, (channels,)) * 2, random_weights(rng, (channels,)))
        case "flatten":
            return Reshape(name, None)
        case "reshape":
            size = math.prod(stream.shape)
            n = draw(st.sampled_from([n for n in range(1, min(size, 12) + 1) if size % n == 0]))
            rows = draw(st.sampled_from([rows for rows in range(1, size // n + 1) if size // n % rows == 0]))
            return Reshape(name, (rows, size // n // rows, n))
        case "global_average":
            return GlobalAverage(name, keep_dimensions=draw(st.booleans()))
    rule = draw(st.sampled_from(["valid", "same", "explicit"]))
    largest = stream.shape[:2] if rule == "valid" else (5, 5)
    size = (draw(st.integers(1, min(5, largest[0]))), draw(st.integers(1, min(5, largest[1]))))
    padding = rule if rule != "explicit" else draw(paddings(stream.shape, size))
    strides = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    if "pooling" in kind and draw(st.booleans()):
        strides = size  # windows that do not overlap
    if kind == "conv2d":
        n = draw(outputs)
        weights = random_weights(rng, (*size, channels, n))
        return Conv2D(name, weights, random_weights(rng, (n,)), strides=strides, padding=padding)
    if kind == "depthwise_conv2d":
        n = channels * draw(st.integers(1, max(5 // channels, 1)))
        return DepthwiseConv2D(
            name, random_weights(rng, (*size, n)), random_weights(rng, (n,)), strides=strides, padding=padding
        )
    pooling = MaxPooling if kind == "max_pooling" else AveragePooling
    return pooling(name, size, strides, padding, count_include_pad=draw(st.booleans()))


def paddings(shape: Shape, kernel: tuple[int, int]) -> st.SearchStrategy[Padding]:
    """Rows and columns with which one window or more fit on an image."""

    def along(extent: int, size: int) -> st.SearchStrategy[tuple[int, int]]:
        return st.tuples(*2 * [st.integers(0, size - 1)]).filter(lambda pads: extent + sum(pads) >= size)

    rows, columns = (along(extent, size) for extent, size in zip(shape[:2], kernel, strict=True))
    return st.tuples(rows, columns).map(lambda pads: Padding(*pads[0], *pads[1]))


def random_weights(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    return rng.uniform(-1, 1, shape).astype(np.float32)
