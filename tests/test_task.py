"""The task of a network: how labels are read, what is decided, how it is measured, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import small_networks
import tiny

from dnn2fpga.data import Data
from dnn2fpga.drive.port import AcceleratorError, decisions
from dnn2fpga.errors import UserError
from dnn2fpga.graph import files as config_files
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.task import BELOW_ALL, Ending, Interface, LabelForm, Measure, Task, TaskKind, Training, unlabelled_task
from dnn2fpga.task_reading import read_task, tasks_with
from dnn2fpga.task_text import described

RNG = np.random.default_rng(0)
SAMPLES = 60
CLASSES = np.arange(SAMPLES) % 3
ONE_HOT = np.eye(3)[CLASSES]
TWO = np.arange(SAMPLES) % 2
PIXELS = RNG.integers(0, 3, (SAMPLES, 4, 5))
SEVERAL = RNG.integers(0, 2, (SAMPLES, 3))
REAL = RNG.normal(size=(SAMPLES, 3))

BINARY, CLASS, POSITION, LABELS, REGRESSION, RECONSTRUCTION = TaskKind
SOFTMAX, SIGMOID, TANH, LINEAR = Ending


def network(*output: int, ending: Ending, input: tuple[int, ...] = (7,)) -> Interface:
    return Interface(inputs=(input,), output=output, ending=ending)


def task_with(model: QuantizedGraph, data: Data) -> Task:
    """Return the task of the only output."""
    (task,) = tasks_with(model, data).values()
    return task


def data(y: np.ndarray | None, x: np.ndarray | None = None) -> Data:
    return Data(np.zeros((SAMPLES, 7)) if x is None else x, y)


ONE_SIGMOID, ONE_TANH, ONE_LINEAR = (network(1, ending=ending) for ending in (SIGMOID, TANH, LINEAR))
THREE_SOFTMAX, THREE_SIGMOID, THREE_LINEAR = (network(3, ending=ending) for ending in (SOFTMAX, SIGMOID, LINEAR))
MAPS, MASK = network(4, 5, 3, ending=SOFTMAX), network(4, 5, 1, ending=SIGMOID)

# what → network, labels, (kind, threshold, form of labels)
READINGS: dict[str, tuple[Interface, np.ndarray, tuple[TaskKind, float | None, LabelForm]]] = {
    "sigmoid, 0 and 1": (ONE_SIGMOID, TWO, (BINARY, 0.5, LabelForm.TWO_VALUES)),
    "sigmoid, column": (ONE_SIGMOID, TWO[:, None].astype(bool), (BINARY, 0.5, LabelForm.TWO_VALUES)),
    "sigmoid, 1 and 2": (ONE_SIGMOID, TWO + 1, (BINARY, 0.5, LabelForm.TWO_VALUES)),
    "sigmoid, smoothed": (ONE_SIGMOID, 0.1 + 0.8 * TWO, (BINARY, 0.5, LabelForm.TWO_VALUES)),
    "sigmoid, numbers": (ONE_SIGMOID, np.linspace(0, 1, SAMPLES), (REGRESSION, None, LabelForm.NUMBERS)),
    "logit, 0 and 1": (ONE_LINEAR, TWO, (BINARY, 0.0, LabelForm.TWO_VALUES)),
    "logit, -1 and 1": (ONE_LINEAR, 2 * TWO - 1, (BINARY, 0.0, LabelForm.TWO_VALUES)),
    "only zeros": (ONE_LINEAR, 0 * TWO, (BINARY, 0.0, LabelForm.TWO_VALUES)),
    "tanh, -1 and 1": (ONE_TANH, 2 * TWO - 1, (BINARY, 0.0, LabelForm.TWO_VALUES)),
    "whole numbers": (ONE_LINEAR, 20 + np.arange(SAMPLES), (REGRESSION, None, LabelForm.NUMBERS)),
    "two numbers": (ONE_LINEAR, 20 + TWO, (REGRESSION, None, LabelForm.NUMBERS)),
    "softmax over one": (network(1, ending=SOFTMAX), TWO, (BINARY, BELOW_ALL, LabelForm.TWO_VALUES)),
    "class numbers": (THREE_SOFTMAX, CLASSES, (CLASS, None, LabelForm.CLASS_NUMBERS)),
    "class column": (THREE_SOFTMAX, CLASSES[:, None].astype(float), (CLASS, None, LabelForm.CLASS_NUMBERS)),
    "logits": (THREE_LINEAR, CLASSES.astype(np.uint8), (CLASS, None, LabelForm.CLASS_NUMBERS)),
    "one-hot": (THREE_LINEAR, ONE_HOT, (CLASS, None, LabelForm.ONE_HOT)),
    "one-hot of booleans": (THREE_SOFTMAX, ONE_HOT.astype(bool), (CLASS, None, LabelForm.ONE_HOT)),
    "one-hot of signs": (THREE_SOFTMAX, 2 * ONE_HOT - 1, (CLASS, None, LabelForm.SIGNED_ONE_HOT)),
    "smooth": (THREE_SOFTMAX, 0.1 / 3 + 0.9 * ONE_HOT, (CLASS, None, LabelForm.PROBABILITIES)),
    "sigmoids, one-hot": (THREE_SIGMOID, ONE_HOT, (CLASS, None, LabelForm.ONE_HOT)),
    "image of one position": (network(1, 1, 3, ending=SOFTMAX), CLASSES, (CLASS, None, LabelForm.CLASS_NUMBERS)),
    "sigmoids, several": (THREE_SIGMOID, SEVERAL, (LABELS, 0.5, LabelForm.TWO_VALUES)),
    "logits, several": (THREE_LINEAR, SEVERAL, (LABELS, 0.0, LabelForm.TWO_VALUES)),
    "logits, several signs": (THREE_LINEAR, 2 * SEVERAL - 1, (LABELS, 0.0, LabelForm.TWO_VALUES)),
    "three numbers": (THREE_LINEAR, REAL, (REGRESSION, None, LabelForm.NUMBERS)),
    "softmax, numbers": (THREE_SOFTMAX, REAL, (REGRESSION, None, LabelForm.NUMBERS)),
    "three whole numbers": (THREE_LINEAR, np.round(9 * REAL), (REGRESSION, None, LabelForm.NUMBERS)),
    "pixels": (MAPS, PIXELS, (POSITION, None, LabelForm.CLASS_NUMBERS)),
    "pixels, one channel": (MAPS, PIXELS[..., None], (POSITION, None, LabelForm.CLASS_NUMBERS)),
    "pixels, one-hot": (MAPS, np.eye(3)[PIXELS], (POSITION, None, LabelForm.ONE_HOT)),
    "mask": (MASK, PIXELS > 1, (POSITION, 0.5, LabelForm.TWO_VALUES)),
    "mask, one channel": (MASK, (PIXELS > 1)[..., None], (POSITION, 0.5, LabelForm.TWO_VALUES)),
}


@pytest.mark.parametrize("name", READINGS)
def test_readings(name: str) -> None:
    interface, labels, expected = READINGS[name]
    task = read_task(interface, [data(labels), None])
    assert (task.kind, task.threshold, task.labels) == expected
    assert (task.measure(True) is Measure.R2) == (not task.kind.decides)
    assert task.measure(False) is (Measure.AGREEMENT if task.kind.decides else Measure.R2)


@pytest.mark.parametrize(
    "name", ["class numbers", "class column", "one-hot", "one-hot of booleans", "one-hot of signs", "smooth"]
)
def test_every_form_of_classes_means_the_same(name: str) -> None:
    interface, labels, _ = READINGS[name]
    assert (
        read_task(interface, [data(labels)]).targets(labels, interface.channels).tolist() == CLASSES[:, None].tolist()
    )


@pytest.mark.parametrize(
    "name", ["sigmoid, 0 and 1", "sigmoid, column", "sigmoid, 1 and 2", "sigmoid, smoothed", "logit, -1 and 1"]
)
def test_of_two_values_the_larger_is_class_1(name: str) -> None:
    interface, labels, _ = READINGS[name]
    assert read_task(interface, [data(labels)]).targets(labels, 1).tolist() == (TWO[:, None] == 1).tolist()


def test_an_autoencoder_is_recognized_by_its_labels_or_its_shape() -> None:
    x = RNG.random((SAMPLES, 7))
    interface = network(7, ending=SIGMOID)
    assert read_task(interface, [data(x.copy(), x)]).kind is RECONSTRUCTION
    assert read_task(interface, [data(None)]).kind is RECONSTRUCTION
    assert read_task(interface, [data(x + 1e-3, x)]).kind is REGRESSION
    flat = network(12, ending=LINEAR, input=(2, 2, 3))
    images = RNG.random((SAMPLES, 2, 2, 3))
    task = read_task(flat, [data(images, images)], RECONSTRUCTION)
    assert task.score(images.reshape(SAMPLES, 12), images, images).value == 1


@pytest.mark.parametrize(
    ("interface", "kind", "threshold"),
    [
        (THREE_SOFTMAX, CLASS, None),
        (THREE_SIGMOID, LABELS, 0.5),
        (THREE_LINEAR, REGRESSION, None),
        (ONE_SIGMOID, BINARY, 0.5),
        (ONE_TANH, REGRESSION, None),
        (MAPS, POSITION, None),
        (MASK, POSITION, 0.5),
        (network(7, ending=LINEAR), RECONSTRUCTION, None),
        (network(7, ending=SOFTMAX), CLASS, None),
        (network(1, ending=LINEAR, input=(1,)), REGRESSION, None),
    ],
)
def test_without_labels_the_last_layer_says(interface: Interface, kind: TaskKind, threshold: float | None) -> None:
    task = read_task(interface, [data(None), None])
    assert (task.kind, task.threshold, task.labels) == (kind, threshold, None)


def test_a_label_may_be_missing_in_one_of_the_files() -> None:
    test = data(2 * TWO[:10] - 1)
    task = read_task(ONE_LINEAR, [data(0 * TWO + 1), test])  # only ones in training
    assert task.targets(np.array([-1, 1]), 1).tolist() == [[False], [True]]
    assert read_task(THREE_LINEAR, [data(None), data(CLASSES)]).kind is CLASS


REFUSED: dict[str, tuple[Interface, np.ndarray, str]] = {
    "from 1": (THREE_SOFTMAX, CLASSES + 1, "labels start at 1: they are 1 to 3, but the 3 outputs are numbered 0 to 2"),
    "too many classes": (THREE_SOFTMAX, CLASSES * 2, "must be the number of an output, 0 to 2, but the labels are 0"),
    "negative": (THREE_SOFTMAX, CLASSES - 1, "the labels are -1 to 1"),
    "part of a class": (THREE_SOFTMAX, CLASSES + 0.5, "some are no whole numbers"),
    "another width": (THREE_SOFTMAX, np.eye(4)[CLASSES], "the labels have 4 columns, but the model has 3 outputs"),
    "one column of two": (ONE_SIGMOID, np.eye(2)[TWO], "the labels have 2 columns, but the model has 1 output$"),
    "classes for one sigmoid": (ONE_SIGMOID, CLASSES, "tells two values of labels apart, but the labels have more"),
    "several of a softmax": (THREE_SOFTMAX, SEVERAL, "neither one-hot nor probabilities"),
    "another image": (MAPS, PIXELS[:, :3], r"needs \(4, 5\) or \(4, 5, 3\)"),
    "classes of an image": (MAPS, CLASSES, r"the shape \(\); the model's output"),
    "nothing": (THREE_LINEAR, REAL * np.nan, "NaN"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_fits_no_reading_is_refused_with_the_reason(name: str) -> None:
    interface, labels, reason = REFUSED[name]
    with pytest.raises(UserError, match=reason):
        read_task(interface, [data(None), data(labels)])


def test_training_and_test_labels_must_agree() -> None:
    with pytest.raises(UserError, match="the same form"):
        read_task(THREE_SOFTMAX, [data(CLASSES), data(ONE_HOT)])
    with pytest.raises(UserError, match="0 to 2, but the labels are 0 to 3"):
        read_task(THREE_SOFTMAX, [data(CLASSES), data(CLASSES + (CLASSES == 2))])


def test_a_chosen_task_takes_precedence_and_is_checked() -> None:
    assert read_task(ONE_LINEAR, [data(TWO)], REGRESSION).kind is REGRESSION
    assert read_task(ONE_LINEAR, [data(20 + TWO)], BINARY).targets(np.array([20, 21]), 1).tolist() == [[False], [True]]
    assert read_task(THREE_SIGMOID, [data(ONE_HOT)], LABELS).threshold == 0.5
    assert read_task(THREE_LINEAR, [data(None)], CLASS).measure(False) is Measure.AGREEMENT
    for interface, labels, kind, reason in (
        (THREE_LINEAR, CLASSES, BINARY, "binary needs one output"),
        (ONE_LINEAR, TWO, CLASS, "classes needs a vector of outputs"),
        (THREE_LINEAR, CLASSES, POSITION, "needs an output that is an image"),
        (ONE_LINEAR, TWO, LABELS, "several_labels needs several outputs"),
        (THREE_LINEAR, REAL, RECONSTRUCTION, "needs as many outputs as inputs"),
        (THREE_LINEAR, CLASSES, REGRESSION, "needs a label for each of the 3 outputs"),
        (THREE_LINEAR, CLASSES, LABELS, "needs a label for each of the 3 outputs"),
        (THREE_LINEAR, REAL, CLASS, "neither one-hot nor probabilities"),
        (ONE_LINEAR, np.arange(SAMPLES), BINARY, "tells two values"),
    ):
        with pytest.raises(UserError, match=reason):
            read_task(interface, [data(labels)], kind)


# Scores


def test_scores_of_decisions() -> None:
    logits = np.array([[2.0, 1, 0], [0, 5, 1], [3, 1, 0], [1, 0, 9]])
    labels = np.array([0, 1, 1, 2])
    task = read_task(THREE_LINEAR, [Data(np.zeros((4, 7)), labels)])
    assert str(task.score(logits, labels, logits)) == "75.00%"
    assert task.score(logits, np.eye(3)[labels].argmax(1), logits).measure is Measure.ACCURACY
    agreement = task.score(logits, None, logits[[0, 1, 1, 3]])
    assert (agreement.measure, agreement.value) == (Measure.AGREEMENT, 0.75)


def test_every_position_and_every_label_counts() -> None:
    maps = read_task(MAPS, [data(PIXELS)])
    outputs = np.eye(3)[PIXELS] * 4 - 1
    wrong = outputs.copy()
    wrong[0, 0, 0] *= -1
    assert maps.score(outputs, PIXELS, outputs).value == 1
    assert maps.score(wrong, PIXELS, outputs).value == 1 - 1 / PIXELS.size
    assert maps.score(wrong, None, outputs).value == 1 - 1 / PIXELS.size
    several = read_task(THREE_LINEAR, [data(SEVERAL)])
    logits = np.where(SEVERAL, 0.25, -0.25)
    logits[3, 1] *= -1
    assert several.score(logits, SEVERAL, logits).value == 1 - 1 / SEVERAL.size


def test_probabilities_are_never_compared_with_logits() -> None:
    task = read_task(THREE_SOFTMAX, [data(REAL)])
    logits = 3 * RNG.normal(size=(SAMPLES, 3))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    shifted = logits + RNG.normal(size=(SAMPLES, 1))  # other logits of the same probabilities
    assert task.score(shifted, probabilities, logits).value == pytest.approx(1)
    assert task.score(shifted, None, logits).value == pytest.approx(1)
    assert task.score(logits * 2, probabilities, logits).value < 0.99


def test_a_softmax_over_one_number_always_decides_for_class_1_and_is_told() -> None:
    interface, labels, _ = READINGS["softmax over one"]
    task = read_task(interface, [data(labels)])
    assert task.score(RNG.normal(size=(SAMPLES, 1)), labels, labels).value == labels.mean()
    assert "always 1" in described(task, interface)


def test_r2() -> None:
    task = read_task(THREE_LINEAR, [data(REAL)])
    assert task.score(REAL, REAL, REAL).value == 1
    means = np.broadcast_to(REAL.mean(axis=0), REAL.shape)
    assert task.score(means, REAL, REAL).value == pytest.approx(0)
    noisy = REAL + RNG.normal(size=REAL.shape)
    by_hand = 1 - ((noisy - REAL) ** 2).sum() / ((REAL - REAL.mean(axis=0)) ** 2).sum()
    assert task.score(noisy, REAL, REAL).value == pytest.approx(by_hand)
    assert str(task.score(means, REAL, REAL)) in ("0.0000", "-0.0000")


@pytest.mark.parametrize("name", READINGS)
def test_the_driver_decides_alike(name: str) -> None:
    interface, labels, _ = READINGS[name]
    task = read_task(interface, [data(labels)])
    outputs = RNG.normal(size=(SAMPLES, *interface.output))
    in_manifest = task.model_dump(mode="json")
    if task.kind.decides:
        found = decisions(in_manifest, outputs)
        assert found.reshape(SAMPLES, -1).tolist() == task.decisions(outputs).tolist()
    else:
        with pytest.raises(AcceleratorError, match="decides nothing"):
            decisions(in_manifest, outputs)
        with pytest.raises(ValueError, match="decides nothing"):
            task.decisions(outputs)


# Lines and files


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("class numbers", "3 classes (softmax), labels are class numbers 0..2, measured by accuracy"),
        ("sigmoid, 1 and 2", "binary (sigmoid, class 1 above 0.5), labels have two values, class 1 is above 1.5"),
        ("one-hot of signs", "3 classes (softmax), labels are one-hot of -1 and +1"),
        ("whole numbers", "regression of 1 number (linear), labels are numbers, measured by r2"),
        ("pixels", "3 classes at each of 4 × 5 positions (softmax), labels are class numbers 0..2"),
        ("mask", "2 classes at each of 4 × 5 positions (sigmoid, class 1 above 0.5), labels have two values"),
        ("sigmoids, several", "several of 3 labels (sigmoid, yes above 0.5), labels have two values"),
    ],
)
def test_one_line_says_it(name: str, line: str) -> None:
    interface, labels, _ = READINGS[name]
    assert described(read_task(interface, [data(labels)]), interface, labelled=True).startswith(line)


def test_training_has_a_loss_for_every_task() -> None:
    expected = {
        "sigmoid, 0 and 1": Training.BINARY_CROSS_ENTROPY,
        "class numbers": Training.CROSS_ENTROPY,
        "logits": Training.CROSS_ENTROPY,
        "sigmoids, one-hot": Training.BINARY_CROSS_ENTROPY,
        "three numbers": Training.SQUARED_ERROR,
        "softmax, numbers": Training.SQUARED_ERROR,
    }
    for name, training in expected.items():
        interface, labels, _ = READINGS[name]
        assert read_task(interface, [data(labels)]).training is training, name


def test_model_yaml_holds_the_task(tmp_path: Path) -> None:
    task = Task(kind=CLASS, ending=SOFTMAX, labels=LabelForm.SIGNED_ONE_HOT)
    config_files.save(tiny.quantized_graph().decided_as(task), tmp_path)
    assert config_files.load(tmp_path).task == task


@pytest.mark.parametrize(("decision", "kind"), [("argmax", CLASS), ("null", REGRESSION)])
def test_older_model_files_say_less(tmp_path: Path, decision: str, kind: TaskKind) -> None:
    shutil.copytree(Path(__file__).parent / "graph" / "format_2", tmp_path, dirs_exist_ok=True)
    text = (tmp_path / "model.yaml").read_text()
    start, end = text.index("task:"), text.index("notes:")
    (tmp_path / "model.yaml").write_text(f"{text[:start]}decision: {decision}\n{text[end:]}")
    assert config_files.load(tmp_path).task.kind is kind


def test_other_data_is_read_like_the_model_or_refused() -> None:
    model = tiny.quantized_graph()
    assert model.task == unlabelled_task(model.interface)
    x = tiny.samples(3)
    assert task_with(model, Data(x, None)) == model.task
    assert task_with(model, Data(x, np.array([0, 1, 2]))).labels is LabelForm.CLASS_NUMBERS
    assert task_with(model, Data(x, np.eye(3))).labels is LabelForm.ONE_HOT
    with pytest.raises(UserError, match="labels start at 1"):
        task_with(model, Data(x, np.array([3, 1, 2])))
    # Two values of which this data holds one: the model knows which it is.
    one = small_binary()
    only_low = Data(np.zeros((2, 6)), np.array([1, 1]))
    assert task_with(one, only_low).targets(only_low.y, 1).tolist() == [[False], [False]]
    open_task = one.decided_as(unlabelled_task(one.interface, REGRESSION))
    assert task_with(open_task, Data(np.zeros((2, 6)), np.array([0, 1]))).kind is BINARY


def small_binary():  # type: ignore[no-untyped-def]
    graph = small_networks.network((6,), [4, 1])
    task = read_task(graph.interface, [data(TWO + 1)], BINARY)
    return graph.decided_as(task)


@pytest.mark.parametrize("shape", [(40, 3), (40, 3, 1), (40, 1, 3)])
def test_extents_of_one_do_not_matter_in_one_hot_labels(shape: tuple[int, ...]) -> None:
    classes = np.arange(40) % 3
    outputs = np.eye(3)[classes] + 0.1
    task = read_task(THREE_SOFTMAX, [data(np.eye(3)[classes].reshape(shape))])
    assert task.score(outputs, np.eye(3)[classes].reshape(shape), outputs).value == 1


@pytest.mark.parametrize("shape", [(20, 4, 5, 2), (20, 4, 5, 2, 1), (20, 40)])
def test_one_hot_maps_may_be_flat(shape: tuple[int, ...]) -> None:
    classes = np.random.default_rng(0).integers(0, 2, (20, 4, 5))
    outputs, labels = np.eye(2)[classes] + 0.1, np.eye(2)[classes].reshape(shape)
    interface = Interface(inputs=((4, 5, 1),), output=(4, 5, 2), ending=Ending.SOFTMAX)
    task = read_task(interface, [data(labels)])
    assert task.kind is TaskKind.CLASSES_PER_POSITION
    assert task.score(outputs, labels, outputs).value == 1
    assert task.score(outputs[..., ::-1], labels, outputs).value == 0


def test_targets_that_are_all_the_same_measure_nothing() -> None:
    with pytest.raises(UserError, match="says nothing about labels that are all the same"):
        read_task(ONE_LINEAR, [data(np.full(30, 0.1))])
    with pytest.raises(UserError, match="says nothing about labels that are all the same"):
        read_task(ONE_LINEAR, [data(np.linspace(0, 1, 30)), data(np.full(30, 0.1))])


def test_a_constant_reference_is_met_or_not() -> None:
    task, constant = unlabelled_task(ONE_LINEAR), np.full((30, 1), 0.1)
    assert task.score(constant, None, constant).value == 1
    assert task.score(constant + 1e-3, None, constant).value == 0


@pytest.mark.parametrize(
    ("interface", "train", "test"),
    [
        (THREE_SOFTMAX, np.eye(3)[CLASSES], 2 * np.eye(3)[CLASSES] - 1),
        (ONE_LINEAR, TWO, 2 * TWO - 1),
        (ONE_TANH, 2 * TWO - 1, TWO),
    ],
)
def test_training_and_test_labels_of_two_forms(interface: Interface, train: np.ndarray, test: np.ndarray) -> None:
    with pytest.raises(UserError, match="the labels of training and test data must have the same form"):
        read_task(interface, [data(train), data(test)])


def test_one_hot_and_smoothed_labels_go_together() -> None:
    one_hot = np.eye(3)[CLASSES]
    task = read_task(THREE_SOFTMAX, [data(0.9 * one_hot + 0.1 / 3), data(one_hot)])
    assert task.labels is LabelForm.PROBABILITIES
