"""Configuration files of joins: every hand edit that cannot work is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import joined
import numpy as np
import pytest
import yaml

from dnn2fpga.errors import UserError
from dnn2fpga.graph import files as config_files
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.optimize.calibration import calibrate
from dnn2fpga.optimize.post_training import Quantization, quantize

Edit = Callable[[dict[str, dict[str, Any]], dict[str, np.ndarray]], Any]

EDITS: dict[str, tuple[Edit, str]] = {
    "an axis too many": (
        lambda layers, arrays: layers["rows"].update(axis=7),
        "layer 'rows' (concatenate): a concatenation of [5, 6, 4] has no axis 7",
    ),
    "another axis": (
        lambda layers, arrays: layers["rows"].update(axis=2),
        "layer 'rows' (concatenate): output.shape must be [5, 6, 12], not [15, 6, 4]",
    ),
    "another scale in one lane": (
        lambda layers, arrays: layers["channels"]["output"].update(scale=[1.0] * 8),
        "layer 'channels' (concatenate): a concatenation must keep the scales and zero points, in a format that holds "
        "all inputs",
    ),
    "scales that meet": (
        lambda layers, arrays: layers["c"]["output"].update(scale=0.375),
        "layer 'rows' (concatenate): inputs that travel one after the other must have the same lanes, scale and zero "
        "point",
    ),
    "a gate first": (
        lambda layers, arrays: layers["gated"]["inputs"].reverse(),
        "layer 'gated' (product): a product needs inputs of one shape, or an image and one number per channel ([1, 1, "
        "channels]), not [3] and [5, 6, 3]",
    ),
    "a third factor": (
        lambda layers, arrays: layers["gated"]["inputs"].append("a"),
        "layer 'gated' (product): a product must have two inputs, not 3",
    ),
    "a term without a multiplier": (
        lambda layers, arrays: layers["sum"]["inputs"].append("a"),
        "layer 'sum' (weighted_sum): multiplier must have shape (3, 3), not (2, 3)",
    ),
    "terms of two shapes": (
        lambda layers, arrays: layers["sum"]["inputs"].__setitem__(0, "image"),
        "layer 'sum' (weighted_sum): 'weighted_sum' needs inputs of one shape, not [5, 6, 2], [5, 6, 3]",
    ),
    "a negative scale": (
        lambda layers, arrays: arrays.update({"largest/multiplier": -arrays["largest/multiplier"]}),
        "layer 'largest' (extremum): multipliers must not be negative: scales are positive",
    ),
    "two inputs for one": (
        lambda layers, arrays: layers["excite"]["inputs"].append("squeeze"),
        "layer 'excite' (dense): must read one tensor, not 2",
    ),
}


@pytest.fixture(scope="module")
def network() -> QuantizedGraph:
    graph = joined.every_join()
    settings = Quantization(input_bits=8, activation_bits=6)
    return quantize(graph, calibrate(graph, joined.samples(graph)), settings)


@pytest.fixture
def folder(tmp_path: Path, network: QuantizedGraph) -> Path:
    config_files.save(network, tmp_path)
    return tmp_path


def test_what_is_loaded_computes_the_same(folder: Path, network: QuantizedGraph) -> None:
    loaded = config_files.load(folder)
    q = network.quantized(joined.samples(joined.every_join()))
    for name, values in network.run(q).items():
        np.testing.assert_array_equal(loaded.run(q)[name], values)
    assert loaded.notes == network.notes


@pytest.mark.parametrize("name", EDITS)
def test_wrong_edits_are_named(folder: Path, name: str) -> None:
    change, expected = EDITS[name]
    model = yaml.safe_load((folder / "model.yaml").read_text())
    with np.load(folder / "weights.npz") as archive:
        arrays = dict(archive)
    change({layer["name"]: layer for layer in model["layers"]}, arrays)
    (folder / "model.yaml").write_text(yaml.safe_dump(model, sort_keys=False))
    np.savez(folder / "weights.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(UserError) as caught:
        config_files.load(folder)
    assert f"{folder / 'model.yaml'}: {expected}" in caught.value.problems
