"""What an ``.onnx`` file's graph and its integer model compute, by the file's own names of tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from data_folders import beside_the_data

from dnn2fpga.exact.encoding import Encoding
from dnn2fpga.graph.float import Graph
from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.quantizer import Quantizer
from dnn2fpga.read.builder import identifier
from dnn2fpga.read.onnx import read_onnx

FOLDER = Path(__file__).parent / "front_ends" / "samples"
OWN = sorted(FOLDER.glob("*onnx*/model*.onnx")) + sorted(FOLDER.glob("brevitas_*/model.onnx"))
SHARED = sorted(beside_the_data("models").glob("front_ends/*/model.onnx"))
SAMPLES = [*OWN, *SHARED]


def recorded_in(path: Path) -> dict[str, np.ndarray]:
    return dict(np.load(path.parent / "io.npz"))


def channels_last(x: np.ndarray) -> np.ndarray:
    return x.transpose(0, 2, 3, 1) if x.ndim == 4 else x


def channels_first(x: np.ndarray) -> np.ndarray:
    return x.transpose(0, 3, 1, 2) if x.ndim == 4 else x


def codes_of(encoding: Encoding, reals: np.ndarray) -> np.ndarray:
    """The nearest codes of numbers ``[..., channels]``."""
    return np.rint(reals / encoding.scale.astype(np.float64)).astype(np.int64) + encoding.zero_point


def node_of_onnx(layers: Mapping[str, Layer], tensor: str) -> str | None:
    """The node of a tensor of the source; None where it has none."""
    name = identifier(tensor)
    if name in layers:
        return name
    inside = [
        node
        for node, layer in layers.items()
        if isinstance(layer, Quantizer) and (f"_{name}_act" in node or f"_{name}_trunc" in node)
    ]
    return inside[0] if len(inside) == 1 else None  # Brevitas' modules


class Computed:
    """What a file's graph makes of the inputs of a sample, in float64."""

    def __init__(self, path: Path) -> None:
        self.recorded = recorded_in(path)
        self.graph: Graph = read_onnx(path)
        self.x = channels_last(self.recorded["x"].astype(np.float64))
        self.reals = dict(self.graph.tensors(self.x))
        self.layers = {node.name: node.layer for node in self.graph.nodes}

    @property
    def output(self) -> np.ndarray:
        return channels_first(self.reals[self.graph.dag.outputs[0]])

    @property
    def quantizers(self) -> dict[str, Quantizer]:
        return {name: layer for name, layer in self.layers.items() if isinstance(layer, Quantizer)}

    def node_of(self, tensor: str) -> str | None:
        """The node of a tensor of the source; None where it has none."""
        return node_of_onnx(self.layers, tensor)
