"""Forks and joins keep the stream contract for ever: nothing is lost, repeated or reordered, for no reader and of no
input. Faulty ones do not.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from branches import FAULTY, RIGHT
from prover import Mode, prove, translate

pytestmark = pytest.mark.formal
FAULT_DEPTH = 12


@pytest.mark.parametrize("name", RIGHT)
def test_right_for_ever(name: str, tmp_path: Path) -> None:
    translate(RIGHT[name](), tmp_path)
    for mode in (Mode.BMC, Mode.INDUCTION):
        proof = prove(tmp_path, 4, mode)
        assert proof.holds, proof.log


@pytest.mark.parametrize("name", RIGHT)
def test_valid_without_ready_and_all_readers_at_once_are_reached(name: str, tmp_path: Path) -> None:
    translate(RIGHT[name](), tmp_path)
    proof = prove(tmp_path, 12, Mode.COVER)
    assert proof.holds, proof.log


@pytest.mark.parametrize("name", ["fork_of_2", "sum_of_2", "gated_product", "sequencer"])
def test_no_fault_is_found_where_there_is_none(name: str, tmp_path: Path) -> None:
    harness = RIGHT[name]()
    harness.knows_inside = False
    translate(harness, tmp_path)
    assert prove(tmp_path, FAULT_DEPTH, Mode.BMC).holds


@pytest.mark.parametrize("name", FAULTY)
def test_a_fault_is_found(name: str, tmp_path: Path) -> None:
    """A fault is found in the first cycles, and by the contract alone: by what the neighbours see."""
    harness = FAULTY[name]()
    harness.knows_inside = False
    translate(harness, tmp_path)
    assert not prove(tmp_path, FAULT_DEPTH, Mode.BMC).holds
