"""A schedule that leaps over cycles in which nothing happens is the same schedule."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtl_lib import beat_model
from rtl_lib.beat_model import BeatModel, Passage, PipelineModel, ReduceModel, StageModel, trace
from rtl_lib.binary32_matrix import Binary32MatrixModel
from rtl_lib.formats import Format
from rtl_lib.repack import GathererModel, SerializerModel
from rtl_lib.windows import Padding, Windows

Part = tuple[Callable[[], BeatModel], int, int]  # twin, input beats and output beats of a frame


def windows_of(width: int, height: int, stride: int) -> Part:
    operator = Windows(height, width, 1, Format(True, 4), (3, 3), (stride, stride), Padding(1, 1, 1, 1))
    return lambda: operator.create().beat_model(), operator.input_beats, operator.output_beats


@st.composite
def chains(draw: st.DrawFn) -> list[Part]:
    """One or two slow engines among twins of every kind, with stages between them."""
    beats = 12
    parts: list[Part] = []
    if draw(st.booleans()):
        parts.append(windows_of(4, 3, draw(st.integers(1, 2))))
        beats = parts[0][2]
    kinds = draw(st.lists(st.sampled_from(["pipeline", "reduce", "split", "gather", "slow"]), max_size=4))
    for kind in draw(st.permutations([*kinds, "slow"])):
        divisors = [n for n in range(1, beats + 1) if beats % n == 0]
        many, latency = draw(st.sampled_from(divisors)), draw(st.integers(1, 4))
        cycles = draw(st.integers(1, 90))
        if kind == "pipeline":
            parts.append((lambda latency=latency: PipelineModel(latency), beats, beats))
        elif kind == "reduce":
            parts.append((lambda latency=latency, many=many: ReduceModel(latency, many), beats, beats // many))
        elif kind == "split":
            parts.append((lambda latency=latency: SerializerModel(latency), beats, beats * latency))
        elif kind == "gather":
            parts.append((lambda many=many: GathererModel(many), beats, beats // many))
        else:
            idle = draw(st.integers(0, cycles - 1))
            parts.append(
                (
                    lambda many=many, cycles=cycles, idle=idle: Binary32MatrixModel(many, cycles, idle),
                    beats,
                    beats // many,
                )
            )
        beats = parts[-1][2]
        if draw(st.booleans()):
            parts.append((StageModel, beats, beats))
    return parts


def schedule(parts: list[Part]) -> list[Passage]:
    models = [create() for create, _, _ in parts]
    boundaries = [(0, parts[0][1]), *((k + 1, given) for k, (_, _, given) in enumerate(parts))]
    return trace(models, boundaries, max_frames=8)


def without_leaps(run: Callable[[], object]) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(beat_model, "_leap", lambda *_: 0)
        return run()


@settings(max_examples=150)
@given(chains())
def test_leaps_change_nothing(parts: list[Part]) -> None:
    assert schedule(parts) == without_leaps(lambda: schedule(parts))


SLOW = [windows_of(4, 4, 1), (StageModel, 16, 16), (lambda: Binary32MatrixModel(4, 500, 3), 16, 4), (StageModel, 4, 4)]


def test_leaps_are_made_and_only_beside_a_slow_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    leaps: list[int] = []
    leap = beat_model._leap
    monkeypatch.setattr(beat_model, "_leap", lambda *given: leaps.append(leap(*given)) or leaps[-1])
    *_, exit = schedule(SLOW)
    assert exit.interval_cycles == 16 * 500
    cycles = 16 * 500 * 4  # and some
    assert sum(leaps) > 0.9 * cycles
    assert len(leaps) < 0.1 * cycles
    leaps.clear()
    schedule(SLOW[:2])
    assert leaps == []


@pytest.mark.parametrize("twin", [StageModel, PipelineModel, Binary32MatrixModel])
def test_a_twin_that_says_it_rests_while_it_works_is_found(
    twin: type[BeatModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [*SLOW, (lambda: PipelineModel(3), 4, 4), (StageModel, 4, 4)]
    expected = without_leaps(lambda: schedule(parts))
    assert schedule(parts) == expected
    honest = twin.resting
    # one cycle too long, where it rests for some; for ever, where it does not rest
    monkeypatch.setattr(twin, "resting", lambda *given: rest + 1 if (rest := honest(*given)) else math.inf)
    assert wrong(parts) != expected


def wrong(parts: list[Part]) -> object:
    try:
        return schedule(parts)
    except RuntimeError:  # no output for a long time
        return None
