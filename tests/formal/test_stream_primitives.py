"""Every stream primitive keeps the stream contract, loses, repeats and reorders nothing, and never gets stuck."""

from __future__ import annotations

from pathlib import Path

import pytest
from primitives import PAUSES_DEPTH, PRIMITIVES, STAGE
from prover import Mode, prove, translate
from stage_induction import StageInduction
from stream_harness import Pauses, StreamHarness

from rtl_lib.streams.master_slave_stage import MasterSlaveStage

pytestmark = pytest.mark.formal


@pytest.mark.parametrize("name", PRIMITIVES)
def test_nothing_bad_happens_within_the_depth(name: str, tmp_path: Path) -> None:
    primitive = PRIMITIVES[name]
    translate(StreamHarness(primitive.create(), primitive.promise), tmp_path)
    proof = prove(tmp_path, PAUSES_DEPTH if primitive.deep else primitive.depth, Mode.BMC)
    assert proof.holds, proof.log


@pytest.mark.parametrize("pauses", [Pauses.SOURCE, Pauses.SINK], ids=["source", "sink"])
@pytest.mark.parametrize("name", [name for name, primitive in PRIMITIVES.items() if primitive.deep])
def test_nothing_bad_happens_in_several_frames_with_one_side_pausing(name: str, pauses: Pauses, tmp_path: Path) -> None:
    primitive = PRIMITIVES[name]
    translate(StreamHarness(primitive.create(), primitive.promise, pauses), tmp_path)
    proof = prove(tmp_path, primitive.depth, Mode.BMC)
    assert proof.holds, proof.log


@pytest.mark.parametrize("name", PRIMITIVES)
def test_valid_without_ready_full_speed_and_the_last_beat_are_reached(name: str, tmp_path: Path) -> None:
    primitive = PRIMITIVES[name]
    translate(StreamHarness(primitive.create(), primitive.promise), tmp_path)
    proof = prove(tmp_path, primitive.depth + 8, Mode.COVER)
    assert proof.holds, proof.log


def test_the_master_slave_stage_is_right_for_ever(tmp_path: Path) -> None:
    translate(StageInduction(MasterSlaveStage(PRIMITIVES["stage"].create().input_beat), STAGE), tmp_path)
    for mode in (Mode.BMC, Mode.INDUCTION):
        proof = prove(tmp_path, 4, mode)
        assert proof.holds, proof.log
