"""Output folders that appear whole or not at all, also when the process is killed; digests of files.

What is written goes into a scratch folder ``.dnn2fpga-XXXX`` beside its place. It holds

``lock``    held by the process that writes; the kernel releases it with the end of that process,
``new/``    what is being written,
``ready/``  the same when it is whole: this one renaming is the moment from which on it counts,
``old/``    a folder that is being replaced.

A process that is killed before that moment has changed nothing. What a process that is killed later has not moved to
its place, ``sweep`` moves in the next command. Nothing is forced to the disk (fsync): a power failure can tear any
file, which the digests of the work folder then tell.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from dnn2fpga.errors import UserError
from dnn2fpga.files.locks import Held, locked
from dnn2fpga.processes.interrupts import undisturbed

PREFIX = ".dnn2fpga-"
LOCK, NEW, READY, OLD = "lock", "new", "ready", "old"
LEVELS = ("", "*/", "*/*/", "*/*/*/")  # below a work folder, down to the models of a search


def digest(file: Path) -> str:
    """SHA-256 in hexadecimal; of a folder that of a list of its files and their digests, as ``sha256sum`` writes it;
    empty when there is no such file.
    """
    if file.is_dir():
        inside = sorted(one for one in file.rglob("*") if one.is_file() and not one.is_symlink())
        return digest_of_all({one.relative_to(file).as_posix(): one for one in inside})
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


def digest_of_all(files: Mapping[str, Path]) -> str:
    """SHA-256 of a list of files, by the names that they have in it, and their digests, as ``sha256sum`` writes it."""
    listed = "".join(f"{digest(file)}  {name}\n" for name, file in files.items())
    return hashlib.sha256(listed.encode()).hexdigest()


@contextmanager
def replaced_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder to write into; when the block ends without an error it replaces ``target``.

    :raises UserError: when the place cannot be written, or is taken by a file.
    """
    target = target.absolute()
    with _published(target.parent, target) as new:
        content = new / target.name
        content.mkdir()
        yield content


@contextmanager
def added_files(folder: Path) -> Iterator[Path]:
    """Like ``replaced_folder``, but keeps the other files of ``folder``: new ones are renamed into it at the end."""
    folder = folder.absolute()
    with _published(folder, folder) as new:
        yield new


@contextmanager
def scratch_folder(parent: Path | None = None) -> Iterator[Path]:
    """A folder that is gone at the end, in ``parent`` or where temporary files go.

    :raises OSError: when it cannot be made.
    """
    with _scratch(parent or Path(tempfile.gettempdir())) as scratch:
        yield scratch / NEW


def sweep(folder: Path, levels: tuple[str, ...] = LEVELS) -> None:
    """Finishes, or removes, what processes that were killed have left in a folder."""
    for level in levels:
        for scratch in folder.glob(f"{level}{PREFIX}*"):
            with suppress(Held, OSError), locked(scratch / LOCK):
                _finish(scratch)


@undisturbed
def made_folder(folder: Path) -> Iterator[None]:
    """``folder`` is there; at the end, it and the folders that had to be made for it are gone if nothing is in them."""
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        with suppress(OSError):
            for one in made:
                one.rmdir()


@undisturbed
def _published(parent: Path, target: Path) -> Iterator[Path]:
    """Yield a folder; what is written into it moves to ``parent`` at the end. ``target`` is for messages."""
    with ExitStack() as stack:
        try:
            stack.enter_context(made_folder(parent))
            scratch = stack.enter_context(_scratch(parent))
        except OSError as error:
            raise UserError(
                f"{target}: cannot be written: {error.strerror or error}; choose another folder with -o"
            ) from error
        try:
            yield scratch / NEW
            _publish(scratch)
        except OSError as error:
            raise UserError(f"{target}: cannot be written: {error.strerror or error}") from error


@undisturbed
def _scratch(parent: Path) -> Iterator[Path]:
    scratch = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    try:
        with locked(scratch / LOCK):
            for name in (NEW, OLD):
                (scratch / name).mkdir()
            yield scratch
    finally:
        with suppress(OSError):  # what is ready is carried through after an interrupt, or else by the next command
            _finish(scratch)


def _publish(scratch: Path) -> None:
    entries = _entries(scratch / NEW)
    for entry in entries:
        place = scratch.parent / entry.name
        if place.exists() and place.is_dir() != entry.is_dir():
            kinds = ("a file", "a folder")
            wanted, found = kinds[entry.is_dir()], kinds[place.is_dir()]
            raise UserError(f"{place}: must be {wanted}, not {found}; move it away")
    (scratch / NEW).rename(scratch / READY)
    try:
        _carry_through(scratch)
    except OSError:
        if len(_entries(scratch / READY)) == len(entries):  # nothing has moved yet, and nothing shall
            (scratch / READY).rename(scratch / NEW)
        raise


def _carry_through(scratch: Path) -> None:
    """Move what is ready to its place, or what is left of it."""
    for entry in _entries(scratch / READY):
        place, old = scratch.parent / entry.name, scratch / OLD / entry.name
        if entry.is_dir() and os.path.lexists(place):
            place.rename(old)
        try:
            entry.replace(place)
        except OSError:
            if os.path.lexists(old):
                old.rename(place)
            raise


def _finish(scratch: Path) -> None:
    if (scratch / READY).is_dir():
        _carry_through(scratch)
    shutil.rmtree(scratch, ignore_errors=True)


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())
