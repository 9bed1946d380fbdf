"""One command at a time in a work folder, which first puts right what a killed one has left there."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from dnn2fpga.errors import UserError
from dnn2fpga.files.atomic import made_folder, sweep
from dnn2fpga.files.locks import Held, locked

LOCK_FILE = ".dnn2fpga.lock"


@contextmanager
def exclusive(folder: Path, *, make: bool = False) -> Iterator[None]:
    """Keep other commands out of a work folder. Where there is none, there is nothing to keep them out of.

    :param make: the command writes a new work folder: it is made now, and gone again if nothing is put into it.
    :raises UserError: when another command is at work there, or the folder cannot be written.
    """
    with ExitStack() as stack:
        try:
            if make:
                stack.enter_context(made_folder(folder.absolute()))
            if folder.is_dir():
                stack.enter_context(locked(folder / LOCK_FILE))
                sweep(folder)
                with suppress(OSError):
                    sweep(Path(tempfile.gettempdir()), levels=("",))
        except Held as other:
            raise UserError(f"{folder}: {other} is at work there; wait until it has ended") from other
        except OSError as error:
            problem = f"cannot be written: {error.strerror or error}"
            raise UserError(f"{folder}: {problem}; choose another folder{' with -o' if make else ''}") from error
        yield
