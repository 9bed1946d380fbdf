"""The result of the optimizer, for people and for ``quantization.json``."""

from __future__ import annotations

from collections.abc import Iterable

from dnn2fpga.files.described import Described
from dnn2fpga.graph.origin import Origin
from dnn2fpga.optimize.diagnosis import Diagnosis, diagnose
from dnn2fpga.optimize.problem import Candidate, Problem, Try
from dnn2fpga.task import Measure
from dnn2fpga.task_reading import task_lines


class OutputResult(Described):
    """The quality of one output."""

    measure: Measure
    float_score: float
    integer_score: float


class QuantizationResult(Described):
    """The result of the optimizer; sizes in megabytes (10^6 bytes). With several outputs, the scores of the network are
    the means of theirs.
    """

    task: str  # what the network is for, a line for each output
    stage: str  # the one that gave the model
    met: bool  # whether the target holds (always, without a target)
    target: str
    measure: Measure | None  # None without test data
    float_score: float | None
    integer_score: float | None
    outputs: dict[str, OutputResult]  # by name; none without test data
    test_samples: int
    float_megabytes: float
    integer_megabytes: float
    tries: tuple[Try, ...]
    diagnosis: Diagnosis
    origin: Origin | None = None

    @classmethod
    def of(cls, problem: Problem, chosen: Candidate, tries: Iterable[Try]) -> QuantizationResult:
        """Sum up how `chosen` was found."""
        of_float, tries = problem.float_score, tuple(tries)
        return cls(
            task="\n".join(task_lines(problem.graph, problem.test)),
            stage=chosen.result.stage,
            met=chosen.result.met,
            target=problem.target.described,
            measure=chosen.result.measure,
            float_score=of_float.value if of_float else None,
            integer_score=chosen.result.score,
            outputs={
                name: OutputResult(
                    measure=score.measure, float_score=score.value, integer_score=chosen.result.scores[name]
                )
                for name, score in problem.float_scores.items()
            },
            test_samples=len(problem.test) if problem.test else 0,
            float_megabytes=problem.reference.float_parameters * 4 / 1e6,
            integer_megabytes=chosen.result.megabytes,
            tries=tries,
            diagnosis=diagnose(problem, chosen, tries),
            origin=problem.graph.origin,
        )
