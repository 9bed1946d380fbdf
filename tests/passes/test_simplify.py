"""The passes keep the function of a graph and leave fewer layers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dnn2fpga.errors import UserError
from dnn2fpga.graph import Graph, Layer
from dnn2fpga.layers.activation import Clamp, Table
from dnn2fpga.layers.affine import Affine
from dnn2fpga.layers.conv2d import Conv2D
from dnn2fpga.layers.dense import Dense
from dnn2fpga.layers.pass_through import Identity, Softmax
from dnn2fpga.layers.pooling import GlobalAverage, MaxPooling
from dnn2fpga.passes.simplify import drop_final_decision, drop_identities, fold_affine, fuse_clamps, simplify

RNG = np.random.default_rng(0)
CONV = Conv2D("conv", RNG.normal(size=(3, 3, 2, 3)), RNG.normal(size=3))
NORM = Affine("norm", RNG.normal(size=3), RNG.normal(size=3))
RELU, RELU6 = Clamp("relu", 0.0, math.inf), Clamp("relu6", 0.0, 6.0)
POOL = MaxPooling("pool", (2, 2), (2, 2), "valid")


def chain(*layers: Layer) -> Graph:
    return Graph.chain("net", "input", (6, 6, 2), list(layers), float_parameters=7)


def kinds(graph: Graph) -> list[str]:
    return [layer.kind for layer in graph.layers]


CASES = {
    "batch norm behind a convolution": ((CONV, NORM), ["conv2d"]),
    "batch norm and ReLU": ((CONV, NORM, RELU), ["conv2d"]),
    "two batch norms": ((CONV, NORM, NORM), ["conv2d"]),
    "two clamps": ((CONV, RELU, RELU6), ["conv2d"]),
    "batch norm behind ReLU": ((CONV, RELU, NORM), ["conv2d", "affine"]),
    "batch norm behind pooling": ((CONV, POOL, NORM, RELU), ["conv2d", "max_pooling", "affine"]),
    "ReLU behind pooling": ((CONV, POOL, RELU), ["conv2d", "max_pooling", "clamp"]),
    "ReLU behind a table": ((CONV, Table("t", "tanh"), RELU), ["conv2d", "table", "clamp"]),
    "ReLU behind a mean": ((CONV, GlobalAverage("mean"), RELU), ["conv2d", "global_average_pooling"]),
    "dropout between": ((CONV, Identity("drop"), NORM, Identity("more"), RELU), ["conv2d"]),
    "batch norm in front": ((Affine("a", np.ones(2) * 2, np.ones(2)), CONV), ["affine", "conv2d"]),
}


@pytest.mark.parametrize("name", CASES)
def test_fewer_layers_with_the_same_function(name: str) -> None:
    layers, expected = CASES[name]
    graph = chain(*layers)
    x = RNG.normal(size=(4, 6, 6, 2))

    simplified = simplify(graph)

    assert kinds(simplified) == expected
    np.testing.assert_allclose(simplified.run(x), graph.run(x), atol=1e-5)
    assert simplified.float_parameters == 7
    assert kinds(simplify(simplified)) == expected


def test_each_pass_does_its_own_part_only() -> None:
    graph = chain(CONV, Identity("drop"), NORM, RELU, GlobalAverage("mean"), Softmax("softmax"))
    assert kinds(drop_identities(graph)) == ["conv2d", "affine", "clamp", "global_average_pooling", "softmax"]
    assert kinds(fold_affine(graph)) == ["conv2d", "identity", "affine", "clamp", "global_average_pooling", "softmax"]
    assert kinds(fuse_clamps(graph)) == ["conv2d", "identity", "affine", "global_average_pooling", "softmax"]
    without = drop_final_decision(graph)
    assert kinds(without)[-1] == "global_average_pooling"
    assert without.decision == "argmax"
    assert "softmax 'softmax' is left out" in without.notes[0]


def test_a_softmax_elsewhere_is_refused() -> None:
    dense = Dense("dense", RNG.normal(size=(3, 3)), np.zeros(3))
    with pytest.raises(UserError) as caught:
        simplify(chain(CONV, Softmax("first"), dense, Softmax("second"), dense, Softmax("last")))
    assert caught.value.problems == tuple(
        f"layer '{name}' (softmax): built only as the last layer" for name in ("first", "second")
    )


def test_a_dropout_behind_the_softmax_does_not_matter() -> None:
    graph = simplify(chain(CONV, GlobalAverage("mean"), Softmax("softmax"), Identity("drop")))
    assert (kinds(graph)[-1], graph.decision) == ("global_average_pooling", "argmax")


def test_a_model_that_computes_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="nothing to compute in hardware"):
        simplify(chain(Identity("drop"), Softmax("softmax")))
