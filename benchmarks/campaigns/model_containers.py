"""Other containers for model files: the members of the zip, two formats in one file, the wrong suffix."""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Callable
from random import Random

from .damage import DAMAGE
from .seeds import CONFIG, METADATA, WEIGHTS, Seed, bomb, packed

Made = tuple[bytes, str]  # content and suffix
Change = Callable[[Seed, Random], Made]
BOMB = 2 << 30  # bytes of zeros in a member


def _zip_of(seed: Seed) -> dict[str, bytes]:
    """The members of a .keras file; of an .h5 one as if it were one."""
    return dict(seed.members) if seed.is_zip else {METADATA: b"{}", CONFIG: seed.text.encode(), WEIGHTS: seed.content}


def members(seed: Seed, random: Random) -> Made:
    """Members missing, renamed, twice, more of them, or exchanged."""
    there = _zip_of(seed)
    name = random.choice(list(there))
    what = random.choice(["missing", "renamed", "folder", "more", "exchanged", "empty", "twice", "other case"])
    if what == "missing":
        del there[name]
    elif what in ("renamed", "other case"):
        new = (
            name.upper()
            if what == "other case"
            else random.choice(["../" + name, "/" + name, "./" + name, "x/" + name])
        )
        there[new] = there.pop(name)
    elif what == "folder":
        del there[name]
        there[name + "/"] = b""
    elif what == "more":
        there |= {f"assets/{k}": b"x" for k in range(random.choice([1, 5_000]))} | {"../../evil": b"x"}
    elif what == "exchanged":
        other = random.choice(list(there))
        there[name], there[other] = there[other], there[name]
    elif what == "empty":
        there[name] = b""
    else:
        return _twice(there, name, random), ".keras"
    return packed(there), ".keras"


def _twice(there: dict[str, bytes], name: str, random: Random) -> bytes:
    """Two members of one name, the second another."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as archive:
        warnings.simplefilter("ignore")
        for member, content in there.items():
            archive.writestr(zipfile.ZipInfo(member), content)
        archive.writestr(zipfile.ZipInfo(name), random.choice([b"", b"{}", there[name]]))
    return buffer.getvalue()


def compression(seed: Seed, random: Random) -> Made:
    """Every method of zip, an encrypted member, and members far larger than the file."""
    there = _zip_of(seed)
    what = random.choice(["deflate", "bzip2", "lzma", "encrypted", "method", "sizes", "comment", "bomb"])
    if what == "bomb":
        name = random.choice([CONFIG, WEIGHTS, "assets/x", METADATA])
        start = there.pop(name, b"")
        return bomb(there, name, start, b" " if name.endswith("json") else b"\0", BOMB), ".keras"
    methods = {"deflate": zipfile.ZIP_DEFLATED, "bzip2": zipfile.ZIP_BZIP2, "lzma": zipfile.ZIP_LZMA}
    content = bytearray(packed(there, methods.get(what, zipfile.ZIP_STORED)))
    # In the central directory: flags at 8, method at 10, sizes at 20 and 24, each after the signature.
    entry = content.find(b"PK\x01\x02")
    if what == "encrypted":
        content[entry + 8] |= 1
    elif what == "method":
        content[entry + 10] = random.choice([1, 9, 93, 99, 255])
    elif what == "sizes":
        content[entry + 20 : entry + 28] = random.randbytes(8)
    elif what == "comment":
        content[-2:] = (60_000).to_bytes(2, "little")
        content += bytes(60_000)
    return bytes(content), ".keras"


def polyglots(seed: Seed, random: Random) -> Made:
    """One file that two readers read differently."""
    archive = packed(_zip_of(seed))
    what = random.choice(["HDF5 first", "zip first", "text first", "zip twice", "padded HDF5"])
    content = {
        "HDF5 first": seed.hdf5 + archive,
        "zip first": archive + seed.hdf5,
        "text first": b"#!/bin/sh\n" + archive,
        "zip twice": packed({CONFIG: b"{}"}) + archive,
        "padded HDF5": bytes(512) + seed.hdf5,
    }[what]
    return content, random.choice([".keras", ".h5", ".hdf5"])


def suffixes(seed: Seed, random: Random) -> Made:
    suffix = random.choice([".keras", ".h5", ".hdf5", ".zip", "", ".KERAS", ".pt", ".onnx", ".tflite", ".json", ".pb"])
    return random.choice([seed.content, seed.hdf5, packed(_zip_of(seed)), seed.text.encode()]), suffix


def damaged_member(seed: Seed, random: Random) -> Made:
    """Damage inside, in a container that is whole."""
    damage = random.choice(list(DAMAGE.values()))
    there = _zip_of(seed)
    name = random.choice([CONFIG, WEIGHTS, WEIGHTS])
    there[name] = damage(there[name], random)
    return packed(there), ".keras"


CHANGES: dict[str, Change] = {
    "members of the zip": members,
    "compression of the zip": compression,
    "two formats in one": polyglots,
    "the wrong suffix": suffixes,
    "damage inside a whole zip": damaged_member,
}
