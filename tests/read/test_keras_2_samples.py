"""Files of Keras 2 beside what Keras 2 computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dnn2fpga.read.front_ends import read_model
from dnn2fpga.read.settings import ReadSettings

FOLDER = Path(__file__).parents[1] / "front_ends" / "samples"
FILES = [
    *("keras2_functional/model.keras", "keras2_functional/model.json"),
    *("keras2_sequential/model.h5", "keras2_savedmodel/saved_model"),
]
NEAR = 1e-5  # of the largest number of a tensor


@pytest.mark.parametrize("name", FILES)
def test_every_layer_and_the_outputs(name: str) -> None:
    path = FOLDER / name
    graph = read_model(path, ReadSettings(weights=path.with_name("weights.h5") if path.suffix == ".json" else None))
    recorded = dict(np.load(path.parent / "io.npz"))
    computed = dict(graph.tensors({"input": recorded["x"].astype(np.float64)}))
    expected = {key.removeprefix("t_"): values for key, values in recorded.items() if key.startswith("t_")}
    for layer, values in expected.items():
        found = computed.get(f"{layer}_activation", computed[layer])[: len(values)]
        np.testing.assert_allclose(found, values, atol=NEAR * np.abs(values).max(), rtol=0, err_msg=layer)
    (output,) = graph.outputs.values()
    np.testing.assert_allclose(computed[output], recorded["y"], atol=NEAR * np.abs(recorded["y"]).max(), rtol=0)
