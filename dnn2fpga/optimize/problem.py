"""The problem that every stage of the optimizer works on: the model, the statistics of calibration, and the score of an
attempt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from pydantic import Field

from dnn2fpga.data import Data, spread
from dnn2fpga.errors import UserError
from dnn2fpga.files.described import Described
from dnn2fpga.graph.float import Graph
from dnn2fpga.graph.ports import by_name
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.optimize.calibration import TensorStatistics
from dnn2fpga.optimize.post_training import Quantization
from dnn2fpga.optimize.settings import Target
from dnn2fpga.progress import Progress
from dnn2fpga.task import Measure, Score, overall


class Try(Described):
    """One attempt, as it is reported."""

    stage: str
    what: str  # in a few words
    measure: Measure | None  # None without test data
    score: float | None
    scores: dict[str, float] = Field(default_factory=dict)  # by output
    megabytes: float  # of weights and biases
    weight_bits: tuple[int, ...]  # of each layer with weights
    kept_out: tuple[str, ...] = ()  # layers that partial quantization left out
    met: bool
    differing_outputs: float | None = None  # between trained and integer model, as a fraction


@dataclass(frozen=True)
class Candidate:
    """An integer model and what it reached."""

    model: QuantizedGraph
    result: Try
    settings: Quantization


@dataclass(frozen=True, eq=False)
class Problem:
    """:param reference: the float model as it was given; ``graph`` may have been pruned since."""

    reference: Graph
    graph: Graph
    statistics: Mapping[str, TensorStatistics]
    quantization: Quantization
    target: Target
    data: Data
    test: Data | None
    masks: Mapping[str, np.ndarray]
    progress: Progress

    @cached_property
    def reference_outputs(self) -> dict[str, np.ndarray]:
        """The float model's on the test data, by name; none without."""
        return by_name(self.reference.run(self.test.x), self.reference.outputs) if self.test else {}

    @cached_property
    def float_scores(self) -> dict[str, Score]:
        """The scores of the float model by output; none without test data."""
        return self._scored(self.reference_outputs, self.test, self.reference_outputs) if self.test else {}

    @property
    def float_score(self) -> Score | None:
        """The one number that is compared (`task.overall`)."""
        return overall(self.float_scores)

    def scores(self, model: QuantizedGraph, samples: int | None = None) -> dict[str, Score]:
        """Return the scores by output, on the test data, or on ``samples`` of it that stand for the whole; none without
        test data.
        """
        if self.test is None:
            return {}
        part, rows = self.test.sample(samples), spread(len(self.test), samples)
        reference = {name: outputs[rows] for name, outputs in self.reference_outputs.items()}
        return self._scored(by_name(model.predict(part.x), model.outputs), part, reference)

    def _scored(
        self, outputs: Mapping[str, np.ndarray], data: Data, reference: Mapping[str, np.ndarray]
    ) -> dict[str, Score]:
        labels = data.labels(self.graph.outputs)
        return {
            name: task.score(outputs[name], labels.get(name), reference[name])
            for name, task in self.graph.tasks.items()
        }

    def measured(self, what: str, model: QuantizedGraph, samples: int) -> float:
        """The overall score, where there is no going on without.

        :raises UserError: when there is no test data.
        """
        reached = overall(self.scores(model, samples))
        if reached is None:
            raise UserError(f"{what} is measured on test data: give it with --test")
        return reached.value

    def candidate(
        self,
        model: QuantizedGraph,
        settings: Quantization,
        stage: str,
        what: str,
        kept_out: tuple[str, ...] = (),
        differing_outputs: float | None = None,
    ) -> Candidate:
        """Judges an integer model."""
        scores, of_float = self.scores(model), self.float_score
        reached = overall(scores)
        met = not self.target.is_given or (
            reached is not None and of_float is not None and self.target.is_met(reached, of_float)
        )
        result = Try(
            stage=stage,
            what=what,
            measure=reached.measure if reached else None,
            score=reached.value if reached else None,
            scores={name: score.value for name, score in scores.items()},
            megabytes=model.weight_bits / 8e6,
            weight_bits=tuple(width for layer in model.layers if (width := getattr(layer, "weight_width", 0))),
            kept_out=kept_out,
            met=met,
            differing_outputs=differing_outputs,
        )
        return Candidate(model, result, settings)
