"""Tiny Keras models: every supported layer kind and option once. Tests loop over the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from dnn2fpga.graph.float import Graph
from dnn2fpga.passes.simplify import simplify
from dnn2fpga.read.keras import read_keras_model

IMAGE, ODD_IMAGE, VECTOR = (6, 6, 2), (7, 5, 3), (12,)

# name → (input shape, the layers; ``L`` is ``keras.layers``)
MODELS: dict[str, tuple[tuple[int, ...], Callable[[Any], list[Any]]]] = {
    **{f"conv_{k}x{k}": (IMAGE, lambda L, k=k: [L.Conv2D(3, k)]) for k in range(1, 6)},
    "conv_1x3": (ODD_IMAGE, lambda L: [L.Conv2D(2, (1, 3))]),
    "conv_5x2": (ODD_IMAGE, lambda L: [L.Conv2D(2, (5, 2))]),
    "conv_whole_image": (ODD_IMAGE, lambda L: [L.Conv2D(2, (7, 5))]),
    "conv_no_bias": (IMAGE, lambda L: [L.Conv2D(3, 3, use_bias=False)]),
    "conv_stride_2": (ODD_IMAGE, lambda L: [L.Conv2D(2, 3, strides=2)]),
    "conv_stride_1x2": (ODD_IMAGE, lambda L: [L.Conv2D(2, 2, strides=(1, 2))]),
    "conv_stride_3_kernel_1": (ODD_IMAGE, lambda L: [L.Conv2D(2, 1, strides=3)]),
    **{f"conv_same_{k}x{k}": (IMAGE, lambda L, k=k: [L.Conv2D(2, k, padding="same")]) for k in range(1, 6)},
    "conv_same_4x3": (ODD_IMAGE, lambda L: [L.Conv2D(2, (4, 3), padding="same")]),
    "conv_same_stride_2": (IMAGE, lambda L: [L.Conv2D(2, 3, strides=2, padding="same")]),
    "conv_same_stride_2_odd": (ODD_IMAGE, lambda L: [L.Conv2D(2, 3, strides=2, padding="same")]),
    "conv_same_stride_2x3": (ODD_IMAGE, lambda L: [L.Conv2D(2, (2, 5), strides=(2, 3), padding="same")]),
    "conv_relu": (IMAGE, lambda L: [L.Conv2D(3, 3, activation="relu")]),
    "conv_relu6": (IMAGE, lambda L: [L.Conv2D(3, 3, activation="relu6")]),
    "conv_tanh": (IMAGE, lambda L: [L.Conv2D(3, 3, activation="tanh")]),
    "conv_sigmoid": (IMAGE, lambda L: [L.Conv2D(3, 3, activation="sigmoid")]),
    "conv_conv": (IMAGE, lambda L: [L.Conv2D(3, 3, activation="relu"), L.Conv2D(2, 2, padding="same")]),
    "conv_zero_padding": (
        IMAGE,
        lambda L: [L.ZeroPadding2D(((0, 1), (0, 1))), L.Conv2D(2, 3, strides=2, activation="relu")],
    ),
    "conv_zero_padding_odd": (ODD_IMAGE, lambda L: [L.ZeroPadding2D((2, 1)), L.Conv2D(2, (5, 3))]),
    "conv_zero_padding_before_strides": (ODD_IMAGE, lambda L: [L.ZeroPadding2D(1), L.Conv2D(2, 3, strides=2)]),
    "conv_zero_padding_uneven": (IMAGE, lambda L: [L.ZeroPadding2D(((0, 2), (3, 1))), L.Conv2D(2, 4, strides=(3, 2))]),
    "conv_zero_padding_twice": (
        IMAGE,
        lambda L: [L.ZeroPadding2D(1), L.ZeroPadding2D(((1, 0), (0, 1))), L.Conv2D(2, 5, strides=2, padding="same")],
    ),
    "max_pooling_zero_padding": (ODD_IMAGE, lambda L: [L.ZeroPadding2D(1), L.MaxPooling2D(3, strides=2)]),
    "max_pooling_zero_padding_behind_conv": (
        IMAGE,
        lambda L: [
            L.Conv2D(2, 1),
            L.ZeroPadding2D(((1, 0), (0, 1))),
            L.MaxPooling2D(2),
            L.BatchNormalization(),
            L.ReLU(),
        ],
    ),
    "average_pooling_zero_padding": (IMAGE, lambda L: [L.ZeroPadding2D(((1, 1), (0, 2))), L.AveragePooling2D(3)]),
    "depthwise_zero_padding": (ODD_IMAGE, lambda L: [L.ZeroPadding2D(1), L.DepthwiseConv2D(3, strides=2)]),
    "depthwise": (IMAGE, lambda L: [L.DepthwiseConv2D(3)]),
    "depthwise_1x1": (IMAGE, lambda L: [L.DepthwiseConv2D(1, depth_multiplier=3)]),
    "depthwise_multiplier": (ODD_IMAGE, lambda L: [L.DepthwiseConv2D((2, 3), depth_multiplier=2)]),
    "depthwise_no_bias": (IMAGE, lambda L: [L.DepthwiseConv2D(3, use_bias=False)]),
    "depthwise_same": (ODD_IMAGE, lambda L: [L.DepthwiseConv2D((4, 3), padding="same", activation="relu")]),
    "depthwise_stride_2": (ODD_IMAGE, lambda L: [L.DepthwiseConv2D(3, strides=2, activation="relu6")]),
    "depthwise_same_stride_2": (IMAGE, lambda L: [L.DepthwiseConv2D(3, strides=2, padding="same", depth_multiplier=2)]),
    "depthwise_stride_1x2": (ODD_IMAGE, lambda L: [L.DepthwiseConv2D(3, strides=(1, 2))]),
    "depthwise_same_stride_3x2": (ODD_IMAGE, lambda L: [L.DepthwiseConv2D(2, strides=(3, 2), padding="same")]),
    "depthwise_tanh": (IMAGE, lambda L: [L.DepthwiseConv2D(2, activation="tanh")]),
    "depthwise_batch_norm": (
        IMAGE,
        lambda L: [L.DepthwiseConv2D(3, use_bias=False), L.BatchNormalization(), L.ReLU(), L.Conv2D(3, 1)],
    ),
    "separable": (
        ODD_IMAGE,
        lambda L: [L.SeparableConv2D(4, 3, depth_multiplier=2, padding="same", activation="relu")],
    ),
    "separable_stride_2": (IMAGE, lambda L: [L.SeparableConv2D(3, 3, strides=2, use_bias=False), L.Conv2D(2, 1)]),
    "max_pooling": (IMAGE, lambda L: [L.MaxPooling2D()]),
    "max_pooling_valid_odd": (ODD_IMAGE, lambda L: [L.MaxPooling2D()]),
    "max_pooling_same": (ODD_IMAGE, lambda L: [L.MaxPooling2D(padding="same")]),
    "max_pooling_overlapping": (ODD_IMAGE, lambda L: [L.MaxPooling2D(3, strides=2)]),
    "max_pooling_same_overlapping": (ODD_IMAGE, lambda L: [L.MaxPooling2D((3, 2), strides=(1, 2), padding="same")]),
    "max_pooling_relu": (IMAGE, lambda L: [L.Conv2D(2, 2), L.MaxPooling2D(), L.ReLU()]),
    "average_pooling": (IMAGE, lambda L: [L.AveragePooling2D(2)]),
    "average_pooling_3x2": (ODD_IMAGE, lambda L: [L.AveragePooling2D((3, 2), strides=(2, 1))]),
    "average_pooling_same": (ODD_IMAGE, lambda L: [L.AveragePooling2D(2, padding="same")]),
    "average_pooling_same_3x3": (ODD_IMAGE, lambda L: [L.AveragePooling2D(3, strides=1, padding="same")]),
    "average_pooling_relu": (IMAGE, lambda L: [L.AveragePooling2D(2), L.ReLU()]),
    "global_average": (ODD_IMAGE, lambda L: [L.GlobalAveragePooling2D()]),
    "global_average_keepdims": (ODD_IMAGE, lambda L: [L.GlobalAveragePooling2D(keepdims=True), L.Conv2D(2, 1)]),
    "global_average_relu": (ODD_IMAGE, lambda L: [L.GlobalAveragePooling2D(), L.ReLU()]),
    "dense": (VECTOR, lambda L: [L.Dense(5)]),
    "dense_no_bias": (VECTOR, lambda L: [L.Dense(5, use_bias=False)]),
    "dense_relu": (VECTOR, lambda L: [L.Dense(5, activation="relu"), L.Dense(3)]),
    "dense_relu6": (VECTOR, lambda L: [L.Dense(5, activation="relu6"), L.Dense(3)]),
    "dense_tanh": (VECTOR, lambda L: [L.Dense(5, activation="tanh"), L.Dense(3)]),
    "dense_sigmoid": (VECTOR, lambda L: [L.Dense(1, activation="sigmoid")]),
    "dense_linear": (VECTOR, lambda L: [L.Dense(5, activation="linear")]),
    "dense_on_image": (ODD_IMAGE, lambda L: [L.Dense(4, activation="relu"), L.Dense(2)]),
    "dense_behind_flatten": (IMAGE, lambda L: [L.Conv2D(2, 3), L.Flatten(), L.Dense(3)]),
    "flatten": (IMAGE, lambda L: [L.Conv2D(2, 3), L.Flatten()]),
    "reshape_to_image": (VECTOR, lambda L: [L.Reshape((2, 3, 2)), L.Conv2D(2, 2)]),
    "reshape_channels": (IMAGE, lambda L: [L.Conv2D(4, 3), L.Reshape((4, 8, 2)), L.Conv2D(2, 2)]),
    "reshape_channels_coprime": (ODD_IMAGE, lambda L: [L.Reshape((7, 3, 5)), L.Conv2D(2, 2)]),
    "reshape_unknown": (IMAGE, lambda L: [L.Reshape((-1, 3, 4)), L.Conv2D(2, 2)]),
    "reshape_to_vector": (IMAGE, lambda L: [L.Conv2D(2, 3), L.Reshape((32,)), L.Dense(3)]),
    "batch_norm_conv": (IMAGE, lambda L: [L.Conv2D(3, 3, use_bias=False), L.BatchNormalization(), L.ReLU()]),
    "batch_norm_dense": (VECTOR, lambda L: [L.Dense(5), L.BatchNormalization(scale=False), L.Dense(3)]),
    "batch_norm_behind_relu": (IMAGE, lambda L: [L.Conv2D(3, 3, activation="relu"), L.BatchNormalization()]),
    "batch_norm_behind_pooling": (IMAGE, lambda L: [L.MaxPooling2D(), L.BatchNormalization(), L.ReLU()]),
    "batch_norm_at_input": (IMAGE, lambda L: [L.BatchNormalization(center=False), L.Conv2D(2, 3)]),
    "batch_norm_at_vector": (VECTOR, lambda L: [L.BatchNormalization(), L.Dense(2)]),
    "batch_norm_twice": (IMAGE, lambda L: [L.BatchNormalization(), L.BatchNormalization(), L.ReLU(max_value=1)]),
    "rescaling": (IMAGE, lambda L: [L.Rescaling(0.5, offset=-0.25), L.Conv2D(2, 3, padding="same")]),
    "rescaling_per_channel": (IMAGE, lambda L: [L.Rescaling([0.5, 2.0], offset=[0.0, -1.0]), L.Conv2D(2, 3)]),
    "normalization": (IMAGE, lambda L: [L.Normalization(), L.Conv2D(2, 3)]),
    "normalization_vector": (VECTOR, lambda L: [L.Normalization(), L.Dense(3)]),
    "normalization_inverse": (IMAGE, lambda L: [L.Normalization(invert=True), L.Conv2D(2, 3)]),
    "normalization_constants": (IMAGE, lambda L: [L.Normalization(mean=[0.5, 1.0], variance=[2.0, 0.5]), L.Flatten()]),
    "normalization_one_constant": (IMAGE, lambda L: [L.Normalization(mean=0.5, variance=2.0), L.Flatten()]),
    "normalization_of_everything": (IMAGE, lambda L: [L.Normalization(axis=None), L.Conv2D(2, 3)]),
    "table_without_channel": ((6, 4), lambda L: [L.Rescaling(0.5), L.Flatten(), L.Dense(3, activation="relu")]),
    "table_to_image": ((6, 4), lambda L: [L.Reshape((6, 4, 1)), L.Conv2D(2, 3)]),
    "activation_layers_as_arguments": (
        IMAGE,
        lambda L: [L.Conv2D(2, 3, activation=L.ReLU(max_value=1)), L.Flatten(), L.Dense(3, activation=L.Softmax())],
    ),
    "relu_at_input": (IMAGE, lambda L: [L.ReLU()]),
    "relu_max_value": (IMAGE, lambda L: [L.Conv2D(3, 3), L.ReLU(max_value=0.5)]),
    "activation_relu": (IMAGE, lambda L: [L.Conv2D(3, 3), L.Activation("relu")]),
    "activation_relu6": (IMAGE, lambda L: [L.Conv2D(3, 3), L.Activation("relu6")]),
    "activation_tanh": (IMAGE, lambda L: [L.Activation("tanh"), L.Conv2D(3, 3)]),
    "activation_sigmoid": (VECTOR, lambda L: [L.Dense(4), L.Activation("sigmoid")]),
    "activation_linear": (VECTOR, lambda L: [L.Dense(4), L.Activation("linear")]),
    "softmax_activation": (VECTOR, lambda L: [L.Dense(4, activation="softmax")]),
    "softmax_activation_layer": (VECTOR, lambda L: [L.Dense(4), L.Activation("softmax")]),
    "softmax_layer": (IMAGE, lambda L: [L.Flatten(), L.Dense(4), L.Softmax()]),
    "dropouts": (
        IMAGE,
        lambda L: [
            L.GaussianNoise(0.5),
            L.SpatialDropout2D(0.5),
            L.Conv2D(3, 3),
            L.Dropout(0.5),
            L.AlphaDropout(0.5),
            L.Flatten(),
            L.GaussianDropout(0.5),
            L.Dense(2),
            L.ActivityRegularization(l2=0.1),
            L.Identity(),
        ],
    ),
}

# TensorFlow's kernel for depthwise convolutions accepts unequal strides only where oneDNN is on. The reference is
# computed at every position instead, and of these the strides keep some: name → (the layers, strides).
AT_EVERY_POSITION: dict[str, tuple[Callable[[Any], list[Any]], tuple[int, int]]] = {
    "depthwise_stride_1x2": (lambda L: [L.DepthwiseConv2D(3)], (1, 2)),
    "depthwise_same_stride_3x2": (lambda L: [L.ZeroPadding2D(((0, 1), (0, 1))), L.DepthwiseConv2D(2)], (3, 2)),
}

FRAMES = 6


@dataclass(frozen=True, eq=False)
class Example:
    """A model, where it lies, inputs for it, and what Keras makes of them."""

    path: Path
    graph: Graph  # simplified
    x: np.ndarray
    expected: np.ndarray


class Zoo:
    """Builds the models of ``MODELS`` in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.example = cache(self._example)

    def __call__(self, name: str) -> Example:
        return self.example(name)

    def build(self, name: str, functional: bool = False) -> Any:
        """The Keras model, with the same weights every time."""
        from dnn2fpga.keras_import import keras

        shape, make = MODELS[name]
        layers = make(keras.layers)
        if functional:
            inputs = tensor = keras.Input(shape)
            for layer in layers:
                tensor = layer(tensor)
            model = keras.Model(inputs, tensor, name=name)
        else:
            model = keras.Sequential([keras.Input(shape), *layers], name=name)
        return with_weights(model, name)

    def expected(self, name: str, x: np.ndarray) -> np.ndarray:
        """Return the outputs that Keras computes, on any processor."""
        from dnn2fpga.keras_import import keras

        if name not in AT_EVERY_POSITION:
            return np.asarray(self.build(name)(x, training=False))
        make, (down, right) = AT_EVERY_POSITION[name]
        model = keras.Sequential([keras.Input(x.shape[1:]), *make(keras.layers)], name=name)
        return np.asarray(with_weights(model, name)(x, training=False))[:, ::down, ::right]

    def inputs(self, name: str) -> np.ndarray:
        shape, _ = MODELS[name]
        return np.random.default_rng(1).uniform(-1, 1, (FRAMES, *shape)).astype(np.float32)

    def save(self, name: str, suffix: str, functional: bool = False) -> Path:
        path = self.folder / f"{name}{'_functional' if functional else ''}{suffix}"
        if not path.exists():
            self.build(name, functional).save(path)
        return path

    def _example(self, name: str) -> Example:
        path, x = self.save(name, ".keras"), self.inputs(name)
        return Example(path, simplify(read_keras_model(path)), x, self.expected(name, x))


def with_weights(model: Any, name: str) -> Any:
    """Weights (and statistics) that are anything but zero and one."""
    from dnn2fpga.keras_import import keras

    rng = np.random.default_rng(len(name))
    for variable in model.variables:
        if "seed" not in variable.name:
            positive = "variance" in variable.name
            variable.assign(rng.uniform(0.5 if positive else -0.6, 1.5 if positive else 0.6, variable.shape))
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()  # else it computes with the moments it had before
    return model
