"""FIFO depths: the interval stays the best one, no design can hang, and one beat less is not enough.

``benchmarks/deadlock_trials.py`` tries thousands of blocks like these.
"""

from __future__ import annotations

from functools import partial

import pytest
from random_blocks import Block, Drawing, Edge, Tensor, hangs

from rtl_lib.core.branch_timing import GatedJoinModel, JoinPipelineModel
from rtl_lib.core.liveness import prove_alive
from rtl_lib.core.timing import NetworkPart, PipelineModel, ReduceModel
from rtl_lib.core.trace import Deadlock, trace
from rtl_lib.image.window_schedule import Padding, WindowSchedule, WindowsModel
from rtl_lib.streams import fifo_depths
from rtl_lib.streams.fifo import FifoModel
from rtl_lib.streams.fifo_depths import FifoDepths, drained_depths, is_alive, too_short

PATTERNS = 25
IMAGE = (12, 12)


def convolution(shape: tuple[int, int], kernel: int, stride: int) -> list[NetworkPart]:
    size, steps = (kernel, kernel), (stride, stride)
    schedule = WindowSchedule(*shape, size, steps, Padding.same(shape, size, steps))
    return [WindowsModel(schedule), PipelineModel(6), PipelineModel(2)]


def block(*tensors: Tensor) -> Block:
    return Block({tensor.name: tensor for tensor in tensors}, [tensors[-1].name])


def add(*inputs: str, shape: tuple[int, int] = IMAGE) -> Tensor:
    return Tensor("sum", "sum", inputs, shape, lambda: [JoinPipelineModel(2, len(inputs))])


X = Tensor("x", "input", (), IMAGE, list)
A = Tensor("a", "conv", ("x",), IMAGE, partial(convolution, IMAGE, 3, 1))
B = Tensor("b", "conv", ("a",), IMAGE, partial(convolution, IMAGE, 3, 1))
HALF = Tensor("half", "conv", ("x",), (6, 6), partial(convolution, IMAGE, 3, 2))
LONG = Tensor("long", "conv", ("half",), (6, 6), partial(convolution, (6, 6), 3, 1))
SHORT = Tensor("short", "conv", ("x",), (6, 6), partial(convolution, IMAGE, 1, 2))
MEAN = Tensor("mean", "mean", ("x",), (1, 1), lambda: [ReduceModel(3, 144), PipelineModel(4)])
GATED = Tensor("gated", "scale", ("x", "mean"), IMAGE, lambda: [GatedJoinModel(2, 144)])

# block, the edge of its one FIFO, the depth that is proved, and the depth that is enough while nothing pauses
CASES: dict[str, tuple[Block, Edge, int, int]] = {
    "two convolutions": (block(X, A, B, add("b", "x")), ("x", "sum"), 25, 25),
    "stride, after the shortcut": (
        block(X, HALF, LONG, SHORT, add("long", "short", shape=(6, 6))),
        ("short", "sum"),
        8,
        6,
    ),
    "stride, before the shortcut": (
        block(X, HALF, LONG, SHORT, add("long", "short", shape=(6, 6))),
        ("x", "short"),
        30,
        13,
    ),
    "squeeze and excite": (block(X, MEAN, GATED), ("x", "gated"), 142, 142),
}


def runs_without_pauses(given: Block, edge: Edge, depth: int) -> bool:
    try:
        trace(given.build({edge: FifoModel(depth)}))
    except Deadlock:
        return False
    return True


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
    assert runs_without_pauses(given, edge, unpaused)
    assert not runs_without_pauses(given, edge, unpaused - 1)
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


@pytest.mark.parametrize("seed", range(30))
def test_random_blocks_keep_the_interval_and_never_hang(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fifo_depths, "MOST_WORK", 0)
    drawn = Drawing(seed, side=6, nested=2).block
    depths = FifoDepths(drawn.build, dict.fromkeys(drawn.edges, 8), 1)
    best = depths.best()
    assert depths.keeps_interval(best)
    assert not any(hangs(drawn, {edge: FifoModel(depth) for edge, depth in best.items()}, k) for k in range(3))
