"""Damaged ``.tflite`` files: a few of those of ``benchmarks/campaigns/tflite_files.py``, each read or refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dnn2fpga.errors import UserError
from dnn2fpga.read.tflite import read_tflite_model

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from campaigns.tflite_files import CAMPAIGN

COUNT = 360


def problems(content: bytes, path: Path) -> tuple[str, ...]:
    """Why a file is refused; nothing where it is read."""
    path.write_bytes(content)
    try:
        read_tflite_model(path)
    except UserError as reason:
        return reason.problems
    return ()


@pytest.mark.parametrize("kind", CAMPAIGN.changes)
def test_damaged_files_are_read_or_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    found = [problems(content, path) for name, content in CAMPAIGN.files(COUNT, 1) if name.startswith(kind)]
    assert len(found) == COUNT // len(CAMPAIGN.changes)
    assert any(found)
    assert all(one.startswith(str(path)) and len(one) < 2_000 for each in found for one in each)


def test_undamaged_files_are_read(tmp_path: Path) -> None:
    assert not any(problems(content, tmp_path / "model.tflite") for content in CAMPAIGN.seeds())
