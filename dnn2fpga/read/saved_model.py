"""Opens a SavedModel folder of Keras 2: the configuration in ``keras_metadata.pb``, and the arrays in the checkpoint of
``variables``. ``saved_model.pb``, which holds TensorFlow's operations, is not even opened.

``keras_metadata.pb`` is a message ``SavedMetadata``: for each object its path, such as ``root.layer_with_weights-0``,
and its configuration in JSON. ``variables.index`` is a table of messages ``BundleEntryProto``: the type, the shape, and
the place in ``variables.data-*`` of an array whose key is the path of its object and its own name.

Source: ``keras/protobuf/saved_metadata.proto``, ``tensorflow/core/protobuf/tensor_bundle.proto``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dnn2fpga.errors import UserError, damage_reported
from dnn2fpga.read import sstable
from dnn2fpga.read.limits import LARGEST_CONFIG, MOST_LAYERS
from dnn2fpga.read.protobuf import Message
from dnn2fpga.tensors.basics import Shape, Unsupported

METADATA, INDEX = "keras_metadata.pb", "variables/variables.index"
DATA = "variables/variables.data-{:05d}-of-{:05d}"
LARGEST_METADATA, LARGEST_INDEX = 4 * LARGEST_CONFIG, 2**20  # bytes; the index of 1,000 layers has some 500 kB
MOST_OBJECTS = 16 * MOST_LAYERS  # layers, and what they keep
ATTRIBUTES = "/.ATTRIBUTES/VARIABLE_VALUE"  # the end of the key of an array
TYPES = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8", 19: "<f2"}  # tensorflow/core/framework/types.proto
_WEIGHTED = re.compile(r"root((?:\.layer_with_weights-\d{1,6})+)")


@dataclass(frozen=True)
class Checkpoint:
    """The arrays of a SavedModel, as groups of which each has the attribute ``name``: that of its layer.

    :param entries: messages about arrays, by key.
    :param names: of layers, by path.
    """

    folder: Path
    shards: int
    entries: dict[str, memoryview]
    names: dict[str, str]

    def members(self, *path: str) -> list[str] | None:
        """Names in a group; None where there is no such group."""
        return self._members.get("/".join(path))

    @cached_property
    def _members(self) -> dict[str, list[str]]:
        found: dict[str, dict[str, None]] = {}
        for key in self.entries:
            *parts, last = key.removesuffix(ATTRIBUTES).split("/")
            for k, name in enumerate([*parts, last]):
                found.setdefault("/".join(parts[:k]), {})[name] = None
        return {path: list(names) for path, names in found.items()}

    def texts(self, attribute: str, *path: str) -> list[str] | None:
        """The name of a group's layer, as a list; None where it has none."""
        name = self.names.get("/".join(path)) if attribute == "name" else None
        return None if name is None else [name]

    def array(self, shape: Shape, *path: str) -> np.ndarray:
        """The array at ``path``, which must have ``shape``.

        :raises Unsupported: when there is none, or one of another shape or kind.
        """
        key = "/".join(path) + ATTRIBUTES
        if key not in self.entries:
            raise Unsupported(f"is missing ({'/'.join(path)})")
        with damage_reported(f"{self.folder / INDEX}: is damaged; copy or save it again", Unsupported):
            return self._read(Message.of(self.entries[key]), shape)

    def _read(self, entry: Message, shape: Shape) -> np.ndarray:
        kind = TYPES.get(entry.integer(1))
        if kind is None or entry.has(7):
            raise Unsupported("is no whole array of numbers of at most 64 bits")
        stored = tuple(axis.integer(1) for axis in entry.message(2).messages(2, 16))
        if stored != shape:
            raise Unsupported(f"has shape {stored} in the file; the configuration says {shape}")
        shard, offset, size = (entry.integer(number) for number in (3, 4, 5))
        if size != math.prod(shape) * np.dtype(kind).itemsize or not 0 <= shard < self.shards:
            raise Unsupported(f"is said to have {size:,} bytes in part {shard}, which does not suit its shape")
        with _opened(self.folder / DATA.format(shard, self.shards)) as file:
            there = file.seek(0, 2)
            if offset < 0 or offset + size > there:
                raise Unsupported(f"lies outside of the file (bytes {offset:,} to {offset + size:,} of {there:,})")
            file.seek(offset)
            return np.frombuffer(file.read(size), kind).reshape(shape)


def is_saved_model(folder: Path) -> bool:
    """Whether a folder is a SavedModel of Keras 2."""
    return (folder / METADATA).is_file()


def open_saved_model(folder: Path) -> tuple[str, Checkpoint]:
    """Return the configuration of its model in JSON, and its arrays.

    :raises UserError: when it is damaged, too large, or no model of Keras.
    """
    objects = _objects(folder / METADATA)
    if "root" not in objects:
        raise UserError(f"{folder / METADATA}: describes no model; save it again with model.save('name.h5')")
    names = {}
    for path, text in objects.items():
        if found := _WEIGHTED.fullmatch(path):
            with damage_reported(f"{folder / METADATA}: the configuration of '{path[:60]}' is not valid JSON"):
                names[found[1].removeprefix(".").replace(".", "/")] = str(json.loads(text)["name"])
    return objects["root"], _checkpoint(folder, names)


def without_tuples(value: Any) -> Any:
    """Return a configuration in which tuples, which Keras 2 writes as objects here, are lists."""
    if isinstance(value, dict):
        items = value.get("items")
        if value.get("class_name") in ("__tuple__", "TensorShape") and isinstance(items, list):
            return [without_tuples(item) for item in items]
        return {key: without_tuples(item) for key, item in value.items()}
    return [without_tuples(item) for item in value] if isinstance(value, list) else value


def _objects(path: Path) -> dict[str, str]:
    """The configurations in JSON, by the paths of the objects."""
    damaged = f"{path}: is damaged; copy or save it again"
    content = _content(path, LARGEST_METADATA)
    with damage_reported(damaged):
        nodes = Message.of(content).messages(1, MOST_OBJECTS)
        return {node.text(3): bytes(node.bytes_of(5)).decode() for node in nodes}


def _checkpoint(folder: Path, names: dict[str, str]) -> Checkpoint:
    content = _content(folder / INDEX, LARGEST_INDEX)
    with damage_reported(f"{folder / INDEX}: is damaged; copy or save it again"):
        entries = sstable.entries(content)
        header = Message.of(entries.pop("", memoryview(b"")))
        if header.integer(2):
            raise UserError(f"{folder / INDEX}: its numbers are big-endian, which is not supported")
        return Checkpoint(folder, header.integer(1), entries, names)


def _content(path: Path, largest: int) -> memoryview:
    with _opened(path) as file:
        content = file.read(largest + 1)
    if len(content) > largest:
        raise UserError(f"{path}: is larger than {largest:,} bytes")
    return memoryview(content)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    if path.is_symlink() or path.parent.is_symlink():
        raise UserError(f"{path}: is a link to somewhere else, which is never followed")
    if not path.is_file():
        raise UserError(f"{path}: there is no such file; copy the whole folder of the SavedModel")
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
