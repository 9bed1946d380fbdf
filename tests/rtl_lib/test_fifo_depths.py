"""FIFO depths: the interval stays the best one, no design can hang, and one beat less is not enough.

``benchmarks/deadlock_trials.py`` tests thousands of blocks like these.
"""

from __future__ import annotations

import pytest
from known_blocks import CASES, HALF, LONG, SHORT, X, add, block
from random_blocks import Drawing, Edge, hangs, runs_without_pauses

from rtl_lib.core.branch_timing import JoinPipelineModel
from rtl_lib.core.liveness import prove_alive, run_one_frame
from rtl_lib.core.timing import ReduceModel
from rtl_lib.core.timing_network import TimingNetwork
from rtl_lib.core.trace import Deadlock
from rtl_lib.streams import fifo_depths
from rtl_lib.streams.fifo import FifoModel
from rtl_lib.streams.fifo_depths import FifoDepths, drained_depths, is_alive, too_short

PATTERNS = 25


@pytest.mark.parametrize("name", CASES)
def test_one_beat_less_than_the_proof_asks_for_can_hang(name: str) -> None:
    given, edge, proved, unpaused = CASES[name]
    assert too_short(given.build, {edge: proved}) == {}
    for depth in (2, unpaused, proved - 1):
        assert too_short(given.build, {edge: depth}) == ({edge: proved} if depth < proved else {})
    hung = [any(hangs(given, {edge: FifoModel(d)}, k) for k in range(PATTERNS)) for d in (proved - 1, proved)]
    assert hung == [True, False]


@pytest.mark.parametrize("name", CASES)
def test_a_schedule_without_pauses_is_no_proof(name: str) -> None:
    given, edge, proved, unpaused = CASES[name]
    assert runs_without_pauses(given, {edge: FifoModel(unpaused)})
    assert not runs_without_pauses(given, {edge: FifoModel(unpaused - 1)})
    assert is_alive(given.build, {edge: unpaused}) == (unpaused == proved)


@pytest.mark.parametrize("name", CASES)
def test_the_planner_takes_the_deeper_of_full_rate_and_proof(name: str) -> None:
    given, edge, proved, _ = CASES[name]
    depths = FifoDepths(given.build, {edge: 8}, 1)
    best = depths.best()
    assert best[edge] >= proved
    assert depths.keeps_interval(best)
    assert not depths.keeps_interval({edge: best[edge] - 1})


def test_what_is_not_enough_for_the_proof_becomes_deeper() -> None:
    given, edge, proved, _ = CASES["stride, before the shortcut"]
    depths = FifoDepths(given.build, {edge: 8}, 1)
    assert depths.alive({edge: 13})[edge] >= proved
    assert depths.alive({edge: 60}) == {edge: 60}


def test_a_design_that_no_fifo_on_these_edges_can_help_is_refused() -> None:
    given, _, _, _ = CASES["two convolutions"]
    with pytest.raises(Deadlock, match=r"can hang when its source or its sink pauses: sum waits for b") as caught:
        drained_depths(given.build, [("x", "a")])
    assert caught.value.waiting == (("sum", ("b",)),)
    with pytest.raises(Deadlock):
        too_short(given.build, {("x", "a"): 9})


def test_of_two_fifos_either_of_which_helps_one_is_named() -> None:
    given = block(X, HALF, LONG, SHORT, add("long", "short", shape=(6, 6)))
    edges: dict[Edge, int] = {("x", "short"): 2, ("short", "sum"): 2}
    needed = too_short(given.build, edges)
    assert needed
    assert is_alive(given.build, edges | needed)


def test_a_deadlock_of_the_proof_names_the_queue_that_is_full() -> None:
    given, edge, _, _ = CASES["two convolutions"]
    with pytest.raises(Deadlock, match="sum waits for b; x→sum is full"):
        prove_alive(given.build({edge: FifoModel(24)}))


def test_an_input_whose_frame_is_over_waits_for_the_others() -> None:
    network = TimingNetwork()
    few, many = (network.add(ReduceModel(3, beats), network.source(beats)) for beats in (4, 60))
    both = network.add(JoinPipelineModel(2, 2), few, many)
    network.watch("sum", both, 1)
    network.sink(both)
    least = network.least(drains=True)
    run_one_frame(least)
    assert all(source.first < 1000 and source.frames == 1 for source in least.sources)


@pytest.mark.parametrize("seed", range(30))
def test_random_blocks_keep_the_interval_and_never_hang(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fifo_depths, "MOST_WORK", 0)
    drawn = Drawing(seed, side=6, nested=2).block
    depths = FifoDepths(drawn.build, dict.fromkeys(drawn.edges, 8), 1)
    best = depths.best()
    assert depths.keeps_interval(best)
    assert not any(hangs(drawn, {edge: FifoModel(depth) for edge, depth in best.items()}, k) for k in range(3))
