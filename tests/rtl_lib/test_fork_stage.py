"""A fork: every reader gets every beat once, in order, whenever it is ready; the proofs are in tests/formal."""

from __future__ import annotations

import numpy as np
import pytest
from branch_bench import STALLS, run_branching

from rtl_lib.core.branch_timing import TAKEN, ForkStageModel
from rtl_lib.core.formats import Format
from rtl_lib.core.rules import State
from rtl_lib.core.stream import Beat
from rtl_lib.streams.fork_stage import ForkStage

BEAT = Beat(Format(True, 6), 2)
NUMBERS = np.arange(40).reshape(20, 2) - 20


@pytest.mark.parametrize("readers", [2, 3, 4])
def test_every_reader_gets_every_beat(readers: int) -> None:
    for sources, sinks in [*STALLS, ((0.0,), (0.0, 0.9)), ((0.1,), (0.5, 0.0, 0.8))]:
        run = run_branching(ForkStage(BEAT, readers), [NUMBERS], source_pauses=sources, sink_pauses=sinks)
        for of_reader in run.outputs:
            assert of_reader.tolist() == NUMBERS.tolist(), f"sources {sources}, sinks {sinks}"


def test_one_cycle_then_a_beat_per_cycle() -> None:
    run = run_branching(ForkStage(BEAT, 3), [NUMBERS])
    assert run.input_cycles == [list(range(20))]
    assert run.output_cycles == [list(range(1, 21))] * 3


def test_a_reader_is_one_beat_ahead_at_most() -> None:
    run = run_branching(ForkStage(BEAT, 2), [NUMBERS], sink_pauses=(0.0, 0.8), seed=3)
    fast, slow = run.output_cycles
    assert all(early <= late for early, late in zip(fast, slow, strict=True))
    assert all(following > late for following, late in zip(fast[1:], slow[:-1], strict=True))


class NeverTaken(ForkStageModel):
    @staticmethod
    def moves(s: State, valids: int, readys: int, cycles: int) -> int:
        rest = ForkStageModel.moves(s, valids, readys, cycles)
        s[TAKEN] = 0
        return rest


def test_a_wrong_timing_model_is_found() -> None:
    with pytest.raises(AssertionError, match="cycle"):
        run_branching(ForkStage(BEAT, 2), [NUMBERS], sink_pauses=(0.0, 0.5), model=NeverTaken(2))


def test_a_single_reader_is_refused() -> None:
    with pytest.raises(ValueError, match="a fork must have at least two readers, not 1"):
        ForkStage(BEAT, 1)
