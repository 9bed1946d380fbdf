"""Single options and classes of Keras; whole models are in test_against_keras.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hostile_files
import numpy as np
import pytest
from hostile_graphs import layer, sequential

from dnn2fpga.errors import UserError
from dnn2fpga.read.keras import BY_CLASS, read_keras_model
from dnn2fpga.read.keras_config import Serialized
from dnn2fpga.read.keras_layers import OnlyInTraining
from dnn2fpga.read.keras_options import options_of
from dnn2fpga.read.keras_weights import snake_case

# Options besides the name; whatever these layers do, they do it in training only.
ARGUMENTS: dict[str, dict[str, Any]] = {
    **{
        name: {"rate": 0.5}
        for name in ("Dropout", "SpatialDropout1D", "SpatialDropout2D", "AlphaDropout", "GaussianDropout")
    },
    "GaussianNoise": {"stddev": 1.0},
    "ActivityRegularization": {"l2": 0.1},
    **{
        f"Random{name}": {"factor": 0.5}
        for name in (
            *("Brightness", "ColorDegeneration", "Contrast", "Erasing", "Grayscale", "Hue", "Invert", "Perspective"),
            *("Rotation", "Saturation", "Sharpness"),
        )
    },
    "RandomPosterization": {"factor": 4},
    "RandomTranslation": {"height_factor": 0.3, "width_factor": 0.3},
    "RandomZoom": {"height_factor": 0.3},
    "RandomHue": {"factor": 0.5, "value_range": (0, 1)},
}


@pytest.mark.parametrize("name", OnlyInTraining.stands_for)
def test_what_acts_in_training_only_changes_nothing(name: str) -> None:
    from dnn2fpga.keras_import import keras

    keras_layer = getattr(keras.layers, name)(**ARGUMENTS.get(name, {}))
    shape = (4, 6, 3) if name == "SpatialDropout1D" else (4, 8, 8, 3)
    x = np.random.default_rng(0).uniform(0, 1, shape).astype(np.float32)
    np.testing.assert_array_equal(np.asarray(keras_layer(x, training=False)), x)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (layer("DepthwiseConv2D", name="d", kernel_size=3, dilation_rate=[2, 2]), "dilation_rate=2 (supported: 1)"),
        (
            layer("DepthwiseConv2D", name="d", kernel_size=3, dilation_rate=[1, 2]),
            "dilation_rate=[1, 2] (supported: 1)",
        ),
        (
            layer("DepthwiseConv2D", name="d", kernel_size=3, data_format="channels_first"),
            "data_format='channels_first'",
        ),
        (layer("DepthwiseConv2D", name="d", kernel_size=3, activation="gelu"), "activation 'gelu'"),
        (layer("DepthwiseConv2D", name="d"), "kernel_size is missing"),
        (layer("Conv2D", name="c", filters=2, kernel_size=[3, 3, 3]), "kernel_size"),
        (layer("Conv2D", name="c", filters=2, kernel_size=0), "kernel_size"),
        (
            layer("Conv2D", name="c", filters=2, kernel_size=3, padding="causal"),
            "padding='causal' (supported: 'valid' or",
        ),
        (layer("Dense", name="d", units=2, dtype="int8"), "dtype='int8' (supported: 'float16'"),
        (layer("Dense", name="d", units=2, activation=layer("ELU", name="l")), "activation ELU"),
        (
            layer("Dense", name="d", units=2, activation=layer("Dense", name="l", units=2)),
            "activation Dense: this kind",
        ),
        (layer("ReLU", name="r", threshold=0.5), "threshold=0.5 (supported: 0)"),
        (layer("ReLU", name="r", max_value=-1), "max_value=-1"),
        (layer("BatchNormalization", name="b", epsilon=float("nan")), "epsilon=nan"),
        (layer("Rescaling", name="r", scale=[0.5, float("inf")]), "scale"),
        (layer("Rescaling", name="r"), "scale is missing"),
        (layer("Reshape", name="r", target_shape="all"), "target_shape"),
    ],
)
def test_an_option_that_is_not_supported(config: dict[str, Any], expected: str) -> None:
    options, problems = options_of(Serialized.model_validate(config), BY_CLASS)
    assert options is None
    assert expected in problems[0]


def refusal(path: Path, *layers: dict[str, Any], shape: tuple[int, ...]) -> str:
    hostile_files.keras_file(path / "m.keras", sequential(*layers, shape=shape))
    with pytest.raises(UserError) as caught:
        read_keras_model(path / "m.keras")
    return str(caught.value)


@pytest.mark.parametrize(
    ("config", "shape", "expected"),
    [
        (layer("DepthwiseConv2D", name="d", kernel_size=1), (3,), "must be an image"),
        (layer("MaxPooling2D", name="p"), (8, 8), "must be an image"),
        (layer("MaxPooling2D", name="p"), (1, 1, 2), "must fit into"),
        (layer("Dense", name="d", units=3), (5, 4), "must be a vector or an image"),
        (layer("Reshape", name="r", target_shape=[5, 4]), (20,), "only vectors and images"),
        (layer("Reshape", name="r", target_shape=[3, -1]), (20,), "does not hold the 20 numbers"),
        (layer("Reshape", name="r", target_shape=[-1, -1, 1]), (20,), "does not hold the 20 numbers"),
        (layer("Softmax", name="s", axis=1), (4, 4, 2), "only the last axis"),
        (layer("Normalization", name="n", axis=[1, 2], mean=[1.0], variance=[1.0]), (4, 4, 2), "only the last axis"),
        (layer("Normalization", name="n", mean=[1.0, 2.0, 3.0], variance=[1.0, 1.0, 1.0]), (2,), "the 2 channels"),
        (layer("Normalization", name="n", mean=[1.0], variance=[-1.0]), (2,), "must not be negative"),
        (
            layer("Rescaling", name="r", scale=[1.0, 2.0, 3.0]),
            (2,),
            "scale must be one number, or one for each of the 2",
        ),
        (layer("Rescaling", name="r", scale=0.5), (4, 4), "the output must be a vector or an image"),
    ],
)
def test_what_only_the_shape_tells(
    config: dict[str, Any], shape: tuple[int, ...], expected: str, tmp_path: Path
) -> None:
    assert expected in refusal(tmp_path, config, shape=shape)


def test_arrays_that_keras_has_serialized(tmp_path: Path) -> None:
    scale = {"class_name": "__numpy__", "config": {"value": [0.5, 2.0], "dtype": "float32"}}
    hostile_files.keras_file(tmp_path / "m.keras", sequential(layer("Rescaling", name="r", scale=scale), shape=(2,)))
    np.testing.assert_array_equal(read_keras_model(tmp_path / "m.keras").run(np.ones((1, 2))), [[0.5, 2.0]])


def test_a_layer_without_weights_is_used_twice_under_two_names(tmp_path: Path) -> None:
    from dnn2fpga.keras_import import keras

    tensor = inputs = keras.Input((4,))
    relu = keras.layers.ReLU(name="relu")
    for name in ("a", "relu_2", "b"):
        tensor = relu(keras.layers.Dense(4, name=name)(tensor))
    keras.Model(inputs, tensor).save(tmp_path / "m.keras")
    names = [node.name for node in read_keras_model(tmp_path / "m.keras").nodes]
    assert names == ["a", "relu", "relu_2", "relu_3", "b", "relu_4"]


def test_paths_of_arrays() -> None:
    found = [snake_case(name) for name in ("Dense", "SeparableConv2D", "BatchNormalization", "DepthwiseConv2D")]
    assert found == ["dense", "separable_conv2d", "batch_normalization", "depthwise_conv2d"]


@pytest.mark.parametrize("first", ["layers", "_layer_checkpoint_dependencies"])
def test_both_names_of_the_folder_of_layers(first: str, tmp_path: Path) -> None:
    """Keras 2.13 counts a layer with weights twice: dense, dense_2, dense_4."""
    config = sequential(*(layer("Dense", name=name, units=2) for name in "abc"), shape=(2,))

    def fill(file: Any) -> None:
        for k, group in enumerate(["dense", "dense_2", "dense_10"]):
            file[f"{first}/{group}/vars/0"], file[f"{first}/{group}/vars/1"] = (
                np.full((2, 2), k, "f4"),
                np.zeros(2, "f4"),
            )

    hostile_files.keras_file(tmp_path / "m.keras", config, fill)
    for k, dense in enumerate(read_keras_model(tmp_path / "m.keras").layers):
        np.testing.assert_array_equal(dense.parameters["weights"], np.full((2, 2), k))


def test_a_shared_layer_that_is_not_supported(tmp_path: Path) -> None:
    from dnn2fpga.keras_import import keras

    tensor = inputs = keras.Input((4,))
    elu = keras.layers.ELU(name="elu")
    keras.Model(inputs, elu(keras.layers.Dense(4)(elu(tensor)))).save(tmp_path / "m.keras")
    with pytest.raises(UserError, match=r"layer 'elu' \(ELU\): this kind of layer is not supported"):
        read_keras_model(tmp_path / "m.keras")


@pytest.mark.parametrize("option", ["negative_slope", "alpha"])
def test_a_leaky_relu_of_keras_2_and_3(option: str) -> None:
    item = Serialized.model_validate(layer("LeakyReLU", name="l", **{option: 0.25}))
    options, problems = options_of(item, BY_CLASS)
    assert options is not None, problems
    (leaky,) = options.layers("l", (2,), {})
    np.testing.assert_array_equal(leaky.compute(np.float32([[-4, 4]])), [[-1, 4]])
