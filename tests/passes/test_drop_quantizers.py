"""A model that brings its own integers, taken as one in floating point: what is left of its quantizers."""

from __future__ import annotations

import numpy as np
import pytest

from dnn2fpga.errors import UserError
from dnn2fpga.exact.encoding import Encoding, ExactWeights
from dnn2fpga.exact.thresholds import Thresholds
from dnn2fpga.graph.float import Graph
from dnn2fpga.layers.activation import Table
from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.dense import Dense
from dnn2fpga.layers.pass_through import Softmax
from dnn2fpga.layers.pooling import AveragePooling
from dnn2fpga.layers.quantizer import Quantizer, Rounded
from dnn2fpga.passes.drop_quantizers import drop_quantizers
from dnn2fpga.passes.simplify import simplify
from dnn2fpga.task import Ending
from rtl_lib.core.arithmetic import Overflow

BYTE = Encoding.of(1 / 16, -128, 127)
SIX = Encoding.of(6 / 255, -128, 127, -128)  # a ReLU6
UNIT = Encoding.of(1 / 256, -128, 127, -128)  # of a sigmoid: 1 has no code


def left(*layers: Layer, shape: tuple[int, ...] = (1,)) -> Graph:
    return drop_quantizers(Graph.chain("net", "x", shape, [Quantizer("entering", BYTE), *layers]))


def dense() -> Dense:
    return Dense.of_codes("dense", ExactWeights.of([[3]], 1.0))


def kinds(graph: Graph) -> list[str]:
    return [layer.kind for layer in graph.layers]


def test_a_range_is_left_of_a_quantizer() -> None:
    graph = left(dense(), Quantizer("last", SIX))
    np.testing.assert_allclose(graph.run(np.array([[-1.0], [0.01], [1.0], [5.0]])), [[0], [0.03], [3], [6]], rtol=1e-6)


def test_a_clamp_that_cannot_do_anything_is_left_out() -> None:
    assert kinds(left(Table("f", "sigmoid"), Quantizer("last", UNIT))) == ["table"]
    assert kinds(left(Table("f", "tanh"), Quantizer("q", UNIT), dense())) == ["table", "clamp", "dense"]
    (interface,) = left(dense(), Table("f", "sigmoid"), Quantizer("last", UNIT)).interfaces.values()
    assert interface.ending is Ending.SIGMOID


def test_ranges_pass_through_layers_that_only_move_numbers() -> None:
    pool = AveragePooling("pool", (2, 2), (2, 2), "valid")
    layers = [Table("f", "sigmoid"), Quantizer("q", UNIT), pool, Quantizer("last", UNIT)]
    assert kinds(left(*layers, shape=(2, 2, 1))) == ["table", "average_pooling"]


def test_a_softmax_stays_the_last_layer() -> None:
    assert kinds(left(dense(), Quantizer("q", BYTE), Softmax("s"), Quantizer("last", UNIT))) == [
        "dense",
        "clamp",
        "softmax",
    ]


def test_a_function_at_the_end_stays_the_last_layer() -> None:
    """However few codes its quantizer has."""
    graph = left(dense(), Table("f", "sigmoid"), Quantizer("last", Encoding.of(1 / 256, 20, 200)))
    assert kinds(graph) == ["dense", "table"]


def test_a_clamp_before_a_softmax_does_not_hide_it() -> None:
    graph = simplify(left(dense(), Quantizer("q", BYTE), Softmax("s")))
    assert kinds(graph) == ["dense"]
    assert [one.ending for one in graph.interfaces.values()] == [Ending.SOFTMAX]


def test_what_wraps_is_no_clamp() -> None:
    assert kinds(left(dense(), Quantizer("last", BYTE, Rounded(overflow=Overflow.WRAP)))) == ["dense"]


def test_thresholds_are_refused() -> None:
    with pytest.raises(UserError, match=r"layer 'last' \(quantizer\): counts thresholds"):
        left(dense(), Quantizer("last", BYTE, Thresholds(())))
