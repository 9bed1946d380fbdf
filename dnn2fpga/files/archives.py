"""Zip archives that come from a stranger: measured before anything in them is unpacked."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

MOST_MEMBERS = 10_000
LARGEST_DIRECTORY = 2**22  # bytes of the list of members

_END = b"PK\x05\x06"  # of the record at the end of an archive
SIGNATURES = (b"PK\x03\x04", _END)  # an archive begins with its first member, or ends at once: a network has no weights
_END_SIZE = 22  # signature and size of the record at the end of an archive
_LOCATOR, _LOCATOR_SIZE = b"PK\x06\x07", 20  # of the record before it, in archives of more than 4 GiB
_LONG_END_SIZE = 56  # of the record that it points to


class UnreadableArchive(Exception):
    """The refusal of an archive; the message is the reason, in a few words."""


@contextmanager
def open_archive(file: BinaryIO) -> Iterator[tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]]:
    """Yield an archive and its members by name.

    :param file: the whole of it is the archive: nothing before, nothing after.
    :raises UnreadableArchive: when it is no such archive, or one that no honest program writes.
    :raises Exception: whatever ``zipfile`` raises for a damaged archive.
    """
    _measure_directory(file)
    with zipfile.ZipFile(file) as archive:
        members = {info.filename: info for info in archive.infolist()}
        if len(members) != len(archive.infolist()):
            raise UnreadableArchive("two members of the archive have the same name")
        if min((info.header_offset for info in members.values()), default=0) != 0:
            raise UnreadableArchive("other data stand before the archive; a file of two formats is never read")
        for info in members.values():
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 1:
                raise UnreadableArchive(f"'{info.filename}' in it is encrypted, or compressed in an unusual way")
        yield archive, members


def _measure_directory(file: BinaryIO) -> None:
    """Check the directory before the list of members is read: it must be short, and end where the file ends."""
    size = file.seek(0, os.SEEK_END)
    end = _bytes_at(file, max(size - _END_SIZE - _LOCATOR_SIZE, 0), size)
    locator, record = end[:-_END_SIZE], end[-_END_SIZE:]
    if not record.startswith(_END):
        raise UnreadableArchive("the archive is damaged: it is cut off, or followed by something else")
    members, directory = _number(record[10:12]), _number(record[12:16])
    if locator.startswith(_LOCATOR):
        start = _number(locator[8:16])
        long_record = _bytes_at(file, start, start + _LONG_END_SIZE)
        members, directory = _number(long_record[32:40]), _number(long_record[40:48])
    if members > MOST_MEMBERS or directory > LARGEST_DIRECTORY:
        raise UnreadableArchive(f"the archive lists {members:,} members in {directory:,} bytes, more than any has")
    file.seek(0)


def _bytes_at(file: BinaryIO, start: int, end: int) -> bytes:
    file.seek(start)
    return file.read(end - start)


def _number(little_endian: bytes) -> int:
    return int.from_bytes(little_endian, "little")
