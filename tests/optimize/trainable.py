"""Networks and an embedded data set that train in a second, made without Keras files."""

from __future__ import annotations

import math

import numpy as np
from sklearn.datasets import load_digits

from dnn2fpga.data import Data
from dnn2fpga.graph.float import Graph
from dnn2fpga.layers.activation import Clamp
from dnn2fpga.layers.affine import Affine
from dnn2fpga.layers.base import Layer, Normalization
from dnn2fpga.layers.conv2d import Conv2D
from dnn2fpga.layers.dense import Dense
from dnn2fpga.layers.pass_through import Softmax
from dnn2fpga.layers.pooling import MaxPooling
from dnn2fpga.layers.reshape import Reshape
from dnn2fpga.optimize.settings import TrainingSettings
from dnn2fpga.optimize.training import train
from dnn2fpga.optimize.training_model import FloatModel
from dnn2fpga.passes.simplify import simplify
from dnn2fpga.task import Ending, LabelForm, Task, TaskKind


def digits(*shape: int) -> tuple[Data, Data]:
    """1,200 handwritten digits of 8 x 8 pixels in ``shape`` to train with, and 597 others to test."""
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = (x[order] / 16).astype(np.float32).reshape(-1, *shape), y[order]
    return Data(x[:1200], y[:1200]), Data(x[1200:], y[1200:])


def random_weights(*shape: int, seed: int = 0) -> np.ndarray:
    spread = math.sqrt(2 / math.prod(shape[:-1]))
    return (np.random.default_rng(seed).normal(size=shape) * spread).astype(np.float32)


def dense_layer(name: str, inputs: int, outputs: int) -> Dense:
    return Dense(name, random_weights(inputs, outputs), np.zeros(outputs, np.float32))


def relu(name: str) -> Clamp:
    return Clamp(name, 0.0, math.inf)


def batch_normalization(name: str, channels: int, seed: int = 0) -> Affine:
    """One whose moments are far from those of any data."""
    rng = np.random.default_rng(seed)
    gamma, variance = rng.uniform(0.5, 2, (2, channels))
    beta, mean = rng.uniform(-0.2, 0.2, (2, channels))
    scale = gamma / np.sqrt(variance + 1e-3)
    values = Normalization(gamma, beta, mean, variance, np.full(channels, 1e-3))
    return Affine(name, scale.astype(np.float32), (beta - mean * scale).astype(np.float32), normalization=values)


def of_digits(graph: Graph) -> Graph:
    """A network for the numbers of ten classes."""
    ten = Task(kind=TaskKind.CLASSES, ending=Ending.SOFTMAX, labels=LabelForm.CLASS_NUMBERS)
    return simplify(graph).decided_as(ten)


def dense_network() -> Graph:
    """Return a network for digits in (64,)."""
    layers: list[Layer] = [dense_layer("first", 64, 24), relu("relu"), dense_layer("last", 24, 10), Softmax("softmax")]
    return of_digits(Graph.chain("dense", "input", (64,), layers, float_parameters=1234))


def convolutional_network() -> Graph:
    """Return a network for digits in (8, 8, 1)."""
    layers: list[Layer] = [
        Conv2D("conv", random_weights(3, 3, 1, 6), np.zeros(6, np.float32), padding="same"),
        batch_normalization("norm", 6),
        relu("relu"),
        MaxPooling("pool", (2, 2), (2, 2), "valid"),
        Reshape("flat", None),
        dense_layer("hidden", 96, 16),
        relu("relu_of_hidden"),
        dense_layer("last", 16, 10),
        Softmax("softmax"),
    ]
    return of_digits(Graph.chain("convolutional", "input", (8, 8, 1), layers, float_parameters=1234))


def trained(graph: Graph, data: Data, epochs: int) -> Graph:
    model = FloatModel(graph)
    train(model, data, TrainingSettings(epochs=epochs, learning_rate=1e-2, batch=32), graph)
    return model.trained()
