"""Damaged and hostile ``.npy`` and ``.npz`` files: data for ``quantize``, weights and samples for ``generate``."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from . import damage
from .seeds import Seed, bomb, packed, samples
from .trial import TRACE, Trial
from .work_files import WorkFiles

Arrays = dict[str, np.ndarray]
BOMB = 2 << 30  # bytes

HEADERS = [
    "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 4294967296, 4294967296), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': 8, }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (True, 2), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (1.5,), }",
    "{'descr': '<f4', 'fortran_order': 3, 'shape': (8,), }",
    "{'descr': '|O', 'fortran_order': False, 'shape': (8,), }",
    "{'descr': '<f3', 'fortran_order': False, 'shape': (8,), }",
    "{'descr': '|V0', 'fortran_order': False, 'shape': (8,), }",
    "{'descr': '<U1000000000', 'fortran_order': False, 'shape': (8,), }",
    "{'descr': [('a', '<f4'), ('a', '<f4')], 'fortran_order': False, 'shape': (8,), }",
    "{'descr': [('', '|O')], 'fortran_order': False, 'shape': (8,), }",
    "{'descr': ('<f4', (99999999, 99999999)), 'fortran_order': False, 'shape': (8,), }",
    "{'descr': '<M8[s]', 'fortran_order': False, 'shape': (8,), }", "{'descr': '<f4', 'fortran_order': False}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (8,), 'more': 1}", "[]", "", "3", "{" * 500, "(" * 5_000,
    "-" * 5_000 + "1", "[" * 90 + "]" * 90, "__import__('os').system('true')", "'" * 3,
    "{'descr': " + "('<f4', " * 200 + "()" + ")" * 200 + ", 'fortran_order': False, 'shape': (8,), }", "\x00" * 50,
    "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "9" * 5000 + ",), }", "1" * 5000,
    "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "1, " * 100 + ")}", "x" * 200_000,
]  # fmt: skip
TYPES = ["f2", "f8", ">f4", "i1", "u8", "?", "c8", "S4", "U4", "M8[s]", "m8[s]", "V4", "f4,i4", "O", "g"]
VALUES = [float("nan"), float("inf"), -float("inf"), 1e308, -1e30, 1e-320, 0.0, 2.0**63, 2.0**64, -(2.0**63), 1e6]


class _Hostile:
    def __reduce__(self) -> Any:
        return open, (TRACE, "w")


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def npz(arrays: Arrays) -> bytes:
    return packed({f"{name}.npy": npy(array) for name, array in arrays.items()}, zipfile.ZIP_DEFLATED)


def _one_changed(change: Callable[[np.ndarray, Random], np.ndarray]) -> Callable[[Arrays, Random], bytes]:
    def changed(arrays: Arrays, random: Random) -> bytes:
        name = random.choice(list(arrays))
        with np.errstate(all="ignore"):
            return npz({**arrays, name: change(arrays[name], random)})

    return changed


def values(array: np.ndarray, random: Random) -> np.ndarray:
    number = random.choice(VALUES)
    integral = array.dtype.kind in "iu" and np.isfinite(number) and abs(number) < 2.0**63
    changed = array.astype(np.int64 if integral else np.float64)
    flat = changed.reshape(-1)
    flat[random.randrange(flat.size) if random.random() < 0.5 else slice(None)] = number
    return changed


def types(array: np.ndarray, random: Random) -> np.ndarray:
    kind = random.choice(TYPES)
    try:
        return array.astype(kind)
    except (TypeError, ValueError):
        return np.zeros(array.shape, kind)


def shapes(array: np.ndarray, random: Random) -> np.ndarray:
    several: list[np.ndarray] = [
        array.T, array.reshape(-1), array[None], array[..., None], array[:-1], array[:0], array.sum(), array[:1],
        np.concatenate([array, array]), np.zeros((0, *array.shape)), np.asfortranarray(array), np.zeros((8, 0)),
        np.zeros((1,) * 60, array.dtype),
    ]  # fmt: skip
    return np.asarray(random.choice(several))


def members(arrays: Arrays, random: Random) -> bytes:
    """Members missing, under other names, twice, or no arrays."""
    there = {f"{name}.npy": npy(array) for name, array in arrays.items()}
    name = random.choice(list(there))
    what = random.choice(["missing", "renamed", "more", "no array", "none", "folder", "many", "wrong suffix"])
    if what == "missing":
        del there[name]
    elif what == "renamed":
        there[random.choice(["../x.npy", "é.npy", "/x.npy", ".npy", "x/y/z.npy", "a\nb.npy", name.upper()])] = (
            there.pop(name)
        )
    elif what == "more":
        there["extra.npy"] = npy(np.zeros(3))
    elif what == "no array":
        there[name] = random.choice([b"", b"hello", b"\x93NUMPY", there[name][:20]])
    elif what == "none":
        there.clear()
    elif what == "folder":
        there[name + "/"] = b""
    elif what == "many":
        there |= {f"extra_{k}.npy": npy(np.zeros(1)) for k in range(3_000)}
    else:
        there[name.removesuffix(".npy")] = there.pop(name)
    return packed(there)


def headers(arrays: Arrays, random: Random) -> bytes:
    """Headers that describe no array, a huge one, or are made to attack their parser."""
    text = random.choice(HEADERS).encode()
    version = random.choice([(1, 0), (2, 0), (3, 0), (0, 0), (9, 9)])
    wide = version != (1, 0)
    length = random.choice([len(text), len(text), len(text), 0, 65_535, 2**31 if wide else 3])
    header = (
        b"\x93NUMPY"
        + bytes(version)
        + length.to_bytes(4 if wide or len(text) > 65_535 else 2, "little")
        + text
        + bytes(64)
    )
    name = random.choice(list(arrays))
    return packed({**{f"{n}.npy": npy(a) for n, a in arrays.items()}, f"{name}.npy": header})


def pickles(arrays: Arrays, random: Random) -> bytes:
    """Objects whose loading would run code."""
    hostile = np.array([_Hostile(), 1], dtype=object)
    name = random.choice(list(arrays))
    if random.random() < 0.2:
        return pickle.dumps({"x": _Hostile()})
    return npz({**arrays, name: hostile})


def containers(arrays: Arrays, random: Random) -> bytes:
    """The zip around the arrays: encrypted, other methods, wrong sizes, far larger than the file."""
    what = random.choice(["bomb", "encrypted", "method", "sizes", "twice", "bzip2", "bare array", "text first"])
    whole = npz(arrays)
    content = bytearray(whole)
    entry = content.find(b"PK\x01\x02")
    if what == "bomb":
        return _bomb(random.choice(list(arrays)))
    if what == "encrypted":
        content[entry + 8] |= 1
    elif what == "method":
        content[entry + 10] = random.choice([1, 9, 93, 255])
    elif what == "sizes":
        content[entry + 20 : entry + 28] = random.randbytes(8)
    elif what == "twice":
        return whole + whole
    elif what == "bzip2":
        return packed({f"{name}.npy": npy(array) for name, array in arrays.items()}, zipfile.ZIP_BZIP2)
    elif what == "bare array":
        return npy(random.choice(list(arrays.values())))
    else:
        return b"PK text" + whole
    return bytes(content)


def _bomb(name: str) -> bytes:
    header = npy(np.zeros(0, np.float32)).replace(b"(0,)", f"({BOMB // 4},)".encode())
    return bomb({}, f"{name}.npy", header, b"\0", BOMB)


CHANGES: dict[str, Callable[[Arrays, Random], bytes]] = {
    "values": _one_changed(values),
    "types": _one_changed(types),
    "shapes": _one_changed(shapes),
    "members": members,
    "headers": headers,
    "pickles": pickles,
    "containers": containers,
    **{
        f"bytes: {kind}": (lambda arrays, random, change=change: change(npz(arrays), random))
        for kind, change in damage.DAMAGE.items()
    },
}


def trials(work: WorkFiles, model: Seed, count: int, seed: int) -> Iterator[Trial]:
    """Yield at least ``count`` trials, as many of every kind, for data, weights and samples alternately."""
    files = {
        "data.npz": {"x": samples(model.shape), "y": np.arange(8) % 3},
        "weights.npz": _arrays(work.files["weights.npz"]),
        "samples.npz": _arrays(work.files["samples.npz"]),
    }
    per_kind = -(-count // len(CHANGES))
    for number in range(per_kind):
        file = list(files)[number % 5 % 3]  # data and weights twice as often
        for kind, change in CHANGES.items():
            name = f"{file}, {kind} {seed}.{number}"
            yield _trial(kind, name, change(files[file], Random(name)), file, work, model)


def _arrays(content: bytes) -> Arrays:
    with np.load(io.BytesIO(content)) as loaded:
        return dict(loaded)


def _trial(kind: str, name: str, content: bytes, file: str, work: WorkFiles, model: Seed) -> Trial:
    if file == "data.npz":

        def make(folder: Path) -> None:
            (folder / "model.keras").write_bytes(model.content)
            (folder / file).write_bytes(content)

        arguments: tuple[str, ...] = ("quantize", "model.keras", "--data", file, "-o", "out")
    else:

        def make(folder: Path) -> None:
            work.write(folder / "work")
            (folder / "work" / file).write_bytes(content)

        arguments = ("generate", "work")
    return Trial(kind=kind, name=name, arguments=arguments, make=make)
