"""A task in words."""

from __future__ import annotations

import math

from dnn2fpga.task import Ending, Interface, LabelForm, Measure, Task, TaskKind

_MEASURED = {
    Measure.ACCURACY: "accuracy",
    Measure.AGREEMENT: "agreement with the float model's decisions",
    Measure.R2: "r2",
}


def described(task: Task, interface: Interface, labelled: bool | None = None) -> str:
    """The task of a network in one line.

    :param labelled: whether the data that judges has labels; None: there is no such data.
    """
    text = f"{_what(task, interface)} ({_how(task, interface)}), {_labels(task, interface)}"
    return text if labelled is None else f"{text}, measured by {_MEASURED[task.measure(labelled)]}"


def _what(task: Task, interface: Interface) -> str:
    channels = interface.channels if task.threshold is None else 2
    match task.kind:
        case TaskKind.CLASSES:
            return f"{channels} classes"
        case TaskKind.CLASSES_PER_POSITION:
            return f"{channels} classes at each of {' × '.join(map(str, interface.positions))} positions"
        case TaskKind.SEVERAL_LABELS:
            return f"several of {interface.channels} labels"
        case TaskKind.REGRESSION:
            count = math.prod(interface.output)
            return f"regression of {count} number{'s' if count > 1 else ''}"
    return task.kind.value


def _how(task: Task, interface: Interface) -> str:
    if task.ending is Ending.SOFTMAX and interface.channels == 1:
        return "a softmax over one number is always 1, whatever the network computes; use a sigmoid"
    if task.threshold is None:
        return task.ending.value
    return f"{task.ending.value}, {'yes' if interface.channels > 1 else 'class 1'} above {task.threshold:g}"


def _labels(task: Task, interface: Interface) -> str:
    match task.labels:
        case None:
            return "no labels"
        case LabelForm.CLASS_NUMBERS:
            return f"labels are class numbers 0..{interface.channels - 1}"
        case LabelForm.ONE_HOT:
            return "labels are one-hot"
        case LabelForm.SIGNED_ONE_HOT:
            return "labels are one-hot of -1 and +1"
        case LabelForm.PROBABILITIES:
            return "labels are probabilities, the largest is the class"
        case LabelForm.TWO_VALUES:
            return f"labels have two values, class 1 is above {task.class_1_above:g}"
    return "labels are numbers"
