"""A trace looks only at the timing models around which something happens; the cycles are those of a loop over every
model in every cycle.
"""

from __future__ import annotations

import builtins
import copy
import itertools
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtl_lib.binary32.matrix import Binary32MatrixModel
from rtl_lib.core import trace as engine
from rtl_lib.core.rules import FOREVER, State, line, line_moves, line_ready, line_valid
from rtl_lib.core.timing import BeatModel, PipelineModel, ReduceModel, StageModel, in_a_row
from rtl_lib.core.trace import Passage, trace_chain
from rtl_lib.image.block_reduction import BlockReductionModel, Stretch
from rtl_lib.image.window_schedule import Padding, WindowSchedule, WindowsModel
from rtl_lib.matrix.folded.timing import FoldedModel
from rtl_lib.streams.fifo import FifoModel
from rtl_lib.streams.repack import GathererModel, SerializerModel

MOST = engine.MOST_FRAMES_APART
Part = tuple[Callable[[], BeatModel], int, int]  # timing model, input beats and output beats of a frame


def plain_trace(
    models: Sequence[BeatModel],
    boundaries: Sequence[tuple[int, int]],
    source_period: int = 0,
    least_interval: int = 1 << 62,
    patience: int = 20_000,
) -> list[Passage]:
    """The oracle: every timing model in every cycle."""
    counts = [0] * len(boundaries)
    first = [-1] * len(boundaries)
    lasts: list[list[int]] = [[] for _ in boundaries]
    ready = [True] * (len(models) + 1)
    cycle = quiet_since = 0
    end = lasts[-1]

    def interval(of: list[int], frames: int) -> int:
        return (of[-1] - of[-1 - frames] + frames - 1) // frames

    def repeats_after() -> int:
        distances = [b - a for a, b in itertools.pairwise(end)]
        for frames in range(1, len(distances) // 2 + 1):
            latest = distances[-max(2 * frames, 4) :]
            if all(a == b for a, b in zip(latest, latest[frames:], strict=False)):
                return frames
        return 0

    def goes_on(frames: int) -> bool:
        if len(end) < 5:
            return True
        if len(end) == MOST or not frames:
            return len(end) < MOST
        latest = {interval(of[:MOST], frames) for of in lasts if len(of) > frames}
        if interval(end, frames) <= least_interval:
            return max(latest) > interval(end, frames)
        return len(end) < 9 or len(latest) > 1

    looked_at, going, period = -1, True, 0  # it is asked once for each frame that has left
    while going:
        for k in reversed(range(len(models))):
            ready[k] = models[k].ready(ready[k + 1])
        waits = len(lasts[0]) * source_period - cycle
        valid = [counts[0] > 0 or waits <= 0, *(model.valid() for model in models)]
        for k, (position, beats) in enumerate(boundaries):
            if valid[position] and ready[position]:
                quiet_since = cycle
                first[k] = cycle if first[k] < 0 else first[k]
                counts[k] += 1
                if counts[k] == beats:
                    counts[k] = 0
                    lasts[k].append(cycle)
        for k, model in enumerate(models):
            model.tick(valid[k], ready[k + 1])
        cycle += 1
        if len(end) > looked_at:
            looked_at, period = len(end), repeats_after() if len(end) < MOST else period
            going = goes_on(period)
        if cycle - quiet_since > patience:
            raise RuntimeError("deadlock")
    period = period or len(end) // 2
    steady = interval(end, period), period, len(end)
    return [Passage(first[k] - first[0], lasts[k][0] - first[0], *steady) for k in range(len(boundaries))]


class Stuck(BeatModel):
    """A pipeline that keeps every beat after the first few."""

    def __init__(self, latency: int, few: int) -> None:
        self.state = [few, *line(latency)]

    @staticmethod
    def offers(s: State) -> int:
        return line_valid(s, 1) if s[0] else 0

    @staticmethod
    def accepts(s: State, valids: int, readys: int) -> int:
        return line_ready(s, 1, readys if s[0] else 0)

    @staticmethod
    def moves(s: State, valids: int, readys: int, cycles: int) -> int:
        taken = readys if s[0] else 0
        leaves = taken & line_valid(s, 1)
        rest = line_moves(s, 1, valids, taken, cycles)
        s[0] -= leaves
        return rest


SCHEDULES = [
    WindowSchedule(4, 3, (3, 3), (1, 1), Padding(1, 1, 1, 1)),
    WindowSchedule(4, 3, (3, 3), (2, 2), Padding(0, 1, 0, 1)),
    WindowSchedule(3, 4, (2, 2), (2, 2)),
    WindowSchedule(2, 6, (1, 1), (1, 3)),
    WindowSchedule(4, 6, (3, 3), (1, 1), Padding(1, 1, 1, 1), pixels=2),
    WindowSchedule(12, 1, (3, 3), (1, 1), Padding(1, 1, 1, 1), pixels=2),
]
KINDS = ["pipeline", "reduce", "split", "gather", "slow", "held", "streamed", "fifo", "stage", "windows", "unpack"]


def part(draw: st.DrawFn, kind: str, beats: int, deepest: int) -> Part | None:
    many = draw(st.sampled_from([n for n in range(1, beats + 1) if beats % n == 0]))
    latency, cycles, turns = draw(st.integers(1, 9)), draw(st.integers(1, 90)), draw(st.integers(1, 6))
    idle, depth = draw(st.integers(0, cycles - 1)), draw(st.integers(2, 40) | st.just(deepest))
    windows = [s for s in SCHEDULES if s.height * s.words == beats]
    if kind == "windows" and windows:
        s = draw(st.sampled_from(windows))
        return lambda: WindowsModel(s), beats, s.output_size[0] * s.output_words
    if kind == "unpack" and beats % 3 == 0:
        return lambda: SerializerModel(2, 2, 1), beats, beats // 3 * 5
    found: dict[str, Part] = {
        "pipeline": (lambda: PipelineModel(latency), beats, beats),
        "reduce": (lambda: ReduceModel(latency, many), beats, beats // many),
        "split": (lambda: SerializerModel(turns), beats, beats * turns),
        "gather": (lambda: GathererModel(many), beats, beats // many),
        "slow": (lambda: Binary32MatrixModel(many, cycles, idle), beats, beats // many),
        "held": (lambda: FoldedModel(latency, turns, cycles, False), beats, beats * turns),
        "streamed": (lambda: FoldedModel(latency, turns, many, True), beats, beats // many * turns),
        "fifo": (lambda: FifoModel(depth), beats, beats),
        "stage": (StageModel, beats, beats),
    }
    return found.get(kind)


@st.composite
def chains(draw: st.DrawFn, deepest: int = 1 << 40) -> list[Part]:
    parts: list[Part] = []
    beats = draw(st.sampled_from([1, 2, 5, 12]))
    for kind in draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=8)):
        if beats <= 80 and (found := part(draw, kind, beats, deepest)):
            parts.append(found)
            beats = found[2]
    return parts or [(StageModel, beats, beats)]


def runs(parts: list[Part], frames: int = 1, **given: int) -> list[list[Passage]]:
    """Return the passages with ``trace`` and with the oracle."""
    boundaries = [(0, parts[0][1] * frames), *((k + 1, out * frames) for k, (_, _, out) in enumerate(parts))]
    return [run([create() for create, _, _ in parts], boundaries, **given) for run in (trace_chain, plain_trace)]


@settings(max_examples=120)
@given(chains(), st.integers(1, 3), st.sampled_from([0, 1 << 62]), st.integers(0, 20) | st.integers(0, 300))
def test_every_cycle_is_that_of_the_plain_loop(parts: list[Part], frames: int, least: int, period: int) -> None:
    """Every cycle is that of the plain loop, at every boundary, of the last beat of several frames too."""
    event_driven, plain = runs(parts, frames, least_interval=least, source_period=period)
    assert event_driven == plain


@settings(max_examples=40)
@given(chains(40), chains(40), st.integers(1, 4), st.integers(0, 30), st.integers(0, 100))
def test_a_deadlock_is_found_exactly(
    before: list[Part], behind: list[Part], latency: int, few: int, period: int
) -> None:
    """A chain that never produces what is wanted says so; one that is only slow does not."""
    models = [create() for create, _, _ in before]
    models += [Stuck(latency, few), *(create() for create, _, _ in behind)]
    boundaries = [(0, 1), (len(models), 1)]  # every beat a frame: what leaves has entered
    outcomes: list[list[Passage] | None] = []
    for run in (trace_chain, plain_trace):
        try:
            outcomes.append(run(copy.deepcopy(models), boundaries, source_period=period))
        except (RuntimeError, IndexError):  # (an engine may give all its outputs before it lets the input go)
            outcomes.append(None)
    assert outcomes[0] == outcomes[1]


def test_a_deadlock_is_named() -> None:
    with pytest.raises(RuntimeError, match="from cycle 8 on nothing moves: the design would deadlock"):
        trace_chain([StageModel(), Stuck(3, 2)], [(0, 1), (2, 1)])


def test_a_frame_may_take_as_long_as_it_likes() -> None:
    folded = FoldedModel(4, 100, 10_000_000, False)
    entry, exit = trace_chain([StageModel(), folded, GathererModel(100)], [(0, 1), (3, 1)])
    assert entry.first_cycle == 0
    assert exit.interval_cycles == 10**9
    assert exit.first_cycle == exit.last_cycle == 10**9 + 5


def test_a_chain_of_nothing_passes_what_the_source_offers() -> None:
    assert trace_chain([], [(0, 5)]) == [Passage(0, 4, 5, 1, 5)]
    assert trace_chain([], [(0, 5)], source_period=12) == [Passage(0, 4, 12, 1, 5)]


def test_a_run_in_which_nobody_rests_shows_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    cycles = 300_000

    def passages() -> list[Passage]:
        models = [StageModel(), FoldedModel(4, 1, cycles, False), PipelineModel(1000), FifoModel(2)]
        return trace_chain(models, [(0, 1), (4, 1)])

    leapt = passages()
    assert leapt[-1].interval_cycles == cycles
    monkeypatch.setattr(engine, "LONGEST_REST", 0)  # every part is looked at in every cycle
    assert passages() == leapt


def test_a_library_that_finds_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    found = builtins.__import__

    def finds_no_room(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        if "replay" in (fromlist or ()):
            raise OSError("Could not find/load shared object file 'libllvmlite.so'")
        return found(name, globals, locals, fromlist, level)

    monkeypatch.setattr(builtins, "__import__", finds_no_room)
    with pytest.raises(MemoryError, match=r"numba cannot be loaded: Could not find/load .*libllvmlite"):
        trace_chain([StageModel()], [(0, 1), (1, 1)])


# The rests of timing models ---------------------------------------------------------------------------------------

MODELS: dict[str, Callable[[], BeatModel]] = {
    "stage": StageModel,
    "pipeline of one": lambda: PipelineModel(1),
    "pipeline": lambda: PipelineModel(9),
    "reduce": lambda: ReduceModel(5, 3),
    "serializer": lambda: SerializerModel(3),
    "gatherer": lambda: GathererModel(3),
    "gatherer of one": lambda: GathererModel(1),
    "unpack": lambda: SerializerModel(2, 2, 1),
    "fifo": lambda: FifoModel(3),
    "blocks": lambda: BlockReductionModel(2, Stretch(4, 2, 2), Stretch(5, 2, 2)),
    "binary32": lambda: Binary32MatrixModel(2, 30, 4),
    "binary32, no idle slots": lambda: Binary32MatrixModel(1, 50, 0),
    "binary32, one slot": lambda: Binary32MatrixModel(3, 1, 0),
    "held": lambda: FoldedModel(4, 3, 50, False),
    "held, one chunk a turn": lambda: FoldedModel(3, 40, 1, False),
    "streamed, one turn": lambda: FoldedModel(5, 1, 40, True),
    "replayed": lambda: FoldedModel(4, 9, 12, True),
    "with an epilogue": lambda: FoldedModel(4, 5, 9, False, 2),
    "held, gathered": lambda: FoldedModel(4, 3, 50, False, 2, gathers=True),
    "held, gathered, one chunk a turn": lambda: FoldedModel(3, 40, 1, False, 1, gathers=True),
    "replayed, gathered": lambda: FoldedModel(4, 9, 12, True, 3, gathers=True),
    **{f"windows {k}": lambda s=s: WindowsModel(s) for k, s in enumerate(SCHEDULES)},  # type: ignore[misc]
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("busy", [0.9, 0.5, 0.03])
def test_a_rest_is_what_the_model_says(name: str, busy: float) -> None:
    """A rest is true in any state: while no beat passes, neither valid nor ready changes; as many cycles may pass at
    once; and a model that waits for its neighbours says so.
    """
    model, rng = MODELS[name](), random.Random(0)
    input_valid = False
    rests = 0
    for _ in range(800):
        output_ready = rng.random() < busy
        input_valid = input_valid or rng.random() < busy
        accepts = model.ready(output_ready)
        passes = (model.valid() and output_ready) or (accepts and input_valid)
        before = list(model.state)
        rest = model.tick(input_valid, output_ready)
        input_valid = input_valid and not accepts
        if passes or (model.valid() and output_ready):
            continue
        rests += rest > 0
        assert rest == FOREVER or model.state != before
        walked, offers = copy.deepcopy(model), model.valid()
        for cycle in range(min(rest, 60)):
            assert (walked.valid(), walked.ready(output_ready)) == (offers, accepts)
            left = walked.tick(input_valid, output_ready)
            leapt = copy.deepcopy(model)
            assert leapt.tick(input_valid, output_ready, cycle + 1) == left
            assert leapt.state == walked.state
            assert left == FOREVER or left == rest - cycle - 1
        assert walked.valid() == offers or rest == 0
        model = walked
    assert rests > 3


# Rows of models as one -------------------------------------------------------------------------------------------

ROWS: dict[str, Callable[[], list[BeatModel]]] = {
    "one turn": lambda: [FoldedModel(3, 1, 7, False), PipelineModel(2)],
    "one turn of a stream": lambda: [FoldedModel(5, 1, 3, True), PipelineModel(1)],
    "held": lambda: [FoldedModel(4, 3, 5, False), PipelineModel(2), GathererModel(3)],
    "short turns": lambda: [FoldedModel(5, 4, 1, False), PipelineModel(1), GathererModel(4)],
    "two chunks": lambda: [FoldedModel(6, 5, 2, False), PipelineModel(3), GathererModel(5)],
    "replayed": lambda: [FoldedModel(3, 4, 3, True), PipelineModel(2), GathererModel(4)],
    "no pipeline": lambda: [FoldedModel(3, 4, 3, True), GathererModel(4)],
}


@pytest.mark.parametrize("name", ROWS)
def test_one_model_of_a_row_does_what_the_row_does(name: str) -> None:
    """Whoever waits for how long: cycle by cycle."""
    for seed, (comes, takes) in enumerate(itertools.product((1.0, 0.7, 0.2, 0.02), repeat=2)):
        rng, row = random.Random(seed), ROWS[name]()
        (joined,) = in_a_row(copy.deepcopy(row))
        assert isinstance(joined, BeatModel)
        given = False
        for cycle in range(1500):
            given, taken = given or rng.random() < comes, rng.random() < takes
            valids = [given, *(model.valid() for model in row)]
            readys = [taken]
            for model in reversed(row):
                readys.insert(0, model.ready(readys[0]))
            assert (joined.valid(), joined.ready(taken)) == (valids[-1], readys[0]), f"seed {seed}, cycle {cycle}"
            joined.tick(given, taken)
            for model, valid, ready in zip(row, valids, readys[1:], strict=False):
                model.tick(valid, ready)
            given = given and not readys[0]


def test_what_does_not_belong_to_a_row_stays() -> None:
    """Another number of turns, too many registers, a second pipeline."""
    rows = [
        [FoldedModel(3, 2, 2, False), GathererModel(3)],
        [FoldedModel(3, 2, 2, False), PipelineModel(1000)],
        [FoldedModel(3, 2, 2, False), PipelineModel(2), PipelineModel(2)],
        [FoldedModel(3, 2, 2, False), GathererModel(2), PipelineModel(2)],
        [StageModel(), FoldedModel(3, 2, 2, False)],
    ]
    assert [len(in_a_row(row)) for row in rows] == [2, 2, 2, 2, 2]
