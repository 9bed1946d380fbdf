"""Groups, arrays and texts of an HDF5 file that comes from a stranger.

A path in HDF5 may lead into other files, an array may lie in other files, and a few bytes may declare gigabytes. So
every step follows hard links only, and every array is measured before it is read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, BinaryIO

import h5py
import numpy as np

from dnn2fpga.errors import UserError, damage_reported
from dnn2fpga.graph import Shape, Unsupported
from dnn2fpga.read.limits import LARGEST_CHUNK, LARGEST_CONFIG, MOST_LINKS, MOST_NAMES

SIGNATURE = b"\x89HDF\r\n\x1a\n"
# Where a superblock of each version keeps the address of the end of the file.
_END_OF_FILE = {0: 40, 1: 44, 2: 28, 3: 28}
_FILTERS = (h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32)
_IN_THE_FILE = (h5py.h5d.COMPACT, h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED)


class Hdf5:
    """An open file.

    :param file: the bytes; no other file is ever opened.
    :param where: names the file in messages.
    """

    def __init__(self, file: BinaryIO, where: str) -> None:
        self.where = where
        self._damage = f"{where}: is damaged and cannot be read as HDF5; copy or save it again"
        self._require_whole(file)
        with damage_reported(self._damage):
            self._file = h5py.File(file, "r")

    def close(self) -> None:
        with damage_reported(self._damage):
            self._file.close()

    def _require_whole(self, file: BinaryIO) -> None:
        """Neither cut off nor followed by something else, such as a zip archive that another program would read."""
        head = file.read(64)
        size = file.seek(0, 2)
        position = _END_OF_FILE.get(head[8]) if len(head) == 64 else None
        if not head.startswith(SIGNATURE) or position is None:
            raise UserError(self._damage)
        declared = int.from_bytes(head[position : position + 8], "little")
        if size < declared:
            raise UserError(f"{self.where}: is cut off: {size:,} of {declared:,} bytes are there; copy it again")
        if size > declared:
            raise UserError(
                f"{self.where}: {size - declared:,} bytes follow the end of its HDF5 data; a file of two formats is "
                "never read"
            )
        file.seek(0)

    # Groups

    def has_group(self, *path: str) -> bool:
        with damage_reported(self._damage):
            return isinstance(self._follow(self._file, path), h5py.Group)

    def members(self, *path: str) -> list[str]:
        """Names in a group; none where there is no such group."""
        with damage_reported(self._damage):
            group = self._follow(self._file, path)
            if not isinstance(group, h5py.Group):
                return []
            if len(group) > MOST_LINKS:
                raise UserError(f"{self.where}: /{'/'.join(path)} has {len(group):,} members; at most {MOST_LINKS:,}")
            return list(group)

    def _follow(self, start: h5py.Group, path: Iterable[str]) -> Any:
        """What lies at ``path``; None where nothing does."""
        here = start
        for name in path:
            if not isinstance(here, h5py.Group) or not here.id.links.exists(name.encode()):
                return None
            if here.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
                raise UserError(f"{self.where}: '{name}' in it is a link to somewhere else, which is never followed")
            here = here[name]
        return here

    # Attributes

    def text(self, name: str) -> str | None:
        """A text beside the root group; None where there is none."""
        with damage_reported(self._damage):
            value = self._strings(self._file, name, most=1)
        return value[0] if value else None

    def names(self, attribute: str, *path: str) -> list[str]:
        """A list of texts beside a group; empty where there is none. Long lists come in parts ``<attribute>0`` …"""
        with damage_reported(self._damage):
            group = self._follow(self._file, path)
            if not isinstance(group, h5py.Group):
                return []
            return self._strings(group, attribute, MOST_NAMES)

    def has_attribute(self, name: str) -> bool:
        with damage_reported(self._damage):
            return h5py.h5a.exists(self._file.id, name.encode())

    def _strings(self, group: h5py.Group, name: str, most: int) -> list[str]:
        if not h5py.h5a.exists(group.id, name.encode()):
            return []
        attribute = h5py.h5a.open(group.id, name.encode())
        count = math.prod(attribute.shape)
        if count == 0:
            return []
        if count > most or attribute.get_storage_size() > LARGEST_CONFIG:
            raise UserError(f"{self.where}: the attribute '{name}' is too large ({count:,} texts)")
        if h5py.check_string_dtype(attribute.dtype) is None:
            raise UserError(f"{self.where}: the attribute '{name}' must be text, not {attribute.dtype}")
        values = np.atleast_1d(np.asarray(group.attrs[name], object)).ravel()
        return [value.decode() if isinstance(value, bytes) else str(value) for value in values]

    # Arrays

    def array(self, shape: Shape, *path: str) -> np.ndarray:
        """The array at ``path``, which must have ``shape``.

        :raises Unsupported: when there is none, or one of another shape or kind.
        """
        with damage_reported(self._damage, Unsupported):
            found = self._follow(self._file, path)
            if not isinstance(found, h5py.Dataset):
                raise Unsupported(f"is missing (/{'/'.join(path)})")
            self._measure(found, shape)
            return np.asarray(found[()])

    def _measure(self, found: h5py.Dataset, shape: Shape) -> None:
        plan = found.id.get_create_plist()
        if plan.get_layout() not in _IN_THE_FILE or plan.get_external_count():
            raise Unsupported("lies in another file, which is never opened")
        if found.shape != shape:
            raise Unsupported(f"has shape {found.shape} in the file; the configuration says {shape}")
        if found.dtype.kind not in "fiu" or found.dtype.itemsize > 8:
            raise Unsupported(f"holds {found.dtype}; numbers of at most 64 bits are needed")
        filters = [plan.get_filter(k)[0] for k in range(plan.get_nfilters())]
        if not set(filters) <= set(_FILTERS):
            raise Unsupported("is compressed in a way that is not supported; save the model again with Keras")
        chunk = plan.get_chunk() if plan.get_layout() == h5py.h5d.CHUNKED else ()
        if math.prod(chunk) * found.dtype.itemsize > LARGEST_CHUNK:
            raise Unsupported("is stored in pieces that are too large")
        if found.size and not found.id.get_storage_size():
            raise Unsupported("is declared, but its numbers are not in the file")
