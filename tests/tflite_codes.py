"""The codes that a ``.tflite`` file's graph computes, by the file's own numbers of tensors."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from integer_model import IntegerModel

from dnn2fpga.graph.float import Graph
from dnn2fpga.read.tflite import read_tflite_model
from dnn2fpga.read.tflite_operators import LIMITS
from dnn2fpga.read.tflite_rules import TfliteRule
from dnn2fpga.read.tflite_schema import Kind, TfliteModel, TfliteTensor, parse

FOLDER = Path(__file__).parent / "front_ends" / "samples"
RECORDED = {TfliteRule.TFLM: "y_tflm", TfliteRule.REFERENCE: "y_ref", TfliteRule.XNNPACK: "y_xnnpack"}


class Codes:
    """What a file's graph makes of codes.

    :param x: the inputs as the source's interpreter reads them, each ``[frames, ...]``.
    """

    def __init__(self, path: Path, rule: TfliteRule, x: Sequence[np.ndarray]) -> None:
        self.model: TfliteModel = parse(path.read_bytes())
        self.graph: Graph = read_tflite_model(path, rule)
        tensors = [self.model.tensors[index] for index in self.model.inputs]
        self.inputs = {
            name: real(tensor, values) for name, tensor, values in zip(self.graph.inputs, tensors, x, strict=True)
        }
        self.reals = dict(self.graph.tensors(self.inputs))
        self.nodes = node_of(self.reals)

    def of(self, index: int) -> np.ndarray | None:
        """The codes of a tensor; None where it has no node."""
        if index not in self.nodes:
            return None
        return codes(self.model.tensors[index], self.reals[self.nodes[index]])

    @property
    def output(self) -> np.ndarray:
        """The only output, in the source's type."""
        tensor, reals = self.model.tensors[self.model.outputs[0]], self.reals[self.graph.dag.outputs[0]]
        return reals.astype(np.float32) if tensor.kind is Kind.FLOAT32 else codes(tensor, reals)


def node_of(names: object) -> dict[int, str]:
    """The node that has a tensor's name: of those that begin with it, the shortest."""
    found: dict[int, str] = {}
    for name in sorted(names, key=len, reverse=True):  # type: ignore[call-overload]
        if match := re.match(r"t(\d+)_", name):
            found[int(match[1])] = name
    return found


def real(tensor: TfliteTensor, values: np.ndarray) -> np.ndarray:
    """The numbers that codes mean, in float64; float32 as it is."""
    if tensor.kind not in LIMITS or tensor.quantization is None:
        return values
    return (values.astype(np.float64) - int(tensor.quantization.zero_point[0])) * float(tensor.quantization.scale[0])


def codes(tensor: TfliteTensor, reals: np.ndarray) -> np.ndarray:
    """The nearest codes of numbers."""
    assert tensor.quantization is not None
    levels = np.rint(reals / float(tensor.quantization.scale[0])).astype(np.int64)
    return levels + int(tensor.quantization.zero_point[0])


class IntegerCodes(Codes):
    """What the integer model of a file computes, beside its graph."""

    def __init__(self, path: Path, rule: TfliteRule, x: Sequence[np.ndarray]) -> None:
        super().__init__(path, rule, x)
        entering = {name: values.astype(np.float32) for name, values in self.inputs.items()}
        model = IntegerModel(self.graph, entering)
        self.integers = model.integers
        self.computed = {
            index: codes(self.model.tensors[index], model.reals(name).reshape(self.reals[name].shape))
            for index, name in self.nodes.items()
            if name in model
        }
