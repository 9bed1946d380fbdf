"""Models as Keras' users have them (`cases/models`): read, and equal to what Keras computes; or refused, saying what to
do.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from bad_models import edited
from command_line import Outcome

from dnn2fpga.flow import read_model
from dnn2fpga.graph.ports import by_name
from dnn2fpga.layers.pass_through import Softmax

Command = Callable[..., Outcome]
FLOAT_ERROR = 1e-6  # of the largest output

# model → kinds of layers that are left of it
READ = {
    "07-preprocessing-layers/model_normalization.keras": ["affine", "conv2d", "reshape", "dense"],
    "07-preprocessing-layers/model_rescale.keras": ["affine", "conv2d", "reshape", "dense"],
    "07-preprocessing-layers/model_rescalelist.keras": ["affine", "conv2d", "reshape", "dense"],
    "07-preprocessing-layers/model_augonly.keras": ["affine", "conv2d", "reshape", "dense"],
    "07-preprocessing-layers/model_uint8input.keras": ["affine", "conv2d", "reshape", "dense"],
    "14-topology/model_sharedrelu.keras": ["dense", "dense", "dense"],
    "14-topology/model_dense4d.keras": ["dense", "reshape", "dense"],
    "14-topology/model_cut.keras": ["dense"],
    "14-topology/model_nested.keras": ["dense", "dense"],
    "14-topology/model_shared.keras": ["dense", "dense", "dense"],
    "14-topology/model_two.keras": ["dense", "dense", "dense"],
    "15-input-without-channel/model.keras": ["reshape", "dense", "dense"],
    "15-input-without-channel/model_reshape.keras": ["reshape", "conv2d", "reshape", "dense"],
    **{
        f"18-custom-training-objects/model_{name}": ["dense", "dense"]
        for name in ("loss.keras", "loss.h5", "metric.keras", "schedule.keras", "regularizer.keras")
    },
    "18-custom-training-objects/model_ownregularizer.keras": ["dense", "dense"],
    **{
        f"23-older-keras/{name}": ["depthwise_conv2d", "conv2d", "reshape", "dense"]
        for name in ("keras2_model.keras", "keras215_model.keras", "keras2_depthwise.h5")
    },
    **{
        f"23-older-keras/{name}": ["conv2d", *["depthwise_conv2d"] * 2, "conv2d", "max_pooling", "reshape", "dense"]
        for name in ("model_seq.keras", "model_seq.h5", "model_fun.h5")
    },
    "23-older-keras/model_convkeras.keras": ["conv2d", "max_pooling", "reshape", "dense"],
    "23-older-keras/model_convh5.h5": ["conv2d", "max_pooling", "reshape", "dense"],
    "23-older-keras/model_slash.h5": ["conv2d", "reshape", "dense"],
    "24-activation-functions/model_layerobj.keras": ["dense", "dense"],
    "24-activation-functions/model_kops.keras": ["dense", "dense"],
    "24-activation-functions/model_kerasact.keras": ["dense", "dense"],
    "24-activation-functions/model_tftanh.keras": ["dense", "table", "dense", "table"],
}

# model → what the message must say
REFUSED = {
    "07-preprocessing-layers/model_augment.keras": (
        "layer 'resizing' (Resizing): this kind of layer is not supported",
    ),
    "14-topology/model_td.keras": ("(TimeDistributed): this kind of layer is not supported",),
    "23-older-keras/weights_only.h5": ("holds the weights of a model without its layers", "model.save("),
    "23-older-keras/architecture.json": ("is the architecture of a model without its weights", "model.save("),
    "24-activation-functions/model_tfnn.keras": ("is the function 'softmax_v2'", "write activation='softmax'"),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", READ)
def test_a_model_computes_what_keras_computes(cases: Path, name: str, tmp_path: Path) -> None:
    from dnn2fpga.keras_import import keras

    graph = read_model(cases / "models" / name)

    assert [layer.kind for layer in graph.layers] == READ[name]
    model = keras.saving.load_model(for_keras_3(cases / "models" / name, tmp_path), compile=False)
    x = inputs(graph.input_shape, name)
    computed = model(x, training=False)
    found = by_name(graph.run(x), graph.outputs).values()
    for outputs, tensor in zip(found, computed if isinstance(computed, list) else [computed], strict=True):
        if name in WITH_SOFTMAX:  # which the hardware leaves out
            outputs = Softmax("softmax").compute(outputs)
        expected = np.asarray(tensor)
        np.testing.assert_allclose(outputs, expected, rtol=0, atol=FLOAT_ERROR * np.abs(expected).max())


WITH_SOFTMAX = {
    "24-activation-functions/model_kerasact.keras",
    *(f"23-older-keras/model_{name}" for name in ("seq.keras", "seq.h5", "fun.h5", "convkeras.keras", "convh5.h5")),
}


def inputs(shape: tuple[int, ...], name: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    if "uint8" in name:
        return rng.integers(0, 256, (20, *shape), np.uint8)
    return rng.uniform(-1, 2, (20, *shape)).astype(np.float32)


def for_keras_3(path: Path, folder: Path) -> Path:
    """A copy that Keras 3 can load: without what it does not know (any more) and what does not matter."""
    target = folder / path.name
    if path.suffix == ".keras":
        return edited(path, target, clean)
    shutil.copy(path, target)
    target.chmod(0o600)
    with h5py.File(target, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        clean(config)
        file.attrs["model_config"] = json.dumps(config).replace("/", "_")  # slashes in names
    return target


def clean(config: dict[str, Any]) -> None:
    config["compile_config"] = None
    for layer in config["config"]["layers"]:
        options = layer["config"]
        unknown = ["groups"] if layer["class_name"] in ("DepthwiseConv2D", "SeparableConv2D") else []
        unneeded = [key for key in options if key.endswith(("_regularizer", "_initializer", "_constraint"))]
        for key in unknown + unneeded:
            options.pop(key, None)
        if isinstance(options.get("axis"), list):
            [options["axis"]] = options["axis"]
        if layer["class_name"] == "InputLayer" and "batch_input_shape" in options:
            options["batch_shape"] = options.pop("batch_input_shape")


@pytest.mark.parametrize("name", READ)
def test_a_model_is_quantized_by_the_command(cases: Path, name: str, dnn2fpga: Command, tmp_path: Path) -> None:
    model = cases / "models" / name
    np.save(tmp_path / "x.npy", inputs(read_model(model).input_shape, name))
    assert dnn2fpga("quantize", model, "--data", "x.npy", "-o", "work").code == 0
    assert (tmp_path / "work" / "model.yaml").is_file()


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_says_what_to_do(cases: Path, name: str, dnn2fpga: Command, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((3, 4)))
    outcome = dnn2fpga("quantize", cases / "models" / name, "--data", "x.npy")
    assert outcome.code == 2
    for part in REFUSED[name]:
        assert part in outcome.err
    assert "Traceback" not in outcome.err
    assert not (tmp_path / "work").exists()


def test_data_without_channel_for_a_model_with_one(cases: Path, dnn2fpga: Command, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((3, 8, 8)))
    model = cases / "models/15-input-without-channel/model_nochanneldata.keras"
    outcome = dnn2fpga("quantize", model, "--data", "x.npy")
    assert outcome.code == 2
    assert "inputs of shape (8, 8, 1), the data has samples of shape (8, 8)" in outcome.err


def test_keras_2_files_were_written_by_keras_2(cases: Path) -> None:
    for name in READ:
        if name.startswith("23-older-keras/"):
            path = cases / "models" / name
            if path.suffix == ".keras":
                version = json.loads(zipfile.ZipFile(path).read("metadata.json"))["keras_version"]
            else:
                with h5py.File(path) as file:
                    version = str(file.attrs["keras_version"])
            assert version.startswith("2.")
