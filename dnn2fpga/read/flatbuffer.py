"""Reads FlatBuffers: tables of optional fields, as the specification of their binary encoding lays them out.

A table begins with a signed distance back to its *vtable*: 16-bit numbers, the vtable's own size, the table's, then
where in the table each field lies (0: absent, it has its default). Strings, vectors and other tables are reached by an
unsigned distance forward. Nothing in a file is trusted: every position is checked against the file's end.

Source: https://flatbuffers.dev/internals
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np

LONGEST_TEXT = 2**12  # bytes of a string that are read


class DamagedFile(ValueError):
    """Something lies outside of the file, or has an impossible length."""


@dataclass(frozen=True)
class FlatBuffer:
    """The bytes of a file."""

    data: bytes

    def root(self) -> Table:
        """Return the table that a file begins with."""
        return self.table(self.forward(0))

    def number(self, at: int, code: str) -> Any:
        """Return the little-endian number at a position; ``code`` is one of `struct`."""
        size = struct.calcsize(code)
        self.require(at, size)
        return struct.unpack_from("<" + code, self.data, at)[0]

    def forward(self, at: int) -> int:
        """Return the position that a distance at a position leads to."""
        return at + int(self.number(at, "I"))

    def table(self, at: int) -> Table:
        """Return the table at a position."""
        vtable = at - int(self.number(at, "i"))
        size = int(self.number(vtable, "H"))
        self.require(vtable, size)
        if size < 4 or size % 2:
            raise DamagedFile("a table has no layout")
        places = struct.unpack_from(f"<{size // 2}H", self.data, vtable)
        self.require(at, places[1])
        return Table(self, at, places[2:])

    def vector(self, at: int, element_size: int) -> tuple[int, int]:
        """Return where the elements of a vector begin, and how many there are."""
        length = int(self.number(at, "I"))
        self.require(at + 4, length * element_size)
        return at + 4, length

    def require(self, at: int, size: int) -> None:
        """Check that ``size`` bytes from a position on are in the file.

        :raises DamagedFile: when they are not.
        """
        if at < 0 or at + size > len(self.data):
            raise DamagedFile(f"{size:,} bytes at {at:,} lie outside of the file")


@dataclass(frozen=True)
class Table:
    """A table of a file. Fields have the numbers that follow from their order in the schema, from 0."""

    buffer: FlatBuffer = field(repr=False)
    at: int
    places: tuple[int, ...]

    def number(self, field_number: int, code: str, default: Any = 0) -> Any:
        """Return a number; ``code`` is one of `struct`."""
        place = self._place(field_number)
        return default if place is None else self.buffer.number(place, code)

    def flag(self, field_number: int) -> bool:
        """Return a boolean, by default false."""
        return bool(self.number(field_number, "B"))

    def table(self, field_number: int) -> Table | None:
        """Return a table inside this one."""
        place = self._place(field_number)
        return None if place is None else self.buffer.table(self.buffer.forward(place))

    def tables(self, field_number: int, most: int) -> list[Table]:
        """Return the tables of a vector.

        :raises DamagedFile: when there are more than ``most``.
        """
        place = self._place(field_number)
        if place is None:
            return []
        start, length = self.buffer.vector(self.buffer.forward(place), 4)
        if length > most:
            raise DamagedFile(f"a list has {length:,} entries; at most {most:,} are read")
        return [self.buffer.table(self.buffer.forward(start + 4 * k)) for k in range(length)]

    def numbers(self, field_number: int, dtype: Any) -> np.ndarray:
        """Return the numbers of a vector; none where it is absent."""
        place = self._place(field_number)
        kind = np.dtype(dtype).newbyteorder("<")
        if place is None:
            return np.zeros(0, dtype)
        start, length = self.buffer.vector(self.buffer.forward(place), kind.itemsize)
        return np.frombuffer(self.buffer.data, kind, length, start).astype(dtype)

    def text(self, field_number: int) -> str:
        """Return a string."""
        characters = self.numbers(field_number, np.uint8)
        return characters[:LONGEST_TEXT].tobytes().decode(errors="replace")

    def bytes_of(self, field_number: int) -> memoryview:
        """Return the bytes of a vector, without a copy."""
        place = self._place(field_number)
        if place is None:
            return memoryview(b"")
        start, length = self.buffer.vector(self.buffer.forward(place), 1)
        return memoryview(self.buffer.data)[start : start + length]

    def _place(self, field_number: int) -> int | None:
        place = self.places[field_number] if field_number < len(self.places) else 0
        return self.at + place if place else None
