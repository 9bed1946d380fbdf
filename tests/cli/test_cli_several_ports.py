"""The command line on a Keras model with two inputs and two outputs: data files, tasks, scores, messages."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import graph_models
import numpy as np
import pytest
import yaml
from command_line import Outcome, refused

from dnn2fpga import flow

Run = Callable[..., Outcome]
SHAPES = {"image": graph_models.IMAGE, "vector": graph_models.VECTOR}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model and its data; labels are what the float model says."""
    from dnn2fpga.keras_import import keras

    folder = tmp_path_factory.mktemp("several_ports")
    keras.utils.set_random_seed(4)
    graph_models.two_ports(keras).save(folder / "model.keras")
    graph = flow.read_model(folder / "model.keras")
    rng = np.random.default_rng(0)
    for name, count in (("train", 120), ("test", 60)):
        x = {key: rng.uniform(-1, 1, (count, *shape)).astype(np.float32) for key, shape in SHAPES.items()}
        outputs = graph.run(x)
        arrays = {f"x_{key}": values for key, values in x.items()}
        labels = {"y_classes": outputs["classes"].argmax(axis=1), "y_size": outputs["size"]}
        np.savez(folder / f"{name}.npz", **arrays, **labels)
        np.savez(folder / f"{name}_classes.npz", **arrays, y_classes=labels["y_classes"])
    return folder


def data(files: Path, ending: str = "") -> tuple[object, ...]:
    return files / "model.keras", "--data", files / f"train{ending}.npz", "--test", files / f"test{ending}.npz"


@pytest.mark.simulation
def test_from_a_model_to_a_verified_bundle(dnn2fpga: Run, files: Path) -> None:
    done = dnn2fpga("quantize", *data(files), "--task", "classes=classes", "-o", "work", "--max-drop", "50")
    assert done.code == 0, done.err
    assert "task: 'classes': 4 classes (linear), labels are class numbers 0..3, measured by accuracy" in done.out
    assert "task: 'size': regression of 1 number (linear), labels are numbers, measured by r2" in done.out
    for line in ("mean on 60 samples", "accuracy of 'classes'", "r2 of 'size'"):
        assert line in done.out
    result = json.loads(Path("work/quantization.json").read_text())
    assert result["measure"] == "mean"
    assert result["integer_score"] == pytest.approx(sum(one["integer_score"] for one in result["outputs"].values()) / 2)
    assert [one["name"] for one in yaml.safe_load(Path("work/model.yaml").read_text())["outputs"]] == [
        "classes",
        "size",
    ]
    assert dnn2fpga("generate", "work").code == 0
    done = dnn2fpga("verify", "work", "--test", files / "test.npz", "--frames", 20)
    assert done.code == 0, done.err
    assert "RTL" in done.out
    _, bulk = json.loads(Path("work/verification.json").read_text())["reports"]
    assert bulk["frames"] == 20
    assert {name: score["measure"] for name, score in bulk["scores"].items()} == {"classes": "accuracy", "size": "r2"}
    # Labels that fit no reading are told with the output that they belong to.
    arrays = dict(np.load(files / "test.npz"))
    np.savez("wrong.npz", **arrays | {"y_classes": arrays["y_classes"] + 9})
    done = dnn2fpga("verify", "work", "--test", "wrong.npz")
    assert done.code == 2
    assert "output 'classes': a label must be the number of an output" in done.err


def test_an_output_without_labels_is_compared_with_the_float_model(dnn2fpga: Run, files: Path) -> None:
    done = dnn2fpga("quantize", *data(files, "_classes"), "-o", "work")
    assert done.code == 0, done.err
    assert "task: 'size': regression of 1 number (linear), no labels, measured by r2" in done.out


MISTAKES: dict[str, tuple[tuple[object, ...], str]] = {
    "an output that is not there": (("--task", "class=classes"), "there is no output 'class'; there are classes, size"),
    "a task that is none": (("--task", "size=sizes"), "task.outputs.size: Input should be 'binary', 'classes'"),
    "one of several unnamed": (("--task", "classes", "--task", "size=regression"), "must be OUTPUT=TASK"),
    "a task that cannot be": (("--task", "size=classes"), "output 'size': classes needs a vector of outputs"),
    "another name of the inputs": (("--x", "images"), "holds no array 'images_image', 'images_vector', but x_image"),
    "another name of the labels": (("--y", "label"), "holds no array 'label_classes' or 'label_size', but"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_named_and_nothing_is_written(dnn2fpga: Run, tmp_path: Path, files: Path, case: str) -> None:
    options, message = MISTAKES[case]
    assert message in refused(dnn2fpga, tmp_path, "quantize", *data(files), "-o", "work", *options)


def test_one_task_is_said_of_all_outputs(dnn2fpga: Run, files: Path) -> None:
    done = dnn2fpga("quantize", *data(files), "-o", "work", "--task", "regression")
    assert done.code == 2
    assert "output 'classes': regression needs a label for each of the 4 outputs, not one for all" in done.err
