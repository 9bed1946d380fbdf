"""The losses that training minimizes: those of the textbooks, and training with every form of labels."""

from __future__ import annotations

import numpy as np
import pytest
import trainable

from dnn2fpga.data import Data
from dnn2fpga.graph.float import Graph
from dnn2fpga.layers.activation import Table
from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.conv2d import Conv2D
from dnn2fpga.layers.pass_through import Softmax
from dnn2fpga.layers.reshape import Reshape
from dnn2fpga.optimize.calibration import calibrate
from dnn2fpga.optimize.losses import loss_for
from dnn2fpga.optimize.post_training import Quantization, choose_all, quantize
from dnn2fpga.optimize.settings import TrainingSettings
from dnn2fpga.optimize.training import train
from dnn2fpga.optimize.training_model import CodeModel, FloatModel
from dnn2fpga.passes.simplify import simplify
from dnn2fpga.task import BELOW_ALL, Ending, LabelForm, Task, TaskKind
from dnn2fpga.task_reading import with_task

SETTINGS = TrainingSettings(epochs=20, batch=32, learning_rate=3e-2)
SHORT = TrainingSettings(epochs=1, batch=50)
WIDE = Quantization(weight_bits=6, activation_bits=8, output_bits=8)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(600, 8)).astype(np.float32)
CLASSES = X[:, :3].argmax(axis=1)
ONE_HOT = np.eye(3)[CLASSES]
IMAGES = RNG.random((150, 4, 4, 1)).astype(np.float32)
PIXELS = (IMAGES[..., 0] * 3).astype(np.int64)


def vectors(outputs: int, *last: Layer) -> Graph:
    layers = [trainable.dense_layer("dense", 8, outputs), *last]
    return simplify(Graph.chain("vectors", "input", (8,), layers))


def images(channels: int, *last: Layer) -> Graph:
    layers = [
        Conv2D("conv", np.ones((1, 1, 1, 8), np.float32), -np.linspace(0, 0.9, 8).astype(np.float32)),
        trainable.relu("relu"),
        Conv2D("maps", trainable.random_weights(1, 1, 8, channels), np.zeros(channels, np.float32)),
        *last,
    ]
    return simplify(Graph.chain("images", "input", (4, 4, 1), layers))


SOFTMAX, SIGMOID, TANH = Softmax("softmax"), Table("sigmoid", "sigmoid"), Table("tanh", "tanh")
YES = (X[:, 0] > X[:, 1]).astype(np.int64)

# what → network, inputs, labels, the least that training must reach
TRAINED: dict[str, tuple[Graph, np.ndarray, np.ndarray, float]] = {
    "class numbers": (vectors(3, SOFTMAX), X, CLASSES, 0.9),
    "class column": (vectors(3, SOFTMAX), X, CLASSES[:, None].astype(np.float64), 0.9),
    "one-hot": (vectors(3, SOFTMAX), X, ONE_HOT, 0.9),
    "one-hot of booleans": (vectors(3), X, ONE_HOT.astype(bool), 0.9),
    "one-hot of signs": (vectors(3, SOFTMAX), X, 2 * ONE_HOT - 1, 0.9),
    "smooth": (vectors(3, SOFTMAX), X, (0.1 / 3 + 0.9 * ONE_HOT).astype(np.float32), 0.9),
    "classes of sigmoids": (vectors(3, SIGMOID), X, ONE_HOT, 0.9),
    "classes of tanh": (vectors(3, TANH), X, CLASSES, 0.9),
    "sigmoid, 1 and 2": (vectors(1, SIGMOID), X, YES + 1, 0.9),
    "sigmoid, column": (vectors(1, SIGMOID), X, YES[:, None].astype(bool), 0.9),
    "logit": (vectors(1), X, YES, 0.9),
    "logit, signs": (vectors(1), X, 2 * YES - 1, 0.9),
    "tanh, signs": (vectors(1, TANH), X, 2 * YES - 1, 0.9),
    "several": (vectors(3, SIGMOID), X, (X[:, :3] > 0).astype(np.uint8), 0.9),
    "several logits, signs": (vectors(3), X, 2 * (X[:, :3] > 0) - 1, 0.9),
    "numbers": (vectors(2), X, X[:, :2] - X[:, 2:4], 0.9),
    "whole numbers": (vectors(1), X, np.round(3 * X[:, 0]).astype(np.int64), 0.9),
    "numbers of a softmax": (vectors(3, SOFTMAX), X, 1.1 * ONE_HOT + 0.1 * X[:, :3], 0.4),
    "pixels": (images(3, SOFTMAX), IMAGES, PIXELS, 0.7),
    "pixels, one channel": (images(3, SOFTMAX), IMAGES, PIXELS[..., None], 0.7),
    "pixels, one-hot": (images(3, SOFTMAX), IMAGES, np.eye(3)[PIXELS], 0.7),
    "mask": (images(1, SIGMOID), IMAGES, IMAGES[..., 0] > 0.5, 0.8),
    "reconstruction": (images(1), IMAGES, IMAGES, 0.9),
    "flat reconstruction": (images(1, Reshape("flat", None)), IMAGES, IMAGES, 0.9),
}


@pytest.mark.parametrize("name", TRAINED)
def test_every_form_of_labels_trains(name: str) -> None:
    graph, x, y, least = TRAINED[name]
    graph, data = with_task(graph, [Data(x, y)]), Data(x, y)
    model = FloatModel(graph)
    history = train(model, data, SETTINGS, graph)
    assert history[-1].loss < history[0].loss
    floating = model.trained()
    outputs = floating.run(x)
    reached = graph.task.score(outputs, y, outputs)
    assert reached.value > least, str(reached)

    statistics = calibrate(floating, x)
    codes = CodeModel(floating, WIDE, choose_all(floating, statistics, WIDE), False)
    train(codes, data, SHORT, floating)
    built = quantize(codes.trained(), statistics, WIDE, codes.trained_choices())
    assert built.task == graph.task
    assert built.task.score(built.predict(x), y, outputs).value > reached.value - 0.1


def test_without_labels_a_number_follows_the_float_model() -> None:
    graph, data = with_task(vectors(1), [Data(X, None)]), Data(X, None)
    model = CodeModel(graph, WIDE, choose_all(graph, calibrate(graph, X), WIDE), False)
    history = train(model, data, SETTINGS, graph)
    assert history[-1].loss < history[0].loss


# The losses themselves


def softmax(x: np.ndarray) -> np.ndarray:
    return np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def binary_cross_entropy(p: np.ndarray, y: np.ndarray) -> float:
    return float(-(y * np.log(p) + (1 - y) * np.log(1 - p)).mean())


def of(kind: TaskKind, ending: Ending, threshold: float | None = None, labels: LabelForm | None = None) -> Task:
    between = 0.5 if labels is LabelForm.TWO_VALUES else None
    return Task(kind=kind, ending=ending, threshold=threshold, labels=labels, class_1_above=between)


def test_losses_are_those_of_the_textbooks() -> None:
    outputs, targets = RNG.normal(size=(2, 5, 3)).astype(np.float32)
    p = RNG.uniform(0.1, 0.9, (5, 3)).astype(np.float32)
    classes, yes = np.array([[0], [2], [1], [1], [0]]), RNG.integers(0, 2, (5, 3))
    one_hot = np.eye(3)[classes[:, 0]]
    right = softmax(outputs)[np.arange(5), classes[:, 0]]
    choice, several, numbers = TaskKind.CLASSES, TaskKind.SEVERAL_LABELS, TaskKind.REGRESSION
    maps, map_classes = RNG.normal(size=(2, 2, 3, 4)).astype(np.float32), RNG.integers(0, 4, (2, 6))
    of_map = softmax(maps).reshape(12, 4)[np.arange(12), map_classes.ravel()]
    expected = {
        "classes": (of(choice, Ending.SOFTMAX), True, outputs, classes, -np.log(right).mean()),
        "logits": (of(choice, Ending.LINEAR), True, outputs, classes, -np.log(right).mean()),
        "positions": (
            of(TaskKind.CLASSES_PER_POSITION, Ending.SOFTMAX),
            True,
            maps,
            map_classes,
            -np.log(of_map).mean(),
        ),
        "classes of sigmoids": (of(choice, Ending.SIGMOID), True, p, classes, binary_cross_entropy(p, one_hot)),
        "several": (of(several, Ending.SIGMOID, 0.5), True, p, yes == 1, binary_cross_entropy(p, yes)),
        "several logits": (
            of(several, Ending.LINEAR, 0.0),
            True,
            outputs,
            yes == 1,
            binary_cross_entropy(sigmoid(outputs), yes),
        ),
        "several of tanh": (
            of(several, Ending.TANH, 0.0),
            True,
            2 * p - 1,
            yes == 1,
            binary_cross_entropy(p, yes),
        ),
        "always 1": (
            of(TaskKind.BINARY, Ending.SOFTMAX, BELOW_ALL),
            True,
            outputs[:, :1],
            yes[:, :1] == 1,
            binary_cross_entropy(np.full((5, 1), 1 - 1e-4), yes[:, :1]),
        ),
        "numbers": (of(numbers, Ending.LINEAR), True, outputs, targets, ((outputs - targets) ** 2).mean()),
        "numbers of a softmax": (
            of(numbers, Ending.SOFTMAX),
            True,
            outputs,
            targets,
            ((softmax(outputs) - targets) ** 2).mean(),
        ),
        "teacher": (
            of(choice, Ending.SOFTMAX),
            False,
            outputs,
            targets,
            -4 * (softmax(targets / 2) * np.log(softmax(outputs / 2))).sum(axis=-1).mean(),
        ),
        "teacher of numbers": (
            of(numbers, Ending.LINEAR),
            False,
            outputs,
            targets,
            ((outputs - targets) ** 2).mean(),
        ),
    }
    for what, (task, labelled, given, wanted, loss) in expected.items():
        assert float(loss_for(task, labelled, 2.0)(given, wanted)) == pytest.approx(float(loss), rel=1e-3), what
