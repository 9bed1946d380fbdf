"""Decides the task of a network from its last layer, the shape of its output, and the labels of all its data.

The rules are in docs/tasks.md. Labels that fit none of them are refused with the reason, before any work starts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass

import numpy as np

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
    without_ones,
)
from dnn2fpga.task_text import described

ROWS = 4096  # of labels, looked at together
SIGNS = (frozenset({0.0, 1.0}), frozenset({-1.0, 1.0}))  # the usual values of a yes or no
NEAR_ONE = 1e-3  # probabilities are rounded numbers
MANY = 3  # distinct values; it is not asked how many more there are


def with_task(graph: Graph, data: Iterable[Data | None], kind: TaskKind | None = None) -> Graph:
    """The graph with its task decided.

    :param data: all data that will be used; their labels must agree.
    :param kind: the task, where it is not to be found out.
    :raises UserError: when the labels, or the network, do not fit.
    """
    return graph.decided_as(read_task(graph.interface, data, kind))


def task_line(graph: Graph, test: Data | None) -> str:
    """The task in one line, and the measure on the test data."""
    return described(graph.task, graph.interface, None if test is None else test.y is not None)


def task_with(model: QuantizedGraph, data: Data) -> Task:
    """The task of a model with the labels of other data, read as the model's own labels were, where they fit.

    :raises UserError: when they fit no reading.
    """
    task = model.task
    if data.y is None:
        return task
    # A model that decides nothing by itself, quantized without labels, has not said what it is for.
    is_open = task.labels is None and not task.kind.decides
    return read_task(model.interface, [data], None if is_open else task.kind, task)


def read_task(
    interface: Interface, data: Iterable[Data | None], kind: TaskKind | None = None, like: Task | None = None
) -> Task:
    """What a network with this interface is for.

    :param like: says which of two labels is class 1, where the data holds only one of them.
    :raises UserError: when the labels, or the network, do not fit.
    """
    if kind is not None and (problem := kind_problem(interface, kind)):
        raise UserError(problem)
    labelled = [one for one in data if one is not None and one.y is not None]
    if not labelled:
        return unlabelled_task(interface, kind)
    labels = _observed(labelled, interface)
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


@dataclass(frozen=True, kw_only=True)
class _Labels:
    """What all labels have in common."""

    is_per_position: bool  # one number for each position of the output; else one for each output
    low: float
    high: float
    is_whole: bool  # all are whole numbers
    values: frozenset[float]  # distinct ones, the first MANY of them
    row_form: LabelForm | None  # in which every row says which of its columns is the class
    are_inputs: bool
    is_constant: bool  # in one of the data sets, all of several are the same

    @property
    def between(self) -> float:
        """What lies between two values; one value alone is one of the usual."""
        values = self.values
        if len(values) == 1:
            values = next((usual for usual in SIGNS if values <= usual), frozenset({self.low - 1, self.low}))
        return (min(values) + max(values)) / 2


def _observed(data: list[Data], interface: Interface) -> _Labels:
    """Looks at every label; raises ``UserError`` for labels that are no numbers of this output at all."""
    is_per_position, problems = False, []
    for one in data:
        shape = one.y.shape[1:]  # type: ignore[union-attr]
        is_per_position = without_ones(shape) == interface.positions
        if not (is_per_position or _is_like_the_output(shape, interface)):
            problems.append(_wrong_shape(shape, interface))
    if problems:
        raise UserError(sorted(set(problems)))
    shapes = {without_ones(one.y.shape[1:]) for one in data}  # type: ignore[union-attr]
    if len(shapes) > 1:
        shown = " and ".join(str(one.y.shape[1:]) for one in data)  # type: ignore[union-attr]
        raise UserError(
            f"the labels of training and test data must have the same form, not shapes {shown} for a sample"
        )
    is_whole = True
    values = [set[float]() for _ in data]
    forms = [_ROW_FORMS.copy() if not is_per_position else {} for _ in data]
    ends = [(math.inf, -math.inf)] * len(data)
    for index, part in ((index, part) for index, one in enumerate(data) for part in _parts(one.y)):  # type: ignore[arg-type]
        if not np.isfinite(part).all():
            raise UserError("the labels hold NaN or infinite values")
        ends[index] = min(ends[index][0], float(part.min())), max(ends[index][1], float(part.max()))
        is_whole = is_whole and bool((part == np.floor(part)).all())
        if len(values[index]) < MANY:
            values[index] |= set(np.unique(part)[:MANY].tolist())
        rows = part.reshape(-1, interface.channels) if forms[index] else part
        forms[index] = {form: test for form, test in forms[index].items() if test(rows)}
    common = [form for form in _ROW_FORMS if all(form in found for found in forms)]
    together = set[float]().union(*values)
    if (all(forms) and not common) or (all(map(_are_signs, values)) and not _are_signs(together)):
        shown = " and ".join(f"{low:g} to {high:g}" for low, high in ends)
        raise UserError(f"the labels of training and test data must have the same form, but one set has {shown}")
    return _Labels(
        is_per_position=is_per_position,
        low=min(low for low, _ in ends),
        high=max(high for _, high in ends),
        is_whole=is_whole,
        values=frozenset(together),
        row_form=next(iter(common), None),
        are_inputs=not is_per_position and all(map(_repeats_inputs, data)),
        is_constant=any(low == high and len(one) > 1 for (low, high), one in zip(ends, data, strict=True)),
    )


def _is_like_the_output(shape: tuple[int, ...], interface: Interface) -> bool:
    """Whether there is a number for each output: in its shape, or where one of the two is flat, as many."""
    one, other = without_ones(shape), without_ones(interface.output)
    return one == other or (math.prod(one) == math.prod(other) and min(len(one), len(other)) <= 1)


def _are_signs(values: Set[float]) -> bool:
    return any(values <= usual for usual in SIGNS)


def _parts(array: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(array), ROWS):
        yield np.asarray(array[start : start + ROWS], np.float64)


def _ones_in(rows: np.ndarray, other: float) -> bool:
    return bool(np.isin(rows, (other, 1)).all() and ((rows == 1).sum(axis=1) == 1).all())


# In order: smoothed labels are probabilities, and so are one-hot ones.
_ROW_FORMS = {
    LabelForm.ONE_HOT: lambda rows: _ones_in(rows, 0),
    LabelForm.SIGNED_ONE_HOT: lambda rows: _ones_in(rows, -1),
    LabelForm.PROBABILITIES: lambda rows: bool((rows >= 0).all() and (np.abs(rows.sum(axis=1) - 1) <= NEAR_ONE).all()),
}


def _repeats_inputs(data: Data) -> bool:
    return (
        data.y is not None
        and data.x.shape == data.y.shape
        and all(np.array_equal(x, y) for x, y in zip(_parts(data.x), _parts(data.y), strict=True))
    )


def _wrong_shape(shape: tuple[int, ...], interface: Interface) -> str:
    if len(shape) == len(interface.output) and shape[:-1] == interface.output[:-1]:
        columns = "column" if shape[-1] == 1 else "columns"
        outputs = "output" if interface.channels == 1 else "outputs"
        return f"the labels have {shape[-1]} {columns}, but the model has {interface.channels} {outputs}"
    wanted = [str(interface.positions), str(interface.output)] if interface.channels > 1 else [str(interface.output)]
    return (
        f"the labels of a sample have the shape {shape}; the model's output {interface.output} needs "
        f"{' or '.join(wanted)}"
    )


def _kind_of(interface: Interface, labels: _Labels) -> TaskKind:
    """What labels of this form are given for."""
    if labels.are_inputs and interface.is_autoencoder:
        return TaskKind.RECONSTRUCTION
    squashes = interface.ending in (Ending.SIGMOID, Ending.TANH)
    is_yes_or_no = _are_signs(labels.values)
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


def _are_too_many_classes(interface: Interface, labels: _Labels) -> bool:
    """Whether the labels of a single sigmoid are numbers of classes, of which it can tell only two apart."""
    return interface.ending is Ending.SIGMOID and labels.is_whole


def _form_of(interface: Interface, labels: _Labels, kind: TaskKind) -> LabelForm:
    """How labels are read for a task; raises ``UserError`` when they do not fit it."""
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


def _form_of_yes_or_no(interface: Interface, labels: _Labels, kind: TaskKind) -> LabelForm:
    if labels.is_per_position and interface.channels > 1:
        raise UserError(f"{kind.value} needs a label for each of the {interface.channels} outputs, not one for all")
    if len(labels.values) >= MANY:
        raise UserError(
            f"{kind.value} with a {interface.ending.value} output tells two values of labels apart, but the labels "
            f"have more, from {labels.low:g} to {labels.high:g}; say --task regression if they are the wanted outputs"
        )
    return LabelForm.TWO_VALUES


def _check_class_numbers(interface: Interface, labels: _Labels) -> None:
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
