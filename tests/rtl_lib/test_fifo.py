"""The FIFO under the contract of every component; how much it holds, and how fast it is."""

from __future__ import annotations

import numpy as np
import pytest
from contract import check_operator
from stream_bench import run_component
from test_timing_models_under_stalls import PATTERNS, first_difference

from rtl_lib.core.formats import Format
from rtl_lib.core.rules import State
from rtl_lib.core.stream import Beat
from rtl_lib.core.timing import PipelineModel, StageModel
from rtl_lib.core.trace import trace_chain
from rtl_lib.streams.fifo import AT_OUTPUT, STORED, Fifo, FifoModel

BEAT = Beat(Format(True, 5), 2)
DEPTHS = [2, 3, 4, 7]


class Queue:
    """The FIFO as an operator: it changes nothing."""

    input_beat = output_beat = BEAT

    def __init__(self, depth: int, model: type[FifoModel] = FifoModel) -> None:
        self.depth, self.model = depth, model

    @staticmethod
    def compute(x: np.ndarray) -> np.ndarray:
        return x

    def create(self) -> Fifo:
        fifo = Fifo(BEAT, self.depth)
        fifo.beat_model = lambda: self.model(self.depth)  # type: ignore[method-assign]
        return fifo


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_fifo_changes_nothing(depth: int) -> None:
    check_operator(Queue(depth), 20)


@pytest.mark.parametrize("depth", DEPTHS)
def test_every_cycle(depth: int) -> None:
    for source, sink in [*PATTERNS, (0.0, 0.9), (0.3, 0.5)]:
        assert first_difference(Fifo(BEAT, depth), Fifo(BEAT, depth).beat_model(), 300, source, sink) is None


@pytest.mark.parametrize("depth", DEPTHS)
def test_two_cycles_then_a_beat_a_cycle(depth: int) -> None:
    run = run_component(Fifo(BEAT, depth), np.arange(24).reshape(12, 2) - 12, 12)
    assert run.input_cycles == list(range(12))
    assert run.output_cycles == list(range(2, 14))


@pytest.mark.parametrize("depth", DEPTHS)
def test_it_holds_depth_beats_and_one_at_the_output(depth: int) -> None:
    run = run_component(Fifo(BEAT, depth), np.zeros((3 * depth, 2), int), 1, sink_pause=0.999)
    assert run.output_cycles == [] or run.output_cycles[0] > depth + 10  # the sink accepts (next to) nothing
    before = [cycle for cycle in run.input_cycles if not run.output_cycles or cycle <= run.output_cycles[0]]
    assert before == list(range(depth + 1))


def test_a_fifo_in_a_schedule() -> None:
    entry, exit = trace_chain([StageModel(), FifoModel(4), PipelineModel(3)], [(0, 10), (3, 10)])
    assert (entry.interval_cycles, exit.first_cycle, exit.interval_cycles) == (10, 1 + 2 + 3, 10)


class OneTooDeep(FifoModel):
    def __init__(self, depth: int) -> None:
        super().__init__(depth + 1)


class NoOutputRegister(FifoModel):
    @staticmethod
    def offers(s: State) -> int:
        return 1 if s[STORED] or s[AT_OUTPUT] else 0


def test_a_wrong_timing_model_is_found() -> None:
    with pytest.raises(AssertionError):
        check_operator(Queue(3, NoOutputRegister), 20)
    assert first_difference(Fifo(BEAT, 3), OneTooDeep(3), 100, 0.0, 0.9) is not None


def test_a_memory_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match="depth must be at least 2, not 1"):
        Fifo(BEAT, 1)
