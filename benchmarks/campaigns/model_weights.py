"""Other weights for model files: HDF5 that opens, and holds something else than what the configuration says."""

from __future__ import annotations

import io
from collections.abc import Callable
from random import Random
from typing import Any

import h5py
import numpy as np

Change = Callable[[h5py.File, Random], None]
LIMIT = 3 << 30  # bytes that a data set promises without holding them

VALUES = [float("nan"), float("inf"), float("-inf"), 1e38, -3e38, 1e-45, 0.0, 1e300, 65_504.0, 1e9]
TYPES: list[Any] = [
    "f2", "f8", ">f4", "i1", "u8", "i8", "?", "c8", "c16", "S8", h5py.string_dtype(), h5py.ref_dtype, np.dtype("V8"),
    np.dtype([("a", "f4"), ("b", "i4")]), np.dtype(("f4", (2,))), h5py.vlen_dtype(np.dtype("f4")),
    h5py.enum_dtype({"A": 0, "B": 1}, basetype="i1"),
]  # fmt: skip
ATTRIBUTES: list[Any] = [
    3, "text", b"bytes", np.zeros(3), np.array([b"x", b"y"]), np.array([1, 2]), "", "\u00e9" * 1000, h5py.Empty("f4"),
    True, np.array([], "S1"), "9" * 100_000,
]  # fmt: skip


def changed(content: bytes, change: Change, random: Random) -> bytes:
    buffer = io.BytesIO(content)
    with h5py.File(buffer, "r+") as file:
        change(file, random)
    return buffer.getvalue()


def _paths(file: h5py.File, kind: type) -> list[str]:
    found: list[str] = []
    file.visititems(lambda name, item: found.append(name) if isinstance(item, kind) else None)
    return found


def _arrays(file: h5py.File) -> list[str]:
    """Weights; not the state of random generators and optimizers."""
    return [path for path in _paths(file, h5py.Dataset) if file[path].shape and file[path].dtype.kind == "f"]


def _replace(file: h5py.File, path: str, value: Any = None, **options: Any) -> None:
    del file[path]
    file.create_dataset(path, data=value, **options)


def values(file: h5py.File, random: Random) -> None:
    path = random.choice(_arrays(file))
    array = np.asarray(file[path], np.float64)
    flat = array.reshape(-1)
    flat[random.randrange(flat.size) if random.random() < 0.5 else slice(None)] = random.choice(VALUES)
    wide = random.random() < 0.3
    with np.errstate(over="ignore"):
        _replace(file, path, array if wide else array.astype(np.float32))


def types(file: h5py.File, random: Random) -> None:
    path, kind = random.choice(_arrays(file)), random.choice(TYPES)
    array = file[path][()]
    try:
        _replace(
            file, path, array.astype(kind) if np.dtype(kind).kind in "fiuc?" else None, shape=array.shape, dtype=kind
        )
    except (TypeError, ValueError):
        file.create_dataset(path, shape=array.shape, dtype=kind)


def shapes(file: h5py.File, random: Random) -> None:
    path = random.choice(_arrays(file))
    array = file[path][()]
    other: Any = random.choice(
        [
            array.T, array.reshape(-1), array[None], array[..., None], array[:-1], array[:0], array.sum(),
            np.concatenate([array, array]), np.zeros((0, *array.shape), "f4"), np.zeros(1, "f4"), h5py.Empty("f4"),
            np.broadcast_to(array, (3, *array.shape)),
        ]
    )  # fmt: skip
    _replace(file, path, other)


def missing(file: h5py.File, random: Random) -> None:
    del file[random.choice([*_arrays(file), *_paths(file, h5py.Group)])]


def added(file: h5py.File, random: Random) -> None:
    group = random.choice([*_paths(file, h5py.Group), "/"])
    name = random.choice(["extra", "é", "0", "kernel:0", "vars", "x" * 1000, "a/b/c", "seed_generator"])
    if name not in file[group]:
        file[group].create_dataset(name, data=np.zeros(3))


def names(file: h5py.File, random: Random) -> None:
    """A weight or a group under another name, two of them exchanged, or one in the place of the other kind."""
    everything = [*_arrays(file), *_paths(file, h5py.Group)]
    path, what = random.choice(everything), random.choice(["renamed", "exchanged", "other kind", "below itself"])
    if what == "renamed":
        file.move(path, path + random.choice(["_", "0", "é", ":0", "\n"]))
    elif what == "exchanged":
        first, second = random.choice(_arrays(file)), random.choice(_arrays(file))
        one, two = file[first][()], file[second][()]
        _replace(file, first, two)
        if first != second:
            _replace(file, second, one)
    elif what == "other kind":
        was_group = isinstance(file[path], h5py.Group)
        del file[path]
        file.create_dataset(path, data=1.0) if was_group else file.create_group(path)
    else:
        parent = path.rpartition("/")[0] or "/"
        file[parent]["again"] = file[parent]


def storage(file: h5py.File, random: Random) -> None:
    """Data that lie elsewhere, nowhere, or are far larger than the file."""
    path = random.choice(_arrays(file))
    shape = file[path].shape
    array = file[path][()]
    del file[path]
    what = random.choice(
        ["external", "link out", "link loop", "virtual", "huge", "huge, compressed", "filters", "loop"]
    )
    if what == "external":
        size = max(1, array.size * 4)
        file.create_dataset(path, shape=shape, dtype="f4", external=[("/etc/passwd", 0, size)])
    elif what == "link out":
        file[path] = h5py.ExternalLink(random.choice(["/etc/passwd", "model.h5", "other.h5", "/dev/zero"]), "/x")
    elif what == "link loop":
        file[path] = h5py.SoftLink("/" + path)
    elif what == "loop":
        file[path] = file["/"]
    elif what == "virtual":
        layout = h5py.VirtualLayout(shape=shape or (1,), dtype="f4")
        if shape:
            layout[...] = h5py.VirtualSource(random.choice([".", "/etc/passwd", "other.h5"]), "/x", shape=shape)
        file.create_virtual_dataset(path, layout)
    elif what == "filters":
        more = random.choice([{"shuffle": True}, {"fletcher32": True}, {"scaleoffset": 2}, {"compression": "lzf"}])
        file.create_dataset(path, data=np.atleast_1d(array), chunks=True, **more)
    else:
        compression = "gzip" if what == "huge, compressed" else None
        huge = (LIMIT // 4,) if random.random() < 0.5 else (LIMIT // 4 // max(1, array.shape[-1]), *array.shape[-1:])
        file.create_dataset(path, shape=huge, dtype="f4", chunks=True, compression=compression)


def attributes(file: h5py.File, random: Random) -> None:
    """Attributes of the file and of groups: other types, missing, more."""
    place = file[random.choice([*_paths(file, h5py.Group), "/", "/"])]
    names = [*place.attrs, "layer_names", "weight_names", "keras_version", "backend"]
    name, value = random.choice(names), random.choice([*ATTRIBUTES, None])
    place.attrs.pop(name, None)
    if value is not None:
        try:
            place.attrs[name] = value
        except (OSError, ValueError):  # longer than HDF5 keeps in this place
            place.attrs[name] = "text"


CHANGES: dict[str, Change] = {
    "weights: values": values,
    "weights: types": types,
    "weights: shapes": shapes,
    "weights: missing": missing,
    "weights: more": added,
    "weights: names": names,
    "weights: storage": storage,
    "weights: attributes": attributes,
}
