"""The labels of an output, over all of its data sets: shape, values, and the form of their rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass

import numpy as np

from dnn2fpga.data import ROWS, Data
from dnn2fpga.errors import UserError
from dnn2fpga.task import Interface, LabelForm, without_ones

SIGNS = (frozenset({0.0, 1.0}), frozenset({-1.0, 1.0}))  # the usual values of a yes or no
NEAR_ONE = 1e-3  # probabilities are rounded numbers
MANY = 3  # distinct values; it is not asked how many more there are


@dataclass(frozen=True, kw_only=True)
class Labels:
    """The properties that all labels have in common."""

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
        """The threshold between two values; one value alone is taken for one of the usual pairs."""
        values = self.values
        if len(values) == 1:
            values = next((usual for usual in SIGNS if values <= usual), frozenset({self.low - 1, self.low}))
        return (min(values) + max(values)) / 2


def observed(data: list[Data], interface: Interface) -> Labels:
    """Look at every label; raise ``UserError`` for labels that are no numbers of this output at all."""
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
    if (all(forms) and not common) or (all(map(are_signs, values)) and not are_signs(together)):
        shown = " and ".join(f"{low:g} to {high:g}" for low, high in ends)
        raise UserError(f"the labels of training and test data must have the same form, but one set has {shown}")
    return Labels(
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
    """Return whether there is a number for each output: in its shape, or where one of the two is flat, as many."""
    one, other = without_ones(shape), without_ones(interface.output)
    return one == other or (math.prod(one) == math.prod(other) and min(len(one), len(other)) <= 1)


def are_signs(values: Set[float]) -> bool:
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
    """Return whether the labels equal an input."""
    inputs = data.x.values() if isinstance(data.x, Mapping) else [data.x]
    y = np.asarray(data.y)
    return any(x.shape == y.shape and all(map(np.array_equal, _parts(x), _parts(y))) for x in inputs)


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
