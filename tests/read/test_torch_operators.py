"""Single operators of PyTorch beside what PyTorch made of random numbers: as it exports them, and decomposed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from torch_files import FOLDER, Computed

from dnn2fpga.errors import UserError
from dnn2fpga.read.torch import read_torch

RECORDED = np.load(FOLDER / "torch_operators" / "io.npz")
NAMES = [str(name) for name in RECORDED["operators"]]
KINDS = ("open batch", "batch of 2", "decomposed")
WITH_GT = ("prelu", "decomposed")  # becomes gt and where
EVERY = pytest.mark.parametrize("number", range(len(NAMES)), ids=NAMES)


def part(name: str, number: int) -> np.ndarray:
    ends = [0, *RECORDED[f"{name}_ends"]]
    return np.asarray(RECORDED[name][ends[number] : ends[number + 1]])


def module(number: int, kind: str, folder: Path) -> Path:
    path = folder / "model.pt2"
    path.write_bytes(part("models", len(KINDS) * number + KINDS.index(kind)).tobytes())
    return path


@EVERY
@pytest.mark.parametrize("kind", KINDS)
def test_operator(number: int, kind: str, tmp_path: Path) -> None:
    if (NAMES[number], kind) == WITH_GT:
        with pytest.raises(UserError, match=r"\(aten.gt.Scalar\): is not supported"):
            read_torch(module(number, kind, tmp_path))
        return
    axes = 3 if number < NAMES.index("linear") else 1
    computed = Computed(module(number, kind, tmp_path), RECORDED[f"x_{axes}"], NAMES[number] == "channels last")
    expected = part("y", number)
    atol = 2e-6 * max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(computed.output.reshape(-1), expected, atol=atol, rtol=0)
