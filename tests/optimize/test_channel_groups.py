"""Pruning where channels of several layers live and die together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from joined import Growing, every_join, samples

from dnn2fpga.data import Data
from dnn2fpga.errors import UserError
from dnn2fpga.graph.float import Graph
from dnn2fpga.layers.activation import Table
from dnn2fpga.layers.affine import Affine
from dnn2fpga.layers.concatenate import Concatenate
from dnn2fpga.layers.conv2d import Conv2D
from dnn2fpga.layers.pooling import GlobalAverage, MaxPooling
from dnn2fpga.layers.product import Product
from dnn2fpga.layers.reshape import Reshape
from dnn2fpga.layers.weighted_sum import WeightedSum
from dnn2fpga.optimize.channel_groups import Block, ChannelGroups, deciding_outputs, with_weights
from dnn2fpga.optimize.post_training import Quantization
from dnn2fpga.optimize.pruning import PruningSettings, prune, remove_filters
from dnn2fpga.passes.simplify import simplify

IMAGE = {"image": (6, 6, 2)}
NOTHING = Data(np.zeros((0, 6, 6, 2), np.float32), None)


def blocks(graph: Graph) -> dict[str, Block]:
    return {block.name: block for block in ChannelGroups(graph).blocks}


def shapes_after(graph: Graph, **settings: Any) -> dict[str, int]:
    """The channels of every tensor that is left. What nobody reads is silenced before, so the function stays."""
    pruning = PruningSettings(**settings)
    less = remove_filters(graph, pruning.filters_left(graph), pruning.rank, Quantization())
    x = samples(graph)
    np.testing.assert_allclose(less.run(x), unread(graph, less).run(x), atol=1e-4)
    return {name: shape[-1] for name, shape in less.shapes.items()}


def unread(graph: Graph, less: Graph) -> Graph:
    """The whole graph in which the channels that are not in ``less`` are 0 wherever they are made and read."""
    groups = ChannelGroups(graph)
    kept = {name: kept_channels(graph, less, name) for name in (node.name for node in graph.nodes)}
    gone = {
        group
        for name, channels in kept.items()
        if channels is not None
        for group in np.delete(groups.of[name], channels).tolist()
    }

    def silenced(node: Any) -> Any:
        layer = node.layer
        if not layer.has_weights:
            return layer
        weights = layer.weights.copy()
        read = np.isin(groups.of[node.inputs[0]], list(gone))
        if layer.ties_channels:
            return layer
        weights[..., read, :] = 0
        return type(layer)(**{**vars(layer), "weights": weights})

    return graph.mapped(silenced)


def kept_channels(graph: Graph, less: Graph, name: str) -> np.ndarray | None:
    """The channels of a layer with weights that are left, told apart by their biases."""
    before, after = (one.dag.by_name[name].layer for one in (graph, less))
    return np.flatnonzero(np.isin(before.bias, after.bias)) if before.has_weights else None


def residual() -> Graph:
    """Two blocks, the second across a stride."""
    g = Growing(IMAGE)
    stem = g.relu("relu", g.conv("stem", "image", 8))
    one = g.add(WeightedSum("one", (1.0, 1.0)), stem, g.conv("b", g.relu("r", g.conv("a", stem, 6)), 8))
    short, long = g.conv("short", one, 12, 1, 2), g.conv("d", g.conv("c", one, 4, 3, 2), 12)
    two = g.add(Affine("norm", 1 + g.numbers(12), g.numbers(12)), g.add(WeightedSum("two", (1.0, 1.0)), short, long))
    return simplify(g.graph(g.dense("last", g.add(GlobalAverage("mean"), two), 3)))


def test_what_is_added_up_goes_together() -> None:
    graph = residual()
    found = blocks(graph)
    assert {name: (block.layers, len(block.groups)) for name, block in found.items()} == {
        "stem": (("stem", "b"), 8),
        "a": (("a",), 6),
        "short": (("short", "d"), 12),
        "c": (("c",), 4),
        "last": (("last",), 3),
    }
    assert deciding_outputs(graph) == {"last"}
    shapes = shapes_after(graph, filters=0.5)
    assert [shapes[name] for name in ("stem", "a", "b", "one", "short", "c", "d", "two", "last")] == (
        [4, 3, 4, 4, 6, 2, 6, 6, 3]
    )
    assert shapes_after(graph, filters_of={"d": 0.25})["short"] == 9


def test_the_least_important_together_go_first() -> None:
    graph = residual()
    less = remove_filters(graph, {"stem": 2}, "magnitude", Quantization())
    stem, b = (graph.dag.by_name[name].layer for name in ("stem", "b"))
    norms = sum(np.square(layer.weights, dtype=np.float64).sum(axis=(0, 1, 2)) for layer in (stem, b))
    assert kept_channels(graph, less, "stem").tolist() == np.sort(np.argsort(norms)[-2:]).tolist()  # type: ignore[union-attr]
    assert kept_channels(graph, less, "b").tolist() == kept_channels(graph, less, "stem").tolist()  # type: ignore[union-attr]


def test_a_concatenation_keeps_its_parts_apart() -> None:
    g = Growing(IMAGE)
    a, b = g.conv("a", "image", 4), g.conv("b", "image", 6)
    c = g.add(Concatenate("c", 2), a, b)
    rows = g.add(Concatenate("rows", 0), c, g.conv("d", "image", 10))
    graph = simplify(g.graph(g.dense("last", g.add(Reshape("flat", None), rows), 2)))
    assert [block.layers for block in blocks(graph).values()] == [("a", "d"), ("b", "d"), ("last",)]
    shapes = shapes_after(graph, filters=0.5)
    assert [shapes[name] for name in ("a", "b", "c", "d", "rows", "flat")] == [2, 3, 5, 5, 5, 12 * 6 * 5]
    assert shapes_after(graph, filters_of={"b": 0.5})["d"] == 7


def test_squeeze_and_excite() -> None:
    g = Growing(IMAGE)
    a = g.conv("a", "image", 8)
    hidden = g.relu("relu", g.dense("hidden", g.add(GlobalAverage("mean"), a), 4))
    gate = g.add(Reshape("gate", (1, 1, 8)), g.add(Table("sigmoid", "sigmoid"), g.dense("excite", hidden, 8)))
    y = g.add(Product("product"), a, gate)
    graph = simplify(g.graph(g.dense("last", g.add(GlobalAverage("pool"), y), 2)))
    assert [block.layers for block in blocks(graph).values()] == [("a", "excite"), ("hidden",), ("last",)]
    shapes = shapes_after(graph, filters=0.25)
    assert [shapes[name] for name in ("a", "hidden", "excite", "gate", "product")] == [6, 3, 6, 6, 6]


def test_depthwise_in_a_residual_block() -> None:
    g = Growing(IMAGE)
    a = g.conv("a", "image", 4, 1)
    wide = g.depthwise("deep", g.conv("expand", a, 12, 1))
    sum = g.add(WeightedSum("sum", (1.0, 1.0)), a, g.conv("project", wide, 4, 1))
    graph = simplify(g.graph(g.dense("last", g.add(GlobalAverage("mean"), sum), 2)))
    assert [block.layers for block in blocks(graph).values()] == [("a", "project"), ("expand",), ("last",)]
    shapes = shapes_after(graph, filters=0.5)
    assert [shapes[name] for name in ("a", "expand", "deep", "project", "sum")] == [2, 6, 6, 2, 2]


def test_a_layer_in_two_nodes_is_pruned_once() -> None:
    g = Growing(IMAGE)
    a = g.conv("a", "image", 6)
    shared = Conv2D("shared", g.numbers(1, 1, 6, 6), g.numbers(6))
    once = g.add(shared, a)
    twice = g.add(shared, once, name="twice")
    graph = simplify(g.graph(g.dense("last", g.add(GlobalAverage("mean"), twice), 2)))
    assert [block.layers for block in blocks(graph).values()] == [("a", "shared"), ("last",)]
    assert [layer.name for layer in with_weights(graph)] == ["a", "shared", "last"]
    shapes = shapes_after(graph, filters=0.5)
    assert [shapes[name] for name in ("a", "shared", "twice")] == [3, 3, 3]


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ("input", "they meet the channels of the model's input 'image'"),
        ("reshape", "a reshape to a fixed shape follows ('mixed')"),
        ("output", "the model's outputs are computed channel by channel from them ('out')"),
    ],
)
def test_what_is_pinned_is_named(part: str, reason: str) -> None:
    g = Growing(IMAGE)
    a = g.conv("a", "image", 2)
    match part:
        case "input":
            y = g.conv("last", g.add(WeightedSum("sum", (1.0, 1.0)), a, "image"), 1)
        case "reshape":
            y = g.conv("last", g.add(Reshape("mixed", (3, 6, 4)), a), 1)
        case _:
            y = g.add(MaxPooling("out", (2, 2), (2, 2), "valid"), g.depthwise("deep", a))
    graph = simplify(g.graph(y))
    with pytest.raises(UserError) as caught:
        prune(graph, NOTHING, PruningSettings(filters=0.5), None, Quantization())
    assert caught.value.problems == (
        f"layer 'a': its filters cannot be removed: {reason}; set pruning.filters_of.a: 0",
    )
    assert prune(graph, NOTHING, PruningSettings(filters=0.5, filters_of={"a": 0}), None, Quantization())


def test_layers_that_go_together_are_told_the_same() -> None:
    settings = PruningSettings(filters_of={"stem": 0.5, "b": 0.25, "last": 0.5})
    with pytest.raises(UserError) as caught:
        prune(residual(), NOTHING, settings, None, Quantization())
    assert caught.value.problems == (
        "pruning.filters_of.last: these are the model's outputs; remove filters of other layers",
        "pruning.filters_of: the filters of stem and b go together; say the same of all, or of one",
    )


def test_notes_name_what_goes_together() -> None:
    pruned = prune(residual(), NOTHING, PruningSettings(filters_of={"b": 0.5}, rounds=2), None, Quantization())
    assert pruned.graph.notes == ("filters left by pruning: stem = b 8 → 4",)


def test_every_join_keeps_its_function() -> None:
    """Whatever of it can be removed."""
    graph = every_join()
    groups = ChannelGroups(graph)
    free = [block for block in groups.blocks if block.reason is None and len(block.groups) > 1]
    assert len(free) > 2
    less = groups.without([block.groups[0] for block in free])
    assert sum(layer.parameter_count for layer in with_weights(less)) < sum(
        layer.parameter_count for layer in with_weights(graph)
    )
    assert {name: value.shape for name, value in less.run(samples(graph)).items()} == {
        "scores": (8, 3),
        "other": (8, 2),
    }
