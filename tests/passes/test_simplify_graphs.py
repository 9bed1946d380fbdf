"""Passes where tensors have several readers, and layers several inputs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from joined import Growing, samples

from dnn2fpga.errors import UserError
from dnn2fpga.graph.float import Graph
from dnn2fpga.layers.activation import Clamp, Table
from dnn2fpga.layers.affine import Affine
from dnn2fpga.layers.concatenate import Concatenate
from dnn2fpga.layers.extremum import Extremum
from dnn2fpga.layers.pass_through import Identity, Softmax
from dnn2fpga.layers.pooling import GlobalAverage, MaxPooling
from dnn2fpga.layers.product import Product
from dnn2fpga.layers.weighted_sum import WeightedSum
from dnn2fpga.optimize.training_model import FloatModel
from dnn2fpga.passes.simplify import simplify
from dnn2fpga.task import Ending

IMAGE = {"image": (6, 6, 2)}


def kinds(graph: Graph) -> dict[str, str]:
    return {node.name: node.layer.kind for node in graph.nodes}


def simplified(graph: Graph) -> Graph:
    """Return the simplified graph, after checks that it has the same function, and that a second time changes
    nothing.
    """
    result, x = simplify(graph), samples(graph)
    for (name, value), (other, expected) in zip(outputs(result, x).items(), outputs(graph, x).items(), strict=True):
        assert name == other
        np.testing.assert_allclose(value, expected, atol=1e-4)
    again = simplify(result)
    assert (kinds(again), again.notes) == (kinds(result), result.notes)
    return result


def outputs(graph: Graph, x: dict[str, np.ndarray]) -> dict[str, Any]:
    found = graph.run(x)
    return found if isinstance(found, dict) else {"": found}


def relu(name: str) -> Clamp:
    return Clamp(name, 0.0, math.inf)


def affine(g: Growing, name: str) -> Affine:
    return Affine(name, 1 + g.numbers(3) / 2, g.numbers(3))


def test_what_follows_a_join_becomes_part_of_it() -> None:
    g = Growing(IMAGE)
    sum = g.add(WeightedSum("sum", (1.0, 1.0)), g.conv("a", "image", 3), g.conv("b", "image", 3))
    y = g.add(relu("relu"), g.add(affine(g, "norm"), sum))
    largest = g.add(Extremum("largest", maximum=True), y, "a")
    product = g.add(relu("relu_of_product"), g.add(Product("product"), g.add(relu("relu6"), largest), "b"))
    graph = simplified(g.graph(g.conv("last", product, 1)))
    assert kinds(graph) == {
        "a": "conv2d",
        "b": "conv2d",
        "sum": "weighted_sum",
        "largest": "extremum",
        "product": "product",
        "last": "conv2d",
    }
    layer = graph.dag.by_name["sum"].layer
    assert layer.weights.shape == (2, 3)
    assert layer.clamp == (0.0, math.inf)


def test_what_another_reads_is_not_changed() -> None:
    """A convolution that is added to its own normalization; a sum of which one reader clamps; an output."""
    g = Growing(IMAGE)
    a = g.conv("a", "image", 3)
    sum = g.add(WeightedSum("sum", (1.0, 1.0)), a, g.add(affine(g, "norm"), a))
    y = g.add(relu("relu"), sum)
    b = g.conv("b", y, 3)
    graph = simplified(g.graph(g.conv("last", g.add(Concatenate("c", 2), sum, y), 1), g.add(relu("relu_of_b"), b), b))
    assert kinds(graph) == {
        "a": "conv2d",
        "norm": "affine",
        "sum": "weighted_sum",
        "relu": "clamp",
        "b": "conv2d",
        "c": "concatenate",
        "last": "conv2d",
        "relu_of_b": "clamp",
    }


def test_a_clamp_does_not_pass_a_pooling_that_another_reads() -> None:
    g = Growing(IMAGE)
    pool = g.add(MaxPooling("pool", (2, 2), (2, 2), "valid"), g.conv("a", "image", 3))
    graph = simplified(g.graph(g.add(WeightedSum("sum", (1.0, 1.0)), g.add(relu("relu"), pool), pool)))
    assert kinds(graph) == {"a": "conv2d", "pool": "max_pooling", "relu": "clamp", "sum": "weighted_sum"}


def test_identities_at_forks() -> None:
    g = Growing(IMAGE)
    drop = g.add(Identity("drop"), g.conv("a", "image", 3))
    more = g.add(Identity("more"), drop)
    graph = simplified(g.graph(g.add(WeightedSum("sum", (1.0, 1.0)), drop, more), g.conv("b", more, 1)))
    assert {node.name: node.inputs for node in graph.nodes} == {"a": ("image",), "sum": ("a", "a"), "b": ("a",)}


def test_a_layer_in_two_nodes_stays_one() -> None:
    g = Growing(IMAGE)
    a = g.conv("a", "image", 2)
    shared, norm = g.nodes[0].layer, Affine("norm", 1 + g.numbers(2), g.numbers(2))
    ends = [g.add(norm, g.add(shared, a, name=f"use_{k}"), name=f"norm_{k}") for k in range(2)]
    graph = simplified(g.graph(g.add(WeightedSum("sum", (1.0, 1.0)), *ends)))
    uses = [graph.dag.by_name[f"use_{k}"].layer for k in range(2)]
    assert list(kinds(graph)) == ["a", "use_0", "use_1", "sum"]
    assert uses[0] is uses[1]
    assert uses[0] is not graph.dag.by_name["a"].layer  # without a normalization


@pytest.mark.parametrize(("bounds", "stays"), [((0.0, 0.0), True), ((0.0, -1.0), False)])
def test_a_layer_with_a_clamp_of_its_own_after_each_use(bounds: tuple[float, float], stays: bool) -> None:
    """It stays one layer, with one set of weights in training, where the clamps have the same bounds."""
    g = Growing(IMAGE)
    a = g.conv("a", "image", 2)
    shared = g.nodes[0].layer
    ends = [g.add(Clamp(f"relu_{k}", low, 6.0), g.add(shared, a, name=f"use_{k}")) for k, low in enumerate(bounds)]
    graph = simplified(g.graph(g.add(WeightedSum("sum", (1.0, 1.0)), *ends)))
    uses = [graph.dag.by_name[f"use_{k}"].layer for k in range(2)]
    assert list(kinds(graph)) == ["a", "use_0", "use_1", "sum"]
    assert (uses[0] is uses[1]) is stays
    variables = FloatModel(graph).variables
    assert (variables["use_0"]["weights"] is variables["use_1"]["weights"]) is stays


def test_a_softmax_at_one_of_two_outputs() -> None:
    g = Growing(IMAGE)
    mean = g.add(GlobalAverage("mean"), g.conv("a", "image", 3))
    graph = simplify(g.graph(g.add(Softmax("classes"), g.dense("logits", mean, 3)), g.dense("number", mean, 1)))
    assert list(graph.outputs.items()) == [("classes", "logits"), ("number", "number")]
    assert [one.ending for one in graph.interfaces.values()] == [Ending.SOFTMAX, Ending.LINEAR]


def test_two_outputs_that_read_one_tensor_are_refused() -> None:
    g = Growing(IMAGE)
    mean = g.add(GlobalAverage("mean"), g.conv("a", "image", 3))
    with pytest.raises(UserError, match="the outputs 'classes' and 'mean' are one tensor in hardware"):
        simplify(g.graph(g.add(Softmax("classes"), mean), mean))


def test_a_gate_comes_last() -> None:
    g = Growing(IMAGE)
    a = g.conv("a", "image", 3)
    gate = g.add(Table("gate", "sigmoid"), g.add(GlobalAverage("mean", keep_dimensions=True), a))
    graph = simplified(g.graph(g.add(Product("product"), gate, a)))
    assert graph.dag.by_name["product"].inputs == ("a", "gate")


@pytest.mark.parametrize("axis", [0, 1])
def test_what_cannot_be_asked_for_a_scale_is_requantized(axis: int) -> None:
    """A model input after a pooling, and a function's range; once for each place."""
    g = Growing(IMAGE)
    pool = g.add(MaxPooling("pool", (1, 1), (1, 1), "valid"), "image")
    a = g.conv("a", "image", 2)
    tanh = g.add(Table("tanh", "tanh"), a)
    graph = simplified(g.graph(g.conv("last", g.add(Concatenate("c", axis), pool, a, tanh), 1)))
    assert graph.dag.by_name["c"].inputs == ("c_pool_requantized", "a", "c_tanh_requantized")
    assert graph.notes == (
        "'pool' is requantized for 'c': 'image' is an input and keeps its own scale",
        "'tanh' is requantized for 'c': 'tanh' has the range of a function",
    )


def test_nothing_is_requantized_without_need() -> None:
    """Channels have scales of their own; and what comes from one tensor has one scale anyway."""
    g = Growing(IMAGE)
    channels = g.add(Concatenate("channels", 2), "image", g.conv("a", "image", 2))
    rows = g.add(Concatenate("rows", 0), "image", g.add(MaxPooling("pool", (1, 1), (1, 1), "valid"), "image"))
    graph = simplified(g.graph(g.conv("last", channels, 1), g.conv("end", rows, 1)))
    assert graph.notes == ()
    assert "clamp" not in kinds(graph).values()
