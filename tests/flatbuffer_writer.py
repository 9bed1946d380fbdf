"""Writes FlatBuffers: enough to make files that no converter would."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

ALIGNMENT = 16  # of everything but numbers


@dataclass(frozen=True)
class Number:
    """A number; ``code`` is one of `struct`."""

    code: str
    value: Any


@dataclass(frozen=True)
class Table:
    """Fields by their numbers: `Number`, `Table`, a list of tables, an array, bytes or a string."""

    fields: dict[int, Any]


def written(root: Table, signature: bytes) -> bytes:
    """Return the bytes of a file."""
    out = bytearray(4) + bytearray(signature)
    _link(out, 0, _table(out, root))
    return bytes(out)


def _link(out: bytearray, at: int, target: int) -> None:
    struct.pack_into("<I", out, at, target - at)


def _align(out: bytearray, before: int = 0) -> None:
    """Pad, so that what begins ``before`` bytes further on is aligned."""
    out.extend(bytes(-(len(out) + before) % ALIGNMENT))


def _table(out: bytearray, table: Table) -> int:
    """Append a table, and what it refers to after it; returns its position."""
    count = max(table.fields, default=-1) + 1
    places, size = [0] * count, 4
    for number, value in sorted(table.fields.items()):
        width = struct.calcsize(value.code) if isinstance(value, Number) else 4
        size += -size % width
        places[number] = size
        size += width
    _align(out)
    vtable = len(out)
    out += struct.pack(f"<{2 + count}H", 4 + 2 * count, size, *places)
    _align(out)
    at = len(out)
    out += bytes(size)
    struct.pack_into("<i", out, at, at - vtable)
    for number, value in sorted(table.fields.items()):
        place = at + places[number]
        if isinstance(value, Number):
            struct.pack_into("<" + value.code, out, place, value.value)
        else:
            _link(out, place, _reached(out, value))
    return at


def _reached(out: bytearray, value: Any) -> int:
    if isinstance(value, Table):
        return _table(out, value)
    if isinstance(value, list):
        at = _vector(out, len(value), bytes(4 * len(value)))
        for k, one in enumerate(value):
            _link(out, at + 4 + 4 * k, _table(out, one))
        return at
    if isinstance(value, str):
        return _vector(out, len(value.encode()), value.encode() + b"\0")
    if isinstance(value, bytes):
        return _vector(out, len(value), value)
    array = np.asarray(value)
    return _vector(out, array.size, array.astype(array.dtype.newbyteorder("<")).tobytes())


def _vector(out: bytearray, length: int, content: bytes) -> int:
    _align(out, before=4)
    at = len(out)
    out += struct.pack("<I", length) + content
    return at
