"""Decides the task of each output of a network from its last layer, its shape, and the labels of all data.

The rules are in docs/tasks.md. Labels that fit none of them are refused with the reason, before any work starts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from dnn2fpga.data import Data
from dnn2fpga.errors import UserError
from dnn2fpga.graph.float import Graph
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.task import (
    Ending,
    Interface,
    LabelForm,
    Task,
    TaskKind,
    kind_problem,
    threshold_of,
    unlabelled_task,
)
from dnn2fpga.task_labels import MANY, Labels, are_signs, observed
from dnn2fpga.task_text import described

Kind = TaskKind | str  # or its name
Kinds = Kind | Mapping[str, Kind] | None  # of all outputs, or by output; what is not said is found out


def with_task(graph: Graph, data: Iterable[Data | None], kind: Kinds = None) -> Graph:
    """The graph with the task of each output decided.

    :param data: all data that will be used; their labels must agree.
    :param kind: the tasks, where they are not to be found out.
    :raises UserError: when the labels, or the network, do not fit.
    """
    given = kind if isinstance(kind, Mapping) else {} if kind is None else dict.fromkeys(graph.outputs, kind)
    problems = [
        f"task: there is no output '{name}'; there are {', '.join(graph.outputs)}"
        for name in given
        if name not in graph.outputs
    ]
    kinds: dict[str, TaskKind] = {}
    for name, one in given.items():
        try:
            kinds[name] = TaskKind(one)
        except ValueError:
            problems.append(f"task: must be one of {', '.join(known.value for known in TaskKind)}, not '{one}'")
    if problems:
        raise UserError(problems)
    return replace(graph, decided=_read_tasks(graph.interfaces, data, kinds, {}))


def task_lines(graph: Graph, test: Data | None) -> list[str]:
    """Return one line per output with its task, and its measure on the test data; several outputs are named."""
    labels = {} if test is None else test.labels(graph.outputs)
    lines = []
    for name, interface in graph.interfaces.items():
        text = described(graph.tasks[name], interface, None if test is None else name in labels)
        lines.append(text if len(graph.outputs) == 1 else f"'{name}': {text}")
    return lines


def tasks_with(model: QuantizedGraph, data: Data) -> dict[str, Task]:
    """The task of each output with the labels of other data, read as the model's own labels were, where they fit.

    :raises UserError: when they fit no reading.
    """
    labelled = data.labels(model.outputs)
    # A model that decides nothing by itself, quantized without labels, has not said what it is for.
    kinds = {
        name: None if task.labels is None and not task.kind.decides else task.kind for name, task in model.tasks.items()
    }
    read = _read_tasks(model.interfaces, [data], kinds, model.tasks)
    return {name: read[name] if name in labelled else task for name, task in model.tasks.items()}


def _read_tasks(
    interfaces: Mapping[str, Interface],
    data: Iterable[Data | None],
    kinds: Mapping[str, TaskKind | None],
    like: Mapping[str, Task],
) -> dict[str, Task]:
    """Return the tasks by output; raise ``UserError`` with what is wrong at any of them."""
    sets = [one for one in data if one is not None]
    tasks, problems = dict[str, Task](), list[str]()
    for name, interface in interfaces.items():
        own = [one.for_output(name, interfaces) for one in sets]
        try:
            tasks[name] = read_task(interface, own, kinds.get(name), like.get(name))
        except UserError as error:
            prefix = f"output '{name}': " if len(interfaces) > 1 else ""
            problems += [prefix + problem for problem in error.problems]
    if problems:
        raise UserError(problems)
    return tasks


def read_task(
    interface: Interface, data: Iterable[Data | None], kind: TaskKind | None = None, like: Task | None = None
) -> Task:
    """Return the task of an output with this interface.

    :param data: all data sets, with the labels of this output.
    :param like: says which of two labels is class 1, where the data holds only one of them.
    :raises UserError: when the labels, or the network, do not fit.
    """
    if kind is not None and (problem := kind_problem(interface, kind)):
        raise UserError(problem)
    labelled = [one for one in data if one is not None and one.y is not None]
    if not labelled:
        return unlabelled_task(interface, kind)
    labels = observed(labelled, interface)
    if kind is None:
        kind = _kind_of(interface, labels)
    form = _form_of(interface, labels, kind)
    between = None
    if form is LabelForm.TWO_VALUES:
        known = like.class_1_above if like else None
        between = known if known is not None and len(labels.values) < 2 else labels.between
    return Task(
        kind=kind,
        ending=interface.ending,
        threshold=threshold_of(kind, interface),
        labels=form,
        class_1_above=between,
    )


def _kind_of(interface: Interface, labels: Labels) -> TaskKind:
    """Return the kind of task that labels of this form belong to."""
    if labels.are_inputs and interface.is_autoencoder:
        return TaskKind.RECONSTRUCTION
    squashes = interface.ending in (Ending.SIGMOID, Ending.TANH)
    is_yes_or_no = are_signs(labels.values)
    if interface.channels == 1:
        two = is_yes_or_no or (len(labels.values) <= 2 and interface.ending is not Ending.LINEAR)
        return interface.deciding_kind if two or _are_too_many_classes(interface, labels) else TaskKind.REGRESSION
    if labels.is_per_position or labels.row_form is not None:
        return interface.choosing_kind
    if interface.ending is Ending.SOFTMAX and is_yes_or_no:
        return interface.choosing_kind  # which refuses several ones in a row
    if is_yes_or_no or (squashes and len(labels.values) <= 2):
        return TaskKind.SEVERAL_LABELS
    return TaskKind.REGRESSION


def _are_too_many_classes(interface: Interface, labels: Labels) -> bool:
    """Return whether the labels of a single sigmoid are numbers of classes, of which it can distinguish only two."""
    return interface.ending is Ending.SIGMOID and labels.is_whole


def _form_of(interface: Interface, labels: Labels, kind: TaskKind) -> LabelForm:
    """Return how labels are read for a task; raise ``UserError`` when they do not fit it."""
    if not kind.decides:
        if labels.is_per_position and interface.channels > 1:
            raise UserError(f"{kind.value} needs a label for each of the {interface.channels} outputs, not one for all")
        if labels.is_constant:
            raise UserError(
                f"{kind.value} is measured by r², which says nothing about labels that are all the same; give data in "
                "which they differ, or none"
            )
        return LabelForm.NUMBERS
    if threshold_of(kind, interface) is not None:
        return _form_of_yes_or_no(interface, labels, kind)
    if not labels.is_per_position:
        if labels.row_form is None:
            raise UserError(
                f"{kind.value} needs one class for each label, but the {interface.channels} columns of the labels are "
                "neither one-hot nor probabilities; say --task several_labels or --task regression if they are meant so"
            )
        return labels.row_form
    _check_class_numbers(interface, labels)
    return LabelForm.CLASS_NUMBERS


def _form_of_yes_or_no(interface: Interface, labels: Labels, kind: TaskKind) -> LabelForm:
    if labels.is_per_position and interface.channels > 1:
        raise UserError(f"{kind.value} needs a label for each of the {interface.channels} outputs, not one for all")
    if len(labels.values) >= MANY:
        raise UserError(
            f"{kind.value} with a {interface.ending.value} output tells two values of labels apart, but the labels "
            f"have more, from {labels.low:g} to {labels.high:g}; say --task regression if they are the wanted outputs"
        )
    return LabelForm.TWO_VALUES


def _check_class_numbers(interface: Interface, labels: Labels) -> None:
    count = interface.channels
    last = count - 1
    if not labels.is_whole:
        raise UserError(
            f"one label for {count} outputs must be the number of an output, 0 to {last}, but some are no whole numbers"
        )
    if labels.low >= 1 and labels.high == count:
        raise UserError(
            f"labels start at 1: they are {labels.low:g} to {labels.high:g}, but the {count} outputs are numbered "
            f"0 to {last}; subtract 1 from the labels"
        )
    if labels.low < 0 or labels.high > last:
        raise UserError(
            f"a label must be the number of an output, 0 to {last}, but the labels are {labels.low:g} to "
            f"{labels.high:g}: use a model with an output for each class, or other labels"
        )
