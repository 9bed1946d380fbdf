"""What every stage of the optimizer works on: the model, what calibration saw, and how a try is judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dnn2fpga.data import Data, spread
from dnn2fpga.errors import UserError
from dnn2fpga.files.described import Described
from dnn2fpga.graph.float import Graph
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.optimize.calibration import TensorStatistics
from dnn2fpga.optimize.post_training import Quantization
from dnn2fpga.optimize.settings import Target
from dnn2fpga.task import Measure, Score

Progress = Callable[[str, int, int], None]  # what, done, of


class Try(Described):
    """One attempt, as it is reported."""

    stage: str
    what: str  # in a few words
    measure: Measure | None  # None without test data
    score: float | None
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
    def reference_outputs(self) -> np.ndarray:
        """The float model's, on the test data."""
        return self.reference.run(self.test.x) if self.test else np.zeros(0)

    @cached_property
    def float_score(self) -> Score | None:
        return self._scored(self.reference_outputs, self.test, self.reference_outputs) if self.test else None

    def score(self, model: QuantizedGraph, samples: int | None = None) -> Score | None:
        """On the test data, or on ``samples`` of it that stand for the whole."""
        if self.test is None:
            return None
        part, rows = self.test.sample(samples), spread(len(self.test), samples)
        return self._scored(model.predict(part.x), part, self.reference_outputs[rows])

    def _scored(self, outputs: np.ndarray, data: Data, reference: np.ndarray) -> Score:
        return self.graph.task.score(outputs, data.y, reference)

    def measured(self, what: str, model: QuantizedGraph, samples: int) -> float:
        """``score``, where there is no going on without.

        :raises UserError: when there is no test data.
        """
        reached = self.score(model, samples)
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
        reached, of_float = self.score(model), self.float_score
        met = not self.target.is_given or (
            reached is not None and of_float is not None and self.target.is_met(reached, of_float)
        )
        result = Try(
            stage=stage,
            what=what,
            measure=reached.measure if reached else None,
            score=reached.value if reached else None,
            megabytes=model.weight_bits / 8e6,
            weight_bits=tuple(width for layer in model.layers if (width := getattr(layer, "weight_width", 0))),
            kept_out=kept_out,
            met=met,
            differing_outputs=differing_outputs,
        )
        return Candidate(model, result, settings)
