"""A small work folder, as ``dnn2fpga quantize`` leaves it, for the campaigns that damage it."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .seeds import ROOT


@dataclass(frozen=True)
class WorkFiles:
    """``model.yaml``, ``weights.npz`` and ``samples.npz`` by name."""

    files: dict[str, bytes]

    def write(self, folder: Path) -> None:
        folder.mkdir()
        for name, content in self.files.items():
            (folder / name).write_bytes(content)


def work_files() -> WorkFiles:
    """Those of a convolution, a pooling layer and a dense layer with random weights."""
    sys.path.insert(0, str(ROOT / "tests"))
    from small_networks import network

    from dnn2fpga.graph import files as config_files

    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        config_files.save(network((6, 6, 1), [2, "pool", "flat", 3]), folder)
        np.savez(folder / "samples.npz", x=np.random.default_rng(0).uniform(0, 1, (8, 6, 6, 1)).astype(np.float32))
        return WorkFiles({file.name: file.read_bytes() for file in sorted(folder.iterdir())})
