"""Encodings of float graphs: the tensors that share one, and what they then have in integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from joined import Growing, samples

from dnn2fpga.errors import UserError
from dnn2fpga.graph.float import Graph
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.layers.activation import Table
from dnn2fpga.layers.concatenate import Concatenate
from dnn2fpga.layers.pooling import MaxPooling
from dnn2fpga.layers.reshape import Reshape
from dnn2fpga.layers.weighted_sum import WeightedSum
from dnn2fpga.optimize.calibration import calibrate
from dnn2fpga.optimize.post_training import Quantization, quantize
from dnn2fpga.passes.simplify import simplify
from dnn2fpga.tensors.basics import Shape

IMAGE: dict[str, Shape] = {"image": (6, 6, 2)}
LAST = 2


def quantized(graph: Graph, **settings: Any) -> QuantizedGraph:
    return quantize(graph, calibrate(graph, samples(graph)), Quantization(**settings))


def two_branches(axis: int, reader: str = "conv") -> Graph:
    """Two convolutions of very different ranges, one of them after a pooling, joined, and read again."""
    g = Growing(IMAGE)
    a = g.add(MaxPooling("pool", (1, 1), (1, 1), "valid"), g.conv("a", "image", 2))
    wide = g.conv("b", g.conv("b0", "image", 2), 2)
    c = g.add(Concatenate("c", axis), a, g.add(WeightedSum("wide", (100.0,)), wide))
    match reader:
        case "conv":
            return simplify(g.graph(g.conv("last", c, 2)))
        case "table":
            return simplify(g.graph(g.conv("last", g.add(Table("tanh", "tanh"), c), 2)))
    return simplify(g.graph(c))


def test_channels_have_scales_of_their_own() -> None:
    model = quantized(two_branches(axis=LAST))
    a, wide, c = (model.tensors[name] for name in ("pool", "wide", "c"))
    assert a.scale < wide.scale  # type: ignore[operator]
    assert c.scale == (a.scale, a.scale, wide.scale, wide.scale)
    assert c.lanes == 4


def test_the_widest_format_holds_all() -> None:
    graph = two_branches(axis=LAST)
    model = quantized(graph, layers={"a": {"activation_bits": 5}, "wide": {"activation_bits": 11}})
    assert [model.tensors[name].width for name in ("a", "pool", "wide", "c")] == [5, 5, 11, 11]


@pytest.mark.parametrize(("axis", "reader"), [(0, "conv"), (1, "conv"), (LAST, "table"), (LAST, "output")])
@pytest.mark.parametrize("symmetry", ["symmetric", "asymmetric"])
def test_what_meets_in_one_lane_shares_its_encoding(axis: int, reader: str, symmetry: str) -> None:
    graph = two_branches(axis, reader)
    assert list(graph.encodings.sharing("a")) == ["a", "pool", "wide", "c"]
    assert graph.encodings.owners("c") == ["a", "wide"]
    assert graph.encodings.joins("a") == ["c"]
    own = {"a": {"activation_bits": 5}, "wide": {"activation_bits": 6}}  # the most of them is what all have
    model = quantized(graph, layers=own, activation_symmetry=symmetry, activation_granularity="per_channel")
    a, wide, c = (model.tensors[name] for name in ("a", "wide", "c"))
    assert a.numbers_like(wide)
    assert a.numbers_like(c)
    assert (a.width, isinstance(a.scale, float)) == (6, True)
    # That of the joined tensor: its range is the wide one's.
    low, high = ((getattr(c.format, name) - c.zero_points[0]) * c.uniform_scale for name in ("minimum", "maximum"))
    seen = calibrate(graph, samples(graph))["c"].interval
    assert low - c.uniform_scale <= seen.low
    assert seen.high <= high + c.uniform_scale


def test_concatenations_of_concatenations_are_one_class() -> None:
    g = Growing(IMAGE)
    one = g.add(Concatenate("one", LAST), g.conv("a", "image", 1), g.conv("b", "image", 1))
    two = g.add(Concatenate("two", 0), one, g.conv("c", "image", 2))
    g.add(Concatenate("three", 1), g.shapes and "c", g.conv("d", "image", 2))
    graph = simplify(g.graph(g.conv("last", two, 1), g.conv("end", "three", 1)))
    assert graph.encodings.owners("a") == ["a", "b", "c", "d"]
    assert graph.encodings.joins("a") == ["one", "two", "three"]
    assert not graph.encodings.fixed("a")
    model = quantized(graph)
    assert len({model.tensors[name].scale for name in ("a", "b", "c", "d")}) == 1


def test_what_is_shared_with_a_fixed_scale_is_fixed() -> None:
    assert two_branches(LAST, "table").encodings.fixed("a")
    assert two_branches(LAST, "output").encodings.fixed("wide")
    assert not two_branches(0).encodings.fixed("a")
    assert not two_branches(LAST).encodings.fixed("a")


def vectors(reshape: bool) -> Graph:
    """A vector that arrives in several beats, or in one, and another."""
    g = Growing({"image": (4, 4, 3) if reshape else (1, 1, 3), "vector": (6,)})
    flat = g.add(Reshape("flat", None), g.conv("a", "image", 4))
    return simplify(g.graph(g.dense("last", g.add(Concatenate("c", 0), flat, g.dense("b", "vector", 6)), 2)))


def test_vectors_travel_side_by_side_or_one_after_the_other() -> None:
    whole, beats = vectors(reshape=False), vectors(reshape=True)
    assert whole.encodings.owners("c") == ["c"] or len(whole.encodings.sharing("a")) == 2
    assert beats.encodings.owners("c") == ["a", "b"]
    assert (quantized(whole).tensors["c"].lanes, quantized(whole).tensors["c"].beats) == (10, 1)
    model = quantized(beats)
    assert (model.tensors["c"].lanes, model.tensors["c"].beats) == (2, 35)
    # Hardware repacks what does not travel so already; training does not know of it.
    assert [node.inputs for node in model.nodes if node.name == "c"] == [("flat_in_2_lanes", "b_in_2_lanes")]
    assert model.tensors["flat_in_2_lanes"].numbers_like(model.tensors["flat"])
    assert [node.name for node in beats.nodes] == ["a", "flat", "b", "c", "last"]


def test_an_input_in_several_beats_is_packed_where_it_is_added() -> None:
    g = Growing({"x": (6,), "y": (6,)})
    graph = simplify(g.graph(g.dense("last", g.add(WeightedSum("sum", (1.0, 1.0)), g.dense("a", "x", 6), "y"), 2)))
    model = quantized(graph, input_lanes=3, activation_granularity="per_channel", input_granularity="per_channel")
    tensor = model.tensors["y_in_6_lanes"]
    assert tensor.scale == model.inputs["y"].scale * 2 if isinstance(tensor.scale, tuple) else True
    x = samples(graph)
    np.testing.assert_allclose(model.predict(x), graph.run(x), atol=0.1)


def test_a_graph_that_no_pass_has_seen_is_refused() -> None:
    """Without a requantization the input cannot have the other's scale."""
    g = Growing(IMAGE)
    graph = g.graph(g.conv("last", g.add(Concatenate("c", 0), "image", g.conv("a", "image", 2)), 1))
    with pytest.raises(UserError, match="must have the same lanes, scale and zero point"):
        quantized(graph)
