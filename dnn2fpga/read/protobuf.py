"""Reads Protocol Buffers: messages of numbered fields, as the specification of their binary encoding lays them out.

A field begins with a *tag*, its number and how its value is written: a variable-length integer (*varint*: 7 bits per
byte, the lowest first, the top bit says that more follow), 4 bytes, 8 bytes, or a length and as many bytes: a string, a
message, or numbers packed one after the other. Nothing in a file is trusted: every length is checked against its end.

Source: https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

LONGEST_TEXT = 2**12  # bytes of a string that are read
MOST_FIELDS = 2**19  # of all messages of a file
LONGEST_VARINT = 10  # bytes: 64 bits
VARINT, EIGHT_BYTES, SIZED, FOUR_BYTES = 0, 1, 2, 5  # how a value is written
_WIDTHS = {EIGHT_BYTES: 8, FOUR_BYTES: 4}


class DamagedMessage(ValueError):
    """Something lies outside of the file, or is written as no field is."""


@dataclass
class Budget:
    """A budget: so much of something a file may have."""

    most: int
    what: str
    spent: int = 0

    def spend(self, count: int = 1) -> None:
        """Count some more.

        :raises DamagedMessage: when there are too many.
        """
        self.spent += count
        if self.spent > self.most:
            raise DamagedMessage(f"it has more than {self.most:,} {self.what}")


@dataclass(frozen=True)
class Message:
    """A message: for each number of a field its values, in the order of the file.

    :param values: integers (of varints, 64 bits, without a sign) or bytes.
    """

    values: dict[int, list[int | memoryview]]
    budget: Budget = field(repr=False)

    @classmethod
    def of(cls, data: memoryview, budget: Budget | None = None) -> Message:
        """Take a message apart.

        :raises DamagedMessage: when it cannot be.
        """
        budget = budget or Budget(MOST_FIELDS, "fields")
        values: dict[int, list[int | memoryview]] = defaultdict(list)
        for number, value in _fields(data, budget):
            values[number].append(value)
        return cls(dict(values), budget)

    def has(self, number: int) -> bool:
        """Whether a field is present."""
        return number in self.values

    def integer(self, number: int, default: int = 0) -> int:
        """Return the last value of a field as a signed integer of 64 bits."""
        return _signed(_integer(self.values.get(number, [default])[-1]))

    def single(self, number: int) -> float:
        """Return a float32."""
        value = _content(self.values.get(number, [memoryview(bytes(4))])[-1])
        if len(value) != 4:
            raise DamagedMessage(f"a number in single precision has {len(value)} bytes")
        return float(struct.unpack("<f", value)[0])

    def bytes_of(self, number: int) -> memoryview:
        """Return the bytes of a field, without a copy; none where it is absent."""
        return _content(self.values.get(number, [memoryview(b"")])[-1])

    def text(self, number: int) -> str:
        """Return a string."""
        return _decoded(self.bytes_of(number))

    def texts(self, number: int, most: int) -> list[str]:
        """Return all strings of a field."""
        return [_decoded(_content(value)) for value in self._all(number, most)]

    def message(self, number: int) -> Message:
        """Return a message inside this one; an empty one where it is absent."""
        return Message.of(self.bytes_of(number), self.budget)

    def messages(self, number: int, most: int) -> list[Message]:
        """Return all messages of a field.

        :raises DamagedMessage: when there are more than ``most``.
        """
        return [Message.of(_content(value), self.budget) for value in self._all(number, most)]

    def numbers(self, number: int, dtype: Any) -> np.ndarray:
        """Return numbers of a fixed size, packed or one by one."""
        kind = np.dtype(dtype).newbyteorder("<")
        parts = [_content(value) for value in self.values.get(number, [])]
        if any(len(part) % kind.itemsize for part in parts):
            raise DamagedMessage("a list of numbers ends within one of them")
        return np.concatenate([np.frombuffer(part, kind) for part in parts] or [np.zeros(0)]).astype(dtype)

    def integers(self, number: int) -> np.ndarray:
        """Return varints, packed or one by one, as signed integers of 64 bits."""
        parts = [
            np.array([_signed(value)], np.int64) if isinstance(value, int) else _varints(value)
            for value in self.values.get(number, [])
        ]
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)

    def _all(self, number: int, most: int) -> list[int | memoryview]:
        values = self.values.get(number, [])
        if len(values) > most:
            raise DamagedMessage(f"a list has {len(values):,} entries; at most {most:,} are read")
        return values


def _fields(data: memoryview, budget: Budget) -> Iterator[tuple[int, int | memoryview]]:
    at = 0
    while at < len(data):
        budget.spend()
        tag, at = varint(data, at)
        number, how = tag >> 3, tag & 7
        if how == VARINT:
            value, at = varint(data, at)
            yield number, value
            continue
        if how == SIZED:
            size, at = varint(data, at)
        elif how in _WIDTHS:
            size = _WIDTHS[how]
        else:
            raise DamagedMessage(f"a field is written in a way (number {how}) that is not in use")
        if not number or size > len(data) - at:
            raise DamagedMessage(f"{size:,} bytes lie outside of the file")
        yield number, data[at : at + size]
        at += size


def varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return the integer at a position, and the position after it.

    :raises DamagedMessage: when it does not end.
    """
    value = 0
    for k, byte in enumerate(data[at : at + LONGEST_VARINT]):
        value |= (byte & 0x7F) << (7 * k)
        if byte < 0x80:
            return value & (2**64 - 1), at + k + 1
    raise DamagedMessage("an integer does not end")


def _varints(data: memoryview) -> np.ndarray:
    """Packed varints."""
    octets = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(octets < 0x80)
    if octets.size and (not ends.size or ends[-1] != octets.size - 1):
        raise DamagedMessage("an integer does not end")
    lengths = np.diff(ends, prepend=-1)
    if lengths.max(initial=0) > LONGEST_VARINT:
        raise DamagedMessage("an integer does not end")
    starts = ends - lengths + 1
    values = np.zeros(len(ends), np.uint64)
    for k in range(int(lengths.max(initial=0))):
        has = lengths > k
        values[has] |= (octets[starts[has] + k] & 0x7F).astype(np.uint64) << np.uint64(7 * k)
    return values.astype(np.int64)


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def _content(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise DamagedMessage("a field is an integer that should be something else")
    return value


def _integer(value: int | memoryview) -> int:
    if not isinstance(value, int):
        raise DamagedMessage("a field is no integer that should be one")
    return value


def _decoded(value: memoryview) -> str:
    return bytes(value[:LONGEST_TEXT]).decode(errors="replace")
