"""The folders of files that are too large, or not ours, to be kept with the tests."""

from __future__ import annotations

import os
from pathlib import Path


def beside_the_data(name: str) -> Path:
    """The folder ``name`` beside that of the data sets."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("DNN2FPGA_DATA", default)).parent / name
