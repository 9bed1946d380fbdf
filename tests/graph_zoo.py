"""Keras models that are no chains: forks and joins of every kind, operators, shared layers, models inside models,
several inputs and outputs; and random ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

IMAGE, VECTOR = (6, 5, 3), (8,)


def _model(keras: Any, inputs: Any, outputs: Any, name: str = "m") -> Any:
    return keras.Model(inputs, outputs, name=name)


def residual(keras: Any) -> Any:
    L = keras.layers
    i = keras.Input(IMAGE)
    x = L.Conv2D(4, 3, padding="same", use_bias=False, name="c1")(i)
    x = L.ReLU(name="r1")(L.BatchNormalization(name="b1")(x))
    x = L.BatchNormalization(name="b2")(L.Conv2D(5, 3, strides=2, padding="same", name="c2")(x))
    y = L.Conv2D(5, 1, strides=2, name="shortcut")(i)
    x = L.Activation("relu", name="r2")(L.Add(name="sum")([x, y]))
    return _model(keras, i, L.Dense(3, activation="softmax", name="d")(L.GlobalAveragePooling2D(name="g")(x)))


def inception(keras: Any) -> Any:
    L = keras.layers
    i = keras.Input(IMAGE)
    branches = [
        L.Conv2D(2, 1, activation="relu")(i),
        L.Conv2D(3, 3, padding="same", activation="relu")(L.Conv2D(2, 1)(i)),
        L.Conv2D(2, 5, padding="same")(i),
        L.Conv2D(1, 1)(L.MaxPooling2D(3, strides=1, padding="same")(i)),
    ]
    return _model(keras, i, L.Concatenate()(branches))


def squeeze_and_excite(keras: Any) -> Any:
    L = keras.layers
    i = keras.Input(IMAGE)
    x = L.DepthwiseConv2D(3, padding="same")(i)
    gate = L.GlobalAveragePooling2D(keepdims=True)(x)
    gate = L.Conv2D(3, 1, activation="sigmoid")(L.Conv2D(2, 1, activation="relu")(gate))
    return _model(keras, i, L.Multiply()([x, gate]))


def gate_of_a_vector(keras: Any) -> Any:
    L = keras.layers
    i = keras.Input(IMAGE)
    return _model(keras, i, L.Multiply()([i, L.Dense(3, activation="sigmoid")(L.GlobalAveragePooling2D()(i))]))


def all_joins(keras: Any) -> Any:
    L = keras.layers
    a, b, c = (keras.Input(VECTOR, name=name) for name in "abc")
    outputs = [
        *(L.Add()([a, b]), L.Add()([a, b, c]), L.Subtract()([a, b]), L.Multiply()([a, b]), L.Multiply()([a, b, c])),
        *(L.Average()([a, b]), L.Average()([a, b, c]), L.Maximum()([a, b]), L.Maximum()([a, b, c])),
        *(L.Minimum()([a, b]), L.Minimum()([a, b, c]), L.Concatenate()([a, b]), L.Concatenate(axis=1)([a, b, c])),
    ]
    return _model(keras, [a, b, c], outputs)


def concatenations_of_images(keras: Any) -> Any:
    L = keras.layers
    a, b = keras.Input(IMAGE, name="a"), keras.Input(IMAGE, name="b")
    c = L.Conv2D(2, 1)(b)
    outputs = {
        **{f"rows_{axis % 4}_{axis > 0}": L.Concatenate(axis=axis)([a, b, a]) for axis in (1, -3)},
        **{f"columns_{axis % 4}_{axis > 0}": L.Concatenate(axis=axis)([a, b]) for axis in (2, -2)},
        **{f"channels_{axis % 4}_{axis > 0}": L.Concatenate(axis=axis)([a, c]) for axis in (3, -1)},
    }
    return _model(keras, [a, b], outputs)


def operators(keras: Any) -> Any:
    a, b = keras.Input(VECTOR, name="a"), keras.Input(VECTOR, name="b")
    row = np.linspace(-1, 2, 8).astype(np.float32)
    outputs = {
        **{"add": a + b, "subtract": a - b, "multiply": a * b, "twice": a * 2, "half": 0.5 * b, "more": a + 1},
        **{"less": a - 0.25, "rest": 2 - b, "quotient": a / 4, "negative": -a, "row": a * row + row, "right": 1 + b},
    }
    return _model(keras, {"a": a, "b": b}, outputs)


def functions(keras: Any) -> Any:
    ops = keras.ops
    a, b = keras.Input(VECTOR, name="a"), keras.Input(VECTOR, name="b")
    outputs = [
        *(ops.add(a, b), ops.subtract(a, b), ops.multiply(a, b), ops.maximum(a, b), ops.minimum(a, b)),
        *(ops.concatenate([a, b], axis=-1), ops.concatenate([a, b, a], axis=1), ops.relu(a), ops.relu6(a * 5)),
        *(ops.sigmoid(a), ops.tanh(b), ops.clip(a, -0.25, 0.5), ops.maximum(a, 0.1), ops.minimum(0.2, b)),
        *(ops.negative(b), ops.divide(a, 0.5), ops.true_divide(b, np.full(8, 3, np.float32)), ops.add(x1=1.5, x2=b)),
        *(ops.subtract(1.0, x2=a), ops.reshape(a, (-1, 2, 2, 2)), ops.cast(b, "float32") * 3, ops.copy(a) + 2),
        *(ops.stop_gradient(b) - 1, ops.softmax(a), ops.softmax(b, axis=1)),
    ]
    return _model(keras, [a, b], outputs)


def functions_of_images(keras: Any) -> Any:
    ops = keras.ops
    i = keras.Input(IMAGE)
    outputs = [
        *(ops.mean(i, axis=[1, 2]), ops.mean(i, axis=(-3, -2), keepdims=True)),
        *(ops.reshape(i, (-1, 90)), ops.concatenate([i, i], axis=2), i * np.array([[[[1.0, 2.0, -3.0]]]], np.float32)),
        *(i * ops.mean(i, axis=[1, 2], keepdims=True), i + np.array([1, 2, 3])),
    ]
    return _model(keras, i, outputs)


def shared(keras: Any) -> Any:
    """A Siamese network."""
    L = keras.layers
    a, b = keras.Input(IMAGE, name="left"), keras.Input(IMAGE, name="right")
    conv, norm, relu, dense = L.Conv2D(3, 3, name="conv"), L.BatchNormalization(), L.ReLU(), L.Dense(4, name="dense")
    one, other = (dense(L.GlobalAveragePooling2D()(relu(norm(conv(i))))) for i in (a, b))
    return _model(keras, [a, b], L.Dense(1, activation="sigmoid", name="same")(one - other))


def shared_in_a_row(keras: Any) -> Any:
    L = keras.layers
    i = keras.Input(VECTOR)
    a, b = L.Dense(8, activation="relu", name="a"), L.Dense(8, name="b")
    return _model(keras, i, a(b(a(b(i)))))


def shared_on_two_sizes(keras: Any) -> Any:
    L = keras.layers
    i = keras.Input(IMAGE)
    conv = L.Conv2D(3, 2, padding="same", name="conv")
    small = conv(L.MaxPooling2D()(i))
    return _model(keras, i, [conv(i), small])


def block(keras: Any, name: str, shape: tuple[int, ...] = VECTOR) -> Any:
    L = keras.layers
    i = keras.Input(shape, name=f"{name}_in")
    x = L.Dense(shape[-1], activation="relu", name=f"{name}_d")(i)
    return _model(keras, i, x + i, name)


def nested(keras: Any) -> Any:
    """Models inside a model, of which one is called three times."""
    L = keras.layers
    i = keras.Input(VECTOR, name="i")
    twice = block(keras, "twice")
    inner = [L.Dense(8, name="s1"), L.BatchNormalization(name="s2"), L.Activation("tanh"), L.Dense(8, name="s3")]
    sequence = keras.Sequential([keras.Input(VECTOR), *inner], name="sequence")
    late = keras.Sequential([L.Dense(8, name="l1"), L.Dense(8, name="l2")], name="late")  # built when it is called
    x = late(twice(sequence(twice(i))))
    return _model(keras, i, {"deep": L.Dense(2, name="d")(twice(x)), "early": x})


def nested_deeply(keras: Any) -> Any:
    inside = keras.Sequential([keras.Input(VECTOR), block(keras, "one"), block(keras, "two")], name="inside")
    return keras.Sequential([keras.Input(VECTOR), inside, block(keras, "three"), keras.layers.Dense(3, name="last")])


def nested_of_several(keras: Any) -> Any:
    """Models with two inputs and outputs, called with lists and with dictionaries; an output that nobody reads."""
    L = keras.layers
    p, q = keras.Input(VECTOR, name="p"), keras.Input(VECTOR, name="q")
    two = keras.Model([p, q], [L.Dense(8, name="pd")(p) + q, L.Dense(8, name="qd")(q) - p], name="two")
    z, y = keras.Input(VECTOR, name="z"), keras.Input(VECTOR, name="y")
    named = keras.Model({"z": z, "y": y}, {"sum": z + y, "difference": z - y, "idle": z * y}, name="named")
    a, b = keras.Input(VECTOR, name="a"), keras.Input(VECTOR, name="b")
    one, other = two([a, b])
    further = two([other, one])
    found = named({"y": one, "z": further[1]})
    return _model(keras, {"b": b, "a": a}, {"x": found["difference"] * other, "y": found["sum"]})


def nested_without_layers(keras: Any) -> Any:
    """A model that hands its inputs on, in another order."""
    p, q = keras.Input(VECTOR, name="p"), keras.Input(VECTOR, name="q")
    swap = keras.Model([p, q], [q, p], name="swap")
    a, b = keras.Input(VECTOR, name="a"), keras.Input(VECTOR, name="b")
    one, other = swap(swap(swap([a, b])))
    return _model(keras, [a, b], one - 2 * other)


def transfer(keras: Any) -> Any:
    """A frozen model, opened inside: in an .h5 file its arrays are in another order."""
    L = keras.layers
    i = keras.Input(IMAGE)
    x = L.BatchNormalization(name="n1")(L.SeparableConv2D(4, 3, name="s1", use_bias=False)(i))
    base = _model(keras, i, L.BatchNormalization(name="n2")(L.Conv2D(3, 2, name="s2")(L.ReLU()(x))), "base")
    base.trainable = False
    base.get_layer("s2").trainable = True
    head = [L.GlobalAveragePooling2D(), L.Dropout(0.5), L.Dense(2, activation="softmax", name="top")]
    return keras.Sequential([keras.Input(IMAGE), L.Rescaling(0.5), base, *head])


def read_outputs(keras: Any) -> Any:
    """Outputs that are read inside as well, and an input that goes to several layers."""
    L = keras.layers
    i = keras.Input(VECTOR)
    a = L.Dense(8, activation="relu", name="a")(i)
    b = L.Dense(8, name="b")(L.Concatenate()([i, a]))
    return _model(keras, i, [a, b, L.Add(name="c")([a, b, i])])


def activations_at_joins(keras: Any) -> Any:
    L = keras.layers
    i = keras.Input(IMAGE)
    x = L.SeparableConv2D(3, 3, padding="same", activation="relu6")(i)
    x = L.ReLU(max_value=1)(L.Average()([x, L.Conv2D(3, 1, activation="tanh")(i)]))
    return _model(keras, i, L.MaxPooling2D()(L.Activation("sigmoid")(L.Subtract()([x, i]))))


GRAPHS: dict[str, Callable[[Any], Any]] = {
    make.__name__: make
    for make in (
        *(residual, inception, squeeze_and_excite, gate_of_a_vector, all_joins, concatenations_of_images, operators),
        *(functions, functions_of_images, shared, shared_in_a_row, shared_on_two_sizes, nested, nested_deeply),
        *(nested_of_several, nested_without_layers, transfer, read_outputs, activations_at_joins),
    )
}

CALLED_BY_NAME = (operators.__name__, nested_of_several.__name__)


def random_graph(keras: Any, seed: int) -> Any:
    """A network of up to 20 layers, whose every layer reads tensors drawn from those before it."""
    L, rng = keras.layers, np.random.default_rng(seed)
    tensors = [keras.Input(IMAGE, name=f"in{k}") for k in range(rng.integers(1, 3))]
    inputs = list(tensors)
    conv = L.Conv2D(3, 3, padding="same", name="kept")
    inner = block(keras, "inner", IMAGE)
    one = [
        *(conv, inner, L.ReLU(), lambda x: x * 0.5 + 0.25, lambda x: 1 - x, lambda x: keras.ops.tanh(x)),
        *(lambda x: L.BatchNormalization()(x), lambda x: L.DepthwiseConv2D(2, padding="same")(x)),
        lambda x: L.Conv2D(3, int(rng.integers(1, 4)), padding="same", activation="relu")(x),
        lambda x: L.MaxPooling2D(2, strides=1, padding="same")(x),
    ]
    two = [
        *(lambda x, y: x + y, lambda x, y: x - y, lambda x, y: x * y, lambda x, y: L.Average()([x, y, x])),
        *(lambda x, y: L.Maximum()([x, y]), lambda x, y: keras.ops.minimum(x, y), lambda x, y: L.Add()([x, y, y])),
        lambda x, y: L.Conv2D(3, 1)(L.Concatenate()([x, y])),
        lambda x, y: L.Multiply()([x, L.GlobalAveragePooling2D(keepdims=True)(y)]),
    ]
    for _ in range(rng.integers(5, 21)):
        kinds = one if rng.random() < 0.5 else two
        read = [tensors[rng.integers(len(tensors))] for _ in range(1 if kinds is one else 2)]
        tensors.append(kinds[rng.integers(len(kinds))](*read))
    found = [tensors[-1], *(t for t in tensors[len(inputs) : -1] if rng.random() < 0.15)]
    unread = [L.GlobalAveragePooling2D()(L.Add()([i, found[0]])) for i in inputs]  # every input is of use
    return keras.Model(inputs, [*found, *unread], name=f"random{seed}")
