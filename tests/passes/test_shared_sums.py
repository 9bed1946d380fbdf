"""Several quantizers on the sums of one layer: one layer with weights, the codes of the source, and no wide tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from dnn2fpga.exact.encoding import Encoding, ExactWeights
from dnn2fpga.exact.rounding import RoundingMode
from dnn2fpga.graph.float import Graph
from dnn2fpga.layers.activation import Clamp
from dnn2fpga.layers.affine import Affine
from dnn2fpga.layers.conv2d import Conv2D
from dnn2fpga.layers.product import Product
from dnn2fpga.layers.quantizer import Quantizer, Rounded
from dnn2fpga.layers.weighted_sum import WeightedSum
from dnn2fpga.passes.to_integers import Integers, to_integers
from dnn2fpga.read.builder import GraphBuilder, SymbolicTensor
from rtl_lib.core.arithmetic import Overflow

INPUT_FORMAT = Encoding.of(2.0**-4, -128, 127)
EVEN, FLOOR = Rounded(), Rounded(RoundingMode.FLOOR)
WRAP = Rounded(overflow=Overflow.WRAP)


class Fork:
    """A convolution whose sums several layers read."""

    def __init__(self, scale: float = 2.0**-3) -> None:
        rng = np.random.default_rng(0)
        self.builder = GraphBuilder("network", "a file")
        x = self.add(Quantizer("q", Encoding.of(0.25, -8, 7)), self.builder.input("x", (5, 4, 2)))
        weights = ExactWeights.of(rng.integers(-7, 8, (2, 2, 2, 3)), scale, rng.normal(size=3).astype(np.float32))
        self.sums = self.add(Conv2D.of_codes("c", weights, padding="valid"), x)

    def add(self, layer: Any, *x: SymbolicTensor) -> SymbolicTensor:
        return self.builder.add(layer, *x)

    def quantized(self, name: str, encoding: Encoding, rule: Rounded = EVEN, relu: bool = False) -> SymbolicTensor:
        x = self.add(Clamp(f"{name}_relu", 0.0, np.inf), self.sums) if relu else self.sums
        return self.add(Quantizer(name, encoding, rule), x)

    def graph(self, *outputs: SymbolicTensor) -> Graph:
        for tensor in outputs:
            self.builder.output(tensor)
        return self.builder.graph()


def codes_are_equal(graph: Graph, found: Integers, names: Sequence[str]) -> None:
    x = np.random.default_rng(1).normal(size=(64, 5, 4, 2)) * 3
    tensors, values = dict(found.graph.boundaries(found.graph.quantized(x))), dict(graph.tensors(x))
    for name in names:
        layer = graph.dag.by_name[name].layer
        assert isinstance(layer, Quantizer)
        own = layer.encoding
        wanted = np.rint(values[name] / own.scale.astype(np.float64)) + own.zero_point
        assert len(np.unique(wanted)) > 2
        np.testing.assert_array_equal(tensors[found.tensors[name]].reshape(wanted.shape), wanted, err_msg=name)


def kinds(found: Integers) -> list[str]:
    return [layer.kind for layer in found.graph.layers]


@pytest.mark.parametrize("scale", [2.0**-3, np.float32(0.1)])
def test_one_layer_makes_all_codes(scale: float) -> None:
    fork = Fork(scale)
    a = fork.quantized("a", Encoding.of(0.125, -16, 15), relu=True)
    b = fork.quantized("b", Encoding.of([0.5, 0.25, 1], [-8, -4, 0], [7, 3, 15], [0, 1, 2]))
    graph = fork.graph(a, b)
    found = to_integers(graph, INPUT_FORMAT)
    assert kinds(found) == ["conv2d", "select", "select"]
    wide = found.graph.tensors["c"]
    assert wide.width == 5
    assert wide.lanes == 6
    codes_are_equal(graph, found, ["a", "b"])


def test_lanes_that_are_alike_are_there_once() -> None:
    fork = Fork()
    a = fork.quantized("a", Encoding.of(0.125, -16, 15))
    b = fork.quantized("b", Encoding.of([0.125, 0.5, 0.125], -16, 15))
    graph = fork.graph(a, b)
    found = to_integers(graph, INPUT_FORMAT)
    assert found.graph.tensors["c"].lanes == 4
    codes_are_equal(graph, found, ["a", "b"])


def test_codes_that_wrap_beside_codes_that_never_leave_their_bounds() -> None:
    fork = Fork()
    a, b = fork.quantized("a", Encoding.of(0.5, -8, 7), WRAP), fork.quantized("b", Encoding.of(1.0, -200, 200))
    graph = fork.graph(a, b)
    found = to_integers(graph, INPUT_FORMAT)
    assert kinds(found) == ["conv2d", "select", "select"]
    codes_are_equal(graph, found, ["a", "b"])


@pytest.mark.parametrize("other", [(Encoding.of(1.0, -4, 3), EVEN), (Encoding.of(0.5, -8, 7), FLOOR)])
def test_what_no_layer_does_at_once_reads_the_sums(other: tuple[Encoding, Rounded]) -> None:
    """Clamps beside numbers that wrap, and two roundings."""
    fork = Fork()
    a, b = fork.quantized("a", Encoding.of(1.0, -8, 7), WRAP), fork.quantized("b", *other)
    graph = fork.graph(a, b)
    found = to_integers(graph, INPUT_FORMAT)
    assert kinds(found) == ["conv2d", "clamp", "clamp"]
    codes_are_equal(graph, found, ["a", "b"])


@pytest.mark.parametrize("layer", [Product("j"), WeightedSum("j", (1.0, -1.0))])
def test_joins_hand_their_sums_on(layer: Any) -> None:
    fork = Fork()
    a, b = fork.quantized("a", Encoding.of(0.125, -16, 15)), fork.quantized("b", Encoding.of(0.5, -8, 7))
    fork.sums = fork.add(layer, a, b)
    graph = fork.graph(fork.quantized("e", Encoding.of(0.25, -9, 9)), fork.quantized("f", Encoding.of(0.5, -9, 9)))
    found = to_integers(graph, INPUT_FORMAT)
    assert kinds(found) == ["conv2d", "select", "select", layer.kind, "clamp", "clamp"]
    codes_are_equal(graph, found, ["a", "b", "e", "f"])


def test_a_tensor_in_floating_point_beside_a_quantizer() -> None:
    """The tensor is rounded; the quantizer's codes are those of the exact sums."""
    fork = Fork(np.float32(0.1))
    rng = np.random.default_rng(3)
    fork.sums = fork.add(
        Affine("n", rng.normal(size=3).astype(np.float32), rng.normal(size=3).astype(np.float32)), fork.sums
    )
    a = fork.quantized("a", Encoding.of(np.float32(0.3), -8, 7))
    s = fork.add(WeightedSum("s", (1.0, 1.0)), fork.sums, a)
    graph = fork.graph(a, fork.add(Quantizer("b", Encoding.of(np.float32(0.7), -8, 7)), s))
    found = to_integers(graph, INPUT_FORMAT)
    assert any("'n' is rounded to 32 bits" in note for note in found.graph.notes)
    codes_are_equal(graph, found, ["a", "b"])
    x = rng.normal(size=(64, 5, 4, 2)) * 3
    tensor, codes = found.graph.tensors["n"], dict(found.graph.boundaries(found.graph.quantized(x)))["n"]
    wanted = dict(graph.tensors(x))["n"]
    error = np.abs(codes * tensor.scales - wanted.reshape(codes.shape))
    assert error.max() <= 2.0**-26 * np.abs(wanted).max()
