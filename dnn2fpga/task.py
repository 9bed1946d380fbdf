"""The task of a network: what its outputs decide, how labels are read, and how well the two agree.

A ``Task`` is decided once, by ``task_reading.read_task``, and kept with the model from then on: the optimizer scores
and trains by it, ``model.yaml`` and ``manifest.json`` hold it, ``verify``, ``run`` and the drivers decide by it. See
docs/tasks.md.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from dnn2fpga.files.described import Described

ROUNDING = 1e-20  # of squares, in double precision
BELOW_ALL = -1e30  # a threshold that every output exceeds (JSON has no infinity)


class TaskKind(enum.Enum):
    """The kind of decision or value that a network is for."""

    BINARY = "binary"
    CLASSES = "classes"
    CLASSES_PER_POSITION = "classes_per_position"  # segmentation
    SEVERAL_LABELS = "several_labels"  # any number of them holds for one sample
    REGRESSION = "regression"
    RECONSTRUCTION = "reconstruction"  # autoencoders

    @property
    def decides(self) -> bool:
        """True if outputs are turned into decisions; else they are the wanted values themselves."""
        return self not in (TaskKind.REGRESSION, TaskKind.RECONSTRUCTION)


class Ending(enum.Enum):
    """The function that the last layer applies to its values."""

    SOFTMAX = "softmax"  # never in hardware: the outputs there are the logits
    SIGMOID = "sigmoid"
    TANH = "tanh"
    LINEAR = "linear"  # anything else

    @property
    def threshold(self) -> float:
        """The output above which a single number decides for class 1."""
        thresholds = {Ending.SIGMOID: 0.5, Ending.TANH: 0.0, Ending.LINEAR: 0.0, Ending.SOFTMAX: BELOW_ALL}
        return thresholds[self]  # a softmax over a single number is 1, whatever the number is


class LabelForm(enum.Enum):
    """The form in which labels say what is right."""

    CLASS_NUMBERS = "class_numbers"  # of the output, from 0 up
    ONE_HOT = "one_hot"
    SIGNED_ONE_HOT = "signed_one_hot"  # -1, and +1 for the class
    PROBABILITIES = "probabilities"  # one for each class: smoothed one-hot labels, or a teacher's outputs
    TWO_VALUES = "two_values"  # the larger is class 1
    NUMBERS = "numbers"  # the outputs themselves


class Measure(enum.StrEnum):
    """The measure of the quality of outputs; larger is better, 1 is perfect."""

    ACCURACY = "accuracy"  # share of decisions that equal the label
    AGREEMENT = "agreement"  # share of decisions that equal the float model's
    R2 = "r2"  # 1 - squared error / variance of the targets
    MEAN = "mean"  # of the scores of several outputs


class Training(enum.Enum):
    """The loss that training with labels minimizes."""

    CROSS_ENTROPY = enum.auto()  # of logits, one of which is right
    BINARY_CROSS_ENTROPY = enum.auto()  # of single outputs, each right or wrong
    SQUARED_ERROR = enum.auto()


@dataclass(frozen=True)
class Score:
    """The quality of outputs by one measure."""

    measure: Measure
    value: float

    def __str__(self) -> str:
        return f"{self.value:.4f}" if self.measure in (Measure.R2, Measure.MEAN) else f"{self.value:.2%}"


def overall(scores: Mapping[str, Score]) -> Score | None:
    """The one number for a network: the score of its only output, or the mean of the scores of several.

    :param scores: by output; without any there is no number.
    """
    if len(scores) <= 1:
        return next(iter(scores.values()), None)
    return Score(Measure.MEAN, sum(score.value for score in scores.values()) / len(scores))


@dataclass(frozen=True, kw_only=True)
class Interface:
    """The facts of a network that the task of one output depends on: the shapes of all inputs and of the output, and
    its last layer.
    """

    inputs: tuple[tuple[int, ...], ...]
    output: tuple[int, ...]
    ending: Ending

    @property
    def channels(self) -> int:
        """Numbers at one position of the output."""
        return self.output[-1]

    @property
    def positions(self) -> tuple[int, ...]:
        """The extents of an output that is an image; empty for a vector."""
        return without_ones(self.output[:-1])

    @property
    def is_autoencoder(self) -> bool:
        """True if the output may repeat an input."""
        return math.prod(self.output) > 1 and self.has_size_of_an_input and self.ending is not Ending.SOFTMAX

    @property
    def has_size_of_an_input(self) -> bool:
        """True if the output has as many numbers as an input."""
        return math.prod(self.output) in map(math.prod, self.inputs)

    @property
    def deciding_kind(self) -> TaskKind:
        """The task if every output channel decides by itself, or the only one does."""
        if self.channels > 1:
            return TaskKind.SEVERAL_LABELS
        return TaskKind.CLASSES_PER_POSITION if self.positions else TaskKind.BINARY

    @property
    def choosing_kind(self) -> TaskKind:
        """The task if the largest channel is the class."""
        return TaskKind.CLASSES_PER_POSITION if self.positions else TaskKind.CLASSES


class Task(Described):
    """The task of a network's output. All arrays are ``[samples, ...]``; decisions and targets ``[samples,
    numbers]``.
    """

    kind: TaskKind
    ending: Ending
    threshold: float | None = Field(default=None, allow_inf_nan=False)  # outputs above it say yes; None: largest output
    labels: LabelForm | None = None  # None: none were seen
    class_1_above: float | None = Field(default=None, allow_inf_nan=False)  # labels of two values: what lies between

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        by_threshold = self.kind in (TaskKind.BINARY, TaskKind.SEVERAL_LABELS)
        if self.kind is not TaskKind.CLASSES_PER_POSITION and by_threshold != (self.threshold is not None):
            raise ValueError(f"threshold must {'be a number' if by_threshold else 'be null'} for {self.kind.value}")
        if (self.labels is LabelForm.TWO_VALUES) != (self.class_1_above is not None):
            raise ValueError("class_1_above must be given for labels of two_values, and only for them")
        return self

    def measure(self, labelled: bool) -> Measure:
        """The measure for data with or without labels."""
        if not self.kind.decides:
            return Measure.R2
        return Measure.ACCURACY if labelled else Measure.AGREEMENT

    @property
    def training(self) -> Training:
        """The loss for training with labels."""
        if not self.kind.decides:
            return Training.SQUARED_ERROR
        is_logits = self.ending in (Ending.SOFTMAX, Ending.LINEAR) and self.threshold is None
        return Training.CROSS_ENTROPY if is_logits else Training.BINARY_CROSS_ENTROPY

    def decisions(self, outputs: np.ndarray) -> np.ndarray:
        """Outputs → whether each exceeds the threshold, or the number of the largest channel at every position.

        :raises ValueError: when the task is to give numbers.
        """
        if not self.kind.decides:
            raise ValueError(f"a network for {self.kind.value} decides nothing")
        return _rows(outputs > self.threshold if self.threshold is not None else outputs.argmax(axis=-1))

    def values(self, outputs: np.ndarray) -> np.ndarray:
        """Outputs of the hardware (or of a simplified graph) → those of the model as it was trained."""
        if self.ending is not Ending.SOFTMAX:
            return outputs
        e = np.exp(outputs - outputs.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)

    def targets(self, labels: np.ndarray, channels: int) -> np.ndarray:
        """Labels → what ``decisions``, or ``values``, should be.

        :param channels: numbers at one position of the output; labels may be flat where the output is not.
        :raises ValueError: when the form of labels is not known.
        """
        match self.labels:
            case LabelForm.CLASS_NUMBERS:
                return _rows(labels).astype(np.int64)
            case LabelForm.TWO_VALUES:
                return _rows(labels) > self.class_1_above
            case LabelForm.NUMBERS:
                return _rows(labels).astype(np.float64)
            case None:
                raise ValueError("no labels were seen when the task was decided")
        return _rows(labels.reshape(len(labels), -1, channels).argmax(axis=-1))

    def score(self, outputs: np.ndarray, labels: np.ndarray | None, reference: np.ndarray) -> Score:
        """Score outputs by the labels, or without any by the ``reference`` outputs of the float model."""
        measure = self.measure(labels is not None)
        if self.kind.decides:
            right = self.decisions(reference) if labels is None else self.targets(labels, outputs.shape[-1])
            return Score(measure, float((self.decisions(outputs) == right).mean()))
        wanted = _rows(self.values(reference)) if labels is None else self.targets(labels, outputs.shape[-1])
        return Score(measure, _r2(_rows(self.values(outputs)), wanted.astype(np.float64)))


def unlabelled_task(interface: Interface, kind: TaskKind | None = None) -> Task:
    """Return the task that a network states by itself: its last layer decides, or it produces numbers."""
    ending = interface.ending
    if kind is None:
        if interface.is_autoencoder and len(interface.inputs) == 1:  # of several, chance alone makes two of one size
            kind = TaskKind.RECONSTRUCTION
        elif ending is Ending.SOFTMAX and interface.channels > 1:
            kind = interface.choosing_kind
        else:
            kind = interface.deciding_kind if ending in (Ending.SIGMOID, Ending.SOFTMAX) else TaskKind.REGRESSION
    return Task(kind=kind, ending=ending, threshold=threshold_of(kind, interface))


def threshold_of(kind: TaskKind, interface: Interface) -> float | None:
    """The threshold of a network of this kind; None where it has none."""
    by_threshold = kind in (TaskKind.BINARY, TaskKind.SEVERAL_LABELS) or interface.channels == 1
    return interface.ending.threshold if kind.decides and by_threshold else None


def kind_problem(interface: Interface, kind: TaskKind) -> str | None:
    """Return why a network with this interface cannot do this; None when it can."""
    outputs, positions = math.prod(interface.output), interface.positions
    needs = {
        TaskKind.BINARY: (outputs == 1, "one output"),
        TaskKind.CLASSES: (outputs > 1 and not positions, "a vector of outputs, one for each class"),
        TaskKind.CLASSES_PER_POSITION: (bool(positions), "an output that is an image"),
        TaskKind.SEVERAL_LABELS: (
            interface.channels > 1 and interface.ending is not Ending.SOFTMAX,
            "several outputs, one for each label, and no softmax, which chooses one of them",
        ),
        TaskKind.REGRESSION: (True, ""),
        TaskKind.RECONSTRUCTION: (interface.has_size_of_an_input, "as many outputs as inputs"),
    }
    fits, what = needs[kind]
    return None if fits else f"{kind.value} needs {what}, but the model's output has the shape {interface.output}"


def without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The extents that make a difference."""
    return tuple(extent for extent in shape if extent != 1)


def _rows(array: np.ndarray) -> np.ndarray:
    """One row for each sample."""
    return array.reshape(len(array), -1)


def _r2(values: np.ndarray, wanted: np.ndarray) -> float:
    variance, error = (float(np.square(wanted - other).sum()) for other in (wanted.mean(axis=0), values))
    if variance <= ROUNDING * float(np.square(wanted).sum()):  # nothing to explain: all or nothing, as usual for r²
        return float(error == 0)
    return 1 - error / variance
