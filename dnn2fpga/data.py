"""Data sets, also for networks with several inputs and outputs (docs/tasks.md, "Data").

A file is an ``.npz`` with ``x`` and, where labels are needed, ``y``; an ``.npy`` with inputs alone; or, for data larger
than memory, a folder with ``x.npy`` (and ``y.npy``), which stays on disk and is read batch by batch. Several inputs are
``x_<input>``, the labels of several outputs ``y_<output>``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from dnn2fpga.errors import UserError
from dnn2fpga.files.arrays import UnreadableArrays, mapped_array, read_arrays
from dnn2fpga.graph.ports import Values, by_name, each, or_named
from dnn2fpga.tensors.basics import Shape

LABELS = "y"  # the usual name of their array; where another was asked for, it must be there
ROWS = 4096  # looked at together


class Network(Protocol):
    """The part of a network that data depends on; the float graph and the integer graph have it."""

    @property
    def input_shapes(self) -> Mapping[str, Shape]:
        """The shape of each input, without the batch."""

    @property
    def outputs(self) -> Mapping[str, Any]:
        """The outputs by name."""


@dataclass(frozen=True)
class Data:
    """Samples for a network and, where there are some, their labels.

    :param x: real numbers ``[samples, *shape]``; for several inputs, such arrays by the name of the input.
    :param y: labels ``[samples, ...]``; for several outputs, such arrays by the name of the output, any of which may be
        missing. What labels mean depends on the network: `task_reading.read_task`.
    """

    x: Values
    y: Values | None = None

    def __len__(self) -> int:
        return len(next(iter(self.x.values())) if isinstance(self.x, Mapping) else self.x)

    def at(self, rows: np.ndarray | slice) -> Data:
        """The samples of these numbers, with all of their inputs and labels."""

        def chosen(array: np.ndarray) -> np.ndarray:
            return array[rows]

        return Data(each(self.x, chosen), None if self.y is None else each(self.y, chosen))

    def sample(self, count: int | None, seed: int = 0) -> Data:
        """``count`` samples that stand for the whole (`spread`); all of them, unchanged, where there are no more."""
        return self if count is None or count >= len(self) else self.at(spread(len(self), count, seed))

    def batches(self, size: int) -> Iterator[Data]:
        """All samples in order, ``size`` at a time."""
        return (self.at(slice(start, start + size)) for start in range(0, len(self), size))

    def inputs(self, names: Collection[str]) -> dict[str, np.ndarray]:
        """The arrays by the name of the input."""
        return by_name(self.x, names)

    def labels(self, names: Collection[str]) -> dict[str, np.ndarray]:
        """The labels by the name of the output, of outputs that have some."""
        if self.y is None:
            return {}
        given = self.y if isinstance(self.y, Mapping) else by_name(self.y, names)
        return {name: given[name] for name in names if name in given}

    def for_output(self, name: str, names: Collection[str]) -> Data:
        """The same samples with the labels of one output.

        :param names: of all outputs.
        """
        return Data(self.x, self.labels(names).get(name))

    def require(self, network: Network) -> Data:
        """Return the data itself.

        :raises UserError: when names, shapes or types do not fit the network, with everything that does not.
        """
        if problems := _problems(self, network):
            raise UserError(problems)
        return self


def spread(length: int, count: int | None, seed: int = 0) -> np.ndarray:
    """The numbers of ``count`` of ``length`` samples, one drawn from each of as many equal parts of the whole.

    Files are often sorted by class, or recorded in time: their first samples stand for nothing but themselves. The
    numbers ascend, so that a file on disk is read in order.
    """
    if count is None or count >= length:
        return np.arange(length)
    ends = np.linspace(0, length, count + 1).astype(np.int64)
    return np.random.default_rng(seed).integers(ends[:-1], ends[1:])


def load_data(path: Path | str, network: Network, x_name: str = "x", y_name: str = LABELS) -> Data:
    """Read a data file, or folder, for a network.

    :param x_name: the array of the inputs, or what the names of several begin with.
    :param y_name: the same of the labels.
    :raises UserError: with everything that is wrong.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: there is no such data file")
    try:
        arrays = _mapped(path) if path.is_dir() else read_arrays(path)
    except UnreadableArrays as error:
        raise UserError(f"{path}: cannot be read as an .npz or .npy file of numbers: {error}") from error
    if "" in arrays:  # an .npy file
        arrays = {x_name: arrays[""]}
    inputs = _Arrays(x_name, tuple(network.input_shapes), "input", "inputs")
    labels = _Arrays(y_name, tuple(network.outputs), "output", "labels")
    x, y = inputs.of(arrays), labels.of(arrays)
    held = ", ".join(sorted(arrays)) or "nothing"
    problems = [*inputs.strays(arrays), *labels.strays(arrays)]
    if len(x) < len(inputs.names):
        missing = ", ".join(f"'{inputs.key(name)}'" for name in inputs.names if name not in x)
        problems.append(f"holds no array {missing}, but {held}; name the inputs with --x")
    if not y and y_name != LABELS:
        wanted = " or ".join(f"'{labels.key(name)}'" for name in labels.names)
        problems.append(f"holds no array {wanted}, but {held}; name the labels with --y")
    if problems:
        raise UserError([f"{path}: {problem}" for problem in problems])
    data = Data(or_named(x), _as_given(y, labels.names))
    if problems := [*_problems(data, network), *_wrong_values(data, network)]:
        raise UserError([f"{path}: {problem}" for problem in problems])
    return data


def save_inputs(data: Data, network: Network, file: Path) -> None:
    """Write the inputs as an ``.npz`` that `load_data` reads."""
    names = _Arrays("x", tuple(network.input_shapes), "input", "inputs")
    inputs = data.inputs(names.names)
    np.savez_compressed(file, **{names.key(name): np.asarray(x) for name, x in inputs.items()})  # type: ignore[arg-type]


def inputs_among(arrays: Mapping[str, np.ndarray], network: Network) -> Values | None:
    """The inputs among the arrays of a file, if all are there in the shapes of the network."""
    shapes = network.input_shapes
    x = _Arrays("x", tuple(shapes), "input", "inputs").of(arrays)
    fits = len(x) == len(shapes) and all(x[name].shape[1:] == tuple(shape) for name, shape in shapes.items())
    return or_named(x) if fits else None


@dataclass(frozen=True)
class _Arrays:
    """The names of the arrays of the inputs, or of the labels, in a file.

    :param base: the name of the only one; several are ``<base>_<name>``.
    """

    base: str
    names: tuple[str, ...]
    port: str
    what: str

    def key(self, name: str) -> str:
        return self.base if len(self.names) == 1 else f"{self.base}_{name}"

    def of(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Those that are there, by the name of the input or output."""
        keys = {name: [self.key(name), f"{self.base}_{name}"] for name in self.names}
        return {name: arrays[key] for name, both in keys.items() for key in reversed(both) if key in arrays}

    def strays(self, arrays: Mapping[str, np.ndarray]) -> list[str]:
        """Problems with arrays that are called like one of several, and are none."""
        if len(self.names) == 1:
            return []
        keys = [self.key(name) for name in self.names]
        return [
            f"the array '{key}' belongs to no {self.port}: the {self.what} are called {', '.join(keys)}"
            for key in sorted(arrays)
            if (key == self.base or key.startswith(f"{self.base}_")) and key not in keys
        ]


def _as_given(y: dict[str, np.ndarray], outputs: tuple[str, ...]) -> Values | None:
    return None if not y else y[outputs[0]] if len(outputs) == 1 else y


def _mapped(folder: Path) -> dict[str, np.ndarray]:
    """The ``.npy`` files of a folder by name, left on disk."""
    return {file.stem: mapped_array(file) for file in sorted(folder.glob("*.npy"))}


# Checks of the data. Where there is only one input, or one output, messages do not name it.


def _problems(data: Data, network: Network) -> list[str]:
    """Names, shapes and types that do not fit the network."""
    shapes, outputs = network.input_shapes, tuple(network.outputs)
    try:
        x = data.inputs(shapes)
    except ValueError as reason:
        return [f"the inputs of the data do not fit the network: {reason}"]
    problems = []
    if isinstance(data.y, Mapping):
        strays = [name for name in data.y if name not in outputs]
        problems += [f"there are labels for '{name}'; the outputs are {', '.join(outputs)}" for name in strays]
    elif data.y is not None and len(outputs) > 1:
        return [f"the labels of several outputs must be given by name: {', '.join(outputs)}"]
    y = data.labels(outputs)
    first = len(data) if next(iter(x.values())).ndim else 0
    for name, array in x.items():
        prefix = f"input '{name}': " if len(shapes) > 1 else ""
        problems += [prefix + problem for problem in _wrong_input(array, tuple(shapes[name]), first)]
    for name, array in y.items():
        prefix = f"output '{name}': " if len(outputs) > 1 else ""
        problems += [prefix + problem for problem in _wrong_labels(array, first)]
    return problems


def _wrong_input(x: np.ndarray, shape: Shape, count: int) -> Iterator[str]:
    """:param count: the samples that there must be."""
    if x.dtype.kind not in "fiub":
        yield f"the inputs must be numbers, not {x.dtype}"
    elif x.ndim == 0:
        yield "the inputs must be an array of samples, not a single number"
    else:
        if x.shape[1:] != shape:
            channels_first = len(shape) == 3 and x.shape[1:] == (shape[2], *shape[:2])
            advice = "; put channels last with x.transpose(0, 2, 3, 1)" if channels_first else ""
            yield f"the model takes inputs of shape {shape}, the data has samples of shape {x.shape[1:]}{advice}"
        if len(x) == 0:
            yield "there are no samples; at least one is needed"
        elif len(x) != count:
            yield f"there are {len(x)} samples, but {count} of the first input"


def _wrong_labels(y: np.ndarray, count: int) -> Iterator[str]:
    if y.dtype.kind not in "fiub":
        yield f"the labels must be numbers, not {y.dtype}"
    if y.shape[:1] != (count,):
        yield f"there are {count} inputs but {len(y) if y.ndim else 'no'} labels"


def _wrong_values(data: Data, network: Network) -> Iterator[str]:
    """Problems that only reading all of the data can find."""
    shapes = network.input_shapes
    for name, x in data.inputs(shapes).items():
        if (
            x.dtype.kind == "f"
            and x.ndim
            and not all(_is_single(x[start : start + ROWS]) for start in range(0, len(x), ROWS))
        ):
            prefix = f"input '{name}': " if len(shapes) > 1 else ""
            yield f"{prefix}the inputs hold NaN or infinite values, in single precision at least"


def _is_single(x: np.ndarray) -> bool:
    """Return whether single precision, in which networks compute, can hold all values."""
    with np.errstate(over="ignore"):
        return bool(np.isfinite(x.astype(np.float32)).all())
