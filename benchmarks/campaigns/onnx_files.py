"""Damaged and hostile ``.onnx`` files: any damage to bytes, and what a Protocol Buffer is made of."""

from __future__ import annotations

import struct
from random import Random

from . import damage
from .one_file import Campaign, Change

VARINTS = [0, 1, 2, 3, 4, 5, 7, 0x7F, 0x80, 2**14, 2**16, 2**31 - 1, 2**31, 2**32, 2**63, 2**64 - 1]
FLOATS = [0.0, -1.0, float("inf"), float("nan"), 1e-45, 3e38]
KINDS = [b"Conv", b"Gemm", b"Relu", b"Flatten", b"Quant", b"MaxPool", b"Add", b"Concat", b"Reshape", b"Transpose"]


def varint(value: int) -> bytes:
    """Return a number as protocol buffers write it."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def bytes_changed(content: bytes, random: Random) -> bytes:
    """Tags, short lengths and small numbers."""
    changed = bytearray(content)
    for _ in range(random.choice([1, 1, 2, 4])):
        changed[_somewhere(content, random)] = random.choice([0, 1, 2, 7, 8, 0x0A, 0x12, 0x7F, 0x80, 0xFF])
    return bytes(changed)


def varints_changed(content: bytes, random: Random) -> bytes:
    """Numbers that are longer, so that everything after them moves."""
    at = _somewhere(content, random)
    return content[:at] + varint(random.choice([*VARINTS, len(content), random.randrange(2**32)])) + content[at + 1 :]


def numbers_moved(content: bytes, random: Random) -> bytes:
    """Numbers a little larger or smaller: extents, axes, kinds of values."""
    changed = bytearray(content)
    for _ in range(random.choice([1, 2, 8])):
        at = _somewhere(content, random)
        changed[at] = (changed[at] + random.choice([-2, -1, 1, 2])) % 256
    return bytes(changed)


def parts_copied(content: bytes, random: Random) -> bytes:
    """Parts that say what other parts say."""
    at, other, length = _somewhere(content, random), random.randrange(len(content)), random.choice([2, 4, 16, 64])
    return (content[:at] + content[other : other + length] + content[at + length :])[: len(content)]


def floats_changed(content: bytes, random: Random) -> bytes:
    """Scales, slopes and weights."""
    changed = bytearray(content)
    for _ in range(random.choice([1, 4, 16])):
        at = random.randrange(max(len(content) - 4, 1))
        changed[at : at + 4] = struct.pack("<f", random.choice(FLOATS))
    return bytes(changed[: len(content)])


def names_swapped(content: bytes, random: Random) -> bytes:
    """Operators in the place of others of as many letters, and attributes of another type."""
    old = random.choice([kind for kind in KINDS if kind in content] or [b"x"])
    alike = [kind for kind in KINDS if len(kind) == len(old)]
    return content.replace(old, random.choice([*alike, b"y" * len(old)]), random.choice([1, 1, -1]))


def _somewhere(content: bytes, random: Random) -> int:
    """Half of the time where nodes are: in the first third of small files."""
    return random.randrange(len(content) if random.random() < 0.5 else max(min(len(content) // 3, 4096), 1))


CHANGES: dict[str, Change] = {
    "bytes changed": bytes_changed,
    "varints changed": varints_changed,
    "numbers moved": numbers_moved,
    "parts copied": parts_copied,
    "floats changed": floats_changed,
    "names swapped": names_swapped,
    **damage.DAMAGE,
}


CAMPAIGN = Campaign("*/model*.onnx", CHANGES)


if __name__ == "__main__":
    from dnn2fpga.read.onnx import read_onnx

    CAMPAIGN.run(read_onnx)
