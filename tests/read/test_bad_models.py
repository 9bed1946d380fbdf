"""Models that must be refused: by name and reason, all problems at once, and without running anything in them."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import bad_models
import hostile_files
import numpy as np
import pytest
from hostile_graphs import called, layer, tensor
from model_zoo import Zoo

from dnn2fpga.errors import UserError
from dnn2fpga.passes.simplify import simplify
from dnn2fpga.read.keras import read_keras_model


def refusal(path: Path) -> str:
    """Return the message about a model; every line names the file or the layer."""
    with pytest.raises(UserError) as caught:
        simplify(read_keras_model(path))
    assert all(problem.strip() and "\n" not in problem for problem in caught.value.problems)
    return str(caught.value)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("name", bad_models.MODELS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_model_is_refused(name: str, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, expected = bad_models.MODELS[name]
    path, trace = tmp_path / f"{name}{suffix}", tmp_path / "trace"
    make().save(path)
    monkeypatch.setenv(bad_models.TRACE, str(trace))

    message = refusal(path)

    for part in expected:
        assert part in message
    assert not trace.exists()


def test_the_trace_is_left_when_a_lambda_does_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(bad_models.TRACE, str(tmp_path / "trace"))
    bad_models.with_lambda()
    assert (tmp_path / "trace").exists()


def test_missing_file_and_folder(tmp_path: Path) -> None:
    assert "there is no such file" in refusal(tmp_path / "missing.keras")
    assert "is a folder" in refusal(tmp_path)


def test_spoilt_files_never_raise_anything_else(zoo: Zoo, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for suffix in (".keras", ".h5"):
        whole = np.frombuffer(zoo.save("conv_relu", suffix).read_bytes(), np.uint8)
        path = tmp_path / f"spoilt{suffix}"
        for _ in range(40):
            spoilt = whole.copy()
            spoilt[rng.integers(0, len(spoilt), 20)] ^= rng.integers(1, 256, 20, np.uint8)
            path.write_bytes(spoilt.tobytes())
            with suppress(UserError):
                read_keras_model(path)


def test_a_class_of_the_author_that_is_called_like_one_of_keras(tmp_path: Path) -> None:
    """A class of the author is not taken for Keras' own in a .keras file; an .h5 file names a class and not where it
    comes from, so that Keras, too, reads its own.
    """
    from dnn2fpga.keras_import import keras

    class Dense(keras.layers.Dense):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return super().call(x) * 2

    path = tmp_path / "m.keras"
    keras.Sequential([keras.Input((4,)), Dense(3, name="own")]).save(path)
    assert "layer 'own' (Dense): " in refusal(path)
    assert "is not one of Keras' own classes and is never loaded" in refusal(path)


EVIL = {"module": "evil_module", "class_name": "Evil", "config": {}, "registered_name": "evil>Evil"}
FUNCTION = {"class_name": "function", "module": "builtins", "config": "breakpoint", "registered_name": "breakpoint"}
CODE = {"class_name": "__lambda__", "config": {"value": "x"}}


def set_at(key: str, value: Any) -> Any:
    """An edit of a configuration: another value at a dotted path."""

    def edit(config: dict[str, Any]) -> None:
        *path, last = key.split(".")
        for part in path:
            config = config[int(part) if part.isdigit() else part]
        config[last] = value  # type: ignore[index]

    return edit


@pytest.fixture
def evil_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module that can be imported, and fails the test when it is."""
    (tmp_path / "evil_module.py").write_text(f"open({str(tmp_path / 'trace')!r}, 'w').close()\nclass Evil: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    assert not (tmp_path / "trace").exists()
    assert "evil_module" not in sys.modules


@pytest.mark.usefixtures("evil_module")
@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("module", "evil_module", "evil_module.Sequential"),
        ("registered_name", "evil>Sequential", "evil>Sequential"),
        ("class_name", "evil.Sequential", "a Sequential or Functional model is needed"),
        ("config.layers.1.module", "evil_module", "evil_module.Conv2D"),
        ("config.layers.1.registered_name", "evil>Conv2D", "evil>Conv2D"),
        ("config.layers.1.class_name", "evil>Conv2D", "evil>Conv2D"),
        ("config.layers.1.module", "keras.src.ops.nn", "this kind of layer is not supported"),
        ("config.layers.1.config.dtype", EVIL, "dtype="),
        ("config.layers.1.config.activation", FUNCTION, "activation is the function 'breakpoint'"),
        ("config.layers.1.config.activation", CODE, "activation is a function"),
        ("config.layers.1.config.activation", EVIL, "evil>Evil"),
        ("config.layers.1.config.kernel_size", EVIL, "kernel_size"),
        ("config.layers", "none", "layers: Input should be a valid list"),
        ("config.layers", [1, 2], "layers[0]: Input should be a valid dictionary"),
        ("config.layers.1.config", None, "layers[1].config: Input should be a valid dictionary"),
        ("config", None, "config: Input should be a valid dictionary"),
        ("config.layers.1.config.name", None, "layer number 1 (Conv2D) has no name"),
        ("config.layers.1.config.activation", "\ud800", "surrogates not allowed"),
        ("config.layers.1.config.filters", 10**8, "filters=100000000"),
        ("config.layers.1.config.filters", 65536, "its kernel has shape"),
        ("config.layers.1.config.filters", "many", "filters=many"),
        ("config.layers.1.config.kernel_size", [7, 7], "its kernel has shape (3, 3, 2, 3) in the file"),
        ("config.layers.1.config.use_bias", False, "has 2 arrays in the file; its configuration declares 1 (kernel)"),
        ("config.layers.0.config.batch_shape", [None, 6, 6], "an image (rows, columns, channels), not of shape (6, 6)"),
        ("config.layers.0.config.batch_shape", [None, 70000, 70000, 2], "at most 65,536"),
        ("config.layers.0.config.batch_shape", [None, 60000, 60000, 2], "must be a vector or an image"),
        ("config.layers.0.config.batch_shape", [None, 2, 2, 2], "kernel (3, 3) must fit"),
        ("config.layers.0.config.batch_shape", 5, "input shape must be fixed"),
    ],
)
def test_edited_configurations_are_refused(zoo: Zoo, key: str, value: Any, expected: str, tmp_path: Path) -> None:
    edit = set_at(key, value)
    path = bad_models.edited(zoo.save("conv_relu", ".keras"), tmp_path / "edited.keras", edit)
    assert expected in refusal(path)


@pytest.mark.usefixtures("evil_module")
@pytest.mark.parametrize(
    "key",
    [
        "config.dtype",
        "build_config",
        "compile_config",
        *(f"config.layers.1.config.{part}_initializer" for part in ("kernel", "bias")),
        *(f"config.layers.1.config.{part}_regularizer" for part in ("kernel", "bias", "activity")),
        "config.layers.1.config.kernel_constraint",
        "config.layers.1.build_config",
    ],
)
@pytest.mark.parametrize("value", [EVIL, FUNCTION, CODE, "text"])
def test_objects_that_act_in_training_only_are_not_needed(zoo: Zoo, key: str, value: Any, tmp_path: Path) -> None:
    whole = zoo("conv_relu")
    path = bad_models.edited(whole.path, tmp_path / "edited.keras", set_at(key, value))
    np.testing.assert_array_equal(simplify(read_keras_model(path)).run(whole.x), whole.graph.run(whole.x))


def functional(edit: Any, zoo: Zoo, tmp_path: Path) -> str:
    """Return the message about an edited Functional model."""
    return refusal(bad_models.edited(zoo.save("dense_relu", ".keras", functional=True), tmp_path / "e.keras", edit))


@pytest.mark.parametrize(
    ("argument", "value", "expected"),
    [
        ("training", True, "is called with training=True"),
        ("mask", "mine", "is called with mask=mine"),
    ],
)
def test_calls_with_arguments(zoo: Zoo, argument: str, value: Any, expected: str, tmp_path: Path) -> None:
    assert expected in functional(set_at(f"config.layers.1.inbound_nodes.0.kwargs.{argument}", value), zoo, tmp_path)


@pytest.mark.parametrize(
    "history", [None, "", {}, ["input_layer"], [1, 2, 3], ["x", 0, -1], ["x", -1, 0], ["x", "0", 0]]
)
def test_histories_that_are_none(zoo: Zoo, history: Any, tmp_path: Path) -> None:
    edit = set_at("config.layers.1.inbound_nodes.0.args.0.config.keras_history", history)
    assert "a tensor that it reads must be named as [layer, 0, 0]" in functional(edit, zoo, tmp_path)


READ = "inbound_nodes.0.args.0.config.keras_history"  # of a layer: the tensor that it reads


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        (f"layers.1.{READ}", ["nowhere", 0, 0], "layer 'a' (ReLU): reads 'nowhere', which does not exist"),
        (f"layers.2.{READ}", ["a", 7, 0], "layer 'b' (ReLU): reads call 7 of 'a', which is called once"),
        (f"layers.2.{READ}", ["a", 0, 1], "layer 'b' (ReLU): reads output 1 of 'a', which has 1"),
        (f"layers.2.{READ}", ["b", 0, 0], "the model: its layers read each other in a circle: b → b"),
        (f"layers.1.{READ}", ["b", 0, 0], "the model: its layers read each other in a circle: b → a → b"),
        ("layers.1.inbound_nodes", [], "layer 'b' (ReLU): reads call 0 of 'a', which is never called"),
        ("layers.1.inbound_nodes.0.args", [], "layer 'a' (ReLU): it reads nothing"),
        ("layers.1.inbound_nodes.0.args", [1.5], "layer 'a' (ReLU): is called with argument=1.5"),
        ("layers.1.inbound_nodes", [[["in", 0, 0, "text"]]], "must be named as [layer, 0, 0]"),
        ("layers.1.inbound_nodes", [7], "layer 'a' (ReLU): is called with argument=7"),
        ("layers.1.inbound_nodes.0.kwargs", [1], "the arguments of a call must have names"),
        ("output_layers", ["nowhere", 0, 0], "the outputs of the model: reads 'nowhere', which does not exist"),
        ("output_layers", ["a", 3, 0], "the outputs of the model: reads call 3 of 'a'"),
        ("output_layers", None, "must be named as [layer, 0, 0]"),
        ("output_layers", [], "the model: it has no outputs"),
        ("output_layers", 7, "must be named as [layer, 0, 0]"),
        ("output_layers", ["in", 0, 0], "the model has no layers"),
        ("input_layers", [], "layer 'a' (ReLU): reads 'in', which is not among the inputs of the model"),
        ("input_layers", ["a", 0, 0], "the model: its input 'a' is no input layer"),
        ("input_layers", [["in", 0, 0], ["in", 0, 0]], "the input 'in' is there twice"),
        ("input_layers", ["nowhere", 0, 0], "the model: its input 'nowhere' is no input layer"),
        ("layers.1.config.name", "in", "has no name, or two"),
    ],
)
def test_wiring_that_is_wrong(key: str, value: Any, expected: str, tmp_path: Path) -> None:
    relus = [called(layer("ReLU", name=name), [tensor(source)]) for name, source in (("a", "in"), ("b", "a"))]
    config = hostile_files.functional(*relus, outputs=["b", 0, 0])
    set_at(f"config.{key}", value)(config)
    hostile_files.keras_file(tmp_path / "m.keras", config)
    assert expected in refusal(tmp_path / "m.keras")
