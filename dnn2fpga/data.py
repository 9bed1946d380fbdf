"""Data sets from files: ``.npz`` with ``x`` and, where labels are needed, ``y``; ``.npy`` with inputs alone; or, for
data larger than memory, a folder with ``x.npy`` (and ``y.npy``), which stays on disk and is read batch by batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from dnn2fpga.array_files import UnreadableArrays, mapped_array, read_arrays
from dnn2fpga.errors import UserError
from dnn2fpga.graph import Shape


@dataclass(frozen=True)
class Data:
    """``x [samples, *shape]`` real numbers, ``y`` labels, or None: class numbers, one-hot (or
    probabilities), or other numbers to be met.
    """

    x: np.ndarray
    y: np.ndarray | None

    def __len__(self) -> int:
        return len(self.x)

    def first(self, count: int | None) -> Data:
        return self if count is None else Data(self.x[:count], None if self.y is None else self.y[:count])

    @property
    def targets(self) -> np.ndarray:
        """What a network is to give: class numbers, or the numbers themselves; raises ``ValueError`` without labels."""
        if self.y is None:
            raise ValueError("the data has no labels")
        return self.y if self.classes is None else self.classes

    @cached_property
    def classes(self) -> np.ndarray | None:
        """Class numbers ``[samples]``, when the labels are classes."""
        if self.y is None:
            return None
        if self.y.ndim == 2 and self.y.shape[1] > 1:
            one_hot = (self.y >= 0).all() and np.allclose(self.y.sum(axis=1), 1, rtol=0, atol=1e-3)
            return self.y.argmax(axis=1) if one_hot else None
        flat = self.y.reshape(len(self.y), -1)
        return flat[:, 0].astype(np.int64) if flat.shape[1] == 1 and (flat == np.floor(flat)).all() else None


def load_data(path: Path | str, shape: Shape, x_name: str = "x", y_name: str = "y") -> Data:
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
    x, y = arrays[x_name], arrays.get(y_name)
    if problems := [f"{path}: {problem}" for problem in data_problems(x, y, shape)]:
        raise UserError(problems)
    return Data(x, y)


def _mapped(folder: Path) -> dict[str, np.ndarray]:
    """The ``.npy`` files of a folder by name, left on disk."""
    return {file.stem: mapped_array(file) for file in sorted(folder.glob("*.npy"))}


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
    if x.dtype.kind == "f" and not all(np.isfinite(x[k : k + 4096]).all() for k in range(0, len(x), 4096)):
        problems.append("the inputs hold NaN or infinite values")
    if y is None:
        return problems
    if y.dtype.kind not in "fiub":
        problems.append(f"the labels must be numbers, not {y.dtype}")
    if y.shape[:1] != x.shape[:1]:
        problems.append(f"there are {len(x)} inputs but {len(y) if y.ndim else 'no'} labels")
    return problems


@dataclass(frozen=True)
class Score:
    """How good outputs are; larger is better, 1 is perfect."""

    measure: str  # accuracy; agreement (with the float model's decisions); r2 (1 - error / variance of the targets)
    value: float

    def __str__(self) -> str:
        return f"{self.value:.2%}" if self.measure != "r2" else f"{self.value:.4f}"


def accuracy(outputs: np.ndarray, data: Data) -> float | None:
    """The fraction of samples whose decision equals the label; None without class labels."""
    if data.classes is None:
        return None
    return float((decisions(outputs) == (data.classes > 0 if _flat(outputs).shape[1] == 1 else data.classes)).mean())


def score(outputs: np.ndarray, data: Data, reference: np.ndarray) -> Score:
    """Accuracy where the labels are classes, r2 where they are other numbers, and without labels the agreement with
    the outputs of the float model (r2 towards them, where an output is no decision).
    """
    if (right := accuracy(outputs, data)) is not None:
        return Score("accuracy", right)
    if data.y is not None:
        return Score("r2", _r2(outputs, data.y))
    if _flat(outputs).shape[1] == 1:
        return Score("r2", _r2(outputs, reference))
    return Score("agreement", float((decisions(outputs) == decisions(reference)).mean()))


def decisions(outputs: np.ndarray) -> np.ndarray:
    """The class of each sample: the largest output, or whether the only one, a probability, is above one half."""
    flat = _flat(outputs)
    return flat[:, 0] > 0.5 if flat.shape[1] == 1 else flat.argmax(axis=1)


def _flat(outputs: np.ndarray) -> np.ndarray:
    return outputs.reshape(len(outputs), -1)


def _r2(outputs: np.ndarray, targets: np.ndarray) -> float:
    wanted = _flat(np.asarray(targets, np.float64))
    variance = float(np.square(wanted - wanted.mean(axis=0)).sum())
    return 1 - float(np.square(_flat(outputs) - wanted).sum()) / max(variance, 1e-30)
