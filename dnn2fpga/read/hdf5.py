"""Groups, arrays and texts of an HDF5 file that comes from a stranger, read by a process with limits
(``hdf5_process``).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from dnn2fpga.errors import UserError
from dnn2fpga.tensors.basics import Shape, Unsupported

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_END_OF_FILE = {0: 40, 1: 44, 2: 28, 3: 28}  # where a superblock of each version keeps the address of the file's end
_PROGRAM = "dnn2fpga.read.hdf5_process"


class Hdf5:
    """An open file. To be closed; raises ``UserError`` for whatever is wrong with it.

    :param file: the bytes, as a file that the operating system knows; no other file is ever opened.
    :param where: names the file in messages.
    """

    def __init__(self, file: BinaryIO, where: str) -> None:
        self.where = where
        self._require_whole(file)
        self._connection, end = Pipe()
        self._process = _started(file, end)
        try:
            self._answer()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._connection.close()
        self._process.kill()
        self._process.wait()

    def _require_whole(self, file: BinaryIO) -> None:
        """Neither cut off nor followed by something else, such as a zip archive that another program would read."""
        file.seek(0)
        head = file.read(64)
        size = file.seek(0, os.SEEK_END)
        position = _END_OF_FILE.get(head[8]) if len(head) == 64 else None
        if not head.startswith(SIGNATURE) or position is None:
            raise self._damaged("its first bytes")
        declared = int.from_bytes(head[position : position + 8], "little")
        if size < declared:
            raise UserError(
                f"{self.where}: is not a Keras model that can be read: only {size:,} of {declared:,} bytes are there; "
                "copy it again"
            )
        if size > declared:
            raise UserError(
                f"{self.where}: {size - declared:,} bytes follow the end of its HDF5 data; a file of two formats is "
                "never read"
            )
        file.seek(0)

    def members(self, *path: str) -> list[str] | None:
        """Names in a group; None where there is no such group."""
        return self._ask("members", path=path)

    def texts(self, attribute: str, *path: str) -> list[str] | None:
        """An attribute of a group that holds one text or several; None where there is none."""
        return self._ask("texts", path=path, attribute=attribute)

    def array(self, shape: Shape, *path: str) -> np.ndarray:
        """The array at ``path``, which must have ``shape``.

        :raises Unsupported: when there is none, or one of another shape or kind.
        """
        numbers = np.empty(shape, np.dtype(self._ask("array", path=path, shape=shape)))
        if numbers.size:
            try:
                self._connection.recv_bytes_into(memoryview(numbers.reshape(-1)).cast("B"))
            except (EOFError, OSError) as error:
                raise self._damaged("its reader came to an end") from error
        return numbers

    def _ask(self, what: str, **details: Any) -> Any:
        try:
            self._connection.send_bytes(json.dumps({"what": what, **details}).encode())
        except OSError as error:
            raise self._damaged("its reader came to an end") from error
        return self._answer()

    def _answer(self) -> Any:
        try:
            answer = json.loads(self._connection.recv_bytes())
        except (EOFError, OSError) as error:
            raise self._damaged("reading it takes too long, too much memory, or makes the HDF5 library fail") from error
        if "refused" in answer:
            raise UserError(f"{self.where}: {answer['refused']}")
        if "unusable" in answer:
            raise Unsupported(answer["unusable"])
        if "damage" in answer:
            raise self._damaged(answer["damage"])
        return answer["value"]

    def _damaged(self, reason: str) -> UserError:
        shown = " ".join(reason.split())[:200]
        return UserError(f"{self.where}: is damaged and cannot be read as HDF5; copy or save it again ({shown})")


def _started(file: BinaryIO, end: Connection) -> subprocess.Popen[bytes]:
    """The process that reads ``file`` and answers at the other ``end``, of which it is the only owner."""
    package_folder = str(Path(__file__).parents[2])
    places = [package_folder, *filter(None, [os.environ.get("PYTHONPATH")])]
    with end:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", _PROGRAM, str(end.fileno())],
            stdin=file,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[end.fileno()],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(places), "OPENBLAS_NUM_THREADS": "1"},
        )
