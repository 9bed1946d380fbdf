"""Files of larq, and of hls4ml's binary layers, beside what these computed: every quantized number equal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dnn2fpga.errors import UserError
from dnn2fpga.graph.dag import Node
from dnn2fpga.graph.float import Graph
from dnn2fpga.layers.linear import Linear
from dnn2fpga.passes.to_integers import to_integers
from dnn2fpga.read.front_ends import read_model
from dnn2fpga.read.settings import ReadSettings

FOLDER = Path(__file__).parents[1] / "front_ends" / "samples"
FILES = [path for tool in ("larq", "hls4ml") for path in sorted(FOLDER.glob(f"{tool}_*/model.*"))]
SAMPLES = pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
# Layers that compute no multiples of a power of two: batch normalization, biases, scales of weights, softmax.
ROUNDED = {
    "larq_conv": ("n1", "n2", "n3", "n4", "softmax"),
    "larq_depthwise": ("c1", "n1", "n2", "add", "pool", "n3", "d"),
    "larq_mlp": ("d1", "n1", "d2", "n2", "d3", "n3", "d4", "n4"),
    "hls4ml_binary": ("bn1", "fc2", "bn2", "output", "bn3"),
    "hls4ml_ternary": ("bn1", "fc2", "bn2", "output"),
}
PARTS = {"depthwise_conv2d": "depthwise", "conv2d": "pointwise"}  # of a separable convolution
# Tensors in floating point that layers read as they are.
LEFT_OPEN = {"larq_depthwise": ("n1", "n2", "add", "r3", "flat"), "hls4ml_ternary": ("act2",)}


def of(path: Path) -> tuple[Graph, dict[str, np.ndarray]]:
    settings = ReadSettings(weights=path.with_name("weights.h5") if path.suffix == ".json" else None)
    return read_model(path, settings), dict(np.load(path.parent / "io.npz"))


def test_samples_are_there() -> None:
    assert len(FILES) == 7


def close(computed: np.ndarray, expected: np.ndarray, units: int = 16) -> None:
    """Require equality but for a few units in float32's last place of the largest number."""
    np.testing.assert_allclose(computed, expected, atol=units * 2.0**-24 * np.abs(expected).max(), rtol=0)


@SAMPLES
def test_every_layer_on_the_numbers_that_its_source_gave_it(path: Path) -> None:
    graph, recorded = of(path)
    rounded, compared = ROUNDED[path.parent.name], []
    traced = len(next(values for name, values in recorded.items() if name.startswith("t_")))

    def step(node: Node[Any], *values: np.ndarray) -> np.ndarray:
        computed = np.asarray(node.layer.compute(*values))
        expected = recorded.get(f"t_{node.name}")
        if expected is None:
            return computed
        compared.append(node.name)
        if node.name in rounded:
            close(computed, expected)
        else:
            np.testing.assert_array_equal(computed.astype(np.float32), expected, err_msg=node.name)
        return expected.astype(np.float64)

    for _ in graph.dag.evaluate({"input": recorded["x"][:traced].astype(np.float64)}, step):
        pass
    assert {f"t_{name}" for name in compared} == {name for name in recorded if name.startswith("t_")}


@SAMPLES
def test_the_whole_model(path: Path) -> None:
    """From inputs to outputs: no sign is another one."""
    graph, recorded = of(path)
    close(graph.run(recorded["x"].astype(np.float64)), recorded["y"], units=64)


@SAMPLES
def test_every_weight(path: Path) -> None:
    graph, recorded = of(path)
    names = {name.removeprefix("qk_") for name in recorded if name.startswith("qk_")}
    compared = set()
    for node in graph.nodes:
        if isinstance(node.layer, Linear):
            layer = node.name.removesuffix(f"_{node.layer.kind}")
            (name,) = names & {layer, f"{layer}_{PARTS[node.layer.kind]}"} if node.layer.kind in PARTS else {layer}
            expected, exact = recorded[f"qk_{name}"], node.layer.exact
            assert exact is not None
            scale = exact.scale.astype(np.float64)
            codes = expected.reshape(exact.codes.shape) / scale
            np.testing.assert_array_equal(exact.codes, np.rint(codes))
            np.testing.assert_allclose(codes, exact.codes, atol=2.0**-21, rtol=2.0**-23)
            compared.add(name)
    assert compared == names


@SAMPLES
def test_every_tensor_of_the_integer_model(path: Path) -> None:
    graph, recorded = of(path)
    integers = to_integers(graph, ReadSettings().input_encoding)
    model = integers.graph
    computed = dict(model.boundaries(model.quantized(recorded["x"])))
    expected = dict(graph.tensors({"input": recorded["x"].astype(np.float64)}))
    compared = []
    for source, name in integers.tensors.items():
        codes, tensor = computed[name], model.tensors[name]
        reals = (codes - tensor.zero_points) * tensor.scales
        if source not in expected:
            continue
        wanted = expected[source].reshape(reals.shape)
        if name in model.dag.outputs or source in LEFT_OPEN.get(path.parent.name, ()):
            close(reals, wanted, units=4)
        else:
            np.testing.assert_array_equal(reals, wanted, err_msg=source)
        compared.append(source)
    signs = {node.name for node in graph.nodes if node.layer.kind == "quantizer"}
    assert signs <= set(compared)
    assert signs


@pytest.mark.parametrize("name", ["larq_conv/model.h5", "hls4ml_binary/model.h5"])
def test_signs_are_not_left_out(name: str) -> None:
    from dnn2fpga.flow import read_model

    with pytest.raises(UserError, match=r"counts thresholds.*leave --requantize out"):
        read_model(FOLDER / name, ReadSettings(requantize=True))
