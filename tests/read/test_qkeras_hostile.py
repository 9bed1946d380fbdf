"""Damaged files of QKeras: a few of those of ``benchmarks/campaigns/qkeras_files.py``, each read or refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from campaigns.qkeras_files import CAMPAIGN
from campaigns.sample_files import outcome

EACH = 5  # the campaign itself reads thousands
KINDS = [kind for kind in CAMPAIGN.changes if "quantizer" in kind]  # the others are tried with Keras' own files


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_read_or_refused(kind: str, tmp_path: Path) -> None:
    found = [outcome(content, tmp_path / f"m{suffix}") for content, suffix in CAMPAIGN.of_kind(kind).files(EACH, 1)]
    assert len(found) == EACH
    assert any(found)
    assert all(one.startswith(str(tmp_path)) and len(one) < 2_000 for each in found for one in each)


def test_undamaged_files_are_read(tmp_path: Path) -> None:
    seeds = CAMPAIGN.seeds()
    assert len(seeds) >= 6
    assert not any(outcome(seed.content, tmp_path / f"m{seed.suffix}") for seed in seeds)
