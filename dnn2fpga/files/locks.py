"""Locks that the kernel releases when their process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from dnn2fpga.processes.interrupts import undisturbed


class Held(Exception):
    """Another process holds the lock; the text says which."""


@undisturbed
def locked(file: Path) -> Iterator[None]:
    """Lock ``file``, which names its holder meanwhile and is removed afterwards.

    :raises Held: at once, when it is locked already.
    :raises OSError: when it cannot be written or locked.
    """
    stream = _opened(file)
    while not _is(stream, file):  # its last holder has removed it after it was opened here
        stream.close()
        stream = _opened(file)
    with stream:
        try:
            with suppress(OSError):  # on a full disk the lock has no name, but holds
                stream.write(f"'{shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])}' (process {os.getpid()})\n")
                stream.flush()
            yield
        finally:
            file.unlink(missing_ok=True)


def _opened(file: Path) -> TextIO:
    """The file, locked."""
    stream = file.open("a+", encoding="utf-8", errors="replace")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        stream.truncate(0)
    except BlockingIOError:
        with stream:
            stream.seek(0)
            raise Held(stream.readline().strip() or "another process") from None
    except BaseException:
        stream.close()
        raise
    return stream


def _is(stream: TextIO, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), file.stat())
    except FileNotFoundError:
        return False
