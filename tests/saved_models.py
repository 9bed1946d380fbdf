"""Writes SavedModel folders of Keras 2: what the reader reads of them, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dnn2fpga.read.saved_model import ATTRIBUTES, DATA, INDEX, METADATA
from dnn2fpga.read.sstable import MAGIC, masked_crc


def varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def field(number: int, value: int | bytes) -> bytes:
    """A field of a message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def block(entries: Mapping[bytes, bytes]) -> bytes:
    """A block of a table, its checksum included."""
    content = b"".join(varint(0) + varint(len(k)) + varint(len(v)) + k + v for k, v in sorted(entries.items()))
    content += bytes(4) + (1).to_bytes(4, "little")
    return content + bytes(1) + masked_crc(content + bytes(1)).to_bytes(4, "little")


def table(entries: Mapping[bytes, bytes]) -> bytes:
    """A sorted table with one block of data."""
    data, nothing = block(entries), block({})
    handles = [varint(0) + varint(len(data) - 5), varint(len(data)) + varint(len(nothing) - 5)]
    index = block({max(entries) + b"\xff": handles[0]})
    handles.append(varint(len(data) + len(nothing)) + varint(len(index) - 5))
    return data + nothing + index + (handles[1] + handles[2]).ljust(40, b"\0") + MAGIC


def entry(array: np.ndarray, offset: int, **changed: Any) -> bytes:
    """What the index says about an array.

    :param changed: ``kind``, ``shape``, ``shard``, ``size`` and ``further`` bytes, where they are to be other ones.
    """
    kind = changed.get("kind", {"f4": 1, "f8": 2, "i8": 9}[array.dtype.str[1:]])
    shape = b"".join(field(2, field(1, extent)) for extent in changed.get("shape", array.shape))
    place = field(3, changed.get("shard", 0)) + field(4, offset) + field(5, changed.get("size", array.nbytes))
    return field(1, kind) + field(2, shape) + place + bytes(changed.get("further", b""))


def save(
    folder: Path,
    config: Any,
    names: Mapping[str, str],
    arrays: Mapping[str, np.ndarray],
    header: bytes = b"",
    **changed: Any,
) -> Path:
    """Write a folder.

    :param config: of the model.
    :param names: of layers, by path, such as ``layer_with_weights-0``.
    :param arrays: by path and own name.
    :param changed: see `entry`.
    """
    (folder / "variables").mkdir(parents=True)
    objects = {"root": config, **{f"root.{path.replace('/', '.')}": {"name": name} for path, name in names.items()}}
    nodes = (field(3, path.encode()) + field(5, json.dumps(value).encode()) for path, value in objects.items())
    (folder / METADATA).write_bytes(b"".join(field(1, node) for node in nodes))
    entries, content = {b"": header or field(1, 1)}, b""
    for path, array in arrays.items():
        entries[f"{path}{ATTRIBUTES}".encode()] = entry(array, len(content), **changed)
        content += array.tobytes()
    (folder / INDEX).write_bytes(table(entries))
    (folder / DATA.format(0, 1)).write_bytes(content)
    return folder
