"""Models that are objects in memory."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dnn2fpga
from dnn2fpga.errors import UserError

SAMPLES = Path(__file__).parents[1] / "front_ends" / "samples"


@pytest.fixture(scope="module")
def keras_3() -> Any:
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(3)
    layers = keras.layers
    return keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="relu"), layers.Dense(2)], name="my-model")


def test_a_model_of_keras_3(keras_3: Any) -> None:
    graph = dnn2fpga.read_model(keras_3)
    x = np.random.default_rng(1).normal(size=(8, 4)).astype(np.float32)
    np.testing.assert_allclose(graph.run(x), np.asarray(keras_3(x)), atol=1e-6)
    assert graph.name == "my_model"
    assert graph.origin is not None
    assert graph.origin.file == "my_model.keras"


def test_it_can_be_quantized(keras_3: Any, tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(size=(64, 4)).astype(np.float32)
    dnn2fpga.quantize(keras_3, dnn2fpga.Data({"input": x}), work=tmp_path)
    assert "my_model.keras" in (tmp_path / "model.yaml").read_text()


def test_what_a_class_inherits_counts(keras_3: Any) -> None:
    import keras

    class Own(type(keras_3)):  # type: ignore[misc]
        pass

    model = Own([keras.Input((4,)), *keras_3.layers], name="own")
    with pytest.raises(UserError, match=r"model 'own': a Sequential or Functional model is needed, not .*Own"):
        dnn2fpga.read_model(model)


def test_problems_name_the_model(keras_3: Any) -> None:
    import keras

    model = keras.Sequential([keras.Input((4, 4)), keras.layers.LSTM(3, name="memory")], name="recurrent")
    with pytest.raises(UserError) as caught:
        dnn2fpga.read_model(model)
    assert caught.value.problems[0] == "model 'recurrent': layer 'memory' (LSTM): this kind of layer is not supported"


def test_a_layer_is_no_model(keras_3: Any) -> None:
    with pytest.raises(UserError, match=r"an object of the class Dense is no whole model; put it in a keras.Model"):
        dnn2fpga.read_model(keras_3.layers[0])


def of_keras_2(package: str, content: Path) -> Any:
    """An object whose class has the name of that of Keras 2, and which saves as it does."""

    def save(self: Any, path: str) -> None:
        assert path.endswith(".h5")
        shutil.copy(content, path)

    model = type("Model", (), {"__module__": package, "save": save, "name": "old"})
    return type("Sequential", (model,), {"__module__": package})()


@pytest.mark.parametrize(
    "package", ["keras.engine.training", "keras.src.engine.training", "tf_keras.src.engine.training"]
)
def test_models_of_keras_2_are_saved_as_h5(package: str) -> None:
    folder = SAMPLES / "keras2_sequential"
    graph = dnn2fpga.read_model(of_keras_2(package, folder / "model.h5"))
    recorded = np.load(folder / "io.npz")
    np.testing.assert_allclose(graph.shapes[graph.dag.outputs[0]], recorded["y"].shape[1:])


def test_an_error_of_the_save_method(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model 'old': cannot be saved by its own save method .*No such file"):
        dnn2fpga.read_model(of_keras_2("keras.engine.training", tmp_path / "missing"))


@pytest.mark.parametrize("thing", [None, 5, {"layers": []}, np.zeros(3)])
def test_what_is_no_model(thing: Any, tmp_path: Path) -> None:
    for read in (dnn2fpga.read_model, lambda model: dnn2fpga.quantize(model, work=tmp_path)):
        with pytest.raises(UserError, match=r"is no model: give the path of a model file, a Graph, a Keras or"):
            read(thing)
