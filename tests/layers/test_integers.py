"""The software model against an oracle that shares no code with it, for every layer kind, at every layer boundary."""

from __future__ import annotations

import tempfile
from pathlib import Path

import integer_oracle
import joined
import numpy as np
import pytest
from graph_specimens import graph_specimens
from hypothesis import given, settings
from model_zoo import MODELS, Zoo
from specimens import Specimen, on_a_random_network, quantized_networks

from dnn2fpga.graph import files as config_files
from dnn2fpga.graph.ports import Values, by_name
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.layers.registry import quantized_kinds
from dnn2fpga.optimize.calibration import calibrate
from dnn2fpga.optimize.post_training import Quantization, quantize
from dnn2fpga.quantize.settings import Granularity, Scales, Symmetry
from rtl_lib.core.arithmetic import Rounding

GRAPHS = 20
SETTINGS = {
    "default": Quantization(),
    "free": Quantization(scales=Scales.FREE, rounding=Rounding.HALF_EVEN, weight_bits=5, activation_bits=7),
    "shifted": Quantization(
        activation_symmetry=Symmetry.ASYMMETRIC,
        activation_granularity=Granularity.PER_CHANNEL,
        weight_symmetry=Symmetry.ASYMMETRIC,
        weight_bits=4,
    ),
    "coarse": Quantization(
        granularity=Granularity.PER_TENSOR, rounding=Rounding.FLOOR, weight_bits=3, activation_bits=4
    ),
}


def equals_the_oracle(quantized: QuantizedGraph, frames: Values, folder: Path) -> None:
    config_files.save(quantized, folder)
    tensors, given = dict(quantized.boundaries(frames)), by_name(frames, quantized.inputs)
    for index in range(len(next(iter(given.values())))):
        for name, expected in integer_oracle.run(folder, {name: one[index] for name, one in given.items()}).items():
            np.testing.assert_array_equal(tensors[name][index].reshape(expected.shape), expected, err_msg=name)
    for name, found in by_name(quantized.run(frames), quantized.outputs).items():
        np.testing.assert_array_equal(found.reshape(-1), tensors[quantized.leaving[name]].reshape(-1))


def test_the_oracle_knows_every_kind() -> None:
    assert set(integer_oracle.KINDS) == set(quantized_kinds)


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("name", MODELS)
def test_every_model_of_the_zoo(zoo: Zoo, name: str, settings: str, tmp_path: Path) -> None:
    graph = zoo(name).graph
    x = zoo.inputs(name)
    quantized = quantize(graph, calibrate(graph, x), SETTINGS[settings])

    # Twice the calibrated range, so that numbers saturate.
    equals_the_oracle(
        quantized, np.concatenate([quantized.input.quantize(x[:1]), quantized.input.quantize(2 * x[1:2])]), tmp_path
    )


@settings(max_examples=150)
@given(quantized_networks())
def test_random_networks(network: tuple[QuantizedGraph, np.ndarray]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        equals_the_oracle(*network, Path(folder))


@pytest.mark.parametrize("seed", range(GRAPHS))
def test_random_graphs(seed: int, tmp_path: Path) -> None:
    def check(specimen: Specimen) -> None:
        if not specimen.is_too_wide():
            quantized = specimen.quantize()
            frames = by_name(specimen.frames(quantized), quantized.inputs)
            equals_the_oracle(quantized, {name: one[:4] for name, one in frames.items()}, tmp_path)

    on_a_random_network(seed, check, graph_specimens)


@pytest.mark.parametrize("settings", SETTINGS)
def test_every_join(settings: str, tmp_path: Path) -> None:
    graph = joined.every_join()
    x = joined.samples(graph)
    quantized = quantize(graph, calibrate(graph, x), SETTINGS[settings])
    equals_the_oracle(quantized, quantized.quantized({name: 2 * values[:2] for name, values in x.items()}), tmp_path)
    assert {"weighted_sum", "product", "extremum", "concatenate"} <= {layer.kind for layer in quantized.layers}
