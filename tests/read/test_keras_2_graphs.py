"""Functional models in the notation of Keras 2, which Keras 3 does not read any more: calls of TensorFlow's functions,
and models inside models, whose first call has the number 1. The configurations are written as tf_keras 2.21 does.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from dnn2fpga.errors import UserError
from dnn2fpga.read.keras import OPERATIONS, read_keras_model

RNG = np.random.default_rng(3)
A, B = (RNG.uniform(-2, 2, (5, 4)).astype(np.float32) for _ in range(2))
IMAGE = RNG.uniform(-2, 2, (5, 3, 2, 4)).astype(np.float32)
CONSTANT = "_CONSTANT_VALUE"
NONE: dict[str, Any] = {"name": None}


def softmax(x: np.ndarray) -> np.ndarray:
    return np.exp(x) / np.exp(x).sum(-1, keepdims=True)


def with_y(y: Any) -> list[Any]:
    return ["a", 0, 0, {"y": y, "name": None}]


def after(x: Any) -> list[Any]:
    return [CONSTANT, -1, x, {"y": ["a", 0, 0], "name": None}]


def each(**named: Any) -> list[Any]:
    return [["a", 0, 0, named], ["b", 0, 0, named]]


def alone(**named: Any) -> list[Any]:
    return ["a", 0, 0, named]


OTHER = ["b", 0, 0]
# function, what it is called with, what it computes of A and B
CALLS: list[tuple[str, list[Any], Callable[[np.ndarray, np.ndarray], np.ndarray]]] = [
    ("__operators__.add", with_y(OTHER), lambda a, b: a + b),
    ("__operators__.add", with_y(1.5), lambda a, b: a + 1.5),
    ("__operators__.add", with_y([1.0, 2.0, 3.0, 4.0]), lambda a, b: a + np.array([1, 2, 3, 4])),
    ("math.add", alone(y=OTHER), lambda a, b: a + b),
    ("math.add_n", [["a", 0, 0, {}], ["b", 0, 0, {}], ["a", 0, 0, {}]], lambda a, b: a + b + a),
    ("math.subtract", with_y(OTHER), lambda a, b: a - b),
    ("math.subtract", with_y(2), lambda a, b: a - 2),
    ("math.subtract", after(2.0), lambda a, b: 2 - a),
    ("math.multiply", with_y(OTHER), lambda a, b: a * b),
    ("math.multiply", after(3.0), lambda a, b: 3 * a),
    ("math.truediv", with_y(2), lambda a, b: a / 2),
    ("math.divide", alone(y=4), lambda a, b: a / 4),
    ("math.maximum", with_y(OTHER), lambda a, b: np.maximum(a, b)),
    ("math.maximum", with_y(0.25), lambda a, b: np.maximum(a, 0.25)),
    ("math.minimum", after(1.0), lambda a, b: np.minimum(a, 1)),
    ("math.minimum", with_y(OTHER), lambda a, b: np.minimum(a, b)),
    ("math.negative", alone(**NONE), lambda a, b: -a),
    ("nn.relu", alone(**NONE), lambda a, b: np.maximum(a, 0)),
    ("nn.relu6", alone(), lambda a, b: np.clip(a, 0, 6)),
    ("nn.softmax", alone(), lambda a, b: softmax(a)),
    ("math.sigmoid", alone(), lambda a, b: 1 / (1 + np.exp(-a))),
    ("math.tanh", alone(**NONE), lambda a, b: np.tanh(a)),
    ("concat", each(axis=-1), lambda a, b: np.concatenate([a, b], -1)),
    ("concat", each(axis=1), lambda a, b: np.concatenate([a, b], 1)),
    ("clip_by_value", alone(clip_value_min=0, clip_value_max=1), lambda a, b: np.clip(a, 0, 1)),
    ("reshape", alone(shape=[-1, 1, 2, 2]), lambda a, b: a.reshape(-1, 1, 2, 2)),
    ("identity", alone(), lambda a, b: a),
    ("stop_gradient", alone(**NONE), lambda a, b: a),
    ("cast", alone(dtype="float32", **NONE), lambda a, b: a),
]


def item(class_name: str, name: str, nodes: list[Any], **config: Any) -> dict[str, Any]:
    return {
        "class_name": class_name,
        "config": {"name": name, "trainable": True, **config},
        "name": name,
        "inbound_nodes": nodes,
    }


def function(name: str, of: str, node: list[Any]) -> dict[str, Any]:
    return item("TFOpLambda", name, [node], dtype="float32", function=of)


def model(inputs: dict[str, tuple[int, ...]], layers: list[dict[str, Any]], outputs: Any, name: str = "m") -> Any:
    given = [
        item("InputLayer", one, [], batch_input_shape=[None, *shape], dtype="float32") for one, shape in inputs.items()
    ]
    ports = [[one, 0, 0] for one in inputs]
    body = {"name": name, "layers": [*given, *layers], "input_layers": ports, "output_layers": outputs}
    return {"class_name": "Functional", "config": body}


def saved(path: Path, config: Any, arrays: dict[str, dict[str, np.ndarray]] | None = None) -> Path:
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        for layer, values in (arrays or {}).items():
            group = file.create_group(f"model_weights/{layer}")
            group.attrs["weight_names"] = list(values)
            for name, value in values.items():
                group[name] = value
    return path


def two(of: str, node: list[Any]) -> Any:
    """A model of two inputs, which both leave unharmed, so that a call need not read both."""
    rest = [item("ReLU", f"{one}_read", [[[one, 0, 0, {}]]]) for one in "ab"]
    outputs = [["f", 0, 0], ["a_read", 0, 0], ["b_read", 0, 0]]
    return model({"a": (4,), "b": (4,)}, [function("f", of, node), *rest], outputs)


@pytest.mark.parametrize("index", range(len(CALLS)))
def test_functions_of_tensorflow(index: int, tmp_path: Path) -> None:
    of, node, expected = CALLS[index]
    graph = read_keras_model(saved(tmp_path / "m.h5", two(of, node)))
    np.testing.assert_allclose(graph.run({"a": A, "b": B})["f"], expected(A, B), rtol=1e-5, atol=1e-6)


def test_mean_of_an_image(tmp_path: Path) -> None:
    mean = function("f", "math.reduce_mean", ["a", 0, 0, {"axis": [1, 2]}])
    graph = read_keras_model(saved(tmp_path / "m.h5", model({"a": IMAGE.shape[1:]}, [mean], [["f", 0, 0]])))
    np.testing.assert_allclose(graph.run(IMAGE), IMAGE.mean((1, 2)), rtol=1e-5, atol=1e-6)


def test_every_function_is_tried() -> None:
    tried = {f"tf.{of}" for of, _, _ in CALLS} | {"tf.math.reduce_mean"}
    assert tried == {name for name in OPERATIONS if name.startswith("tf.")}


@pytest.mark.parametrize(
    ("of", "node", "expected"),
    [
        ("math.truediv", after(2.0), "divides by a tensor"),
        ("math.truediv", with_y(OTHER), "divides by a tensor"),
        ("math.truediv", with_y(0), "divides by zero"),
        ("math.multiply", with_y([1.0, 2.0]), "the constant must be one number, or one for each of the 4 channels"),
        ("math.multiply", with_y([[1.0] * 4] * 4), "must be one number, or one for each channel"),
        ("math.multiply", with_y([[[1.0, 2.0, 3.0, 4.0]]]), "one for each of the 4 channels"),
        ("math.multiply", with_y("text"), "must be one number, or one for each channel"),
        ("math.multiply", with_y(1e39), "must be one number, or one for each channel"),
        ("math.multiply", with_y(10**400), "must be one number, or one for each channel"),
        ("math.multiply", alone(), "x2 is missing"),
        ("math.maximum", with_y([1.0, 2.0, 3.0, 4.0]), "one number for all channels"),
        ("math.add", alone(y=OTHER, z=1), "is called with z=1, which is not supported"),
        ("math.add_n", [], "it reads nothing"),
        ("math.erf", alone(), "this kind of layer is not supported"),
        ("concat", each(axis=0), "axis=0: must be an axis of (4,)"),
        ("concat", each(axis=10**30), "axis=1000000000000000000000000000000: must be an axis of"),
        ("concat", each(axis=2), "axis=2: must be an axis of"),
        ("concat", each(axis="last"), "axis=last"),
        ("clip_by_value", alone(clip_value_min=1, clip_value_max=1), "the first must be smaller"),
        ("reshape", alone(shape=[4]), "must begin with -1"),
        ("reshape", alone(shape=[-1, 3]), "does not hold the 4 numbers"),
        ("math.reduce_mean", alone(axis=-1), "only the mean over rows and columns of an image"),
        ("nn.softmax", alone(axis=0), "only the last axis"),
        ("cast", alone(dtype="int8"), "dtype='int8'"),
    ],
)
def test_calls_that_are_not_supported(of: str, node: list[Any], expected: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        read_keras_model(saved(tmp_path / "m.h5", two(of, node)))
    assert "layer 'f' (TFOpLambda): " in str(caught.value)
    assert expected in str(caught.value)
    assert len(caught.value.problems) <= 2


def test_models_inside_models(tmp_path: Path) -> None:
    """``sub`` (called three times) and ``seq``: their calls are counted from 1, also as outputs."""
    kernel, bias = RNG.normal(size=(4, 4)).astype(np.float32), RNG.normal(size=4).astype(np.float32)
    dense = item("Dense", "d", [[["x", 0, 0, {}]]], units=4, activation="relu")
    add = item("Add", "add", [[["d", 0, 0, {}], ["x", 0, 0, {}]]])
    sub = model({"x": (4,)}, [dense, add], [["add", 0, 0]], "sub")
    stages = [item("Dense", name, [], units=4, batch_input_shape=[None, 4]) for name in ("s1", "s2")]
    pair = model(
        {"p": (4,), "q": (4,)},
        [function("s", "math.subtract", ["p", 0, 0, {"y": ["q", 0, 0]}])],
        [
            ["s", 0, 0],
            ["p", 0, 0],
        ],
        "pair",
    )
    layers = [
        {**sub, "name": "sub", "inbound_nodes": [[["a", 0, 0, {}]], [["seq", 1, 0, {}]], [["sub", 2, 0, {}]]]},
        {
            "class_name": "Sequential",
            "config": {"name": "seq", "layers": stages},
            "name": "seq",
            "inbound_nodes": [[["sub", 1, 0, {}]]],
        },
        {**pair, "name": "pair", "inbound_nodes": [[["sub", 3, 0, {}], ["seq", 1, 0, {}]]]},
        item("Concatenate", "c", [[["pair", 1, 0, {}], ["pair", 1, 1, {}]]], axis=-1),
    ]
    config = model({"a": (4,)}, layers, [["c", 0, 0], ["sub", 2, 0], ["seq", 1, 0]])
    weights = {
        "sub": {"d/kernel:0": kernel, "d/bias:0": bias},
        "seq": {
            "seq/s1/kernel:0": kernel.T,
            "seq/s1/bias:0": -bias,
            "seq/s2/kernel:0": 2 * kernel,
            "seq/s2/bias:0": 3 * bias,
        },
    }
    graph = read_keras_model(saved(tmp_path / "m.h5", config, weights))

    def block(x: np.ndarray) -> np.ndarray:
        return np.asarray(np.maximum(x @ kernel + bias, 0) + x)

    stage = (block(A) @ kernel.T - bias) @ (2 * kernel) + 3 * bias
    expected = {"sub": block(stage), "seq": stage}
    last = block(expected["sub"])
    expected["c"] = np.concatenate([last - stage, last], -1)
    found = graph.run(A)
    assert list(found) == ["c", "sub", "seq"]
    for name, values in found.items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-4, atol=1e-3)


def test_layers_of_one_name_in_two_models_inside_one(tmp_path: Path) -> None:
    """The list of arrays of a model says the names of the models in it, where they built the layers."""
    inner = [
        {
            "class_name": "Sequential",
            "config": {"name": name, "layers": [item("Dense", "d", [], units=4, use_bias=False)]},
        }
        for name in ("one", "two")
    ]
    outer = {"class_name": "Sequential", "config": {"name": "outer", "layers": inner}}
    last = item("Dense", "d", [], units=4, use_bias=False)
    first = item("InputLayer", "a", [], batch_input_shape=[None, 4])
    config = {"class_name": "Sequential", "config": {"name": "m", "layers": [first, outer, last]}}
    one, two, three = (RNG.normal(size=(4, 4)).astype(np.float32) for _ in range(3))
    weights = {"outer": {"outer/two/d/kernel:0": two, "outer/one/d/kernel:0": one}, "d": {"d/kernel:0": three}}
    graph = read_keras_model(saved(tmp_path / "m.h5", config, weights))
    np.testing.assert_allclose(graph.run(A), A @ one @ two @ three, rtol=1e-4, atol=1e-4)

    del weights["outer"]["outer/two/d/kernel:0"]
    weights["outer"]["elsewhere/d/kernel:0"] = two
    with pytest.raises(UserError, match=r"layer 'outer/two/d' .* has 0 arrays in the file"):
        read_keras_model(saved(tmp_path / "m.h5", config, weights))
