"""Hostile files: small on disk; once they are opened, larger than a machine, elsewhere, or without end."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from hostile_graphs import (
    called,
    called_often,
    circle_of_models,
    functional,
    joined,
    laughs,
    layer,
    many_inputs,
    models_inside,
    models_side_by_side,
    passed_through,
    sequential,
    tensor,
)

HUGE = 3 * 10**9  # bytes


def growing(path: Path, member: str, others: dict[str, bytes], size: int = HUGE) -> None:
    """A zip archive in which a ``member`` of a thousandth of ``size`` grows to ``size`` zeros."""
    part = 2**24
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = compressor.compress(bytes(part)) + compressor.flush(zlib.Z_FULL_FLUSH)
    content = zeros * (size // part) + b"\x03\x00"  # the last block, empty
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, content)
        for name, other in others.items():
            archive.writestr(name, other)
    whole = bytearray(path.read_bytes())
    for signature, method, sizes in ((b"PK\x03\x04", 8, 18), (b"PK\x01\x02", 10, 20)):
        at = whole.index(signature)
        struct.pack_into("<H", whole, at + method, zipfile.ZIP_DEFLATED)
        struct.pack_into("<II", whole, at + sizes, len(content), size)
    path.write_bytes(whole)


DENSE = layer("Dense", name="d", units=3)
KERNEL, BIAS = "layers/dense/vars/0", "layers/dense/vars/1"


def weights(fill: Callable[[h5py.File], None] | None = None) -> bytes:
    """A ``model.weights.h5`` for ``DENSE``, or what ``fill`` writes."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        if fill is None:
            file[KERNEL], file[BIAS] = np.ones((4, 3), np.float32), np.ones(3, np.float32)
        else:
            fill(file)
    return buffer.getvalue()


def keras_file(
    path: Path, config: dict[str, Any] | str | None = None, fill: Callable[[h5py.File], None] | None = None
) -> None:
    text = config if isinstance(config, str) else json.dumps(config or sequential(DENSE))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", text)
        archive.writestr("model.weights.h5", weights(fill))


def h5_file(path: Path) -> None:
    """A model in the older format."""
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(sequential(DENSE))
        group = file.create_group("model_weights/d")
        group.attrs["weight_names"] = ["d/kernel", "d/bias"]
        group["d/kernel"], group["d/bias"] = np.ones((4, 3), np.float32), np.ones(3, np.float32)


# Contents of the weights instead of numbers


def external_link(file: h5py.File) -> None:
    file["layers"] = h5py.ExternalLink("/etc/other.h5", "/layers")


def external_kernel(file: h5py.File) -> None:
    file[KERNEL], file[BIAS] = h5py.ExternalLink("/dev/zero", "/k"), np.ones(3, np.float32)


def soft_link(file: h5py.File) -> None:
    file[KERNEL], file[BIAS] = h5py.SoftLink(f"/{BIAS}"), np.ones(3, np.float32)


def external_storage(file: h5py.File) -> None:
    file.create_dataset(KERNEL, (4, 3), np.float32, external=[("/etc/passwd", 0, 48)])
    file[BIAS] = np.ones(3, np.float32)


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4, 3), np.float32)
    layout[:] = h5py.VirtualSource("/etc/other.h5", "k", (4, 3))
    file.create_virtual_dataset(KERNEL, layout)
    file[BIAS] = np.ones(3, np.float32)


def never_written(file: h5py.File) -> None:
    file.create_dataset(KERNEL, (4, 3), np.float32, chunks=(4, 3), compression="gzip")
    file[BIAS] = np.ones(3, np.float32)


def enormous_kernel(file: h5py.File) -> None:
    file.create_dataset(KERNEL, (60000, 60000), np.float32, chunks=(1000, 1000), compression="gzip")
    file[BIAS] = np.ones(60000, np.float32)


def enormous_chunk(file: h5py.File) -> None:
    file.create_dataset(KERNEL, (4, 3), np.float32, chunks=(2**15, 2**14), maxshape=(None, None), compression=9)
    file[BIAS] = np.ones(3, np.float32)


def objects(file: h5py.File) -> None:
    file.create_dataset(KERNEL, (4, 3), h5py.string_dtype())[:] = "number"
    file[BIAS] = np.ones(3, np.float32)


def many_groups(file: h5py.File) -> None:
    for k in range(5000):
        file.create_group(f"layers/dense_{k}")


def looped(path: Path) -> None:
    """An ``.h5`` whose heap of texts has an object that ends where it begins: HDF5's library never leaves it."""
    h5_file(path)
    whole = bytearray(path.read_bytes())
    struct.pack_into("<Q", whole, whole.index(b"GCOL") + 24, 2**64 - 16)
    path.write_bytes(whole)


def nested(depth: int) -> str:
    return json.dumps(sequential(DENSE)).replace('"name": "m"', f'"name": {"[" * depth}{"]" * depth}')


def two_in_one(path: Path, first: Callable[[Path], None], second: Callable[[Path], None]) -> None:
    parts = []
    for make in (first, second):
        make(path)
        parts.append(path.read_bytes())
    path.write_bytes(b"".join(parts))


def arrays_that_hold_themselves(file: h5py.File) -> None:
    """A group that is a member of itself, where a model inside a model would be."""
    layers = file.create_group("layers")
    layers.create_group("sequential")["layers"] = layers


# name of the file → (makes it, what must be said)
MODELS: dict[str, tuple[Callable[[Path], None], str]] = {
    "config_of_3_gigabytes.keras": (
        lambda path: growing(path, "config.json", {"model.weights.h5": weights()}),
        "config.json would take 3,000,000,000 bytes",
    ),
    "weights_of_3_gigabytes.keras": (
        lambda path: growing(path, "model.weights.h5", {"config.json": json.dumps(sequential(DENSE)).encode()}),
        "model.weights.h5 would take 3,000,000,000 bytes",
    ),
    "weights_that_grow.keras": (
        lambda path: growing(path, "model.weights.h5", {"config.json": json.dumps(sequential(DENSE)).encode()}, 2**29),
        "to 536,870,912 bytes: a trap",
    ),
    "filters.keras": (
        lambda path: keras_file(
            path, sequential(layer("Conv2D", name="c", filters=10**8, kernel_size=3), shape=(8, 8, 1))
        ),
        "filters=100000000",
    ),
    "parameters.keras": (
        lambda path: keras_file(
            path, sequential(layer("Dense", name="d", units=60000), shape=(60000,)), enormous_kernel
        ),
        "3,600,060,000 parameters; at most 67,108,864",
    ),
    "layers.keras": (lambda path: keras_file(path, sequential(*[DENSE] * 1001)), "at most 1000 items"),
    "deep.keras": (lambda path: keras_file(path, nested(3000)), "its configuration is not valid JSON"),
    "nested.keras": (lambda path: keras_file(path, nested(150)), "nested deeper than 100 levels"),
    "external_link.keras": (lambda path: keras_file(path, fill=external_link), "a link to somewhere else"),
    "external_kernel.keras": (lambda path: keras_file(path, fill=external_kernel), "a link to somewhere else"),
    "soft_link.keras": (lambda path: keras_file(path, fill=soft_link), "a link to somewhere else"),
    "external_storage.keras": (lambda path: keras_file(path, fill=external_storage), "its kernel lies in another file"),
    "virtual.keras": (lambda path: keras_file(path, fill=virtual), "its kernel lies in another file"),
    "never_written.keras": (lambda path: keras_file(path, fill=never_written), "its numbers are not in the file"),
    "chunk.keras": (lambda path: keras_file(path, fill=enormous_chunk), "pieces that are too large"),
    "objects.keras": (lambda path: keras_file(path, fill=objects), "its kernel holds object"),
    "groups.keras": (lambda path: keras_file(path, fill=many_groups), "/layers has 5,000 members"),
    "loop.h5": (looped, "takes too long, too much memory, or makes the HDF5 library fail"),
    "zip_behind_hdf5.h5": (lambda path: two_in_one(path, h5_file, keras_file), "a file of two formats is never read"),
    "hdf5_before_zip.keras": (lambda path: two_in_one(path, h5_file, keras_file), "its content is that of a .h5 file"),
    "two_zips.keras": (lambda path: two_in_one(path, keras_file, keras_file), "a file of two formats is never read"),
    "hdf5_behind_zip.keras": (lambda path: two_in_one(path, keras_file, h5_file), "followed by something else"),
    "joined.keras": (lambda path: keras_file(path, joined(10_000)), "it reads 10,000 tensors; at most 64"),
    "inputs.keras": (lambda path: keras_file(path, many_inputs(10_000)), "at most 1000 items"),
    "ports.keras": (lambda path: keras_file(path, many_inputs(900)), "the model has more than 64 inputs"),
    "calls.keras": (lambda path: keras_file(path, called_often(20_000)), "has more than 1,000 layers, models inside"),
    "laughs.keras": (
        lambda path: keras_file(path, laughs(12, 8, layer("ReLU", name="r"))),
        "has more than 1,000 layers, models inside it opened",
    ),
    "empty_laughs.keras": (
        lambda path: keras_file(path, laughs(12, 8, passed_through())),
        "models inside each other are connected too intricately",
    ),
    "circle.keras": (lambda path: keras_file(path, circle_of_models()), "are connected too intricately"),
    "models_inside.keras": (lambda path: keras_file(path, models_inside(60)), "nested deeper than 100 levels"),
    "models.keras": (lambda path: keras_file(path, models_side_by_side(20, 100)), "has more than 1,000 layers"),
    "groups_inside.keras": (
        lambda path: keras_file(path, models_inside(20), arrays_that_hold_themselves),
        "layer 'm19/m18/m17/m16/m15/m14/m13/m12/m11/m10/m9/m8/m7/m6/m5/m4/m3/m2/m1/m0/d' (Dense): has 0 arrays",
    ),
    "constant.keras": (
        lambda path: keras_file(
            path,
            functional(
                called({**layer("Add", name="a"), "module": "keras.src.ops.numpy"}, [tensor("in"), [0.5] * 150_000]),
                outputs=["a", 0, 0],
            ),
        ),
        "the constant must be one number, or one for each of the 4 channels",
    ),
    "zip.h5": (keras_file, "its content is that of a .keras file"),
}


# Data


class Trap:
    """Leaves a trace when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, ("trace", "w"))


def header(shape: tuple[int, ...]) -> bytes:
    """An ``.npy`` file that declares ``shape`` and holds nothing."""
    buffer = io.BytesIO()
    declared = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, declared)
    return buffer.getvalue()


def pickled(path: Path) -> None:
    np.save(path, np.array([Trap()], object), allow_pickle=True)


def pickled_member(path: Path) -> None:
    np.savez(path, x=np.array([Trap()], object))


def lying_member(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", header((10**9, 4)))


DATA: dict[str, tuple[Callable[[Path], None], str]] = {
    "pickle.npy": (pickled, "holds Python objects, which are never loaded"),
    "pickle.npz": (pickled_member, "holds Python objects, which are never loaded"),
    "declared.npy": (lambda path: path.write_bytes(header((10**9, 4))) and None, "takes 16,000,000,"),
    "declared.npz": (lying_member, "takes 16,000,000,"),
    "zeros.npz": (lambda path: growing(path, "x.npy", {}), "a trap, not data"),
}
