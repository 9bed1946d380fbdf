"""Finds the arrays of the layers of a Keras model in its file.

``.keras`` keeps them by class and number, ``layers/dense_1/vars/0`` (Keras 2.12 and 2.13 wrote another first word), and
those of a model inside in the same way below it, ``layers/functional/layers/dense/vars/0``. ``.h5`` keeps them by the
name of the layer, ``model_weights/<layer>``, with a list of paths; a model inside has one list for all that is in it.

A layer declares its arrays by name, in Keras' order. Those of an object inside it have that object's name before their
own, as in ``batchnorm/gamma``: ``.keras`` keeps them in a group of their own, ``layers/<layer>/batchnorm/vars/0``.

A SavedModel keeps them by the path of the object that they belong to, ``layer_with_weights-0/kernel``.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from dnn2fpga.read.array_file import ArrayFile
from dnn2fpga.read.container import CONTAINERS, Layout, ModelFile
from dnn2fpga.read.keras_config import Architecture, LayerEntry, Path
from dnn2fpga.tensors.basics import Shape, Unsupported

ArrayPath = tuple[str, ...]


class Stored(ABC):
    """The place of the arrays of one layer."""

    @abstractmethod
    def paths(self, names: Collection[str], further: int) -> dict[str, ArrayPath]:
        """Return where the arrays are that a layer declares.

        :param further: how many more may be there; they mean nothing at inference.
        :raises Unsupported: when the file has more, or fewer.
        """


@dataclass(frozen=True)
class _Nowhere(Stored):
    def paths(self, names: Collection[str], further: int) -> dict[str, ArrayPath]:
        raise _wrong_count(0, names)


NOWHERE: Stored = _Nowhere()


@dataclass(frozen=True)
class _Numbered(Stored):
    """In order, in ``vars`` of the layer's group."""

    arrays: ArrayFile
    group: ArrayPath

    def paths(self, names: Collection[str], further: int) -> dict[str, ArrayPath]:
        found: dict[str, ArrayPath] = {}
        for inside in dict.fromkeys(name.rpartition("/")[0] for name in names):
            of_group = [name for name in names if name.rpartition("/")[0] == inside]
            folder = (*self.group, *filter(None, inside.split("/")), "vars")
            count = sum(member.isdecimal() for member in self.arrays.members(*folder) or ())
            if not len(of_group) <= count <= len(of_group) + (0 if inside else further):
                raise _wrong_count(count, of_group)
            found |= {name: (*folder, str(k)) for k, name in enumerate(of_group)}
        return found


@dataclass(frozen=True)
class _Listed(Stored):
    """At the paths of a list, the last part of which is the array's name, or else in order."""

    group: ArrayPath
    listed: list[str]

    def paths(self, names: Collection[str], further: int) -> dict[str, ArrayPath]:
        if not len(names) <= len(self.listed) <= len(names) + further:
            raise _wrong_count(len(self.listed), names)
        by_name = {path.rpartition("/")[2].partition(":")[0]: path for path in self.listed}
        own = [name.rpartition("/")[2] for name in names]
        told = len(by_name) == len(self.listed) and set(own) <= set(by_name)
        chosen = [by_name[name] for name in own] if told else self.listed
        return {name: (*self.group, *path.split("/")) for name, path in zip(names, chosen, strict=False)}


@dataclass(frozen=True)
class _Named(Stored):
    """By name, in the layer's group."""

    arrays: ArrayFile
    group: ArrayPath

    def paths(self, names: Collection[str], further: int) -> dict[str, ArrayPath]:
        return {name: (*self.group, *self._found(name).split("/")) for name in names}

    def _found(self, name: str) -> str:
        """Return the kernel, which is called ``depthwise_kernel`` there."""
        there = self.arrays.members(*self.group) or []
        longer = [one for one in there if one.endswith(f"_{name}")]
        return longer[0] if name not in there and len(longer) == 1 else name


def _wrong_count(found: int, declared: Collection[str]) -> Unsupported:
    hint = "" if found else "; Keras loses those of a layer that is in two models: save it as .h5"
    return Unsupported(
        f"has {found} arrays in the file; its configuration declares {len(declared)} ({', '.join(declared)}){hint}"
    )


def stored_arrays(file: ModelFile, architecture: Architecture, layers: Collection[Path]) -> Mapping[Path, Stored]:
    """Find the arrays of layers.

    :param layers: those that have arrays.
    """
    return _FINDERS[file.layout](file.arrays, architecture, layers, file.root)


def read_arrays(
    file: ArrayFile, stored: Stored, shapes: Mapping[str, Shape | None], further: int = 0
) -> dict[str, np.ndarray]:
    """Read the arrays of one layer by name.

    :param shapes: of all of them; None for one that is not read.
    :param further: see `Stored.paths`.
    :raises Unsupported: when they are not those that ``shapes`` declares; the message begins with a verb.
    """
    paths = stored.paths(shapes, further) if shapes else {}
    arrays = {}
    for name, shape in shapes.items():
        if shape is None:
            continue
        try:
            arrays[name] = file.array(shape, *paths[name])
        except Unsupported as reason:
            raise Unsupported(f"its {name} {reason}") from reason
    return arrays


# In .keras files


def _by_number(
    arrays: ArrayFile, architecture: Architecture, layers: Collection[Path], where: ArrayPath
) -> dict[Path, Stored]:
    """The arrays of a model whose group is ``where``."""
    members = arrays.members(*where) or ()
    folder = (*where, next((name for name in CONTAINERS if name in members), CONTAINERS[0]))
    groups = arrays.members(*folder) or []
    filled = {group for group in groups if arrays.members(*folder, group, "vars")}
    found: dict[Path, Stored] = {}
    for entry, group in _paired(arrays, folder, [e for e in architecture.layers if e.path in layers], groups, filled):
        found[entry.path] = _Numbered(arrays, (*folder, group))
    for entry, group in _paired(arrays, folder, [e for e in architecture.layers if e.model], groups, groups):
        if entry.model:
            found |= _by_number(arrays, entry.model, layers, (*folder, group))
    return found


def _paired(
    arrays: ArrayFile, folder: ArrayPath, entries: list[LayerEntry], groups: list[str], counted: Collection[str]
) -> list[tuple[LayerEntry, str]]:
    """The group of each layer: of those of its class, the one with its name (Keras 3), or that of its number.

    :param counted: the groups that have a number where there are no names.
    """
    pairs: list[tuple[LayerEntry, str]] = []
    for class_name in dict.fromkeys(entry.class_name for entry in entries):
        of_class = [entry for entry in entries if entry.class_name == class_name]
        numbered = _numbered(groups, snake_case(class_name))
        names = [arrays.texts("name", *folder, group, "vars") for group in numbered]
        if all(names):
            by_name = {name[0]: group for name, group in zip(names, numbered, strict=True) if name}
            pairs += [(entry, by_name[entry.name]) for entry in of_class if entry.name in by_name]
        else:
            pairs += zip(of_class, (group for group in numbered if group in counted), strict=False)
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
    arrays: ArrayFile, architecture: Architecture, layers: Collection[Path], where: ArrayPath
) -> dict[Path, Stored]:
    found: dict[Path, Stored] = {}
    for entry in architecture.layers:
        inside = [e.path for e in entry.model.everything() if e.path in layers] if entry.model else []
        if entry.path not in layers and not inside:
            continue
        group = (*where, *entry.name.split("/"))
        names = _names(arrays, group)
        if entry.path in layers:
            found[entry.path] = _Listed(group, names)
        scopes = {name: name.rpartition("/")[0] for name in names}
        for path in inside:
            scope = _scope_of(path, set(scopes.values()))
            found[path] = _Listed(group, [name for name in names if scopes[name] == scope])
    return found


def _names(arrays: ArrayFile, group: ArrayPath) -> list[str]:
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


# In SavedModel folders


def _by_object(
    arrays: ArrayFile, architecture: Architecture, layers: Collection[Path], where: ArrayPath
) -> dict[Path, Stored]:
    groups = arrays.members(*where) or []
    by_name = {name: group for group in groups for name in arrays.texts("name", *where, group) or ()}
    found: dict[Path, Stored] = {}
    for entry in architecture.layers:
        group = (*where, by_name.get(entry.name, ""))
        if entry.name in by_name and entry.path in layers:
            found[entry.path] = _Named(arrays, group)
        if entry.name in by_name and entry.model:
            found |= _by_object(arrays, entry.model, layers, group)
    return found


_FINDERS = {Layout.KERAS: _by_number, Layout.H5: _by_name, Layout.SAVED_MODEL: _by_object}
