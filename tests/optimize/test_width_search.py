"""The search over widths: its front, its journal, what it chooses, what it costs."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tiny
import yaml
from command_line import Outcome

from dnn2fpga import flow
from dnn2fpga.config import load_config
from dnn2fpga.data import Data
from dnn2fpga.errors import UserError
from dnn2fpga.graph import files as config_files
from dnn2fpga.graph.float import Graph
from dnn2fpga.layers.activation import Clamp
from dnn2fpga.layers.dense import Dense
from dnn2fpga.optimize.calibration import calibrate
from dnn2fpga.optimize.cost import COSTS
from dnn2fpga.optimize.post_training import Quantization, quantize
from dnn2fpga.optimize.problem import Problem
from dnn2fpga.optimize.settings import Optimization, SearchSettings, TrainingSettings
from dnn2fpga.optimize.trials import Trials
from dnn2fpga.optimize.width_search import Point, SearchResult, front_of, search_widths, searched_widths
from dnn2fpga.passes.simplify import simplify
from dnn2fpga.progress import silent
from dnn2fpga.quantize.ranges import RangeMethod
from dnn2fpga.task_reading import with_task
from dnn2fpga.work_folder import SEARCH, WorkFolder

TRAINED_ON = 1400  # of 1,797 digits
SETTINGS = SearchSettings(trials=24)
TARGET = Optimization(max_drop=2)
QUICK = Quantization(weight_calibration=RangeMethod.MIN_MAX)  # searching ranges would take most of the time


@cache
def digits() -> tuple[Graph, Data, Data]:
    """A small network on handwritten digits, trained by scikit-learn in a second."""
    from sklearn.datasets import load_digits
    from sklearn.neural_network import MLPClassifier

    loaded = load_digits()
    x, y = (loaded.data / 16).astype(np.float32), loaded.target
    train, test = Data(x[:TRAINED_ON], y[:TRAINED_ON]), Data(x[TRAINED_ON:], y[TRAINED_ON:])
    classifier = MLPClassifier((16, 12), max_iter=60, learning_rate_init=0.005, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it could still be trained further
        network = classifier.fit(train.x, train.y)
    layers: list[Dense | Clamp] = []
    for k, (weights, bias) in enumerate(zip(network.coefs_, network.intercepts_, strict=True)):
        layers += [
            Dense(f"dense_{k}", weights.astype(np.float32), bias.astype(np.float32)),
            Clamp(f"relu_{k}", 0.0, math.inf),
        ]
    graph = Graph.chain("digits", "input", (64,), layers[:-1], float_parameters=1382)
    return with_task(simplify(graph), (train, test)), train, test


def problem_of(quantization: Quantization | None = None, target: Optimization = TARGET) -> Problem:
    graph, train, test = digits()
    statistics = calibrate(graph, train.x)
    settings = quantization or QUICK
    return Problem(graph, graph, statistics, settings, target, train, test, {}, lambda what, done, of: None)


def search(folder: Path, settings: SearchSettings = SETTINGS, **problem: object) -> SearchResult:
    return search_widths(problem_of(**problem), settings, TrainingSettings(), folder).result  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("searches")


@pytest.fixture(scope="module")
def result(folder: Path) -> SearchResult:
    return search(folder)


def test_front(result: SearchResult) -> None:
    measured = [point for point in result.points if point.score_on_all is not None]
    front = [result.points[number] for number in result.front]
    assert [(one.cost, one.score_on_all) for one in front] == sorted({(one.cost, one.score_on_all) for one in front})
    for point in measured:
        assert any(one.cost <= point.cost and one.score_on_all >= point.score_on_all for one in front)  # type: ignore[operator]


def test_uniform_widths_come_first_and_are_measured(result: SearchResult) -> None:
    first = result.points[:6]
    assert [point.uniform for point in first] == [8, 6, 5, 4, 3, 2]
    assert all(point.score_on_all is not None for point in first)
    for point in first:
        assert {width for own in point.widths.values() for width in own.values()} == {point.uniform}
    assert all(point.uniform is None for point in result.points[6:])


def test_cheaper_than_any_uniform_width_that_reaches_the_target(result: SearchResult) -> None:
    chosen = result.points[result.chosen]
    assert result.met
    assert result.wanted is not None
    assert chosen.best_known_score >= result.wanted
    uniform = [one for one in result.points if one.uniform and one.best_known_score >= result.wanted]
    assert chosen.cost < min(one.cost for one in uniform)


def test_same_seed_same_trials(result: SearchResult, tmp_path: Path) -> None:
    assert search(tmp_path) == result


def test_another_seed_other_trials(result: SearchResult, tmp_path: Path) -> None:
    other = search(tmp_path, SETTINGS.model_copy(update={"seed": 2, "trials": 12}))
    assert [one.widths for one in other.points] != [one.widths for one in result.points[:12]]


def test_goes_on_after_an_interruption(result: SearchResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def counting(model: object) -> float:
        made.append(model)
        if len(made) == stop_at:
            raise KeyboardInterrupt
        return model_bits(model)  # type: ignore[arg-type]

    made: list[object] = []
    model_bits, stop_at = COSTS["model_bits"], 14
    monkeypatch.setitem(COSTS, "model_bits", counting)
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path)
    stop_at = -1
    assert search(tmp_path) == result
    assert len(made) == len(result.points) + 1  # only the interrupted trial was made twice


def test_more_trials_continue_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    model_bits = COSTS["model_bits"]
    monkeypatch.setitem(COSTS, "model_bits", lambda model: made.append(model) or model_bits(model))  # type: ignore[func-returns-value]
    five = search(tmp_path, SearchSettings(trials=5))
    ten = search(tmp_path, SearchSettings(trials=10))
    assert (len(five.points), len(ten.points), len(made)) == (5, 10, 10)
    assert [one.widths for one in ten.points[:5]] == [one.widths for one in five.points]
    assert len(search(tmp_path, SearchSettings(trials=7)).points) == 7  # fewer are the first of them
    search(tmp_path, SearchSettings(trials=5), quantization=QUICK.model_copy(update={"input_bits": 4}))
    assert len(made) == 15  # another model: from the beginning


def test_a_changed_model_starts_anew(tmp_path: Path) -> None:
    problem = problem_of()
    search_widths(problem, SearchSettings(trials=3), TrainingSettings(), tmp_path)
    first, *rest = problem.graph.layers
    changed = tiny.with_layers(problem.graph, [Dense(first.name, first.weights * 1.5, first.bias), *rest])
    again = Problem(changed, changed, *list(vars(problem).values())[2:9])
    search_widths(again, SearchSettings(trials=3), TrainingSettings(), tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_without_a_target_the_best(folder: Path, result: SearchResult) -> None:
    free = search(folder, target=Optimization())
    assert free.met
    assert free.chosen == result.front[-1]


def test_a_target_out_of_reach_keeps_the_best(folder: Path, result: SearchResult) -> None:
    missed = search(folder, target=Optimization(target_accuracy=1.0))
    assert not missed.met
    assert missed.chosen == result.front[-1]


def test_which_widths_are_searched() -> None:
    settings = SearchSettings(weight_bits=(3, 4), activation_bits=(5,))
    assert searched_widths(problem_of(), settings) == {
        ("dense_0", "weight_bits"): (3, 4),
        ("dense_0", "activation_bits"): (5,),
        ("dense_1", "weight_bits"): (3, 4),
        ("dense_1", "activation_bits"): (5,),
        ("dense_2", "weight_bits"): (3, 4),  # its output has output_bits
    }
    own = {
        "dense_0": {"numbers": "binary32"},
        "dense_1": {"weight_set": "ternary", "weight_bits": 2},
        "dense_2": {"weight_bits": 8},
    }
    assert set(searched_widths(problem_of(Quantization(layers=own)), settings)) == {
        ("dense_0", "activation_bits"),
        ("dense_1", "activation_bits"),
    }
    fixed = {"weight_bits": 8, "activation_bits": 8}
    everything = Quantization(layers=dict.fromkeys(("dense_0", "dense_1", "dense_2"), fixed))
    with pytest.raises(UserError, match=r"take the widths out of quantization\.layers"):
        searched_widths(problem_of(everything), settings)


def test_layers_that_keep_numbers_have_none() -> None:
    graph = simplify(tiny.float_graph())
    problem = Problem(graph, graph, {}, Quantization(), TARGET, Data(tiny.samples(), None), None, {}, lambda *_: None)
    searched = searched_widths(problem, SearchSettings())
    kept = {node.name for node in graph.nodes if node.layer.preserves_encoding}
    assert kept
    assert not kept & {name for name, _ in searched}


def test_small_space_is_searched_once(tmp_path: Path) -> None:
    tried: list[tuple[int, ...]] = []

    def values(number: int, choice: dict[str, int]) -> tuple[float, float]:
        tried.append(tuple(choice.values()))
        return float(sum(choice.values())), float(choice["a"])

    trials = Trials(tmp_path / "journal", "key", {"a": 2, "b": 3}, [{"a": 1, "b": 2}], seed=1)
    finished = trials.run(40, values, silent)
    assert len(finished) == len(tried) == len(set(tried))
    assert tried[0] == (1, 2)
    assert len(tried) == 6


def test_a_torn_line_is_dropped(tmp_path: Path) -> None:
    file = tmp_path / "journal"

    def run(count: int) -> int:
        trials = Trials(file, "key", {"a": 50}, [], seed=1)
        return len(trials.run(count, lambda number, choice: (number, choice["a"]), silent))

    assert run(3) == 3
    file.write_bytes(file.read_bytes()[:-20])  # the process was killed while it wrote the third
    assert run(5) == 5
    assert run(6) == 6


def test_unreadable_journal(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text('{"op_code": 0, "nothing": 1}\n')
    with pytest.raises(UserError, match="delete it to search from the beginning"):
        Trials(tmp_path / "journal", "key", {"a": 2}, [], 1).run(1, lambda number, choice: (0, 0), lambda *_: None)


def test_front_of_points() -> None:
    scores_and_costs = [(0.5, 3), (0.5, 3), (0.4, 3), (0.9, 9), (0.9, 8), (0.2, 1)]
    points = [
        Point(number=k, widths={}, uniform=None, score=score, cost=cost)
        for k, (score, cost) in enumerate(scores_and_costs)
    ]
    assert front_of(points) == (5, 0, 4)


def uniform_costs(cost: str) -> Iterator[float]:
    for bits in (2, 3, 4, 5, 6, 8):
        yield COSTS[cost](tiny.quantized_graph(Quantization(weight_bits=bits, activation_bits=bits)))


@pytest.mark.parametrize("cost", COSTS)
def test_wider_costs_more(cost: str) -> None:
    costs = list(uniform_costs(cost))
    assert costs == sorted(costs)
    assert costs[0] < costs[-1]


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("setting", ["weight_bits", "activation_bits"])
def test_either_width_costs(setting: str, cost: str) -> None:
    narrow, wide = (tiny.quantized_graph(Quantization(**{setting: bits})) for bits in (3, 8))
    assert COSTS[cost](narrow) < COSTS[cost](wide)  # finer activations need longer biases


def test_luts_are_solved_once_a_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    from rtl_lib.matrix.parallel import engine as parallel_engine

    settings = Quantization(weight_bits=7, activation_bits=7)
    first = COSTS["luts"](tiny.quantized_graph(settings))
    monkeypatch.setattr(parallel_engine, "solve", None)
    assert COSTS["luts"](tiny.quantized_graph(settings)) == first


def test_flow_writes_the_chosen_model_and_its_settings(tmp_path: Path) -> None:
    graph, train, test = digits()
    found = flow.search(
        graph,
        train,
        work=tmp_path,
        test=test,
        search=SearchSettings(trials=12),
        quantization=QUICK,
        optimization=TARGET,
    )
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "model.yaml",
        "weights.npz",
        "samples.npz",
        "quantization.json",
        "search.json",
        "search.png",
        "search",
    }
    assert SearchResult.model_validate(WorkFolder(tmp_path).standing(SEARCH)) == found
    model = config_files.load(tmp_path)
    assert model.weight_bits == found.points[found.chosen].cost
    settings = load_config(tmp_path / "search" / "dnn2fpga.yaml", {}).quantization
    settings = settings.model_copy(update={"weight_calibration": QUICK.weight_calibration})
    again = flow.quantize(graph, train, work=tmp_path / "again", quantization=settings, test=test)
    assert again.integer_score == found.points[found.chosen].score_on_all
    assert (tmp_path / "again" / "weights.npz").read_bytes() == (tmp_path / "weights.npz").read_bytes()
    assert yaml.safe_load((tmp_path / "search" / "dnn2fpga.yaml").read_text())["quantization"]["layers"]


def test_trained_trials_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def train_quantized(
        problem: Problem, settings: TrainingSettings, quantization: Quantization
    ) -> tuple[object, float]:
        trained.append(settings)
        return quantize(problem.graph, problem.statistics, quantization), 0.0

    trained: list[TrainingSettings] = []
    stand_in = SimpleNamespace(train_quantized=train_quantized)  # the real one needs half a minute with TensorFlow
    monkeypatch.setitem(sys.modules, "dnn2fpga.optimize.training_aware", stand_in)  # type: ignore[arg-type]
    settings = SearchSettings(trials=8, train=True)
    short, long = TrainingSettings(epochs=1), TrainingSettings(epochs=2)
    first = search_widths(problem_of(), settings, short, tmp_path)
    assert trained == [short] * 8  # the front is measured on the models that were kept
    assert search_widths(problem_of(), settings, short, tmp_path).result == first.result
    assert len(trained) == 8
    search_widths(problem_of(), settings, long, tmp_path)
    assert trained[8:] == [long] * 8


def test_flow_needs_test_data(tmp_path: Path) -> None:
    graph, train, _ = digits()
    with pytest.raises(UserError, match="give it with --test"):
        flow.search(graph, train, work=tmp_path / "work", test=None)
    assert not (tmp_path / "work").exists()


def test_command_line(dnn2fpga: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph, train, test = digits()
    np.savez(tmp_path / "train.npz", x=train.x, y=train.y)
    np.savez(tmp_path / "test.npz", x=test.x, y=test.y)
    monkeypatch.setattr(flow, "read_model", lambda *_: graph)
    arguments = ["search", "digits.keras", "--data", "train.npz", "--trials", 8]
    arguments += ["--set", "quantization.weight_calibration=min_max"]
    assert "give it with --test" in dnn2fpga(*arguments).err
    arguments += ["--test", "test.npz"]
    reached = dnn2fpga(*arguments, "--max-drop", 3, "--cost", "luts")
    assert reached.code == 0, reached
    assert "predicted LUTs" in reached.out
    assert "chosen" in reached.out
    assert "optuna" not in (reached.out + reached.err).lower()
    missed = dnn2fpga(*arguments, "--target-accuracy", 1.0)
    assert missed.code == 3
    assert "not reached" in missed.out
    wrong = dnn2fpga(*arguments, "--cost", "money")
    assert wrong.code == 2
    assert "search.cost" in wrong.err
