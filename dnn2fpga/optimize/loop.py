"""Algorithm 1 of Tourad and Eleuldj: post-training quantization, then partial, then quantization-aware training, until
the accuracy target holds. Finished stages are kept on disk, so that an interrupted run resumes after the last one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dnn2fpga.data import Data
from dnn2fpga.errors import UserError
from dnn2fpga.optimize.checkpoints import Checkpoints
from dnn2fpga.optimize.first_stage import post_training_candidates
from dnn2fpga.optimize.partial import partial_candidates
from dnn2fpga.optimize.post_training import Quantization
from dnn2fpga.optimize.problem import Candidate, Problem, Try
from dnn2fpga.optimize.settings import Optimization, Stage


@dataclass(frozen=True)
class Outcome:
    """The model that was chosen, and every try that was made."""

    chosen: Candidate
    tries: tuple[Try, ...]

    @property
    def met(self) -> bool:
        return self.chosen.result.met


Candidates = Callable[[Problem, Optimization, list[Candidate]], Iterator[Candidate]]


def optimize(problem: Problem, settings: Optimization, checkpoints: Checkpoints) -> Outcome:
    """Run the stages in order and stop at the first model that reaches the target; otherwise the best one counts.

    :raises UserError: when no stage could make a model, and what ``check_can_be_judged`` raises.
    """
    check_can_be_judged(problem.test, settings)
    best_of_stages: list[Candidate] = []
    tries: list[Try] = []
    further = ""
    for stage in (stage for stage in Stage if stage in settings.stages):
        further += stage.value  # a stage depends on those before it
        finished = checkpoints.load(stage.value, further) or _run(problem, settings, stage, best_of_stages)
        if finished is None:
            continue
        best, made = finished
        checkpoints.save(stage.value, best, made, further)
        best_of_stages.append(best)
        tries += made
        if best.result.met:
            break
    if not best_of_stages:
        raise UserError("no stage could make a model: partial quantization needs two layers with weights")
    chosen = best_of_stages[-1] if best_of_stages[-1].result.met else max(best_of_stages, key=_rank)
    return Outcome(chosen, tuple(tries))


def check_can_be_judged(test: Data | None, settings: Optimization) -> None:
    """:raises UserError: when a target, or a stage that needs one, has no test data to be judged by."""
    partial_runs = Stage.PARTIAL in settings.stages and Stage.POST_TRAINING not in settings.stages
    if test is None and (settings.is_given or partial_runs):
        raise UserError("an accuracy target is judged on test data: give it with --test")


def _run(
    problem: Problem, settings: Optimization, stage: Stage, before: list[Candidate]
) -> tuple[Candidate, tuple[Try, ...]] | None:
    """Return the best attempt of one stage, and its attempts up to the first that reaches the target."""
    made: list[Candidate] = []
    for candidate in _STAGES[stage](problem, settings, before):
        made.append(candidate)
        if candidate.result.met:
            break
    return (max(made, key=_rank), tuple(one.result for one in made)) if made else None


def _rank(candidate: Candidate) -> tuple[bool, float, float]:
    """The higher score; of equals the smaller model."""
    result = candidate.result
    return result.met, result.score if result.score is not None else 0.0, -result.megabytes


def _post_training(problem: Problem, settings: Optimization, before: list[Candidate]) -> Iterator[Candidate]:
    return post_training_candidates(problem)


def _partial(problem: Problem, settings: Optimization, before: list[Candidate]) -> Iterator[Candidate]:
    return partial_candidates(problem, settings.partial, _start(problem, before))


def _training_aware(problem: Problem, settings: Optimization, before: list[Candidate]) -> Iterator[Candidate]:
    from dnn2fpga.optimize.training_aware import training_candidates  # TensorFlow, only when it is needed

    attempts: list[tuple[Quantization, tuple[str, ...]]] = [(_start(problem, before), ())]
    # If that does not help either, train what partial quantization reached at best.
    attempts += [(one.settings, one.result.kept_out) for one in before if one.result.stage == Stage.PARTIAL.value]
    return training_candidates(problem, settings.training, attempts)


def _start(problem: Problem, before: list[Candidate]) -> Quantization:
    """Return the settings that the first stage has found best, else those that were asked."""
    of_first_stage = (one.settings for one in before if one.result.stage == Stage.POST_TRAINING.value)
    return next(of_first_stage, problem.quantization)


_STAGES: dict[Stage, Candidates] = {
    Stage.POST_TRAINING: _post_training,
    Stage.PARTIAL: _partial,
    Stage.TRAINING_AWARE: _training_aware,
}
