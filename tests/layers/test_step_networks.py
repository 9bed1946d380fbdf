"""Steps of models that are quantized already: the software model against the oracle, and the configuration files."""

from __future__ import annotations

from pathlib import Path

import integer_oracle
import numpy as np
import pytest
import step_networks
from pydantic import ValidationError

from dnn2fpga.graph import files as config_files
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.layers.affine import QuantizedAffine
from dnn2fpga.layers.dense import QuantizedDense
from rtl_lib.elementwise.requantize import Requantize
from rtl_lib.matrix.matrix_product import MatrixProduct


def differing_tensors(quantized: QuantizedGraph, q: np.ndarray, folder: Path) -> list[str]:
    """The tensors that the oracle computes otherwise, from the files that the network is saved in."""
    config_files.save(quantized, folder)
    tensors = dict(quantized.boundaries(q))
    found = []
    for index, frame in enumerate(q):
        for name, expected in integer_oracle.run(folder, frame).items():
            found += [name] * (tensors[name][index].reshape(-1).tolist() != expected.reshape(-1).tolist())
    return found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", step_networks.NETWORKS)
def test_the_oracle_agrees(name: str, seed: int, tmp_path: Path) -> None:
    quantized = step_networks.NETWORKS[name](seed)
    q = quantized.random_inputs(3, seed)["image"]
    assert differing_tensors(quantized, q, tmp_path) == []
    loaded = config_files.load(tmp_path)
    np.testing.assert_array_equal(loaded.run(q), quantized.run(q))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    config_files.save(loaded, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_oracle_sees_a_changed_second_line(tmp_path: Path) -> None:
    quantized = step_networks.two_lines()
    layers = [node.layer for node in quantized.nodes]
    moved = layers[-1].model_copy(update={"negative_offset": layers[-1].negative_offset + 32})  # type: ignore[attr-defined]
    changed = step_networks.graph(
        "changed",
        quantized.input,
        tuple(zip([*layers[:-1], moved], [list(node.inputs) for node in quantized.nodes], strict=True)),
        "dense",
    )
    q = quantized.random_inputs(8, 0)["image"]
    config_files.save(quantized, tmp_path)
    right = [integer_oracle.run(tmp_path, frame)["dense"].tolist() for frame in q]
    assert right != changed.run(q).tolist()


def dense(**changes: object) -> QuantizedDense:
    rng = np.random.default_rng(1)
    output = step_networks.tensor(4, width=9)
    return QuantizedDense(
        **{"name": "dense", **step_networks.weights(rng, 3, 4), **step_networks.lines(rng, output, 3), **changes}
    )


def test_sources_are_after_the_engine() -> None:
    input = step_networks.tensor(3)
    assert [type(one) for one in dense().operators(input)] == [MatrixProduct]
    assert [type(one) for one in dense(sources=np.arange(4)).operators(input)] == [MatrixProduct]
    assert [type(one) for one in dense(sources=np.array([0, 2, 1, 3])).operators(input)] == [MatrixProduct, Requantize]


@pytest.mark.parametrize(
    ("low", "high", "allowed"),
    [
        (-256, 255, True),
        ((-256, 0, -8, 0), (255, 127, 7, 0), True),
        (-256, 254, False),
        ((-256, 0, -8, 1), (255, 127, 7, 1), False),
        ((-256, 0, -8, -8), (255, 127, 7, 15), False),
    ],
)
def test_a_wrap_needs_all_numbers_of_some_bits(low: object, high: object, *, allowed: bool) -> None:
    fields = {"low": low, "high": high, "arithmetic": step_networks.WRAP}
    if allowed:
        dense(**fields)
    else:
        with pytest.raises(ValidationError, match="low and high of a lane must be 0 and 2"):
            dense(**fields)


def test_relu_before_a_wrap() -> None:
    """As HGQ2 has it: negative sums are 0, and what is too large wraps."""
    zeros, ones = np.zeros(1, np.int64), np.ones(1, np.int64)
    relu = QuantizedAffine(
        name="relu",
        output=step_networks.tensor(1, width=4, signed=False),
        arithmetic=step_networks.WRAP,
        low=0,
        high=15,
        multiplier=ones,
        shift=ones,
        offset=zeros,
        negative_multiplier=zeros,
        negative_offset=zeros,
    )
    x = np.arange(-64, 64)
    (operator,) = relu.operators(step_networks.tensor(1, width=7))
    assert operator.compute(x.reshape(1, -1, 1)).reshape(-1).tolist() == [max((v + 1) // 2, 0) % 16 for v in x.tolist()]
