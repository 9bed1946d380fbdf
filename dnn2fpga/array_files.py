"""NumPy's files, read as what they are to us: data from a stranger."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np


class UnreadableArrays(Exception):
    """Why a file cannot be read, in a few words."""


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an ``.npz`` by name, or the one of an ``.npy`` as ``""``. Pickled objects are never loaded.

    :raises UnreadableArrays: for whatever is wrong with the file.
    """
    try:
        with path.open("rb") as file:
            start = file.read(6)
            if not start:
                raise UnreadableArrays("it is empty")
            if not start.startswith((b"PK", b"\x93NUMPY")):
                raise UnreadableArrays("it is neither an .npz nor an .npy file")
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"": loaded}
        with loaded:
            return {name: _array(loaded, name) for name in loaded.files}
    except OSError as error:
        raise UnreadableArrays(error.strerror or str(error)) from error
    except (ValueError, KeyError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise UnreadableArrays(f"it is damaged or holds Python objects, which are never loaded ({error})") from error


def _array(archive: np.lib.npyio.NpzFile, name: str) -> np.ndarray:
    value = archive[name]
    if not isinstance(value, np.ndarray):  # a member that is no .npy file comes as bytes
        raise UnreadableArrays(f"'{name}' in it is not an array")
    return value
