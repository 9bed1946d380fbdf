"""Models that are objects of a training framework, in memory: each writes itself to a file with its own method, and
that is read like any other. No framework is imported here: whoever has the object has imported it.

A kind of objects is a function ``(model, folder, example) -> file``, and a line in `WRITERS`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dnn2fpga.errors import UserError, damage_reported
from dnn2fpga.graph.float import Graph
from dnn2fpga.read import front_ends
from dnn2fpga.read.builder import identifier
from dnn2fpga.read.settings import ReadSettings
from dnn2fpga.read.torch_live import write_torch

_KERAS_3 = "keras.src.models."  # the module of its Model; that of Keras 2 has others


def read_live(model: Any, settings: ReadSettings, example: Any = None) -> Graph:
    """Read a model that is an object.

    :param example: an input, which PyTorch needs to write a module.
    :raises UserError: when it is none that is supported, when its own method fails, and as `front_ends.read_model`.
    """
    described = f"an object of the class {type(model).__module__}.{type(model).__name__}"
    write = next((WRITERS[package] for package in _packages(model) if package in WRITERS), None)
    if write is None:
        raise UserError(f"{described} is no model: give the path of a model file, a Graph, a Keras or PyTorch model")
    with TemporaryDirectory(prefix="dnn2fpga-") as folder:
        path = write(model, Path(folder), example)
        try:
            return front_ends.read_model(path, settings)
        except UserError as reason:
            raise UserError([one.replace(str(path), f"model '{path.stem}'") for one in reason.problems]) from reason


def _packages(model: Any) -> list[str]:
    """The packages of its class, and of the classes that this one is made from."""
    return [base.__module__.partition(".")[0] for base in type(model).__mro__]


def _write_keras(model: Any, folder: Path, example: Any) -> Path:
    if example is not None:
        raise UserError("a Keras model knows its inputs; leave example out")
    bases = [base for base in type(model).__mro__ if base.__name__ == "Model"]
    if not bases:
        raise UserError(f"an object of the class {type(model).__name__} is no whole model; put it in a keras.Model")
    suffix = ".keras" if bases[0].__module__.startswith(_KERAS_3) else ".h5"  # which every Keras 2 writes
    path = folder / f"{identifier(model.name)}{suffix}"
    with damage_reported(f"model '{model.name}': cannot be saved by its own save method"):
        model.save(path if suffix == ".keras" else str(path))
    return path


WRITERS: dict[str, Callable[[Any, Path, Any], Path]] = {
    **dict.fromkeys(("keras", "tf_keras", "tensorflow"), _write_keras),
    "torch": write_torch,
}
