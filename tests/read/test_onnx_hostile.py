"""Damaged ``.onnx`` files: a few of those of ``benchmarks/campaigns/onnx_files.py``, each read or refused."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest
from onnx_models import QONNX, Model

from dnn2fpga.errors import UserError
from dnn2fpga.read.onnx import read_onnx

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from campaigns.onnx_files import CAMPAIGN

COUNT = 364


def problems(content: bytes, path: Path) -> tuple[str, ...]:
    """Why a file is refused; nothing where it is read."""
    path.write_bytes(content)
    try:
        read_onnx(path)
    except UserError as reason:
        return reason.problems
    return ()


@pytest.mark.parametrize("kind", CAMPAIGN.changes)
def test_damaged_files_are_read_or_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    found = [problems(content, path) for name, content in CAMPAIGN.files(COUNT, 1) if name.startswith(kind)]
    assert len(found) == COUNT // len(CAMPAIGN.changes)
    assert any(found)
    assert all(one.startswith(str(path)) and len(one) < 2_000 for each in found for one in each)


def attacks() -> dict[str, bytes]:
    """Small files that ask for much work."""
    wide = Model((1, 2**16))  # a scale per number, again and again
    names = [wide.constant("s", np.full((1, 2**16), 0.1, np.float32)), wide.constant("z", 0.0), wide.constant("b", 8.0)]
    for k in range(100):
        wide.node("Quant", f"q{k}", f"q{k - 1}" if k else "x", *names, domain=QONNX)
    moved = Model((1, 4, 512, 512))  # a million numbers, moved to and fro
    for k in range(200):
        moved.node("Transpose", f"t{k}", f"t{k - 1}" if k else "x", perm=[0, 3, 1, 2] if k % 2 else [0, 2, 1, 3])
    grown = Model((1, 1, 4, 4))  # a constant that grows
    name = grown.constant("c", np.ones((1, 2**11), np.float32))
    other = grown.constant("d", np.ones((2**11, 1), np.float32))
    for k in range(50):
        name = grown.node("Add", f"a{k}", name, other)
    grown.node("Add", "y", "x", name)
    filled = Model((1, 4))
    filled.node("ConstantOfShape", "c", filled.constant("n", np.array([2**15, 2**15])))
    filled.node("MatMul", "y", "x", "c")
    return {"wide": wide.content, "moved": moved.content, "grown": grown.content, "filled": filled.content}


@pytest.mark.parametrize("name", ["wide", "moved", "grown", "filled"])
def test_an_attacker_gains_no_time(name: str, tmp_path: Path) -> None:
    content, start = attacks()[name], time.process_time()
    problems(content, tmp_path / "model.onnx")
    assert time.process_time() - start < 5


def test_undamaged_files_are_read(tmp_path: Path) -> None:
    assert not any(problems(content, tmp_path / "model.onnx") for content in CAMPAIGN.seeds())
