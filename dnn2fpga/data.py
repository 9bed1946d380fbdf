"""Data sets from files: ``.npz`` with ``x`` and, where labels are needed, ``y``; ``.npy`` with inputs alone; or, for
data larger than memory, a folder with ``x.npy`` (and ``y.npy``), which stays on disk and is read batch by batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dnn2fpga.errors import UserError
from dnn2fpga.files.arrays import UnreadableArrays, mapped_array, read_arrays
from dnn2fpga.tensors.basics import Shape

LABELS = "y"  # the usual name of their array; where another was asked for, it must be there


@dataclass(frozen=True)
class Data:
    """``x [samples, *shape]`` real numbers, ``y`` labels, or None. What labels mean depends on
    the network: ``task_reading.read_task``.
    """

    x: np.ndarray
    y: np.ndarray | None

    def __len__(self) -> int:
        return len(self.x)

    def sample(self, count: int | None, seed: int = 0) -> Data:
        """``count`` samples that stand for the whole (``spread``); all of them, unchanged, where there are no more."""
        return self if count is None or count >= len(self) else self.at(spread(len(self), count, seed))

    def at(self, rows: np.ndarray) -> Data:
        """The samples of these numbers."""
        return Data(self.x[rows], None if self.y is None else self.y[rows])


def spread(length: int, count: int | None, seed: int = 0) -> np.ndarray:
    """The numbers of ``count`` of ``length`` samples, one drawn from each of as many equal parts of the whole.

    Files are often sorted by class, or recorded in time: their first samples stand for nothing but themselves. The
    numbers ascend, so that a file on disk is read in order.
    """
    if count is None or count >= length:
        return np.arange(length)
    ends = np.linspace(0, length, count + 1).astype(np.int64)
    return np.random.default_rng(seed).integers(ends[:-1], ends[1:])


def load_data(path: Path | str, shape: Shape, x_name: str = "x", y_name: str = LABELS) -> Data:
    """Reads and checks a data file for a model with inputs of ``shape``; raises ``UserError`` with all problems."""
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: there is no such data file")
    try:
        arrays = _mapped(path) if path.is_dir() else read_arrays(path)
    except UnreadableArrays as error:
        raise UserError(f"{path}: cannot be read as an .npz or .npy file of numbers: {error}") from error
    if "" in arrays:  # an .npy file
        arrays = {x_name: arrays[""]}
    if x_name not in arrays:
        raise UserError(
            f"{path}: holds no array '{x_name}', but {', '.join(sorted(arrays)) or 'nothing'}; name the inputs with --x"
        )
    if y_name not in arrays and y_name != LABELS:
        raise UserError(f"{path}: holds no array '{y_name}', but {', '.join(sorted(arrays))}; name the labels with --y")
    x, y = arrays[x_name], arrays.get(y_name)
    if problems := [f"{path}: {problem}" for problem in data_problems(x, y, shape)]:
        raise UserError(problems)
    return Data(x, y)


def _mapped(folder: Path) -> dict[str, np.ndarray]:
    """The ``.npy`` files of a folder by name, left on disk."""
    return {file.stem: mapped_array(file) for file in sorted(folder.glob("*.npy"))}


def _is_single(x: np.ndarray) -> bool:
    """Whether single precision, in which networks compute, can hold all values."""
    with np.errstate(over="ignore"):
        return bool(np.isfinite(x.astype(np.float32)).all())


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
    if x.dtype.kind == "f" and not all(_is_single(x[k : k + 4096]) for k in range(0, len(x), 4096)):
        problems.append("the inputs hold NaN or infinite values, in single precision at least")
    if y is None:
        return problems
    if y.dtype.kind not in "fiub":
        problems.append(f"the labels must be numbers, not {y.dtype}")
    if y.shape[:1] != x.shape[:1]:
        problems.append(f"there are {len(x)} inputs but {len(y) if y.ndim else 'no'} labels")
    return problems
