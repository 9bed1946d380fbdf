"""Models of layers of QKeras and larq, made by hand, and their integers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from hostile_graphs import sequential

from dnn2fpga.graph.float import Graph
from dnn2fpga.passes.to_integers import to_integers
from dnn2fpga.read.front_ends import read_model
from dnn2fpga.read.settings import ReadSettings

SETTINGS = ReadSettings(input_format="s8.4")


def layer(class_name: str, **config: Any) -> dict[str, Any]:
    """As Keras 2 writes it."""
    return {"class_name": class_name, "config": {"name": class_name.lower(), "trainable": True, **config}}


def model(folder: Path, *layers: dict[str, Any], shape: tuple[int, ...] = (6,), arrays: dict[str, Any]) -> Graph:
    """Read a model from JSON and weights.

    :param arrays: by layer and name, as in ``qdense/kernel``; of those inside a layer, ``qdense/bn/gamma``.
    """
    (folder / "m.json").write_text(json.dumps(sequential(*layers, shape=shape)))
    with h5py.File(folder / "w.h5", "w") as file:
        file.attrs["layer_names"] = [one["config"]["name"] for one in layers]
        for one in layers:
            name = one["config"]["name"]
            paths = [path for path in arrays if path.startswith(f"{name}/")]
            file.require_group(name).attrs["weight_names"] = [f"{path}:0" for path in paths]
            for path in paths:
                file[name][f"{path}:0"] = np.asarray(arrays[path], np.float32)
    return read_model(folder / "m.json", SETTINGS.model_copy(update={"weights": folder / "w.h5"}))


def same_in_integers(graph: Graph, frames: int = 400) -> None:
    """Require the codes of every tensor, on random inputs and on extreme ones."""
    integers = to_integers(graph, SETTINGS.input_encoding)
    (shape,) = graph.inputs.values()
    x = np.random.default_rng(2).integers(-128, 128, (frames, *shape))
    x[0], x[1], x[2] = 0, 127, -128
    computed = dict(integers.graph.boundaries(dict.fromkeys(graph.inputs, x)))
    expected = dict(graph.tensors(dict.fromkeys(graph.inputs, x / 16)))
    compared = 0
    for source, name in integers.tensors.items():
        tensor = integers.graph.tensors[name]
        reals = (computed[name] - tensor.zero_points) * tensor.scales
        np.testing.assert_array_equal(reals.reshape(expected[source].shape), expected[source], err_msg=source)
        compared += 1
    assert compared >= len(integers.graph.nodes)
