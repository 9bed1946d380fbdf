"""Cache folders of libraries and tools: at home, or elsewhere if nothing can be written there."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

VARIABLES = {"XDG_CACHE_HOME": ".cache", "XDG_CONFIG_HOME": ".config"}  # obeyed by matplotlib and the tools of PyPI


def find_writable_caches() -> None:
    """Set the variables in which the usual places cannot be written to a folder among the temporary files.

    Compiled tools are kept there until the machine deletes it; without any place they fail with a message of their own.
    """
    for variable, usual in VARIABLES.items():
        if not _writable(Path(os.environ.get(variable) or Path(os.path.expanduser("~"), usual))):
            with suppress(OSError):
                os.environ[variable] = str(_own_folder() / usual)


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def _own_folder() -> Path:
    """Nobody else's: what is in it is run."""
    folder = Path(tempfile.gettempdir()) / f"dnn2fpga-caches-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid() or folder.stat().st_mode & 0o022:
        raise PermissionError(f"{folder} is not ours alone")
    return folder
