"""Damaged and hostile ``.tflite`` files: any damage to bytes, and numbers that a FlatBuffer is made of."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from random import Random

from . import damage
from .one_file import Campaign, Change

NUMBERS = [0, 1, 2, 4, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1]
FLOATS = [0.0, -1.0, float("inf"), float("nan"), 1e-45, 3e38]


def _positions(content: bytes, random: Random, width: int) -> Iterator[int]:
    """A few aligned positions; half of them early, where tables of the model lie in small files."""
    for _ in range(random.choice([1, 1, 2, 4, 16])):
        end = max(len(content) - width, 1) if random.random() < 0.5 else min(max(len(content) - width, 1), 4096)
        yield random.randrange(end) // width * width


def numbers_changed(content: bytes, random: Random) -> bytes:
    """Distances, lengths, extents and indices, of 16 or 32 bits."""
    changed, width = bytearray(content), random.choice([2, 4])
    for at in _positions(content, random, width):
        number = random.choice([*NUMBERS, len(content), random.randrange(2**32)])
        changed[at : at + width] = (number % 2 ** (8 * width)).to_bytes(width, "little")
    return bytes(changed)


def numbers_moved(content: bytes, random: Random) -> bytes:
    """Numbers a little larger or smaller: distances that lead to another table."""
    changed = bytearray(content)
    for at in _positions(content, random, 4):
        number = int.from_bytes(content[at : at + 4], "little") + random.choice([-64, -8, -4, -1, 1, 4, 8, 64])
        changed[at : at + 4] = (number % 2**32).to_bytes(4, "little")
    return bytes(changed)


def numbers_copied(content: bytes, random: Random) -> bytes:
    """Parts that say what other parts say."""
    changed = bytearray(content)
    for at in _positions(content, random, 4):
        other, length = random.randrange(len(content)) // 4 * 4, random.choice([2, 4, 16, 64])
        changed[at : at + length] = content[other : other + length]
    return bytes(changed[: len(content)])


def floats_changed(content: bytes, random: Random) -> bytes:
    """Scales."""
    changed = bytearray(content)
    for at in _positions(content, random, 4):
        changed[at : at + 4] = struct.pack("<f", random.choice(FLOATS))
    return bytes(changed)


CHANGES: dict[str, Change] = {
    "numbers changed": numbers_changed,
    "numbers moved": numbers_moved,
    "numbers copied": numbers_copied,
    "scales changed": floats_changed,
    **damage.DAMAGE,
}


CAMPAIGN = Campaign("tflite_*/model.tflite", CHANGES)


if __name__ == "__main__":
    from dnn2fpga.read.tflite import read_tflite_model

    CAMPAIGN.run(read_tflite_model)
