"""Quantizers that change places with layers that only move numbers: the same results, and integers where there were
none.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dnn2fpga.exact.encoding import Encoding, ExactWeights
from dnn2fpga.exact.rounding import RoundingMode
from dnn2fpga.graph.float import Graph
from dnn2fpga.layers.affine import Affine
from dnn2fpga.layers.conv2d import Conv2D
from dnn2fpga.layers.dense import Dense
from dnn2fpga.layers.pooling import MaxPooling
from dnn2fpga.layers.quantizer import Quantizer, Rounded
from dnn2fpga.layers.reshape import Reshape
from dnn2fpga.passes.round_early import round_early
from dnn2fpga.passes.to_integers import to_integers
from dnn2fpga.read.builder import GraphBuilder
from rtl_lib.core.arithmetic import Overflow

INPUT_FORMAT = Encoding.of(2.0**-4, -128, 127)
X = np.random.default_rng(5).integers(-128, 128, (40, 6, 6, 2)) / 16


def network(*, normalized: bool = True, read_twice: bool = False, wraps: bool = False, step: Any = 0.25) -> Graph:
    rng, builder = np.random.default_rng(4), GraphBuilder("m", "a file")
    x = builder.input("x", (6, 6, 2))
    x = builder.add(Conv2D.of_codes("c", ExactWeights.of(rng.integers(-8, 8, (3, 3, 2, 3)), 2.0**-4)), x)
    if normalized:
        scale, offset = rng.normal(size=(2, 3)).astype(np.float32)
        x = builder.add(Affine("n", scale, offset), x)
    x = builder.add(MaxPooling("p", (2, 2), (2, 2), "valid"), x)
    x = builder.add(Reshape("f", None), x)
    rule = Rounded(RoundingMode.HALF_EVEN, Overflow.WRAP if wraps else Overflow.SATURATE)
    q = builder.add(Quantizer("q", Encoding.of(step, -8, 7), rule), x)
    builder.output(builder.add(Dense.of_codes("d", ExactWeights.of(rng.integers(-8, 8, (12, 4)), 2.0**-4)), q))
    if read_twice:
        builder.output(x)
    return builder.graph()


def test_the_quantizer_goes_first_and_nothing_changes() -> None:
    graph = network()
    early = round_early(graph)
    assert [node.name for node in early.nodes] == ["c", "n", "p_q", "p_rounded", "q", "d"]
    assert [node.layer.kind for node in early.nodes][2:5] == ["quantizer", "max_pooling", "reshape"]
    before, after = dict(graph.tensors({"x": X})), dict(early.tensors({"x": X}))
    assert len(np.unique(before["q"])) > 8
    for name in ("q", "d"):
        np.testing.assert_array_equal(after[name], before[name])


@pytest.mark.parametrize("step", [0.25, np.tile([0.25, 0.5, 0.125], 4)])
def test_integers_compute_the_same(step: Any) -> None:
    """The sums of a batch normalization have no integers of few bits: without the exchange they would be rounded."""
    graph = network(step=step)
    integers = to_integers(graph, INPUT_FORMAT)
    computed = dict(integers.graph.boundaries(integers.graph.quantized(X)))
    expected = dict(graph.tensors({"x": X}))
    assert integers.graph.tensors["q"].width == 4
    assert not integers.graph.notes[1:]
    for source in ("q", "d"):
        tensor = integers.graph.tensors[integers.tensors[source]]
        reals = (computed[integers.tensors[source]] - tensor.zero_points) * tensor.scales
        np.testing.assert_array_equal(reals.reshape(expected[source].shape), expected[source])


@pytest.mark.parametrize("options", [{"normalized": False}, {"read_twice": True}, {"wraps": True}])
def test_it_stays_where_sums_are_integers_or_read_or_numbers_wrap(options: dict[str, bool]) -> None:
    graph = network(**options)
    assert [node.name for node in round_early(graph).nodes] == [node.name for node in graph.nodes]
