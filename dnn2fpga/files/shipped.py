"""Folders that stand beside the package in a checkout and inside it in an installed wheel."""

from pathlib import Path
from typing import Literal

from dnn2fpga.errors import UserError

_PACKAGE = Path(__file__).resolve().parents[1]


def shipped_folder(name: Literal["sim", "boards"]) -> Path:
    """Return the folder `name`: the wheel's copy when there is one, else the checkout's.

    Raises `UserError` when neither exists (a broken installation).
    """
    candidates = (_PACKAGE / "shipped" / name, _PACKAGE.parent / name)
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    looked_in = " or ".join(str(candidate) for candidate in candidates)
    raise UserError(f"the folder '{name}' of dnn2fpga is missing, not found as {looked_in}; install dnn2fpga again")
