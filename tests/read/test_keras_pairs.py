"""Keras models in two files: an architecture in JSON, and weights in HDF5."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hostile_graphs import layer, sequential

from dnn2fpga.errors import UserError
from dnn2fpga.graph.float import Graph
from dnn2fpga.read.front_ends import read_model
from dnn2fpga.read.settings import ReadSettings

KERNEL, BIAS = np.float32([[1, 2, 3], [4, 5, 6]]), np.float32([7, 8, 9])


def pair(folder: Path, root: str, config: Any = None) -> tuple[Path, Path]:
    model, weights = folder / "model.json", folder / "weights.h5"
    model.write_text(json.dumps(config or sequential(layer("Dense", name="d", units=3), shape=(2,))))
    with h5py.File(weights, "w") as file:
        if root == "layers":
            file["layers/dense/vars/0"], file["layers/dense/vars/1"] = KERNEL, BIAS
        else:
            group = file.require_group(root) if root else file
            group.attrs["layer_names"] = ["d"]
            group["d/d/kernel:0"], group["d/d/bias:0"] = KERNEL, BIAS
            group["d"].attrs["weight_names"] = ["d/kernel:0", "d/bias:0"]
    return model, weights


def read(model: Path, weights: Path | None) -> Graph:
    return read_model(model, ReadSettings(weights=weights))


@pytest.mark.parametrize("root", ["", "model_weights", "layers"])
def test_weights_alone_and_whole_models(root: str, tmp_path: Path) -> None:
    """``save_weights`` of Keras 2, a whole model, and ``save_weights`` of Keras 3."""
    graph = read(*pair(tmp_path, root))
    np.testing.assert_array_equal(graph.run(np.float32([[1, 1]])), [[5 + 7, 7 + 8, 9 + 9]])


def test_other_weights_are_another_model(tmp_path: Path) -> None:
    model, weights = pair(tmp_path, "")
    before = read(model, weights).origin
    with h5py.File(weights, "r+") as file:
        file["d/d/bias:0"][0] = 1
    after = read(model, weights).origin
    assert before
    assert after
    assert before.sha256 != after.sha256


def refusal(model: Path, weights: Path | None) -> str:
    with pytest.raises(UserError) as caught:
        read(model, weights)
    return str(caught.value)


def test_an_architecture_needs_its_weights(tmp_path: Path) -> None:
    model, _ = pair(tmp_path, "")
    assert "give the file of its weights as well (--weights weights.h5)" in refusal(model, None)


def test_a_whole_model_needs_no_weights(tmp_path: Path) -> None:
    _, weights = pair(tmp_path, "")
    assert "holds its own weights; leave --weights out" in refusal(weights, weights)


def test_weights_must_be_there(tmp_path: Path) -> None:
    model, weights = pair(tmp_path, "")
    assert "there is no such file; give the path of the weights" in refusal(model, tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("weights")
    assert "it is not HDF5" in refusal(model, tmp_path / "text.h5")
    with h5py.File(weights, "w") as file:
        file["d"] = KERNEL
    assert "holds no weights that Keras has saved" in refusal(model, weights)
    weights.write_bytes(weights.read_bytes()[:-200])
    assert "copy it again" in refusal(model, weights)


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    model, weights = pair(tmp_path, "", sequential(layer("Dense", name="d", units=4), shape=(2,)))
    assert "its kernel has shape (2, 3) in the file; the configuration says (2, 4)" in refusal(model, weights)
    model.write_text(json.dumps(sequential(layer("Dense", name="other", units=3), shape=(2,))))
    assert "has 0 arrays in the file" in refusal(model, weights)


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b"\xff\xfe", b'{"class_name": "Sequential"}', b"[" * 10_000])
def test_what_is_no_architecture_is_refused(text: bytes, tmp_path: Path) -> None:
    model, weights = pair(tmp_path, "")
    model.write_bytes(text)
    assert str(model) in refusal(model, weights)
