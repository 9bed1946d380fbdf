"""Damage to the bytes of a file on a bad disk or line, whatever the file is."""

from __future__ import annotations

import gzip
import io
import tarfile
from random import Random

OTHER_FILES = {
    "empty": b"",
    "one byte": b"\x00",
    "text": b"hello\n",
    "not text": bytes(range(256)) * 8,
    "signature of zip": b"PK\x03\x04",
    "signature of an empty zip": b"PK\x05\x06" + bytes(18),
    "signature of HDF5": b"\x89HDF\r\n\x1a\n",
    "signature of NumPy": b"\x93NUMPY",
    "signature of NumPy, version": b"\x93NUMPY\x01\x00",
    "zeros": bytes(100_000),
    "gzip": gzip.compress(b"hello" * 100),
    "PNG": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "JSON": b'{"class_name": "Sequential", "config": {"layers": []}}',
    "pickle": b"\x80\x04\x95\x1b\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
    "TFLite": b"\x1c\x00\x00\x00TFL3" + bytes(200),
    "ONNX": b"\x08\x07\x12\x07pytorch" + bytes(200),
    "UTF-16": "hello".encode("utf-16"),
}


def bit_flips(content: bytes, random: Random) -> bytes:
    changed = bytearray(content)
    for _ in range(random.choice([1, 1, 2, 8, 64])):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def flips_near_the_ends(content: bytes, random: Random) -> bytes:
    """Change bytes near the ends, where the formats keep their directories."""
    changed, near = bytearray(content), min(len(content), 400)
    for _ in range(random.choice([1, 2, 4])):
        place = random.randrange(near)
        changed[random.choice([place, -1 - place])] = random.choice([0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)])
    return bytes(changed)


def truncation(content: bytes, random: Random) -> bytes:
    near_the_end = len(content) - random.randint(1, min(100, len(content)))
    return content[: random.choice([random.randrange(len(content)), random.randrange(64), near_the_end])]


def swapped_blocks(content: bytes, random: Random) -> bytes:
    size = random.choice([16, 512, 4096])
    blocks = [content[k : k + size] for k in range(0, len(content), size)]
    i, j = random.randrange(len(blocks)), random.randrange(len(blocks))
    blocks[i], blocks[j] = blocks[j], blocks[i]
    return b"".join(blocks)


def zeroed_block(content: bytes, random: Random) -> bytes:
    start, size = random.randrange(len(content)), random.choice([16, 512, 4096])
    return content[:start] + bytes(min(size, len(content) - start)) + content[start + size :]


def inserted_bytes(content: bytes, random: Random) -> bytes:
    place = random.choice([0, random.randrange(len(content)), len(content)])
    return content[:place] + random.randbytes(random.choice([1, 7, 512, 100_000])) + content[place:]


def removed_bytes(content: bytes, random: Random) -> bytes:
    place = random.randrange(len(content))
    return content[:place] + content[place + random.choice([1, 7, 512]) :]


def another_file(content: bytes, random: Random) -> bytes:
    if random.random() < 0.1:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            entry = tarfile.TarInfo("model")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        return buffer.getvalue()
    return OTHER_FILES[random.choice(list(OTHER_FILES))]


DAMAGE = {
    "bits flipped": bit_flips,
    "bytes near the ends changed": flips_near_the_ends,
    "truncated": truncation,
    "blocks swapped": swapped_blocks,
    "a block zeroed": zeroed_block,
    "bytes inserted": inserted_bytes,
    "bytes removed": removed_bytes,
    "another kind of file": another_file,
}
