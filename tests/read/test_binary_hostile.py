"""Damaged files of larq and of hls4ml's binary layers, and SavedModel folders: a few of those of
``benchmarks/campaigns``, each read or refused.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from campaigns import saved_models
from campaigns.binary_files import CAMPAIGNS
from campaigns.sample_files import Campaign, outcome

EACH = 5  # the campaigns themselves read thousands
KINDS = [kind for kind in CAMPAIGNS[0].changes if " of " in kind]  # the others are tried with Keras' own files


def told_well(problems: tuple[str, ...], path: Path) -> bool:
    return all(one.startswith(str(path)) or one.startswith("layer ") for one in problems) and all(
        len(one) < 2_000 for one in problems
    )


@pytest.mark.parametrize("campaign", CAMPAIGNS, ids=lambda campaign: campaign.tool)
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_read_or_refused(kind: str, campaign: Campaign, tmp_path: Path) -> None:
    files = campaign.of_kind(kind).files(EACH, 1)
    found = [outcome(content, tmp_path / f"m{suffix}") for content, suffix in files]
    assert len(found) == EACH
    assert any(found)
    assert all(told_well(problems, tmp_path) for problems in found)


@pytest.mark.parametrize("kind", saved_models.CHANGES)
def test_damaged_folders_are_read_or_refused(kind: str, tmp_path: Path) -> None:
    changes = {kind: saved_models.CHANGES[kind]}
    found = [saved_models.outcome(files, tmp_path / "m") for _, files in saved_models.folders(4, 1, changes)]
    assert len(found) == 4
    assert all(told_well(problems, tmp_path) for problems in found)


def test_the_undamaged_folder_is_read(tmp_path: Path) -> None:
    ((_, files),) = saved_models.folders(1, 1, {"unchanged": lambda files, random: files})
    assert not saved_models.outcome(files, tmp_path / "m")
    assert saved_models.outcome({}, tmp_path / "m")
