"""Models of HGQ2 against what HGQ2 computed: every tensor, every quantized weight."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from integer_model import IntegerModel

from dnn2fpga.errors import UserError
from dnn2fpga.graph.float import Graph
from dnn2fpga.layers.linear import Linear
from dnn2fpga.read.front_ends import read_model

SAMPLES = Path(__file__).parent / "samples"
PER_PIXEL = "hgq2_per_pixel"
MODELS = sorted(path.parent.name for path in SAMPLES.glob("hgq2_*/model.keras") if path.parent.name != PER_PIXEL)

# Real numbers that no quantizer has rounded: quotients by 6 and 9 are rounded to float32; each tool has its own tanh.
QUOTIENTS = {"hgq2_images": {"average", "global_average", "both"}}
CURVES = {"hgq2_images": {"c1"}}
LEFT_OUT = {"softmax"}


def recorded(name: str) -> dict[str, np.ndarray]:
    return dict(np.load(SAMPLES / name / "io.npz"))


def tensors(graph: Graph, x: np.ndarray) -> dict[str, np.ndarray]:
    """Every tensor, computed in double precision: exactly."""
    return dict(graph.tensors(x.astype(np.float64)))


def differing(graph: Graph, given: dict[str, np.ndarray], sample: str = "") -> list[str]:
    """The layers whose outputs are not those that were recorded."""
    found = tensors(graph, given["x"])
    wrong = []
    for name in (key.removeprefix("t_") for key in given if key.startswith("t_")):
        expected, values = given[f"t_{name}"], found[name]
        if name in QUOTIENTS.get(sample, ()):
            values = values.astype(np.float32)
        if name not in CURVES.get(sample, set()) | LEFT_OUT and not np.array_equal(values, expected):
            wrong.append(name)
    return wrong


def differing_integers(graph: Graph, given: dict[str, np.ndarray], sample: str = "") -> tuple[set[str], set[str]]:
    """The recorded tensors that the integer model has, and those of them that differ."""
    model = IntegerModel(graph, given["x"])
    named = {key.removeprefix("t_") for key in given if key.startswith("t_")} & set(model.sources)
    wrong = set()
    for name in named:
        reals = model.reals(name)
        reals = reals.astype(np.float32) if name in QUOTIENTS.get(sample, ()) else reals
        if not np.array_equal(reals.reshape(given[f"t_{name}"].shape), given[f"t_{name}"]):
            wrong.add(name)
    return named, wrong


def constants(graph: Graph) -> dict[str, Linear]:
    """The layers with exact weights, by the names of their source."""
    return {node.name.removesuffix("_product"): node.layer for node in graph.nodes if isinstance(node.layer, Linear)}


@pytest.mark.parametrize("name", MODELS)
def test_every_tensor_is_that_of_hgq2(name: str) -> None:
    assert differing(read_model(SAMPLES / name / "model.keras"), recorded(name), name) == []


@pytest.mark.parametrize("name", MODELS)
def test_every_input_quantizer_is_that_of_hgq2(name: str) -> None:
    given = recorded(name)
    found = tensors(read_model(SAMPLES / name / "model.keras"), given["x"])
    quantized = {key.removeprefix("q_"): values for key, values in given.items() if key.startswith("q_")}
    assert quantized
    for key, expected in quantized.items():
        layer, _, number = key.rpartition("_iq")
        own = f"{layer}_iq_{number}" if number else f"{layer}_iq"
        np.testing.assert_array_equal(found[own], expected, err_msg=key)


@pytest.mark.parametrize("name", MODELS)
def test_every_weight_is_that_of_hgq2(name: str) -> None:
    given = recorded(name)
    layers = constants(read_model(SAMPLES / name / "model.keras"))
    kernels = [key.removeprefix("qkernel_") for key in given if key.startswith("qkernel_")]
    assert set(kernels) == set(layers)
    for key in kernels:
        exact = layers[key].exact
        assert exact is not None
        expected = given[f"qkernel_{key}"]
        np.testing.assert_array_equal(exact.float_weights.reshape(expected.shape), expected)
        np.testing.assert_array_equal(exact.float_bias, given.get(f"qbias_{key}", np.zeros(exact.bias.shape)))


@pytest.mark.parametrize("name", MODELS)
def test_the_integers_are_those_of_hgq2(name: str) -> None:
    graph = read_model(SAMPLES / name / "model.keras")
    named, wrong = differing_integers(graph, recorded(name), name)
    assert not wrong
    assert set(graph.dag.outputs) - LEFT_OUT <= named


def test_what_tanh_makes_is_close_to_what_tensorflow_makes() -> None:
    given = recorded("hgq2_images")
    found = tensors(read_model(SAMPLES / "hgq2_images/model.keras"), given["x"])
    np.testing.assert_allclose(found["c1"], given["t_c1"], rtol=1e-6)


@pytest.mark.parametrize("inputs", ["its own", "wild"])
def test_the_larger_sample(public_models: Path, inputs: str) -> None:
    folder = public_models / "front_ends/hgq2_cnn_res"
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing")
    graph = read_model(folder / "model.keras")
    given = dict(np.load(folder / "io.npz"))
    if inputs == "wild":
        given = recorded("hgq2_cnn_res_wild")
    assert differing(graph, given) == []
    assert differing_integers(graph, given) == ({"mp", "c3", "f", "ed"}, set())
    for name, layer in constants(graph).items():
        assert layer.exact is not None
        own = np.load(folder / "io.npz")
        np.testing.assert_array_equal(layer.exact.float_weights, own[f"qkernel_{name}"])
        np.testing.assert_array_equal(layer.exact.float_bias, own[f"qbias_{name}"])


def test_a_difference_is_seen() -> None:
    """Of one bit, in one number of one tensor."""
    given = recorded("hgq2_saturating")
    graph = read_model(SAMPLES / "hgq2_saturating/model.keras")
    given["t_c2"][3, 1, 2, 0] += 2.0**-8
    assert differing(graph, given) == ["c2"]
    assert differing_integers(graph, given)[1] == {"c2"}


def test_formats_per_pixel_are_refused_with_the_setting_that_helps() -> None:
    with pytest.raises(UserError, match=r"layer 'c1' \(QConv2D\): .*every pixel.*heterogeneous_axis=\(-1,\)"):
        read_model(SAMPLES / PER_PIXEL / "model.keras")
