"""Data sets from files: ``.npz`` with ``x`` and, where labels are needed, ``y``; or ``.npy`` with inputs alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dnn2fpga.array_files import UnreadableArrays, read_arrays
from dnn2fpga.errors import UserError
from dnn2fpga.graph import Shape


@dataclass(frozen=True)
class Data:
    """``x [samples, *shape]`` real numbers, ``y`` labels (class numbers or one-hot), or None."""

    x: np.ndarray
    y: np.ndarray | None

    def __len__(self) -> int:
        return len(self.x)

    def first(self, count: int | None) -> Data:
        return self if count is None else Data(self.x[:count], None if self.y is None else self.y[:count])

    @property
    def classes(self) -> np.ndarray | None:
        """Class numbers ``[samples]``, when the labels are classes."""
        if self.y is None:
            return None
        if self.y.ndim == 2 and self.y.shape[1] > 1:
            return self.y.argmax(axis=1)
        flat = self.y.reshape(len(self.y), -1)
        return flat[:, 0].astype(np.int64) if flat.shape[1] == 1 and (flat == np.floor(flat)).all() else None


def load_data(path: Path | str, shape: Shape, x_name: str = "x", y_name: str = "y") -> Data:
    """Reads and checks a data file for a model with inputs of ``shape``; raises ``UserError`` with all problems."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: there is no such data file")
    try:
        arrays = read_arrays(path)
    except UnreadableArrays as error:
        raise UserError(f"{path}: cannot be read as an .npz or .npy file of numbers: {error}") from error
    if "" in arrays:  # an .npy file
        arrays = {x_name: arrays[""]}
    if x_name not in arrays:
        raise UserError(
            f"{path}: holds no array '{x_name}', but {', '.join(sorted(arrays)) or 'nothing'}; name the inputs with --x"
        )
    x, y = arrays[x_name], arrays.get(y_name)
    if problems := [f"{path}: {problem}" for problem in data_problems(x, y, shape)]:
        raise UserError(problems)
    return Data(x, y)


def data_problems(x: np.ndarray, y: np.ndarray | None, shape: Shape) -> list[str]:
    """What is wrong with inputs and labels for a model with inputs of ``shape``."""
    if x.dtype.kind not in "fiub":
        return [f"the inputs must be numbers, not {x.dtype}"]
    if x.ndim == 0:
        return ["the inputs must be an array of samples, not a single number"]
    problems = []
    if x.shape[1:] != tuple(shape):
        problems.append(f"the model takes inputs of shape {tuple(shape)}, the data has samples of shape {x.shape[1:]}")
    if len(x) == 0:
        problems.append("holds no samples; at least one is needed")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        problems.append("the inputs hold NaN or infinite values")
    if y is None:
        return problems
    if y.dtype.kind not in "fiub":
        problems.append(f"the labels must be numbers, not {y.dtype}")
    if y.shape[:1] != x.shape[:1]:
        problems.append(f"there are {len(x)} inputs but {len(y) if y.ndim else 'no'} labels")
    return problems


def accuracy(outputs: np.ndarray, data: Data) -> float | None:
    """The fraction of samples whose decision equals the label; None without class labels."""
    classes = data.classes
    if classes is None:
        return None
    flat = outputs.reshape(len(outputs), -1)
    if flat.shape[1] == 1:  # one output: a probability
        return float(((flat[:, 0] > 0.5) == (classes > 0)).mean())
    return float((flat.argmax(axis=1) == classes).mean())
