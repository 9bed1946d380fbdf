"""Small Keras models that are no chains: what well-known networks are made of. Tests loop over the table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

IMAGE, VECTOR = (8, 8, 3), (6,)


def squeeze_and_excite(keras: Any) -> Any:
    """A gate per channel that waits for the whole image."""
    layers = keras.layers
    given = keras.Input(IMAGE, name="image")
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(given)
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Dense(2, activation="relu")(gate)
    gate = layers.Dense(4, activation="sigmoid")(gate)
    x = layers.Conv2D(4, 3)(layers.Multiply()([x, gate]))
    return keras.Model(given, layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(x)))


def inception(keras: Any) -> Any:
    """Four branches, concatenated."""
    layers = keras.layers
    given = keras.Input(IMAGE, name="image")

    def convolution(x: Any, filters: int, kernel: int) -> Any:
        return layers.Conv2D(filters, kernel, padding="same", activation="relu")(x)

    branches = [
        convolution(given, 2, 1),
        convolution(convolution(given, 2, 1), 3, 3),
        convolution(convolution(given, 2, 1), 2, 5),
        convolution(layers.MaxPooling2D(3, strides=1, padding="same")(given), 2, 1),
    ]
    x = layers.Conv2D(3, 3, strides=2)(layers.Concatenate()(branches))
    return keras.Model(given, layers.Dense(3)(layers.Flatten()(x)))


def two_ports(keras: Any) -> Any:
    """An image and a vector go in, classes and one number come out; the classes are read as well."""
    layers = keras.layers
    image, vector = keras.Input(IMAGE, name="image"), keras.Input(VECTOR, name="vector")
    x = layers.Conv2D(4, 3, strides=2, activation="relu")(image)
    x = layers.Dense(5, activation="relu")(layers.Flatten()(x))
    both = layers.Concatenate()([x, layers.Dense(3, activation="relu")(vector)])
    classes = layers.Dense(4, name="classes")(both)
    size = layers.Dense(1, name="size")(layers.Concatenate()([classes, vector]))
    return keras.Model([image, vector], [classes, size])


def nested(keras: Any) -> Any:
    """A residual model in a sequential model in a model."""
    layers = keras.layers
    inner_given = keras.Input((8, 8, 4))
    y = layers.Conv2D(4, 3, padding="same", activation="relu")(inner_given)
    inner = keras.Model(inner_given, layers.ReLU()(inner_given + layers.Conv2D(4, 3, padding="same")(y)), name="inner")
    middle = keras.Sequential([keras.Input(IMAGE), layers.Conv2D(4, 1), inner, layers.MaxPooling2D()], name="middle")
    given = keras.Input(IMAGE, name="image")
    return keras.Model(given, layers.Dense(3)(layers.GlobalAveragePooling2D()(middle(given))))


def called_twice(keras: Any) -> Any:
    """One convolution with the same weights in two places, and its two results subtracted and scaled."""
    layers = keras.layers
    given = keras.Input(IMAGE, name="image")
    shared = layers.Conv2D(3, 3, padding="same", activation="relu")
    once = shared(given)
    twice = shared(once)
    return keras.Model(given, layers.Flatten()(layers.AveragePooling2D(2)((once - twice) * 0.5)))


MODELS: dict[str, Callable[[Any], Any]] = {
    model.__name__: model for model in (squeeze_and_excite, inception, two_ports, nested, called_twice)
}


def built(name: str) -> Any:
    """The Keras model, with the same weights every time."""
    from dnn2fpga.keras_import import keras

    model = MODELS[name](keras)
    rng = np.random.default_rng(len(name))
    for variable in model.variables:
        variable.assign(rng.normal(0, 1.5 / np.sqrt(max(1, np.prod(variable.shape[:-1]))), variable.shape))
    return model


def samples(model: Any, frames: int) -> dict[str, np.ndarray]:
    """Inputs by name."""
    rng = np.random.default_rng(1)
    return {one.name: rng.uniform(0, 1, (frames, *one.shape[1:])).astype(np.float32) for one in model.inputs}
