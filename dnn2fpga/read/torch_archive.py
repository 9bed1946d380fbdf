"""Opens a ``.pt2`` file: a zip archive with a program in JSON and its arrays as plain bytes, beside parts that are
pickles. Those are never opened: loading a pickle runs code.

The archive, from torch 2.9 on, under one folder:

    archive_format, archive_version, byteorder    "pt2", "0", "little"
    models/NAME.json                              the program
    data/weights/NAME_weights_config.json         which array lies where
    data/weights/weight_N                         its numbers
    data/constants/…                              the same for constants
    data/sample_inputs/NAME.pt                    a pickle

Source: https://docs.pytorch.org/docs/stable/export/pt2_archive.html
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from pydantic import BaseModel

from dnn2fpga.errors import UserError, damage_reported
from dnn2fpga.files.archives import SIGNATURES, UnreadableArchive, open_archive
from dnn2fpga.read.container import bytes_of, parsed_config, unpack
from dnn2fpga.read.limits import LARGEST_CONFIG, LARGEST_MEMBER, MOST_PARAMETERS
from dnn2fpga.read.other_files import EXPORT, described
from dnn2fpga.read.torch_schema import Payload, PayloadConfig, Program
from dnn2fpga.tensors.basics import Unsupported

AGAIN = "export the model again with torch 2.9 or later"
IN_ORDER = "call .contiguous(), or model.to(memory_format=torch.contiguous_format), before the export"
VERSION = 8  # of the schema
DTYPES = {1: "u1", 2: "i1", 3: "<i2", 4: "<i4", 5: "<i8", 7: "<f4", 8: "<f8"}
STRIDED = 7  # the layout of plain tensors
MOST_BYTES = 8 * MOST_PARAMETERS  # of all arrays that are read

_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True)
class _Archive:
    """An archive whose members have been listed."""

    path: Path
    archive: zipfile.ZipFile
    members: Mapping[str, zipfile.ZipInfo]

    def content(self, name: str, largest: int) -> bytes:
        """The bytes of a member."""
        target = io.BytesIO()
        unpack(self.path, self.archive, self.members[name], largest, target)
        return target.getvalue()

    def text(self, name: str) -> str:
        """A short text; empty where there is none."""
        return self.content(name, 100).decode("latin-1").strip() if name in self.members else ""

    def model(self, name: str, kind: type[_Model]) -> _Model:
        """A member in JSON."""
        text = self.content(name, LARGEST_CONFIG).decode()
        return kind.model_validate(parsed_config(self.path, text))


class Arrays:
    """The arrays of a file, each read when it is asked for."""

    def __init__(self, archive: _Archive, payloads: Mapping[str, tuple[str, Payload]]) -> None:
        self._archive = archive
        self._payloads = payloads
        self._contents: dict[str, bytes] = {}
        self._bytes = 0

    def array(self, name: str) -> np.ndarray:
        """The array of a parameter, a buffer or a constant.

        :raises Unsupported: when it is of another kind than plain numbers in order.
        :raises UserError: when it is damaged, or too large.
        """
        if name not in self._payloads:
            raise Unsupported(f"reads '{name}', of which the file has no numbers")
        folder, payload = self._payloads[name]
        meta = payload.tensor_meta
        if payload.use_pickle or meta is None:
            raise Unsupported(f"reads '{name}', which is a pickle: loading one runs code; make it a plain tensor")
        if meta.layout != STRIDED or meta.dtype not in DTYPES:
            raise Unsupported(f"reads '{name}', which is of an unusual type; convert the model with model.float()")
        shape = _known(meta.shape)
        size, dtype = math.prod(shape), np.dtype(DTYPES[meta.dtype])
        strides, offset = _known(tuple(one.as_int for one in meta.strides)), meta.storage_offset.as_int
        if not _is_contiguous(shape, strides):
            raise Unsupported(f"reads '{name}', whose numbers are not in order; {IN_ORDER}")
        if min(shape, default=0) < 0 or size > MOST_PARAMETERS:
            raise Unsupported(f"reads '{name}', which has the shape {list(shape)}")
        content = self._content(folder + payload.path_name) if size else b""
        if offset is None or not 0 <= offset * dtype.itemsize <= len(content) - size * dtype.itemsize:
            raise Unsupported(f"reads '{name}', whose numbers are not all in the file; {AGAIN}")
        found = np.frombuffer(content, dtype, size, offset * dtype.itemsize).reshape(shape)
        return found.astype(dtype.newbyteorder("="), copy=False)

    def _content(self, member: str) -> bytes:
        """The bytes of a member, of which several arrays may be parts."""
        if member not in self._contents:
            info = self._archive.members.get(member)
            self._bytes += info.file_size if info else 0
            if info is None or self._bytes > MOST_BYTES:
                raise UserError(f"{self._archive.path}: '{member}' is missing, or with it all arrays are too large")
            with damage_reported(f"{self._archive.path}: '{member}' is damaged; copy or save the file again"):
                self._contents[member] = self._archive.content(member, LARGEST_MEMBER)
        return self._contents[member]


def _known(extents: tuple[int | None, ...]) -> tuple[int, ...]:
    if None in extents:
        raise Unsupported(f"reads an array of the open shape {list(extents)}")
    return tuple(extent for extent in extents if extent is not None)


def _is_contiguous(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether numbers are in the order of the axes; the stride of an axis of one entry says nothing."""
    usual = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    return len(strides) == len(shape) and all(
        stride == own or extent <= 1 for stride, own, extent in zip(strides, usual, shape, strict=True)
    )


@contextmanager
def open_program(path: Path) -> Iterator[tuple[Program, Arrays]]:
    """Open a ``.pt2`` file for the duration of a ``with`` block.

    :raises UserError: when there is no such file, when it is something else, damaged, or too large.
    """
    if path.is_dir():
        raise UserError(f"{path}: is a folder; give the path of a file that torch.export.save wrote (.pt2)")
    with bytes_of(path, "a model saved by torch.export.save (.pt2)") as file:
        start = file.read(16)
        if not start.startswith(SIGNATURES):
            raise UserError(f"{path}: {described(path, start)}")
        damage = f"{path}: is not a PyTorch program that can be read: the archive is damaged; copy or save it again"
        try:
            with ExitStack() as opened:
                with damage_reported(damage, UnreadableArchive):
                    archive = _Archive(path, *opened.enter_context(open_archive(file)))
                    program, payloads = _parts(archive)
                yield program, Arrays(archive, payloads)
        except UnreadableArchive as reason:
            raise UserError(f"{path}: is not a PyTorch program that can be read: {reason}") from reason


def _parts(archive: _Archive) -> tuple[Program, dict[str, tuple[str, Payload]]]:
    """The program, and for each array the folder that it lies in."""
    path, members = archive.path, archive.members
    formats = [name for name in members if name.endswith("/archive_format") and name.count("/") == 1]
    if len(formats) != 1 or archive.text(formats[0]) != "pt2":
        raise UserError(f"{path}: {_what_else(members)}")
    root = formats[0].removesuffix("archive_format")
    version, order = archive.text(f"{root}archive_version"), archive.text(f"{root}byteorder")
    if version != "0" or order not in ("little", ""):
        raise UserError(f"{path}: is of version '{version}', in the byte order '{order}'; {AGAIN}")
    models = [name for name in members if name.startswith(f"{root}models/") and name.endswith(".json")]
    if len(models) != 1:
        raise UserError(f"{path}: holds {len(models)} programs; save one with torch.export.save")
    name = models[0].removeprefix(f"{root}models/").removesuffix(".json")
    payloads = {}
    for folder, config in (("weights", f"{name}_weights_config"), ("constants", f"{name}_constants_config")):
        place = f"{root}data/{folder}/"
        if f"{place}{config}.json" not in members:
            raise UserError(f"{path}: keeps its {folder} as a pickle, as older torch does, or not at all; {AGAIN}")
        found = archive.model(f"{place}{config}.json", PayloadConfig).config
        payloads.update({key: (place, payload) for key, payload in found.items()})
    program = archive.model(models[0], Program)
    if program.schema_version.major != VERSION:
        version = f"{program.schema_version.major}.{program.schema_version.minor}"
        raise UserError(
            f"{path}: its program is of version {version}, written by torch {program.torch_version}; {AGAIN}"
        )
    return program, payloads


def _what_else(members: Mapping[str, zipfile.ZipInfo]) -> str:
    """Return the message for an archive without a program: its kind, and what to do."""
    if "serialized_exported_program.json" in members:
        return f"is a program of torch 2.7 or earlier, whose weights are a pickle; {AGAIN}"
    if any(name.endswith("/data.pkl") for name in members):
        return f"was written by torch.save or torch.jit.save: a pickle, whose loading runs code; {EXPORT}"
    return f"is a zip archive, but no PyTorch program; {EXPORT}"
