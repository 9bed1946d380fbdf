"""The passes keep the function of a graph and leave fewer layers."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dnn2fpga.data import Data
from dnn2fpga.errors import UserError
from dnn2fpga.flow import quantize, read_model
from dnn2fpga.graph.float import Graph
from dnn2fpga.layers.activation import Clamp, Table
from dnn2fpga.layers.affine import Affine
from dnn2fpga.layers.base import Layer, Normalization
from dnn2fpga.layers.conv2d import Conv2D
from dnn2fpga.layers.dense import Dense
from dnn2fpga.layers.pass_through import Identity, Softmax
from dnn2fpga.layers.pooling import AveragePooling, GlobalAverage, MaxPooling
from dnn2fpga.optimize.post_training import Quantization
from dnn2fpga.optimize.settings import Optimization, Stage, TrainingSettings
from dnn2fpga.passes.simplify import drop_final_softmax, drop_identities, fold_affine, fuse_clamps, simplify
from dnn2fpga.task import Ending, TaskKind

RNG = np.random.default_rng(0)
CONV = Conv2D("conv", RNG.normal(size=(3, 3, 2, 3)), RNG.normal(size=3))
NORM = Affine("norm", RNG.normal(size=3), RNG.normal(size=3))
RELU, RELU6 = Clamp("relu", 0.0, math.inf), Clamp("relu6", 0.0, 6.0)
RISING = Affine("rising", np.array([0.5, 2.0, 0.0]), RNG.normal(size=3))  # a constant does not fall either
FALLING = Affine("falling", np.array([0.5, 2.0, -0.1]), RNG.normal(size=3))
POOL = MaxPooling("pool", (2, 2), (2, 2), "valid")
OVERLAPPING = MaxPooling("overlapping", (3, 2), (1, 2), "same")
MEAN = AveragePooling("mean", (2, 2), (2, 2), "valid")


def chain(*layers: Layer) -> Graph:
    """The layers one after the other; one that is used again gets a name of its own."""
    names = [layer.name for layer in layers]
    own = [
        replace(layer, name=f"{layer.name}_{k}") if layer.name in names[:k] else layer for k, layer in enumerate(layers)
    ]
    return Graph.chain("net", "input", (6, 6, 2), own, float_parameters=7)


def kinds(graph: Graph) -> list[str]:
    return [layer.kind for layer in graph.layers]


CASES = {
    "batch norm after a convolution": ((CONV, NORM), ["conv2d"]),
    "batch norm and ReLU": ((CONV, NORM, RELU), ["conv2d"]),
    "two batch norms": ((CONV, NORM, NORM), ["conv2d"]),
    "two clamps": ((CONV, RELU, RELU6), ["conv2d"]),
    "batch norm after ReLU": ((CONV, RELU, NORM), ["conv2d", "affine"]),
    "batch norm after pooling": ((CONV, POOL, RISING, RELU6), ["conv2d", "max_pooling"]),
    "batch norm with a negative scale after pooling": (
        (CONV, POOL, FALLING, RELU),
        ["conv2d", "max_pooling", "affine"],
    ),
    "batch norm after two poolings": (
        (CONV, POOL, OVERLAPPING, RISING, RELU),
        ["conv2d", "max_pooling", "max_pooling"],
    ),
    "batch norms around pooling": ((CONV, NORM, POOL, RISING), ["conv2d", "max_pooling"]),
    "batch norms after two poolings": (
        (CONV, POOL, RISING, RELU, OVERLAPPING, RISING),
        ["conv2d", "max_pooling", "max_pooling", "affine"],
    ),
    "batch norm after ReLU and pooling": ((CONV, RELU, POOL, RISING), ["conv2d", "max_pooling", "affine"]),
    "batch norm after pooling of the input": ((POOL, Affine("a", np.ones(2), np.ones(2))), ["max_pooling", "affine"]),
    "ReLU after pooling": ((CONV, POOL, RELU), ["conv2d", "max_pooling"]),
    "ReLU after a batch norm with a negative scale and pooling": (
        (CONV, RELU, FALLING, POOL, RELU),
        ["conv2d", "affine", "max_pooling"],
    ),
    "ReLU after a table and pooling": (
        (CONV, Table("t", "tanh"), POOL, RELU),
        ["conv2d", "table", "max_pooling", "clamp"],
    ),
    "batch norm after a mean of windows": ((CONV, MEAN, RISING), ["conv2d", "average_pooling", "affine"]),
    "ReLU after a table": ((CONV, Table("t", "tanh"), RELU), ["conv2d", "table", "clamp"]),
    "ReLU after a mean": ((CONV, GlobalAverage("mean"), RELU), ["conv2d", "global_average_pooling"]),
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
    without = drop_final_softmax(graph)
    assert kinds(without)[-1] == "global_average_pooling"
    assert without.interface.ending is Ending.SOFTMAX
    assert "softmax 'softmax' is left out" in without.notes[0]


def test_a_softmax_elsewhere_is_refused() -> None:
    dense = Dense("dense", RNG.normal(size=(3, 3)), np.zeros(3))
    with pytest.raises(UserError) as caught:
        simplify(chain(CONV, Softmax("first"), dense, Softmax("second"), dense, Softmax("last")))
    assert caught.value.problems == tuple(
        f"layer '{name}' (softmax): is supported only as the last layer" for name in ("first", "second")
    )


def test_a_dropout_behind_the_softmax_does_not_matter() -> None:
    graph = simplify(chain(CONV, GlobalAverage("mean"), Softmax("softmax"), Identity("drop")))
    assert (kinds(graph)[-1], graph.task.kind) == ("global_average_pooling", TaskKind.CLASSES)


def test_a_model_that_computes_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="nothing to compute in hardware"):
        simplify(chain(Identity("drop"), Softmax("softmax")))


def block(tmp_path: Path, gamma: list[float]) -> tuple[Graph, Any]:
    """The block of Aarrestad et al., convolution, pooling, batch normalization, ReLU, and a dense layer; as it was read
    and in
    Keras, with moments and factors as training leaves them.
    """
    from dnn2fpga.keras_import import keras

    keras.utils.set_random_seed(0)
    rng, layers = np.random.default_rng(0), keras.layers
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            layers.Conv2D(3, 3, use_bias=False, name="conv"),
            layers.MaxPooling2D(2),
            layers.BatchNormalization(name="norm"),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dense(3, name="dense"),
        ]
    )
    moments = [np.array(gamma), rng.normal(size=3), rng.normal(size=3), rng.uniform(0.5, 2, 3)]
    model.get_layer("norm").set_weights(moments)
    model.save(tmp_path / "block.keras")
    return read_model(tmp_path / "block.keras"), model


@pytest.mark.parametrize(
    ("gamma", "expected"),
    [
        ([0.5, 2.0, 1.0], ["conv2d", "max_pooling", "reshape", "dense"]),
        ([0.5, 2.0, -1.0], ["conv2d", "max_pooling", "affine", "reshape", "dense"]),
    ],
)
def test_a_block_with_pooling_inside_is_what_keras_computes(
    tmp_path: Path, gamma: list[float], expected: list[str]
) -> None:
    graph, model = block(tmp_path, gamma)
    x = RNG.normal(size=(20, 6, 6, 2)).astype(np.float32)

    assert kinds(graph) == expected
    np.testing.assert_allclose(graph.run(x), np.asarray(model(x)), rtol=1e-5, atol=1e-5)


def test_a_block_with_pooling_inside_is_quantized_and_trained(tmp_path: Path) -> None:
    graph, _ = block(tmp_path, [0.5, 2.0, 1.0])
    x = np.random.default_rng(1).normal(size=(300, 6, 6, 2)).astype(np.float32)
    data = Data(x, graph.run(x).argmax(axis=1))
    widths = Quantization(weight_bits=8, activation_bits=8)
    training = TrainingSettings(epochs=2, freeze_normalization=1.0)
    stages = (Stage.POST_TRAINING, Stage.TRAINING_AWARE)
    both = Optimization(stages=stages, target_accuracy=1.0, training=training)

    result = quantize(graph, data, work=tmp_path, test=data, quantization=widths, optimization=both)

    assert (result.tries[0].stage, result.tries[-1].stage) == ("ptq", "qat")
    assert min(one.score or 0 for one in result.tries) > 0.9
    assert result.tries[-1].differing_outputs == 0


def test_statistics_of_pooled_numbers_are_not_observed_again() -> None:
    values = Normalization(np.ones(3), np.zeros(3), np.zeros(3), np.ones(3), np.zeros(3))
    norm = Affine("norm", np.ones(3), np.zeros(3), normalization=values)

    behind_pooling, in_front = (
        simplify(chain(*layers)).layers[0] for layers in ((CONV, POOL, norm), (CONV, norm, POOL))
    )

    assert set(behind_pooling.parameters) == {"weights", "bias"}
    assert set(in_front.parameters) == {"weights", "bias", *vars(values)}
