"""Damaged files of HGQ2: a few of those of ``benchmarks/campaigns/hgq_files.py``, each read or refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from campaigns.hgq_files import CAMPAIGN
from campaigns.sample_files import outcome

EACH = 8  # the campaign itself reads thousands
OWN = ("options of quantizers", "options of layers", "widths")  # others are tried with Keras' own files


@pytest.mark.parametrize("kind", OWN)
def test_damaged_files_are_read_or_refused(kind: str, tmp_path: Path) -> None:
    found = [outcome(content, tmp_path / f"m{suffix}") for content, suffix in CAMPAIGN.of_kind(kind).files(EACH, 1)]
    assert len(found) == EACH
    assert any(found)
    assert all(one.startswith(str(tmp_path)) and len(one) < 2_000 for each in found for one in each)


def test_undamaged_files_are_read(tmp_path: Path) -> None:
    refused = {seed.name: outcome(seed.content, tmp_path / "m.keras") for seed in CAMPAIGN.seeds()}
    assert [name for name, reasons in refused.items() if reasons] == ["hgq2_per_pixel/model.keras"]
