"""All samples with a model file, and what the tool of each recorded, by the names of our nodes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from data_folders import beside_the_data
from onnx_codes import channels_last, node_of_onnx
from tflite_codes import RECORDED, node_of, real

from dnn2fpga.graph.float import Graph
from dnn2fpga.layers.quantizer import Quantizer
from dnn2fpga.read.front_ends import read_model
from dnn2fpga.read.settings import ReadSettings
from dnn2fpga.read.tflite_rules import TfliteRule
from dnn2fpga.read.tflite_schema import parse

OWN = Path(__file__).parent / "front_ends" / "samples"
FOLDERS = (OWN, beside_the_data("models") / "front_ends")
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Recorded:
    """What a tool computed of a sample.

    :param x: real inputs ``[frames, ...]``, channels last.
    :param tensors: real numbers, by the node of ours that computes them; maybe of the first frames only.
    """

    x: np.ndarray
    tensors: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Tool:
    """Who made a sample.

    :param patterns: of its model files.
    :param recorded: takes the arrays apart: ``(sample, graph, arrays)``.
    """

    name: str
    patterns: tuple[str, ...]
    recorded: Callable[[Sample, Graph, Arrays], Recorded]
    rules: tuple[TfliteRule | None, ...] = (None,)

    @property
    def samples(self) -> Iterator[Sample]:
        for folder in FOLDERS:
            for path in sorted(path for pattern in self.patterns for path in folder.glob(pattern)):
                for rule in self.rules:
                    yield Sample(self, path, path.parent / "io.npz", rule)


@dataclass(frozen=True)
class Sample:
    """A model file, what was recorded of it, and how it is to be read."""

    tool: Tool
    path: Path
    arrays: Path
    rule: TfliteRule | None = None

    @property
    def name(self) -> str:
        """The folder, and what else tells samples apart."""
        folder = self.arrays.parent.name
        return f"{folder}/{self.path.name}" if self.rule is None else f"{folder}, {self.rule.value}"

    @property
    def settings(self) -> ReadSettings:
        weights = self.path.with_name("weights.h5") if self.path.suffix == ".json" else None
        return ReadSettings(weights=weights) if self.rule is None else ReadSettings(rule=self.rule.value)

    def read(self) -> Graph:
        """Return the graph as its reader builds it, functions at the end included."""
        return read_model(self.path, self.settings)

    def recorded(self, graph: Graph) -> Recorded:
        return self.tool.recorded(self, graph, dict(np.load(self.arrays)))


def by_layers(sample: Sample, graph: Graph, arrays: Arrays) -> Recorded:
    """Keras and what builds on it: ``t_<layer>``; HGQ2's input quantizers ``q_<layer>_iq<number>``."""
    place = {node.name: number for number, node in enumerate(graph.nodes)}
    layers = {name[2:]: values for name, values in arrays.items() if name.startswith("t_")}
    last = {max(name, f"{name}_activation", key=lambda n: place.get(n, -1)): layers[name] for name in layers}
    quantizers = {re.sub(r"_iq(\d+)$", r"_iq_\1", name[2:]): arrays[name] for name in arrays if name.startswith("q_")}
    return Recorded(arrays["x"], last | quantizers | ({graph.dag.outputs[0]: arrays["y"]} if "y" in arrays else {}))


def by_tensors_of_onnx(sample: Sample, graph: Graph, arrays: Arrays) -> Recorded:
    """ONNX: ``t_<tensor>``, or the outputs of Brevitas' modules; codes of QuantizeLinear as what they mean."""
    layers = {node.name: node.layer for node in graph.nodes}
    tensors = {}
    for name, values in arrays.items():
        node = node_of_onnx(layers, name[2:]) if name.startswith("t_") else None
        if node is None:
            continue
        values, layer = channels_last(values), layers[node]
        if values.dtype.kind == "f":
            tensors[node] = values
        elif isinstance(layer, Quantizer):
            tensors[node] = layer.encoding.reals(values.astype(np.int64))
    tensors[graph.dag.outputs[0]] = channels_last(arrays["y_dynamo" if "dynamo" in sample.path.name else "y"])
    return Recorded(channels_last(arrays["x"]), tensors)


def channels_first(sample: Sample, graph: Graph, arrays: Arrays) -> Recorded:
    """PyTorch: ``t_<node>``."""
    tensors = {name[2:]: channels_last(values) for name, values in arrays.items() if name.startswith("t_")}
    return Recorded(channels_last(arrays["x"]), tensors | {graph.dag.outputs[0]: channels_last(arrays["y"])})


def by_numbers(sample: Sample, graph: Graph, arrays: Arrays) -> Recorded:
    """TensorFlow Lite: ``t_<number>`` under the reference kernels, outputs under every rule."""
    assert sample.rule is not None
    model = parse(sample.path.read_bytes())
    (input,), (output,) = model.inputs, model.outputs
    nodes = node_of(node.name for node in graph.nodes)
    tensors = {graph.dag.outputs[0]: real(model.tensors[output], arrays[RECORDED[sample.rule]])}
    if sample.rule is TfliteRule.REFERENCE:
        numbers = {int(name[2:]): arrays[name] for name in arrays if name.startswith("t_")}
        tensors |= {nodes[n]: real(model.tensors[n], values) for n, values in numbers.items() if n in nodes}
    return Recorded(real(model.tensors[input], arrays["x"]), tensors)


TOOLS = (
    Tool("QKeras", ("qkeras*/model.*",), by_layers),
    Tool("HGQ2", ("hgq2_*/model.keras",), by_layers),
    Tool("larq", ("larq_*/model.h5",), by_layers),
    Tool("hls4ml's binary layers", ("hls4ml_*/model.*",), by_layers),
    Tool("Keras 2", ("keras2_*/model.*", "keras2_*/saved_model"), by_layers),
    Tool("ONNX", ("*onnx*/model*.onnx", "brevitas_*/model.onnx", "torch_*/model.onnx"), by_tensors_of_onnx),
    Tool("PyTorch", ("torch_*/model.pt2",), channels_first),
    Tool("TensorFlow Lite", ("tflite_*/model.tflite",), by_numbers, tuple(TfliteRule)),
)


def samples() -> Iterator[Sample]:
    """Every model file under every rule, and inputs that wrap for a file that is kept elsewhere."""
    for tool in TOOLS:
        yield from tool.samples
        for sample in tool.samples:
            wild = OWN / f"{sample.path.parent.name}_wild" / "io.npz"
            if wild.is_file():
                yield Sample(tool, sample.path, wild)
