"""The optimizer on a network with two inputs and two outputs: one task, score and loss for each output."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import two_inputs

from dnn2fpga import flow
from dnn2fpga.config import load_config
from dnn2fpga.data import Data
from dnn2fpga.errors import UserError
from dnn2fpga.graph import files as config_files
from dnn2fpga.optimize.calibration import calibrate
from dnn2fpga.optimize.checkpoints import key_of
from dnn2fpga.optimize.findings import Cause
from dnn2fpga.optimize.losses import loss_for
from dnn2fpga.optimize.post_training import Quantization, quantize
from dnn2fpga.optimize.problem import Problem
from dnn2fpga.optimize.settings import Optimization, SearchSettings, Stage, Target, TrainingSettings
from dnn2fpga.optimize.training import train
from dnn2fpga.optimize.training_model import FloatModel
from dnn2fpga.progress import silent
from dnn2fpga.task import LabelForm, Measure, Score, TaskKind, overall
from dnn2fpga.task_reading import task_lines, tasks_with, with_task

GRAPH = two_inputs.GRAPH
DATA, TEST = two_inputs.data(200, seed=1), two_inputs.data(100, seed=2)
LOW = Quantization(weight_bits=3, activation_bits=4)


def problem_of(test: Data = TEST, quantization: Quantization | None = None) -> Problem:
    graph = with_task(GRAPH, (DATA, test))
    statistics = calibrate(graph, DATA.x)
    return Problem(graph, graph, statistics, quantization or LOW, Target(), DATA, test, {}, silent)


# Tasks


def test_each_output_has_a_task_of_its_own() -> None:
    graph = with_task(GRAPH, (DATA, TEST))
    assert {name: (task.kind, task.labels) for name, task in graph.tasks.items()} == {
        "kind": (TaskKind.CLASSES, LabelForm.CLASS_NUMBERS),
        "angle": (TaskKind.REGRESSION, LabelForm.NUMBERS),
    }
    assert task_lines(graph, replace(TEST, y={"angle": TEST.y["angle"]})) == [
        "'kind': 4 classes (softmax), labels are class numbers 0..3, measured by agreement with the float model's "
        "decisions",
        "'angle': regression of 2 numbers (linear), labels are numbers, measured by r2",
    ]


def test_tasks_may_be_chosen_for_all_or_by_name() -> None:
    unlabelled = Data(DATA.x)
    for_all = with_task(GRAPH, (unlabelled,), TaskKind.REGRESSION)
    assert {task.kind for task in for_all.tasks.values()} == {TaskKind.REGRESSION}
    chosen = with_task(GRAPH, (unlabelled,), {"angle": TaskKind.CLASSES})
    assert {task.kind for task in chosen.tasks.values()} == {TaskKind.CLASSES}
    with pytest.raises(UserError, match="there is no output 'angel'; there are kind, angle"):
        with_task(GRAPH, (DATA,), {"angel": TaskKind.CLASSES})
    assert with_task(GRAPH, (unlabelled,), {"angle": "classes"}).tasks == chosen.tasks
    with pytest.raises(UserError, match=r"must be one of binary, classes, .*, not 'clases'"):
        with_task(GRAPH, (DATA,), "clases")


def test_what_is_wrong_with_any_labels_is_said_at_once() -> None:
    wrong = Data(DATA.x, {"kind": DATA.y["kind"] + 1, "angle": DATA.y["angle"] * np.nan})
    with pytest.raises(UserError) as caught:
        with_task(GRAPH, (wrong,))
    one, other = caught.value.problems
    assert one.startswith("output 'kind': labels start at 1")
    assert other == "output 'angle': the labels hold NaN or infinite values"


def test_labels_of_later_data_are_read_as_those_of_the_model(tmp_path: Path) -> None:
    flow.quantize(GRAPH, DATA, work=tmp_path)
    model = config_files.load(tmp_path)
    assert tasks_with(model, Data(TEST.x)) == model.tasks
    one_hot = tasks_with(model, Data(TEST.x, {"kind": np.eye(4)[TEST.y["kind"]]}))
    assert one_hot["kind"].labels is LabelForm.ONE_HOT
    assert one_hot["angle"] == model.tasks["angle"]
    with pytest.raises(UserError, match="output 'kind': a label must be the number of an output"):
        tasks_with(model, Data(TEST.x, {"kind": TEST.y["kind"] + 7}))


# Scores


def test_the_score_of_a_network_is_the_mean_of_its_outputs() -> None:
    accuracy, r2 = Score(Measure.ACCURACY, 0.9), Score(Measure.R2, 0.5)
    assert overall({"a": accuracy}) is accuracy
    assert overall({}) is None
    assert overall({"a": accuracy, "b": r2}) == Score(Measure.MEAN, pytest.approx(0.7))
    assert str(Score(Measure.MEAN, 0.7)) == "0.7000"


def test_every_output_is_judged_by_its_own_labels(tmp_path: Path) -> None:
    problem = problem_of()
    model = flow_model(tmp_path)
    outputs = model.predict(TEST.x)
    accuracy = (outputs["kind"].argmax(axis=1) == TEST.y["kind"]).mean()
    wanted = TEST.y["angle"].astype(np.float64)
    r2 = 1 - np.square(wanted - outputs["angle"]).sum() / np.square(wanted - wanted.mean(axis=0)).sum()
    candidate = problem.candidate(model, LOW, "ptq", "all layers")
    assert candidate.result.scores == {"kind": pytest.approx(accuracy), "angle": pytest.approx(r2)}
    assert candidate.result.measure is Measure.MEAN
    assert candidate.result.score == pytest.approx((accuracy + r2) / 2)
    assert problem.float_score == Score(Measure.MEAN, 1.0)
    # A wrong label of one output is seen in that output's score alone.
    labels = {"kind": TEST.y["kind"].copy(), "angle": TEST.y["angle"]}
    labels["kind"][:10] = (outputs["kind"].argmax(axis=1)[:10] + 1) % 4
    other = problem_of(replace(TEST, y=labels)).scores(model)
    assert other["angle"].value == pytest.approx(r2)
    assert other["kind"].value < accuracy


def flow_model(folder: Path) -> Any:
    flow.quantize(GRAPH, DATA, work=folder, test=TEST, quantization=LOW)
    return config_files.load(folder)


def test_outputs_without_labels_are_compared_with_the_float_model() -> None:
    scores = problem_of(replace(TEST, y={"angle": TEST.y["angle"]})).float_scores
    assert {name: score.measure for name, score in scores.items()} == {
        "kind": Measure.AGREEMENT,
        "angle": Measure.R2,
    }


# Training


def test_the_loss_is_the_sum_of_the_losses_of_the_outputs() -> None:
    """One step at a rate of nearly nothing: its loss is that of the network as it is."""
    graph = with_task(GRAPH, (DATA,))
    part = DATA.at(slice(0, 32))
    only_kind = replace(part, y={"kind": part.y["kind"]})
    settings = TrainingSettings(epochs=1, batch=32, learning_rate=1e-9, validation=0, samples=32)
    outputs = FloatModel(graph).outputs(part.x)
    labels = {name: task.targets(part.y[name], outputs[name].shape[-1]) for name, task in graph.tasks.items()}
    for data, labelled in ((part, {"kind", "angle"}), (only_kind, {"kind"}), (Data(part.x), set())):
        (epoch,) = train(FloatModel(graph), data, settings, graph)
        wanted = sum(
            float(
                loss_for(task, name in labelled, 2.0)(
                    outputs[name], labels[name] if name in labelled else outputs[name]
                )
            )
            for name, task in graph.tasks.items()
        )
        assert epoch.loss == pytest.approx(wanted, rel=1e-5)


def test_training_helps_both_outputs() -> None:
    rng = np.random.default_rng(3)
    layers = {
        node.name: replace(node.layer, weights=node.layer.weights + 0.3 * rng.normal(size=node.layer.weights.shape))
        if node.layer.has_weights
        else node.layer
        for node in GRAPH.nodes
    }
    worse = GRAPH.mapped(lambda node: layers[node.name])
    settings = TrainingSettings(epochs=30, batch=20, learning_rate=1e-2, mix_inputs=True, input_noise=0.01)
    for data in (Data(DATA.x), replace(DATA, y={"kind": DATA.y["kind"]})):
        graph = with_task(GRAPH, (DATA,))
        own = settings if data.y is None else settings.model_copy(update={"mix_inputs": False})
        model = FloatModel(worse)
        train(model, data, own, graph)
        for name, task in graph.tasks.items():
            reference = graph.run(TEST.x)[name]
            before, after = (
                task.score(one.run(TEST.x)[name], None, reference).value for one in (worse, model.trained())
            )
            assert after > before, name


def test_labels_that_training_asks_for_must_be_there_for_every_output() -> None:
    graph, data = with_task(GRAPH, (DATA,)), replace(DATA, y={"kind": DATA.y["kind"]})
    with pytest.raises(UserError, match=r"teacher is 'labels', but the training data has none for angle"):
        train(FloatModel(graph), data, TrainingSettings(teacher="labels"), graph)


# The whole


def test_all_stages_make_a_model_and_are_kept(tmp_path: Path) -> None:
    training = TrainingSettings(epochs=2, batch=50)
    optimization = Optimization(target_accuracy=1.0, training=training)
    result = flow.quantize(GRAPH, DATA, work=tmp_path, test=TEST, quantization=LOW, optimization=optimization)
    assert {one.stage for one in result.tries} == {stage.value for stage in Stage}
    assert {*result.outputs} == {"kind", "angle"}
    assert result.measure is Measure.MEAN
    mean = sum(one.integer_score for one in result.outputs.values()) / 2
    assert result.integer_score == pytest.approx(mean)
    assert all(one.differing_outputs == 0 for one in result.tries if one.stage == "qat")
    before = (tmp_path / "model.yaml").read_bytes()
    told: list[str] = []
    again = flow.quantize(
        GRAPH,
        DATA,
        work=tmp_path,
        test=TEST,
        quantization=LOW,
        optimization=optimization,
        progress=lambda what, done, of, news="": told.append(what),
    )
    assert again == result
    assert set(told) == {"calibrating"}
    assert (tmp_path / "model.yaml").read_bytes() == before


def test_a_search_compares_the_means(tmp_path: Path) -> None:
    found = flow.search(GRAPH, DATA, work=tmp_path, test=TEST, search=SearchSettings(trials=6))
    assert found.measure is Measure.MEAN
    assert found.points[found.chosen].score_on_all == max(found.points[n].score_on_all or 0 for n in found.front)


def test_the_diagnosis_names_the_input(tmp_path: Path) -> None:
    x = {name: values.copy() for name, values in DATA.x.items()}
    x["speed"][7, 2] = 5000
    result = flow.quantize(GRAPH, Data(x), work=tmp_path, test=TEST)
    assert {*result.diagnosis.inputs} == {"image", "speed"}
    (finding,) = [one for one in result.diagnosis.findings if one.matters]
    assert finding.cause is Cause.OUTLIER
    assert finding.text.startswith("calibration data of 'speed', channel 2: largest value 5,000")
    assert min(result.diagnosis.inputs["image"].used_codes) > 100


def test_an_input_may_have_settings_of_its_own() -> None:
    statistics = calibrate(GRAPH, DATA.x)
    settings = Quantization.model_validate(
        {"input_bits": 6, "inputs": {"speed": {"bits": 12, "lanes": 1, "symmetry": "asymmetric"}}}
    )
    image, speed = quantize(GRAPH, statistics, settings).inputs.values()
    assert (image.width, image.lanes, image.zero_point) == (6, 1, 0)
    assert (speed.width, speed.lanes) == (12, 1)
    with pytest.raises(UserError, match=r"inputs\.sped: there is no such input; there are image, speed"):
        quantize(GRAPH, statistics, Quantization.model_validate({"inputs": {"sped": {"bits": 12}}}))


def test_a_misspelt_setting_of_an_input_is_named() -> None:
    with pytest.raises(UserError, match=r"unknown key 'quantization\.inputs\.speed\.bit'; did you mean 'bits'"):
        load_config(None, {"quantization.inputs.speed.bit": 12})


@pytest.mark.parametrize("name", ["image", "speed", "kind", "angle"])
def test_every_array_is_in_the_key(name: str) -> None:
    x, y = dict(DATA.x), dict(DATA.y)
    changed = x if name in x else y
    changed[name] = changed[name].copy()
    changed[name].flat[3] += 1
    assert key_of(GRAPH, [Data(x, y)], []) != key_of(GRAPH, [DATA], [])
    assert key_of(GRAPH, [Data(dict(reversed(DATA.x.items())), DATA.y)], []) == key_of(GRAPH, [DATA], [])


def test_labels_of_one_output_are_not_those_of_another() -> None:
    y = np.zeros(200)
    assert key_of(GRAPH, [Data(DATA.x, {"kind": y})], []) != key_of(GRAPH, [Data(DATA.x, {"angle": y})], [])
