"""Damaged and hostile ``.tflite`` files: any damage to bytes, and numbers that a FlatBuffer is made of."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from . import damage
from .seeds import ROOT

SAMPLES = ROOT / "tests" / "front_ends" / "samples"
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


CHANGES: dict[str, Callable[[bytes, Random], bytes]] = {
    "numbers changed": numbers_changed,
    "numbers moved": numbers_moved,
    "numbers copied": numbers_copied,
    "scales changed": floats_changed,
    **damage.DAMAGE,
}


def seeds() -> list[bytes]:
    """The undamaged files."""
    return [path.read_bytes() for path in sorted(SAMPLES.glob("tflite_*/model.tflite"))]


def files(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield at least ``count`` files with names, as many of every kind of change."""
    whole = seeds()
    for number in range(-(-count // len(CHANGES))):
        for kind, change in CHANGES.items():
            random = Random(f"{kind} {seed}.{number}")
            yield f"{kind} {seed}.{number}", change(random.choice(whole), random)


def main(count: int = 5_000, seed: int = 0, path: Path = ROOT / "build" / "robustness" / "model.tflite") -> None:
    """Read many, and count what came of them."""
    import time
    from collections import Counter

    from dnn2fpga.errors import UserError
    from dnn2fpga.read.tflite import read_tflite_model

    path.parent.mkdir(parents=True, exist_ok=True)
    results, slowest = Counter[str](), 0.0
    for _, content in files(count, seed):
        path.write_bytes(content)
        start = time.monotonic()
        try:
            read_tflite_model(path)
            results["read"] += 1
        except UserError:
            results["refused"] += 1
        slowest = max(slowest, time.monotonic() - start)
    print(f"{sum(results.values()):,} files: {dict(results)}; the slowest took {slowest:.2f} s")


if __name__ == "__main__":
    main()
