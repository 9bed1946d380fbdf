"""NumPy's files, read as what they are to us: data from a stranger.

Data may be large, so no size is refused by itself. What is: arrays of another size than their file declares, archives
that grow as no data do, and more than the machine's memory holds.
"""

from __future__ import annotations

import math
import os
import zipfile
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np

from dnn2fpga.errors import UserError, damage_reported
from dnn2fpga.files import archives

SMALL = 2**28  # bytes; arrays of less in all may expand as they like
LARGEST_EXPANSION = 200  # bytes of arrays for each byte of the file

_NPY = b"\x93NUMPY"


class UnreadableArrays(Exception):
    """The refusal of a file of arrays; the message is the reason, in a few words."""


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an ``.npz`` by name, or the one of an ``.npy`` as ``""``. Pickled objects are never loaded.

    :raises UnreadableArrays: for whatever is wrong with the file.
    """
    _require_file(path)
    try:
        with path.open("rb") as file, damage_reported("it is damaged", UnreadableArrays, archives.UnreadableArchive):
            start = file.read(len(_NPY))
            file.seek(0)
            if not start:
                raise UnreadableArrays("it is empty")
            if start == _NPY:
                return {"": _only_array(file)}
            if start.startswith(archives.SIGNATURES):
                return _archived(file)
            raise UnreadableArrays("it is neither an .npz nor an .npy file")
    except OSError as error:
        raise UnreadableArrays(error.strerror or str(error)) from error
    except (UserError, archives.UnreadableArchive) as error:
        raise UnreadableArrays(str(error)) from error


def mapped_array(path: Path) -> np.ndarray:
    """The array of an ``.npy`` file, left on disk.

    :raises UnreadableArrays: for whatever is wrong with the file.
    """
    _require_file(path)
    try:
        with path.open("rb") as file, damage_reported("it is damaged", UnreadableArrays):
            if file.read(len(_NPY)) != _NPY:
                raise UnreadableArrays("it is no .npy file")
            file.seek(0)
            _measure(file, os.fstat(file.fileno()).st_size)
            return np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise UnreadableArrays(error.strerror or str(error)) from error
    except UserError as error:
        raise UnreadableArrays(str(error)) from error


def _require_file(path: Path) -> None:
    """A pipe would be waited for, and a device has no end."""
    if path.exists() and not path.is_file():
        raise UnreadableArrays("it is no file")


def _only_array(file: BinaryIO) -> np.ndarray:
    size = os.fstat(file.fileno()).st_size
    _require_memory(size)
    _measure(file, size)
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


def _archived(file: BinaryIO) -> dict[str, np.ndarray]:
    with archives.open_archive(file) as (archive, members):
        total, stored = sum(info.file_size for info in members.values()), os.fstat(file.fileno()).st_size
        if total > max(SMALL, LARGEST_EXPANSION * stored):
            raise UnreadableArrays(f"its {stored:,} bytes would become {total:,}: a trap, not data")
        _require_memory(total)
        return {name.removesuffix(".npy"): _member(archive, info) for name, info in members.items()}


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    if not info.filename.endswith(".npy"):
        raise UnreadableArrays(f"'{info.filename}' in it is not an array")
    with archive.open(info) as content:
        _measure(content, info.file_size)
    with archive.open(info) as content:
        return np.lib.format.read_array(content, allow_pickle=False)


def _measure(content: IO[bytes], size: int) -> None:
    """Read the header of an array: what it declares must be what is there."""
    version = np.lib.format.read_magic(content)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise UnreadableArrays(f"it is of version {version} of the format, which holds no numbers")
    shape, _, dtype = readers[version](content)
    if dtype.hasobject:
        raise UnreadableArrays("it holds Python objects, which are never loaded; save plain numbers")
    declared = content.tell() + math.prod(shape) * dtype.itemsize
    if declared != size:
        raise UnreadableArrays(f"an array of shape {shape} takes {declared:,} bytes, but {size:,} are there")


def _require_memory(size: int) -> None:
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if size > memory:
        raise UnreadableArrays(
            f"it takes {size / 1e9:.1f} GB, more than the memory of this machine; put x.npy (and y.npy) into a folder "
            "and name that: it stays on disk"
        )
