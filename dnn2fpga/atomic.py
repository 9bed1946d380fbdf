"""Output folders that appear whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dnn2fpga.errors import UserError


@contextmanager
def replaced_folder(target: Path) -> Iterator[Path]:
    """Gives an empty folder to write into; when the block ends without an error it takes the place of ``target``.

    :raises UserError: when the place cannot be written.
    """
    target = target.absolute()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise UserError(f"{target}: cannot be written: {error.strerror}; choose another folder with -o") from error
    try:
        content = temporary / "new"
        content.mkdir()
        yield content
        _swap(content, target, temporary / "old")
    except OSError as error:
        raise UserError(f"{target}: cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


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
    """Like ``replaced_folder``, but keeps the other files of ``folder``:
    the new ones are renamed into it at the end.
    """
    folder = folder.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".dnn2fpga-", dir=folder))
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror}; choose another folder with -o") from error
    try:
        yield temporary
        for file in sorted(temporary.iterdir()):
            file.replace(folder / file.name)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
