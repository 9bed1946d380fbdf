"""Finds the arrays of the layers of a Keras model in its file.

``.keras`` keeps them by class and number, ``layers/dense_1/vars/0`` (Keras 2.12 and 2.13 wrote another first word), and
those of a model inside in the same way below it, ``layers/functional/layers/dense/vars/0``. ``.h5`` keeps them by the
name of the layer, ``model_weights/<layer>``, with a list of paths; a model inside has one list for all that is in it.
In both, the arrays of a layer lie in Keras' order.
"""

from __future__ import annotations

import re
from collections.abc import Collection

import numpy as np

from dnn2fpga.read.container import Layout, ModelFile
from dnn2fpga.read.hdf5 import Hdf5
from dnn2fpga.read.keras_config import Architecture, LayerEntry, Path
from dnn2fpga.tensors.basics import Shape, Unsupported

_CONTAINERS = ("layers", "_layer_checkpoint_dependencies")

ArrayPath = tuple[str, ...]


def paths_of_arrays(
    file: ModelFile, architecture: Architecture, layers: Collection[Path]
) -> dict[Path, list[ArrayPath]]:
    """Find the arrays of layers, in Keras' order.

    :param layers: those that have arrays.
    """
    find = _by_name if file.layout is Layout.H5 else _by_number
    return find(file.arrays, architecture, layers, ())


def read_arrays(file: Hdf5, paths: list[ArrayPath], shapes: dict[str, Shape]) -> dict[str, np.ndarray]:
    """Read the arrays of one layer by name.

    :raises Unsupported: when they are not those that ``shapes`` declares; the message begins with a verb.
    """
    if len(paths) != len(shapes):
        hint = "" if paths else "; Keras loses those of a layer that is in two models: save it as .h5"
        raise Unsupported(
            f"has {len(paths)} arrays in the file; its configuration declares {len(shapes)} ({', '.join(shapes)}){hint}"
        )
    arrays = {}
    for path, (name, shape) in zip(paths, shapes.items(), strict=True):
        try:
            arrays[name] = file.array(shape, *path)
        except Unsupported as reason:
            raise Unsupported(f"its {name} {reason}") from reason
    return arrays


# In .keras files


def _by_number(
    arrays: Hdf5, architecture: Architecture, layers: Collection[Path], where: ArrayPath
) -> dict[Path, list[ArrayPath]]:
    """The arrays of a model whose group is ``where``."""
    members = arrays.members(*where) or ()
    folder = (*where, next((name for name in _CONTAINERS if name in members), _CONTAINERS[0]))
    groups = arrays.members(*folder) or []
    counts = {name: len(arrays.members(*folder, name, "vars") or ()) for name in groups}
    filled = [name for name in groups if counts[name]]
    found: dict[Path, list[ArrayPath]] = {}
    for entry, group in _paired(arrays, folder, [e for e in architecture.layers if e.path in layers], filled):
        found[entry.path] = [(*folder, group, "vars", str(k)) for k in range(counts[group])]
    for entry, group in _paired(arrays, folder, [e for e in architecture.layers if e.model], groups):
        if entry.model:
            found |= _by_number(arrays, entry.model, layers, (*folder, group))
    return found


def _paired(
    arrays: Hdf5, folder: ArrayPath, entries: list[LayerEntry], groups: list[str]
) -> list[tuple[LayerEntry, str]]:
    """The group of each layer: of those of its class, the one with its name (Keras 3), or that of its number."""
    pairs: list[tuple[LayerEntry, str]] = []
    for class_name in dict.fromkeys(entry.class_name for entry in entries):
        of_class = [entry for entry in entries if entry.class_name == class_name]
        numbered = _numbered(groups, snake_case(class_name))
        names = [arrays.texts("name", *folder, group, "vars") for group in numbered]
        if all(names):
            by_name = {name[0]: group for name, group in zip(names, numbered, strict=True) if name}
            pairs += [(entry, by_name[entry.name]) for entry in of_class if entry.name in by_name]
        else:
            pairs += zip(of_class, numbered, strict=False)
    return pairs


def _numbered(groups: list[str], stem: str) -> list[str]:
    """``dense``, ``dense_1``, ``dense_2``, … by their numbers."""
    found = ((re.fullmatch(rf"{stem}(?:_(\d{{1,9}}))?", group), group) for group in groups)
    return [group for _, group in sorted((int(match[1] or 0), group) for match, group in found if match)]


def snake_case(class_name: str) -> str:
    """Return the form in which Keras writes a class's name in paths: ``SeparableConv2D`` → ``separable_conv2d``."""
    split = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", class_name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", split).lower()


# In .h5 files


def _by_name(
    arrays: Hdf5, architecture: Architecture, layers: Collection[Path], where: ArrayPath
) -> dict[Path, list[ArrayPath]]:
    found: dict[Path, list[ArrayPath]] = {}
    for entry in architecture.layers:
        inside = [e.path for e in entry.model.everything() if e.path in layers] if entry.model else []
        if entry.path not in layers and not inside:
            continue
        group = ("model_weights", *where, *entry.name.split("/"))
        names = _names(arrays, group)
        if entry.path in layers:
            found[entry.path] = [(*group, *name.split("/")) for name in names]
        scopes = {name: name.rpartition("/")[0] for name in names}
        for path in inside:
            scope = _scope_of(path, set(scopes.values()))
            found[path] = [(*group, *name.split("/")) for name in names if scopes[name] == scope]
    return found


def _names(arrays: Hdf5, group: ArrayPath) -> list[str]:
    """The list of paths; a long one is in several attributes."""
    names = arrays.texts("weight_names", *group)
    if names is not None:
        return names
    names, parts = [], 0
    while (part := arrays.texts(f"weight_names{parts}", *group)) is not None:
        names, parts = names + part, parts + 1
    return names


def _scope_of(path: Path, scopes: set[str]) -> str | None:
    """Return the scope that has the arrays of a layer in a model inside: ``d`` or ``…/d``; where several are called so,
    the one that also has the names of the models around it.
    """
    for start in range(len(path)):
        named = "/".join(path[start:])
        fitting = [scope for scope in scopes if scope == named or scope.endswith(f"/{named}")]
        if named in fitting:
            return named
        if len(fitting) == 1:
            return fitting[0]
    return None
