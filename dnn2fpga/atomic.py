"""Output folders that appear whole or not at all, and digests of what is in them."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dnn2fpga.errors import UserError


def digest(file: Path) -> str:
    """SHA-256 in hexadecimal; empty when there is no such file."""
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


@contextmanager
def replaced_folder(target: Path) -> Iterator[Path]:
    """Gives an empty folder to write into; when the block ends without an error it takes the place of ``target``.

    :raises UserError: when the place cannot be written.
    """
    target = target.absolute()
    with _temporary_folder(target.parent, f".{target.name}-", target) as temporary:
        content = temporary / "new"
        content.mkdir()
        yield content
        _swap(content, target, temporary / "old")


def _swap(content: Path, target: Path, old: Path) -> None:
    if target.exists():
        target.rename(old)
    try:
        content.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise


@contextmanager
def added_files(folder: Path) -> Iterator[Path]:
    """Like ``replaced_folder``, but keeps the other files of ``folder``: new ones are renamed into it at the end."""
    folder = folder.absolute()
    with _temporary_folder(folder, ".dnn2fpga-", folder) as temporary:
        yield temporary
        for file in sorted(temporary.iterdir()):
            file.replace(folder / file.name)


@contextmanager
def _temporary_folder(parent: Path, prefix: str, target: Path) -> Iterator[Path]:
    """A folder that is gone at the end; after an error so are the folders that had to be made for it."""
    made = [folder for folder in (parent, *parent.parents) if not folder.exists()]
    try:
        parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    except OSError as error:
        _remove_empty(made)
        raise UserError(
            f"{target}: cannot be written: {error.strerror or error}; choose another folder with -o"
        ) from error
    try:
        yield temporary
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        _remove_empty(made)
        if isinstance(error, OSError):
            raise UserError(f"{target}: cannot be written: {error.strerror or error}") from error
        raise
    shutil.rmtree(temporary, ignore_errors=True)


def _remove_empty(folders: list[Path]) -> None:
    """Innermost first; a folder into which somebody has written meanwhile stays."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()
