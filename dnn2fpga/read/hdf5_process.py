"""A process of its own that reads HDF5 for ``dnn2fpga.read.hdf5``.

HDF5's library is written in C and trusts its files: a few changed bytes make it loop for ever, take all memory, or
crash. Here it may: the process has limits, holds nothing but the file, and its end is an error message in the other.

Requests and answers are JSON, numbers follow as they lie in memory. A path in HDF5 may lead into other files, an array
may lie in other files, and a few bytes may declare gigabytes: every step follows hard links only, and every array is
measured before it is read.
"""

from __future__ import annotations

import json
import math
import os
import resource
import sys
import time
from collections.abc import Callable
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Any

from dnn2fpga.read.limits import (
    LARGEST_CHUNK,
    LARGEST_CONFIG,
    LARGEST_PROCESS,
    MOST_LINKS,
    MOST_NAMES,
    SECONDS,
    SLOWEST_READ,
)

Answer = tuple[dict[str, Any], Any]  # a message, and an array that follows it


class Refused(Exception):
    """The file as a whole is refused."""


class Unusable(Exception):
    """An array is not what it should be."""


class Reader:
    """Answers requests about one file."""

    def __init__(self, file: Any) -> None:
        import h5py

        self.h5 = h5py
        self.root = h5py.File(file, "r")
        self.requests: dict[str, Callable[..., Answer]] = {
            "members": self.members,
            "texts": self.texts,
            "array": self.array,
        }

    def answer(self, request: dict[str, Any]) -> Answer:
        """Return what a request asks for, or why it cannot be had."""
        try:
            return self.requests[request.pop("what")](**request)
        except Refused as reason:
            return {"refused": str(reason)}, None
        except Unusable as reason:
            return {"unusable": str(reason)}, None
        except Exception as error:  # the library raises whatever it stumbles over in a damaged file
            return {"damage": f"{type(error).__name__}: {error}"}, None

    def follow(self, path: list[str]) -> Any:
        """Return the object at ``path``; None where there is none."""
        here = self.root
        for name in path:
            if not isinstance(here, self.h5.Group) or not here.id.links.exists(name.encode()):
                return None
            if here.id.links.get_info(name.encode()).type != self.h5.h5l.TYPE_HARD:
                raise Refused(f"'{name}' in it is a link to somewhere else, which is never followed")
            here = here[name]
        return here

    def members(self, path: list[str]) -> Answer:
        """Names in a group; None where there is no such group."""
        group = self.follow(path)
        if not isinstance(group, self.h5.Group):
            return {"value": None}, None
        if len(group) > MOST_LINKS:
            raise Refused(f"/{'/'.join(path)} has {len(group):,} members; at most {MOST_LINKS:,}")
        return {"value": list(group)}, None

    def texts(self, path: list[str], attribute: str) -> Answer:
        """An attribute of a group that holds one text or several; None where there is none."""
        group = self.follow(path)
        if not isinstance(group, self.h5.Group) or not self.h5.h5a.exists(group.id, attribute.encode()):
            return {"value": None}, None
        found = self.h5.h5a.open(group.id, attribute.encode())
        count = math.prod(found.shape)
        if count == 0:
            return {"value": []}, None
        if count > MOST_NAMES or found.get_storage_size() > LARGEST_CONFIG:
            raise Refused(f"the attribute '{attribute}' is too large ({count:,} texts)")
        if self.h5.check_string_dtype(found.dtype) is None:
            raise Refused(f"the attribute '{attribute}' must be text, not {found.dtype}")
        values = group.attrs[attribute]
        values = [values] if isinstance(values, str | bytes) else list(values)
        texts = [value.decode() if isinstance(value, bytes) else value for value in values]
        if sum(map(len, texts)) > LARGEST_CONFIG:
            raise Refused(f"the attribute '{attribute}' is longer than {LARGEST_CONFIG:,} characters")
        return {"value": texts}, None

    def array(self, path: list[str], shape: list[int]) -> Answer:
        """The array at ``path``, which must have ``shape``."""
        found = self.follow(path)
        if not isinstance(found, self.h5.Dataset):
            raise Unusable(f"is missing (/{'/'.join(path)})")
        self.measure(found, tuple(shape))
        numbers = found[()].astype(found.dtype.newbyteorder("<"))
        return {"value": numbers.dtype.str}, numbers

    def measure(self, found: Any, shape: tuple[int, ...]) -> None:
        h5d, h5z = self.h5.h5d, self.h5.h5z
        plan = found.id.get_create_plist()
        if plan.get_layout() not in (h5d.COMPACT, h5d.CONTIGUOUS, h5d.CHUNKED) or plan.get_external_count():
            raise Unusable("lies in another file, which is never opened")
        if found.shape != shape:
            raise Unusable(f"has shape {found.shape} in the file; the configuration says {shape}")
        if found.dtype.kind not in "fiu" or found.dtype.itemsize > 8:
            raise Unusable(f"holds {found.dtype}; numbers of at most 64 bits are needed")
        filters = {plan.get_filter(k)[0] for k in range(plan.get_nfilters())}
        if filters - {h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32}:
            raise Unusable("is compressed in a way that is not supported; save the model again with Keras")
        chunk = plan.get_chunk() if plan.get_layout() == h5d.CHUNKED else ()
        if math.prod(chunk) * found.dtype.itemsize > LARGEST_CHUNK:
            raise Unusable("is stored in pieces that are too large")
        if found.size and not found.id.get_storage_size():
            raise Unusable("is declared, but its numbers are not in the file")


def limit_this_process(size: int) -> None:
    """Processor time (from now on, for a file of ``size`` bytes) and memory; no file may be written."""
    seconds = math.ceil(time.process_time()) + SECONDS + size // SLOWEST_READ
    for what, most in (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, LARGEST_PROCESS),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(what)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))


def main() -> None:
    """Serves the file at standard input to the connection whose number is the only argument."""
    connection = Connection(int(sys.argv[1]))
    import_module("h5py")  # which takes a second on a busy machine, and has seen nothing of the file
    with open(0, "rb") as file:
        limit_this_process(os.fstat(0).st_size)
        try:
            reader = Reader(file)
        except Exception as error:  # as in ``Reader.answer``
            connection.send_bytes(json.dumps({"damage": f"{type(error).__name__}: {error}"}).encode())
            return
        connection.send_bytes(json.dumps({"value": None}).encode())
        while True:
            try:
                request = json.loads(connection.recv_bytes())
            except EOFError:
                return
            answer, numbers = reader.answer(request)
            connection.send_bytes(json.dumps(answer).encode())
            if numbers is not None and numbers.size:
                connection.send_bytes(memoryview(numbers).cast("B"))


if __name__ == "__main__":
    main()
