"""Heterogeneous widths: which width each layer's weights and activations should have, for score against cost.

The question of AutoQKeras (Aarrestad et al., section 5.2), asked with two objectives, so that the answer is a front
instead of one model. A trial is a choice of all widths.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dnn2fpga.errors import UserError
from dnn2fpga.files.atomic import replaced_folder
from dnn2fpga.files.described import Described
from dnn2fpga.graph import files as config_files
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.optimize.checkpoints import key_of
from dnn2fpga.optimize.cost import COSTS
from dnn2fpga.optimize.post_training import Quantization, quantize
from dnn2fpga.optimize.problem import Candidate, Problem
from dnn2fpga.optimize.settings import SearchSettings, TrainingSettings
from dnn2fpga.optimize.trials import Selection, Trials
from dnn2fpga.quantize.settings import Numbers
from dnn2fpga.quantize.weight_sets import WeightSet
from dnn2fpga.task import Measure
from dnn2fpga.version import __version__

STAGE = "search"
JOURNAL, TRAINED = "trials.journal", "trained"

Widths = dict[str, dict[str, int]]  # by layer: weight_bits, activation_bits or both


class Point(Described):
    """One trial."""

    number: int
    widths: Widths
    uniform: int | None  # the width of everything, where there is only one
    cost: float  # see ``SearchResult.cost``
    score: float  # on the samples of the search
    score_on_all: float | None = None  # on all test data; of the front and the uniform widths

    @property
    def best_known_score(self) -> float:
        return self.score if self.score_on_all is None else self.score_on_all


class SearchResult(Described):
    cost: str  # of what: a key of ``cost.COSTS``
    measure: Measure
    float_score: float
    wanted: float | None  # the target's score
    met: bool
    chosen: int  # the number of a point
    front: tuple[int, ...]  # of points none of which is worse in both than another, cheapest first
    points: tuple[Point, ...]  # in the order of their trials


@dataclass(frozen=True)
class Found:
    """The chosen model, the front as it was measured on all test data, and everything that was tried."""

    chosen: Candidate
    front: tuple[Candidate, ...]
    result: SearchResult

    @property
    def widths(self) -> Widths:
        return self.result.points[self.result.chosen].widths


def search_widths(problem: Problem, settings: SearchSettings, training: TrainingSettings, folder: Path) -> Found:
    """Run what is missing of the trials, measure the front on all test data and choose from it: the cheapest point
    that reaches the target, or else (and without a target) the best.

    :param folder: where searches are kept, each under the key of all that it depends on.
    :raises UserError: when there is no width to search.
    """
    of_float = problem.float_score
    if of_float is None:
        raise ValueError("a search needs test data")
    search = _Search(problem, settings, training, folder)
    points = search.points()
    # The front is decided on all test data, and there the uniform widths take part in any case.
    measured: dict[int, Candidate] = {}
    candidates = sorted({*front_of(points), *(point.number for point in points if point.uniform)})
    for done, number in enumerate(candidates):
        problem.progress("measuring the front", done, len(candidates))
        measured[number] = search.candidate(points[number])
    problem.progress("measuring the front", len(candidates), len(candidates))
    points = tuple(_measured(point, measured.get(point.number)) for point in points)
    front = front_of(point for point in points if point.number in measured)
    good = [number for number in front if problem.target.is_given and measured[number].result.met]
    chosen = good[0] if good else front[-1]  # cheapest first: the last is the best
    result = SearchResult(
        cost=settings.cost,
        measure=of_float.measure,
        float_score=of_float.value,
        wanted=problem.target.wanted(of_float.value),
        met=measured[chosen].result.met,
        chosen=chosen,
        front=front,
        points=points,
    )
    return Found(measured[chosen], tuple(measured[number] for number in front), result)


def front_of(points: Iterable[Point]) -> tuple[int, ...]:
    """The numbers of the points that no other dominates, cheapest first; of equal points the first."""
    front: list[int] = []
    best = float("-inf")
    for point in sorted(points, key=lambda one: (one.cost, -one.best_known_score, one.number)):
        if point.best_known_score > best:
            front.append(point.number)
            best = point.best_known_score
    return tuple(front)


def _measured(point: Point, candidate: Candidate | None) -> Point:
    return point if candidate is None else point.model_copy(update={"score_on_all": candidate.result.score})


def searched_widths(problem: Problem, settings: SearchSettings) -> dict[tuple[str, str], tuple[int, ...]]:
    """The widths that may be chosen, by layer and setting. What ``quantization.layers`` says about a layer stands.
    Tensors that share an encoding have one width: that of the first of them is chosen.
    """
    graph, given = problem.graph, problem.quantization.layers
    searched: dict[tuple[str, str], tuple[int, ...]] = {}
    for node in graph.nodes:
        name, own = node.name, problem.quantization.of_layer(graph, node.name)
        fixed = given[name].model_dump(exclude_none=True) if name in given else {}
        # Floating point has no width, and the other sets' widths are part of what they are.
        plain = own.numbers is Numbers.INTEGER and own.weight_set is WeightSet.INTEGER
        if node.layer.has_weights and plain and "weight_bits" not in fixed:
            searched[name, "weight_bits"] = settings.weight_bits
        owners = graph.encodings.owners(name)
        if owners[:1] == [name] and not any(graph.leaves(one) or _is_given(given, one) for one in owners):
            searched[name, "activation_bits"] = settings.activation_bits
    if not searched:
        raise UserError("there is no width to search: take the widths out of quantization.layers")
    return searched


def _is_given(given: Mapping[str, Any], name: str) -> bool:
    return name in given and given[name].activation_bits is not None


class _Search:
    """The meaning of a trial: a model of these widths."""

    def __init__(self, problem: Problem, settings: SearchSettings, training: TrainingSettings, folder: Path) -> None:
        self.problem, self.settings, self.training = problem, settings, training
        self.searched = searched_widths(problem, settings)
        both = set(settings.weight_bits) & set(settings.activation_bits)
        self.uniform = sorted(both, reverse=True)  # these are tried first: the front is never worse than they are
        described = [__version__, repr(problem.quantization), repr(settings.model_copy(update={"trials": 1}))]
        described += [repr(training)] if settings.train else []
        self.key = key_of(problem.graph, (problem.data, problem.test), described)
        self.folder = folder / self.key[:16]

    def points(self) -> tuple[Point, ...]:
        """All trials, after those that were missing have been run."""
        trials = Trials(
            self.folder / JOURNAL,
            self.key,
            options={f"{name}.{key}": len(widths) for (name, key), widths in self.searched.items()},
            first=[
                {f"{name}.{key}": widths.index(width) for (name, key), widths in self.searched.items()}
                for width in self.uniform
            ],
            seed=self.settings.seed,
        )
        finished = trials.run(self.settings.trials, self._values, self.problem.progress)
        return tuple(
            Point(
                number=number,
                widths=self._widths(trial.params),
                uniform=self.uniform[number] if number < len(self.uniform) else None,
                score=trial.values[0],
                cost=trial.values[1],
            )
            for number, trial in enumerate(finished)
        )

    def candidate(self, point: Point) -> Candidate:
        """A point, measured on all test data."""
        what = f"all {point.uniform} bits" if point.uniform else f"trial {point.number}"
        settings = self.problem.quantization.with_layers(point.widths)
        return self.problem.candidate(self._model(point.number, settings), settings, STAGE, what)

    def _widths(self, choice: Selection) -> Widths:
        result: Widths = {}
        for (name, key), widths in self.searched.items():
            alike = self.problem.graph.encodings.owners(name) if key == "activation_bits" else [name]
            for one in alike:
                result.setdefault(one, {})[key] = widths[choice[f"{name}.{key}"]]
        return result

    def _values(self, number: int, choice: Selection) -> tuple[float, float]:
        """Score and cost."""
        model = self._model(number, self.problem.quantization.with_layers(self._widths(choice)))
        return self.problem.measured("a trial", model, self.settings.samples), COSTS[self.settings.cost](model)

    def _model(self, number: int, settings: Quantization) -> QuantizedGraph:
        """Quantized after training, which is quick, or trained and then kept."""
        if not self.settings.train:
            return quantize(self.problem.graph, self.problem.statistics, settings)
        from dnn2fpga.optimize.training_aware import train_quantized  # TensorFlow, only when it is needed

        folder = self.folder / TRAINED / str(number)
        if not folder.is_dir():
            model, _ = train_quantized(self.problem, self.training, settings)
            with replaced_folder(folder) as new:
                config_files.save(model, new)
        return config_files.load(folder)
