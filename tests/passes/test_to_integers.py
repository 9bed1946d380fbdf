"""Graphs with quantizers, and the integers that they become: every code of every quantizer, on random networks."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from dnn2fpga.errors import UserError
from dnn2fpga.exact.encoding import Encoding, ExactWeights
from dnn2fpga.exact.pieces import Reach
from dnn2fpga.exact.requantizing import Way
from dnn2fpga.exact.rounding import RoundingMode
from dnn2fpga.exact.rules import Rule
from dnn2fpga.exact.thresholds import Thresholds, ThresholdsOfChannels
from dnn2fpga.graph.files import load, save
from dnn2fpga.graph.float import Graph
from dnn2fpga.layers.activation import Clamp, Table
from dnn2fpga.layers.affine import Affine
from dnn2fpga.layers.concatenate import Concatenate
from dnn2fpga.layers.conv2d import Conv2D
from dnn2fpga.layers.dense import Dense
from dnn2fpga.layers.depthwise_conv2d import DepthwiseConv2D
from dnn2fpga.layers.extremum import Extremum
from dnn2fpga.layers.pooling import AveragePooling, GlobalAverage, MaxPooling
from dnn2fpga.layers.product import Product
from dnn2fpga.layers.quantizer import Quantizer, Rounded
from dnn2fpga.layers.reshape import Reshape
from dnn2fpga.layers.two_slope import TwoSlope
from dnn2fpga.layers.weighted_sum import WeightedSum
from dnn2fpga.passes.to_integers import Integers, has_integers, to_integers
from dnn2fpga.read.builder import GraphBuilder, SymbolicTensor

INPUT_FORMAT = Encoding.of(2.0**-4, -128, 127)


class Network:
    """A random network of one kind of scales and one rounding mode."""

    def __init__(self, seed: int, mode: RoundingMode, *, powers: bool, zero_point: int) -> None:
        self.rng, self.powers, self.mode, self.zero_point = np.random.default_rng(seed), powers, mode, zero_point
        self.builder = GraphBuilder("network", "a file")

    def scales(self, count: int = 1) -> np.ndarray:
        if self.powers:
            return 2.0 ** self.rng.integers(-6, -3, count)
        return self.rng.uniform(0.01, 0.1, count).astype(np.float32)

    def weights(self, *shape: int) -> ExactWeights:
        codes = self.rng.integers(-8, 8, shape)
        return ExactWeights.of(codes, self.scales(shape[-1]), self.rng.normal(size=shape[-1]).astype(np.float32))

    def quantized(self, x: SymbolicTensor, name: str, bits: int = 8, *, signed: bool = True) -> SymbolicTensor:
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
        zero = self.zero_point if signed else 0
        return self.add(Quantizer(name, Encoding.of(self.scales() * 2, low, high, zero), Rounded(self.mode)), x)

    def add(self, layer: Any, *x: SymbolicTensor) -> SymbolicTensor:
        return self.builder.add(layer, *x)

    def graph(self) -> Graph:
        x = self.quantized(self.builder.input("x", (6, 6, 2)), "q0")
        a = self.add(Conv2D.of_codes("a_product", self.weights(3, 3, 2, 4), padding="same"), x)
        offset = self.rng.normal(size=4).astype(np.float32)
        a = self.add(Affine("a_norm", self.rng.normal(size=4).astype(np.float32), offset), a)
        a = self.quantized(self.add(Clamp("a_relu", 0.0, np.inf), a), "a", 4, signed=False)
        b = self.add(DepthwiseConv2D.of_codes("b_product", self.weights(3, 3, 4), padding="same"), a)
        b = self.quantized(self.add(TwoSlope("b_leaky", 0.125), b), "b")
        c = self.quantized(self.add(WeightedSum("c_sum", (1.0, -1.0)), a, b), "c")
        d = self.quantized(
            self.add(
                Product(
                    "d_product",
                ),
                a,
                b,
            ),
            "d",
        )
        e = self.quantized(self.add(Extremum("e_largest", True), b, c), "e") if self.powers else c
        joined = self.add(Concatenate("f", 2), c, d, e)
        pooled = self.quantized(self.add(AveragePooling("g_mean", (2, 2), (2, 2), "valid"), joined), "g")
        pooled = self.add(MaxPooling("h", (2, 2), (1, 1), "valid"), pooled)
        gate = self.quantized(self.add(GlobalAverage("i_mean"), pooled), "i")
        flat = self.add(Reshape("flat", None), pooled)
        k = self.quantized(self.add(Dense.of_codes("k_product", self.weights(48, 5)), flat), "k", 6)
        k = self.quantized(self.add(Table("k_tanh", "tanh"), k), "l")
        self.builder.output(self.add(Concatenate("out", 0), k, gate) if self.powers else k)
        if not self.powers:
            self.builder.output(gate)
        return self.builder.graph()


def codes_of_source(graph: Graph, x: np.ndarray) -> dict[str, np.ndarray]:
    """The codes of every quantizer, by name, from the float values of the graph."""
    values = dict(graph.tensors(x))
    encodings = {node.name: node.layer.encoding for node in graph.nodes if isinstance(node.layer, Quantizer)}
    return {
        name: np.rint(values[name] / own.scale.astype(np.float64)) + own.zero_point for name, own in encodings.items()
    }


def codes_of_integers(found: Integers, x: np.ndarray) -> dict[str, np.ndarray]:
    tensors = dict(found.graph.boundaries(found.graph.quantized(x)))
    return {name: tensors[tensor] for name, tensor in found.tensors.items() if tensor in tensors}


@pytest.mark.parametrize("zero_point", [0, 3])
@pytest.mark.parametrize("powers", [True, False])
@pytest.mark.parametrize("mode", RoundingMode)
def test_every_code_is_that_of_the_source(mode: RoundingMode, powers: bool, zero_point: int) -> None:
    rng = np.random.default_rng(1)
    for seed in range(2):
        graph = Network(seed, mode, powers=powers, zero_point=zero_point).graph()
        found = to_integers(graph, INPUT_FORMAT)
        x = rng.normal(size=(16, 6, 6, 2)) * 2
        got = codes_of_integers(found, x)
        for name, wanted in codes_of_source(graph, x).items():
            assert len(np.unique(wanted)) > 1, f"{name} tells nothing apart"
            np.testing.assert_array_equal(got[name].reshape(wanted.shape), wanted, err_msg=name)


def test_ways_and_files(tmp_path: Any) -> None:
    graph = Network(0, RoundingMode.HALF_EVEN, powers=False, zero_point=0).graph()
    found = to_integers(graph, INPUT_FORMAT)
    assert found.margin is not None
    assert found.ways[Way.LINE] > 0
    assert found.ways[Way.TABLE] > 0
    save(found.graph, tmp_path)
    again, q = load(tmp_path), found.graph.random_inputs(4, 0)
    for name, beats in found.graph.run(q).items():
        np.testing.assert_array_equal(again.run(q)[name], beats)
    x = np.random.default_rng(0).normal(size=(4, 6, 6, 2))
    np.testing.assert_array_equal(again.quantized(x)["x"], found.graph.quantized(x)["x"])


def test_an_input_without_a_quantizer_has_the_given_format() -> None:
    builder = GraphBuilder("network", "a file")
    weights = ExactWeights.of([[3], [-2]], 0.25, 0.5)
    builder.output(builder.add(Dense.of_codes("d", weights), builder.input("x", (2,))))
    graph = builder.graph()
    assert not has_integers(graph)
    found = to_integers(graph, INPUT_FORMAT)
    assert found.graph.input.width == 8
    assert "does not quantize the input 'x'" in found.graph.notes[0]
    x = np.array([[1.0, 0.5], [-2.0, 0.0625]])
    np.testing.assert_array_equal(found.graph.predict(x), graph.run(x))


def test_all_problems_are_told_at_once() -> None:
    builder = GraphBuilder("network", "a file")
    x = builder.add(Quantizer("q", Encoding.of(0.25, -8, 7)), builder.input("x", (4,)))
    plain = builder.add(Dense("plain", np.ones((4, 2)), np.zeros(2)), x)
    builder.output(builder.add(Quantizer("plain_q", Encoding.of(1, -8, 7)), plain))
    huge = builder.add(Dense.of_codes("huge", ExactWeights.of(np.full((4, 2), 1 << 20), 1)), x)
    builder.output(builder.add(Quantizer("huge_q", Encoding.of(1, -8, 7)), huge))
    with pytest.raises(UserError) as error:
        to_integers(builder.graph(), INPUT_FORMAT)
    told = str(error.value)
    assert "layer 'plain' (dense): its weights are not integers" in told
    assert "layer 'huge_q'" in told or "layer 'huge' (dense)" in told


def test_an_output_that_nothing_rounds_is_rounded_to_32_bits() -> None:
    """Where its exact sums would be wider than a tensor."""
    builder = GraphBuilder("network", "a file")
    x = builder.add(Quantizer("q", Encoding.of(np.float32(0.1), -128, 127)), builder.input("x", (4,)))
    weights = ExactWeights.of(
        np.arange(-6, 6).reshape(4, 3), np.float32([0.3, 0.2, 0.1]), np.float32([0.7, -1e-4, 3e5])
    )
    builder.output(builder.add(Dense.of_codes("d", weights), x))
    graph = builder.graph()
    integers = to_integers(graph, INPUT_FORMAT)
    assert "the output 'd' is rounded to 32 bits" in integers.graph.notes[0]
    x = np.random.default_rng(0).normal(0, 10, (50, 4))
    codes, tensor = integers.graph.run(integers.graph.quantized(x)), integers.graph.tensors["d"]
    real = dict(graph.tensors(x))["d"]
    assert tensor.width <= 32
    assert np.abs((codes - tensor.zero_points) * tensor.scales - real).max() < 1e-3
    assert (np.abs((codes - tensor.zero_points) * tensor.scales - real) <= tensor.scales).all()


@pytest.mark.parametrize("of_channels", [False, True])
def test_an_input_that_is_compared_with_thresholds(of_channels: bool) -> None:
    """The host makes numbers of the given format of it, and hardware compares."""
    lists = [tuple(Reach(Fraction(k, 8) * (1 + c), inclusive=c == 0) for k in (-9, 1, 1, 7)) for c in range(2)]
    rule: Rule = ThresholdsOfChannels(tuple(map(Thresholds, lists))) if of_channels else Thresholds(lists[0])
    builder = GraphBuilder("network", "a file")
    encoding = Encoding.of(0.5, -2, 2).for_lanes(2)
    builder.output(builder.add(Quantizer("q", encoding, rule), builder.input("x", (6, 6, 2))))
    integers = to_integers(builder.graph(), INPUT_FORMAT)
    x = np.random.default_rng(0).integers(-128, 128, (9, 6, 6, 2)) / 16
    reached = [
        sum(
            x[..., c] >= float(one.bound) if one.inclusive else x[..., c] > float(one.bound)
            for one in lists[c * of_channels]
        )
        for c in range(2)
    ]
    codes = integers.graph.run(integers.graph.quantized(x))
    np.testing.assert_array_equal(codes, np.stack(reached, axis=-1) - 2)


@pytest.mark.parametrize("repeats", [True, False])
@pytest.mark.parametrize("relu", [True, False])
def test_channels_of_a_flattened_image_have_grids_of_their_own(repeats: bool, relu: bool) -> None:
    """They travel as the image did where the grids repeat with its channels, else all in one beat."""
    rng = np.random.default_rng(0)
    scale = np.tile(rng.uniform(0.1, 0.4, 3), 4) if repeats else rng.uniform(0.1, 0.4, 12)
    builder = GraphBuilder("network", "a file")
    x = builder.add(Quantizer("q", Encoding.of(0.125, -32, 31)), builder.input("x", (2, 2, 3)))
    flat = builder.add(Reshape("flat", None), x)
    if relu:
        flat = builder.add(Clamp("relu", 0.0, np.inf), flat)
    flat = builder.add(Affine("scaled", np.tile([1.0, 2.0, 0.5], 4), np.tile([0.5, 0.0, 0.25], 4)), flat)
    builder.output(builder.add(Quantizer("r", Encoding.of(scale, -8, 7)), flat))
    graph = builder.graph()
    found = to_integers(graph, INPUT_FORMAT)
    assert found.graph.tensors["r"].lanes == (3 if repeats else 12)
    x_real = rng.normal(size=(50, 2, 2, 3)) * 2
    wanted = codes_of_source(graph, x_real)["r"]
    assert len(np.unique(wanted)) >= 8
    np.testing.assert_array_equal(codes_of_integers(found, x_real)["r"].reshape(wanted.shape), wanted)


@pytest.mark.parametrize("zero_point", [0, 3])
@pytest.mark.parametrize("mode", RoundingMode)
def test_averages_over_the_border(mode: RoundingMode, zero_point: int) -> None:
    """Of 2, 3, 4 and 6 pixels: with scales that are powers of two they make ties of sixths and of quarters."""
    builder = GraphBuilder("network", "a file")
    x = builder.add(Quantizer("q", Encoding.of(0.25, -16, 15, zero_point)), builder.input("x", (6, 6, 2)))
    x = builder.add(AveragePooling("p", (2, 3), (1, 1), "same"), x)
    builder.output(builder.add(Quantizer("r", Encoding.of([0.5, 0.25], -8, 7, zero_point), Rounded(mode)), x))
    graph = builder.graph()
    found = to_integers(graph, INPUT_FORMAT)
    x_real = np.random.default_rng(0).normal(size=(60, 6, 6, 2)) * 2
    codes = found.graph.quantized(x_real)
    got = dict(found.graph.boundaries(codes))["r"]
    sums, counts = np.zeros((60, 6, 6, 2), int), np.zeros((6, 6, 1), int)
    q = codes["x"].reshape(60, 6, 6, 2) - zero_point
    for row, column in np.ndindex(2, 3):
        rows, columns = slice(0, 6 - row), slice(max(1 - column, 0), 6 - max(column - 1, 0))
        of_rows, of_columns = slice(row, 6), slice(max(column - 1, 0), 6 - max(1 - column, 0))
        sums[:, rows, columns] += q[:, of_rows, of_columns]
        counts[rows, columns] += 1
    steps = np.broadcast_to([4, 8], sums.shape).ravel()  # eighths of the input's in a step of the output's
    means = (Fraction(int(s), int(n)) for s, n in zip(sums.flat, np.broadcast_to(counts, sums.shape).flat, strict=True))
    wanted = [mode.of(mean * int(step) / 8) + zero_point for mean, step in zip(means, steps, strict=True)]
    np.testing.assert_array_equal(got.ravel(), np.clip(wanted, -8, 7))
    assert {2, 4, 3, 6} == set(counts.ravel().tolist())
