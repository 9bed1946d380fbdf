"""QKeras' files beside what QKeras itself computed: every quantized number equal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_folders import beside_the_data
from integer_model import IntegerModel

from dnn2fpga.graph.dag import Node
from dnn2fpga.graph.float import Graph
from dnn2fpga.layers.linear import Linear
from dnn2fpga.layers.quantizer import Quantizer
from dnn2fpga.read.front_ends import read_model
from dnn2fpga.read.settings import ReadSettings

FOLDER = Path(__file__).parents[1] / "front_ends" / "samples"
FOLDERS = [
    *(folder for folder in sorted(FOLDER.glob("qkeras*")) if list(folder.glob("model.*"))),
    *beside_the_data("models").glob("front_ends/qkeras_*"),
]
FILES = [path for folder in FOLDERS for path in sorted(folder.glob("model.*"))]
SAMPLES = pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
# Layers whose scales are no powers of two, and real functions: QKeras computes them in float32.
ROUNDED = {
    "qkeras_cnn": ("bn",),
    "qkeras_alpha_mlp": ("d1", "d5"),
    "qkeras_residual": ("bn", "auto"),
    "qkeras_0_9_jets": ("softmax",),
    "qkeras09_cnn": ("n1", "softmax"),
    "qkeras09_json": ("n2", "d3"),
}
NEAR_A_TIE = ("qkeras_alpha_mlp",)  # one of its sums is 5e-8 beside one: docs/front_ends.md


def of(path: Path) -> tuple[Graph, dict[str, np.ndarray]]:
    settings = ReadSettings(weights=path.with_name("weights.h5") if path.suffix == ".json" else None)
    return read_model(path, settings), dict(np.load(path.parent / "io.npz"))


def test_samples_are_there() -> None:
    assert len(FILES) >= 6


@SAMPLES
def test_every_layer_on_the_numbers_that_its_source_gave_it(path: Path) -> None:
    graph, recorded = of(path)
    rounded, compared = ROUNDED.get(path.parent.name, ()), []

    def step(node: Node[Any], *values: np.ndarray) -> np.ndarray:
        computed = np.asarray(node.layer.compute(*values))
        expected = recorded.get(f"t_{node.name}")
        if expected is None:
            return computed
        compared.append(node.name)
        if node.name in rounded:
            np.testing.assert_allclose(computed, expected, atol=2e-6 * np.abs(expected).max(), rtol=0)
        else:
            np.testing.assert_array_equal(computed.astype(np.float32), expected, err_msg=node.name)
        return expected.astype(np.float64)

    for _ in graph.dag.evaluate({"input": recorded["x"].astype(np.float64)}, step):
        pass
    assert {f"t_{name}" for name in compared} == {name for name in recorded if name.startswith("t_")}


@SAMPLES
def test_every_weight(path: Path) -> None:
    graph, recorded = of(path)
    compared = 0
    for node in graph.nodes:
        name = node.name.removesuffix(f"_{node.layer.kind}")
        if isinstance(node.layer, Linear) and f"qk_{name}" in recorded:
            expected = recorded[f"qk_{name}"]
            np.testing.assert_array_equal(node.layer.weights.reshape(expected.shape).astype(np.float32), expected)
            if f"qb_{name}" in recorded:
                np.testing.assert_array_equal(node.layer.bias.astype(np.float32), recorded[f"qb_{name}"])
            compared += 1
    assert compared == sum(name.startswith("qk_") for name in recorded) > 0


def integer_tensors(graph: Graph, x: np.ndarray) -> dict[str, np.ndarray]:
    """The real numbers that the integer model computes, by the names of the source's tensors."""
    model = IntegerModel(graph, x)
    sources = set(model.sources)
    assert set(model.integers.tensors.values()) >= set(model.integers.graph.dag.outputs)
    assert sources >= {node.name for node in graph.nodes if isinstance(node.layer, Quantizer)}
    # an input is as rounded as its quantizer's output
    return {source: model.reals(source) for source in sources - graph.inputs.keys()}


@pytest.mark.parametrize(
    "path", [p for p in FILES if p.parent.name not in NEAR_A_TIE], ids=lambda p: str(p.parent.name)
)
def test_every_tensor_of_the_integer_model(path: Path) -> None:
    graph, recorded = of(path)
    found = {name: reals for name, reals in integer_tensors(graph, recorded["x"]).items() if f"t_{name}" in recorded}
    assert found
    for name, reals in found.items():
        expected = recorded[f"t_{name}"]
        np.testing.assert_array_equal(reals.reshape(expected.shape).astype(np.float32), expected, err_msg=name)


@SAMPLES
def test_the_integer_model_is_the_graph(path: Path) -> None:
    """Also where QKeras' sums in float32 fall on the other side of a tie."""
    graph, recorded = of(path)
    expected = dict(graph.tensors({"input": recorded["x"].astype(np.float64)}))
    for name, reals in integer_tensors(graph, recorded["x"]).items():
        np.testing.assert_array_equal(reals.reshape(expected[name].shape), expected[name], err_msg=name)
