"""The loop over the stages: stops at the first model that holds, else keeps the best; finished stages stay."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from judged import TINY, calls_of, decided, one_sensitive_layer, problem_of, tiny_data, vectors

from dnn2fpga.data import Data
from dnn2fpga.errors import UserError
from dnn2fpga.optimize import loop, training_aware
from dnn2fpga.optimize.checkpoints import Checkpoints
from dnn2fpga.optimize.loop import Outcome, optimize
from dnn2fpga.optimize.post_training import Quantization, quantize
from dnn2fpga.optimize.problem import Candidate, Problem, Try
from dnn2fpga.optimize.settings import Optimization, Stage, Target
from dnn2fpga.task import Measure, Score

PTQ, PARTIAL, QAT = Stage
TRIES = dict[Stage, list[tuple[float, float]]]  # score and megabytes of each try


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "stages", "key")


Pretend = Callable[[TRIES, Optimization], list[tuple[Stage, float]]]


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Pretend:
    """Replace the stages by some that reach what they are told to; return the attempts that were really made."""
    model = tiny.quantized_graph()

    def replaced(tries: TRIES, target: Optimization) -> list[tuple[Stage, float]]:
        made: list[tuple[Stage, float]] = []

        def of(stage: Stage) -> Callable[..., Iterator[Candidate]]:
            def candidates(problem: Problem, settings: Optimization, before: list[Candidate]) -> Iterator[Candidate]:
                for score, megabytes in tries[stage]:
                    made.append((stage, score))
                    met = target.is_met(Score(Measure.ACCURACY, score), Score(Measure.ACCURACY, 1.0))
                    result = Try(
                        stage=stage.value,
                        what="pretended",
                        measure=Measure.ACCURACY,
                        score=score,
                        megabytes=megabytes,
                        weight_bits=(8,),
                        met=met,
                    )
                    yield Candidate(model, result, problem.quantization)

            return candidates

        for stage in Stage:
            monkeypatch.setitem(loop._STAGES, stage, of(stage))
        return made

    return replaced


NINETY = Optimization(target_accuracy=0.9)


@pytest.mark.parametrize(
    ("tries", "made"),
    [
        ({PTQ: [(0.9, 1)]}, [(PTQ, 0.9)]),
        ({PTQ: [(0.8, 1)], PARTIAL: [(0.7, 1), (0.95, 1), (0.99, 1)]}, [(PTQ, 0.8), (PARTIAL, 0.7), (PARTIAL, 0.95)]),
        ({PTQ: [(0.8, 1)], PARTIAL: [], QAT: [(0.92, 1), (1, 1)]}, [(PTQ, 0.8), (QAT, 0.92)]),
    ],
)
def test_stops_at_the_first_try_that_holds(
    pretend: Pretend, checkpoints: Checkpoints, tries: TRIES, made: list[tuple[Stage, float]]
) -> None:
    really = pretend(tries, NINETY)
    outcome = optimize(problem_of(test=tiny_data()), NINETY, checkpoints)
    assert really == made
    assert outcome.met
    assert [(one.stage, one.score) for one in outcome.tries] == [(stage.value, score) for stage, score in made]
    assert outcome.chosen.result == outcome.tries[-1]


@pytest.mark.parametrize(
    ("tries", "best"),
    [
        ({PTQ: [(0.5, 1)], PARTIAL: [(0.8, 3), (0.7, 1)], QAT: [(0.6, 1)]}, (PARTIAL, 0.8, 3)),
        ({PTQ: [(0.8, 1)], PARTIAL: [(0.7, 1)], QAT: [(0.6, 1)]}, (PTQ, 0.8, 1)),
        ({PTQ: [(0.8, 2)], PARTIAL: [(0.8, 3)], QAT: [(0.8, 1), (0.8, 2)]}, (QAT, 0.8, 1)),  # the smallest of equals
        ({PTQ: [(-2, 1)], PARTIAL: [], QAT: [(-1, 2)]}, (QAT, -1, 2)),
    ],
)
def test_keeps_the_best_when_none_holds(
    pretend: Pretend, checkpoints: Checkpoints, tries: TRIES, best: tuple[Stage, float, float]
) -> None:
    really = pretend(tries, NINETY)
    outcome = optimize(problem_of(test=tiny_data()), NINETY, checkpoints)
    assert len(really) == len(outcome.tries) == sum(map(len, tries.values()))
    assert not outcome.met
    result = outcome.chosen.result
    assert (Stage(result.stage), result.score, result.megabytes) == best


def test_only_the_stages_that_are_asked_in_their_own_order(pretend: Pretend, checkpoints: Checkpoints) -> None:
    tries: TRIES = {PTQ: [(0.5, 1)], PARTIAL: [(0.6, 1)], QAT: [(0.7, 1)]}
    for asked, made in (((QAT, PTQ), [PTQ, QAT]), ((QAT,), [QAT]), ((PARTIAL,), [PARTIAL])):
        settings = NINETY.model_copy(update={"stages": asked})
        really = pretend(tries, settings)
        optimize(problem_of(test=tiny_data()), settings, Checkpoints(checkpoints.folder, repr(asked)))
        assert [stage for stage, _ in really] == made


def test_without_a_target_the_first_stage_is_enough(pretend: Pretend, checkpoints: Checkpoints) -> None:
    really = pretend({PTQ: [(0.1, 1)], PARTIAL: [(0.6, 1)], QAT: [(0.7, 1)]}, Optimization())
    outcome = optimize(problem_of(), Optimization(), checkpoints)
    assert really == [(PTQ, 0.1)]
    assert outcome.met


@pytest.mark.parametrize(
    "settings", [NINETY, Optimization(max_drop=1), Optimization(stages=(PARTIAL,)), Optimization(max_drop=0.0)]
)
def test_what_cannot_be_judged_is_refused_before_anything_is_done(
    pretend: Pretend, checkpoints: Checkpoints, settings: Optimization
) -> None:
    really = pretend({PTQ: [(1, 1)], PARTIAL: [(1, 1)], QAT: [(1, 1)]}, settings)
    with pytest.raises(UserError, match="is judged on test data: give it with --test"):
        optimize(problem_of(), settings, checkpoints)
    assert really == []
    assert not checkpoints.folder.exists()


def test_a_model_that_no_stage_can_make_is_refused(pretend: Pretend, checkpoints: Checkpoints) -> None:
    settings = NINETY.model_copy(update={"stages": (PARTIAL,)})
    pretend({PARTIAL: []}, settings)
    with pytest.raises(UserError, match="no stage could make a model"):
        optimize(problem_of(test=tiny_data()), settings, checkpoints)


# Targets, with real models


def reached_by_ptq(test: Data, target: Optimization, folder: Path) -> Outcome:
    settings = target.model_copy(update={"stages": (PTQ,)})
    coarse = decided(weight_bits=2, activation_bits=3)
    return optimize(
        problem_of(test=test, target=target, quantization=coarse), settings, Checkpoints(folder, repr(target))
    )


TESTS = {
    "accuracy": tiny_data(),
    "agreement": tiny_data(labelled=False),
    "r2": Data(tiny.samples(40), TINY.task.values(TINY.run(tiny.samples(40))) + np.float32(0.01)),
}


@pytest.mark.parametrize("measure", TESTS)
def test_a_target_holds_when_it_is_just_reached_and_no_later(measure: str, tmp_path: Path) -> None:
    test = TESTS[measure]
    result = reached_by_ptq(test, Optimization(), tmp_path).chosen.result
    assert result.measure == measure
    of_float = problem_of(test=test).float_score
    assert of_float is not None
    assert result.score is not None
    assert result.score < of_float.value <= 1
    drop = 100 * (of_float.value - result.score)
    for target, met in (
        (Optimization(target_accuracy=result.score), True),
        (Optimization(target_accuracy=result.score + 1e-6), False),
        (Optimization(max_drop=drop), True),
        (Optimization(max_drop=drop - 1e-4), False),
        (Optimization(max_drop=drop, target_accuracy=result.score), True),
        (Optimization(max_drop=drop, target_accuracy=result.score + 1e-6), False),  # both are to hold
        (Optimization(max_drop=drop - 1e-4, target_accuracy=result.score), False),
    ):
        assert reached_by_ptq(test, target, tmp_path).met is met, target.described


def test_the_lowest_score_that_is_good_enough() -> None:
    assert Target().wanted(0.9) is None
    assert Target(max_drop=1).wanted(0.9) == pytest.approx(0.89)
    assert Target(max_drop=1, target_accuracy=0.85).wanted(0.9) == pytest.approx(0.89)
    assert Target(max_drop=1, target_accuracy=0.895).wanted(0.9) == 0.895
    assert Target(max_drop=1).wanted(None) is None
    assert Target(max_drop=0.5, target_accuracy=0.9).described == (
        "at most 0.5 points below the float model and at least 90.00%"
    )


# Training


def untrained(monkeypatch: pytest.MonkeyPatch) -> list[Quantization]:
    """Training that does nothing; returns the settings that it was asked for."""
    asked: list[Quantization] = []

    def train_quantized(problem: Problem, settings: object, quantization: Quantization) -> tuple[Any, float]:
        asked.append(quantization)
        return quantize(problem.graph, problem.statistics, quantization), 0.25

    monkeypatch.setattr(training_aware, "train_quantized", train_quantized)
    return asked


def test_all_layers_are_trained_first_then_what_partial_reached(
    monkeypatch: pytest.MonkeyPatch, checkpoints: Checkpoints
) -> None:
    asked = untrained(monkeypatch)
    graph = one_sensitive_layer()
    problem = problem_of(graph, vectors(graph), Target(target_accuracy=1.0), decided(weight_bits=2), vectors(graph))
    target = Optimization(target_accuracy=1.0)
    problem = replace(problem, test=Data(vectors(graph).x, 1 - np.minimum(vectors(graph).y, 1)))  # out of reach
    outcome = optimize(problem, target, checkpoints)
    best_partial = max((one for one in outcome.tries if one.stage == "partial"), key=lambda one: one.score or 0)
    assert asked[0] == problem.quantization
    assert set(asked[1].layers) == set(best_partial.kept_out)
    assert len(asked) == 2
    trained = [one for one in outcome.tries if one.stage == "qat"]
    assert [one.kept_out for one in trained] == [(), best_partial.kept_out]
    assert [one.differing_outputs for one in trained] == [0.25, 0.25]
    assert trained[1].what.endswith(f"{', '.join(best_partial.kept_out)} left out")


def test_training_alone(monkeypatch: pytest.MonkeyPatch, checkpoints: Checkpoints) -> None:
    asked = untrained(monkeypatch)
    problem = problem_of(test=tiny_data())
    outcome = optimize(problem, Optimization(stages=(QAT,)), checkpoints)
    assert asked == [problem.quantization]
    assert [(one.stage, one.kept_out) for one in outcome.tries] == [("qat", ())]


# An interrupted run


def test_a_finished_run_is_read_and_an_interrupted_stage_runs_again(
    monkeypatch: pytest.MonkeyPatch, checkpoints: Checkpoints
) -> None:
    target = Optimization(target_accuracy=0.99)
    wrong = Data(tiny.samples(40), np.arange(40) % 3)  # out of reach
    problem = problem_of(test=wrong, target=target)
    candidates = calls_of(monkeypatch, loop, "post_training_candidates")
    asked = untrained(monkeypatch)

    def interrupted(*_: object) -> Iterator[Candidate]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setitem(loop._STAGES, PARTIAL, interrupted)
        with pytest.raises(KeyboardInterrupt):
            optimize(problem, target, checkpoints)
    assert (len(candidates), len(asked)) == (1, 0)
    partial = calls_of(monkeypatch, loop, "partial_candidates")
    first = optimize(problem, target, checkpoints)
    assert (len(candidates), len(partial), len(asked)) == (1, 1, 2)
    again = optimize(problem, target, checkpoints)
    assert (len(candidates), len(partial), len(asked)) == (1, 1, 2)
    assert again.tries == first.tries
    assert again.chosen.result == first.chosen.result
    assert again.chosen.settings == first.chosen.settings
    other = optimize(problem, target, Checkpoints(checkpoints.folder, "another key"))
    assert (len(candidates), len(partial), len(asked)) == (2, 2, 4)
    assert other.tries == first.tries


def test_a_stage_counts_only_behind_the_same_stages(monkeypatch: pytest.MonkeyPatch, checkpoints: Checkpoints) -> None:
    asked = untrained(monkeypatch)
    problem = problem_of(test=tiny_data())
    optimize(problem, Optimization(stages=(QAT,)), checkpoints)
    hard = replace(problem, test=Data(tiny.samples(40), np.arange(40) % 3), target=NINETY)
    optimize(hard, NINETY.model_copy(update={"stages": (PTQ, QAT)}), checkpoints)
    assert len(asked) == 2
