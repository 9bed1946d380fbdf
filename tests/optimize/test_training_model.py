"""The training graph computes the integers of the integer model, one for one."""

from __future__ import annotations

from typing import Any

import joined
import numpy as np
import pytest
import tiny
from graph_specimens import graph_specimens
from specimens import Specimen, on_a_random_network

from dnn2fpga.errors import UserError
from dnn2fpga.graph.dag import Dag, Node
from dnn2fpga.graph.float import Graph
from dnn2fpga.graph.ports import Values, by_name, or_named
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.keras_import import tf
from dnn2fpga.layers.affine import Affine
from dnn2fpga.layers.base import Normalization
from dnn2fpga.layers.conv2d import Conv2D
from dnn2fpga.layers.dense import Dense
from dnn2fpga.layers.reshape import Reshape
from dnn2fpga.layers.two_slope import TwoSlope
from dnn2fpga.optimize.calibration import calibrate
from dnn2fpga.optimize.post_training import Quantization, choose_all, quantize
from dnn2fpga.optimize.training_model import SCALE_RATE, CodeModel, FloatModel
from dnn2fpga.passes.simplify import simplify
from dnn2fpga.quantize.scaling import QuantizationChoice

NETWORKS = 40
GRAPH = simplify(tiny.float_graph())
FAMILIES: dict[str, dict[str, object]] = {
    "default": {},
    "free": {"scales": "free", "rounding": "half_even"},
    "floor": {"rounding": "floor", "overflow": "saturate_symmetric"},
    "per tensor": {"granularity": "per_tensor", "weight_calibration": "min_max"},
    "asymmetric weights": {"weight_symmetry": "asymmetric", "weight_bits": 4, "scales": "free"},
    "asymmetric activations": {"activation_symmetry": "asymmetric", "calibration": "percentile"},
    "a scale for each channel": {"activation_granularity": "per_channel", "scales": "free"},
    "all of it": {
        "activation_granularity": "per_channel",
        "activation_symmetry": "asymmetric",
        "weight_symmetry": "asymmetric",
        "scales": "free",
        "calibration": "mse",
    },
    "binary": {"weight_set": "binary", "weight_bits": 1},
    "ternary": {"weight_set": "ternary", "weight_bits": 2, "scales": "free"},
    "power of two": {"weight_set": "power_of_two", "weight_bits": 4},
    "additive power of two": {"weight_set": "additive_power_of_two", "weight_bits": 6, "calibration": "entropy"},
    "one bit": {"weight_bits": 1, "activation_bits": 1, "input_bits": 1, "output_bits": 1},
    "sixteen bits": {"weight_bits": 16, "activation_bits": 16, "input_bits": 16},
}

ZERO_POINTS = ("asymmetric activations", "all of it", "one bit")  # families whose activations may have them


def codes_of(model: CodeModel, x: Values) -> Any:
    """The integers of the only output, or of all by name."""
    given = {name: tf.constant(values) for name, values in by_name(x, model.graph.inputs).items()}
    return or_named({name: np.asarray(q).astype(np.int64) for name, (q, _) in model.codes(given).items()})


def same(one: QuantizedGraph, other: QuantizedGraph) -> None:
    assert one.inputs == other.inputs
    assert [node.inputs for node in one.nodes] == [node.inputs for node in other.nodes]
    for ours, theirs in zip(one.layers, other.layers, strict=True):
        arrays = ours.array_fields()
        assert ours.model_dump(exclude={*arrays}) == theirs.model_dump(exclude={*arrays})
        for name in arrays:
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), err_msg=f"{ours.name}/{name}")


def check(graph: Graph, x: Values, settings: Quantization) -> None:
    """Check that before any step of training the training graph is the integer model, however its scales are stored."""
    x = by_name(x, graph.inputs)
    statistics = calibrate(graph, x)
    quantized, choices = quantize(graph, statistics, settings), choose_all(graph, statistics, settings)
    inputs = {name: np.concatenate([values, 2 * values]) for name, values in x.items()}  # numbers saturate
    expected = by_name(quantized.run(quantized.quantized(inputs)), quantized.outputs)
    in_floats = any(layer.kind.endswith("binary32") for layer in quantized.layers)
    for learn_ranges in (False, True):
        model = CodeModel(graph, settings, choices, learn_ranges)
        for name, found in by_name(codes_of(model, inputs), quantized.outputs).items():
            if in_floats:  # summed in another order: a sum beside the border of two integers may fall to the other side
                assert np.mean(found != expected[name]) <= 1e-3
            else:
                np.testing.assert_array_equal(found, expected[name], err_msg=name)
        same(quantize(model.trained(), {}, settings, model.trained_choices()), quantized)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_codes_are_those_of_the_integer_model(family: str) -> None:
    check(GRAPH, tiny.samples(), Quantization(**FAMILIES[family]))


def check_one(specimen: Specimen) -> None:
    if not specimen.is_too_wide():
        check(specimen.graph, specimen.samples(), specimen.quantization)


@pytest.mark.parametrize("seed", range(NETWORKS))
def test_the_codes_of_random_networks(seed: int) -> None:
    on_a_random_network(seed, check_one)


@pytest.mark.parametrize("seed", range(NETWORKS))
def test_the_codes_of_random_graphs(seed: int) -> None:
    """Forks, joins of every kind, several inputs and outputs."""
    on_a_random_network(seed, check_one, graph_specimens)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_codes_of_every_join(family: str) -> None:
    graph = joined.every_join()
    check(graph, joined.samples(graph), Quantization(**FAMILIES[family]))


def leaky_graph(slope: float) -> Graph:
    rng = np.random.default_rng(0)
    kernel, matrix = (rng.normal(0, 0.3, shape).astype(np.float32) for shape in ((3, 3, 1, 4), (144, 3)))
    dag = Dag(
        ("x",),
        (
            Node("conv", Conv2D("conv", kernel, np.zeros(4, np.float32)), ("x",)),
            Node("leaky", TwoSlope("leaky", slope), ("conv",)),
            Node("flat", Reshape("flat", None), ("leaky",)),
            Node("bent", TwoSlope("bent", slope), ("flat",)),
            Node("dense", Dense("dense", matrix, np.zeros(3, np.float32)), ("bent",)),
        ),
        ("dense",),
    )
    return Graph("leaky", {"x": (8, 8, 1)}, dag)


@pytest.mark.parametrize("slope", [0.01, 0.25, 1.5])
@pytest.mark.parametrize("family", [name for name in FAMILIES if name not in ZERO_POINTS])
def test_the_codes_of_two_slopes(family: str, slope: float) -> None:
    x = np.random.default_rng(0).normal(size=(16, 8, 8, 1)).astype(np.float32)
    check(leaky_graph(slope), x, Quantization(**FAMILIES[family]))


def test_two_slopes_need_a_zero_point_of_zero() -> None:
    graph, x = leaky_graph(0.25), np.random.default_rng(0).normal(1, 1, (16, 8, 8, 1)).astype(np.float32)
    with pytest.raises(UserError, match="quantize activations symmetrically"):
        quantize(graph, calibrate(graph, {"x": x}), Quantization(activation_symmetry="asymmetric"))


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_reach_everything_that_is_trained(family: str) -> None:
    settings, x = Quantization(**FAMILIES[family]), tiny.samples(64)
    model = CodeModel(GRAPH, settings, choose_all(GRAPH, calibrate(GRAPH, x), settings), learn_ranges=True)
    trained = [variable.value for variable in model.trainable]
    with tf.GradientTape() as tape:
        outputs = model(tf.constant(x))
        loss = tf.reduce_sum(outputs * np.random.default_rng(0).normal(size=outputs.shape))
    for variable, gradient in zip(model.trainable, tape.gradient(loss, trained), strict=True):
        assert gradient is not None, variable.name
        assert np.isfinite(gradient).all(), variable.name
        assert np.abs(gradient).max() > 0, variable.name
    # The output's scale is fixed, and so are the input and output of a table.
    assert set(model.learned) == {"conv", "conv/weights", "dense/weights"}


def normalized_graph() -> Graph:
    """A convolution with a batch normalization folded into it, as a Keras model has it."""
    rng = np.random.default_rng(0)
    numbers = {name: rng.uniform(0.5, 1.5, 3) for name in ("gamma", "beta", "mean", "variance")}
    norm = Normalization(**numbers, epsilon=np.full(3, 1e-3))
    scale = norm.gamma / np.sqrt(norm.variance + norm.epsilon)
    conv = Conv2D("conv", rng.normal(size=(3, 3, 1, 3)).astype(np.float32), rng.normal(size=3).astype(np.float32))
    offset = (norm.beta - norm.mean * scale).astype(np.float32)
    affine = Affine("norm", scale.astype(np.float32), offset, normalization=norm)
    return simplify(Graph.chain("normalized", "input", tiny.INPUT_SHAPE, [conv, affine]))


def test_a_folded_normalization_is_trained_unfolded() -> None:
    graph, x, settings = normalized_graph(), tiny.samples(), Quantization(weight_bits=5)
    choices = choose_all(graph, calibrate(graph, x), settings)
    model = CodeModel(graph, settings, choices)
    names = {variable.name for variable in model.trainable}
    assert names == {"conv_weights", "conv_bias", "conv_gamma", "conv_beta"}
    # Folded anew in float32: the numbers of its own graph are the ones that the hardware has.
    quantized = quantize(model.trained(), {}, settings, model.trained_choices())
    np.testing.assert_array_equal(codes_of(model, x), quantized.run(quantized.input.quantize(x)))
    np.testing.assert_allclose(model.trained().run(x), graph.run(x), rtol=1e-4, atol=1e-5)
    before = {name: np.asarray(model.variables["conv"][name]) for name in ("mean", "variance")}
    codes_of(model, x)
    for name, value in before.items():  # nothing moves unless it is observed
        np.testing.assert_array_equal(model.variables["conv"][name], value)
    model.ops.observing.assign(True)
    for _ in range(200):
        codes_of(model, x)
    layer = graph.layers[0]
    unfolded = layer.unfolded  # type: ignore[attr-defined]
    plain = Conv2D("plain", unfolded.weights, unfolded.bias)
    seen = plain.compute(quantized.input.dequantize(quantized.input.quantize(x)))
    np.testing.assert_allclose(model.variables["conv"]["mean"], seen.mean(axis=(0, 1, 2)), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(model.variables["conv"]["variance"], seen.var(axis=(0, 1, 2)), rtol=1e-3)


@pytest.mark.parametrize("graph", [GRAPH, normalized_graph()], ids=["plain", "normalized"])
def test_the_float_model_is_the_float_graph(graph: Graph) -> None:
    x, model = tiny.samples(), FloatModel(graph)
    np.testing.assert_allclose(np.asarray(model(tf.constant(x))), graph.run(x), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.trained().run(x), graph.run(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("graph", [GRAPH, joined.every_join()], ids=["chain", "joins"])
@pytest.mark.parametrize("scales", ["power_of_two", "free"])
def test_what_was_learned_is_what_is_built(scales: str, graph: Graph) -> None:
    """Any change of weights and scales, as training makes it."""
    settings = Quantization(scales=scales, weight_bits=4, activation_granularity="per_channel")
    x = joined.samples(graph)
    model = CodeModel(graph, settings, choose_all(graph, calibrate(graph, x), settings), learn_ranges=True)
    rng = np.random.default_rng(0)
    for variable in model.trainable:
        variable.assign(variable + 0.3 * rng.normal(size=variable.shape))
    choices: dict[str, QuantizationChoice] = model.trained_choices()
    quantized = quantize(model.trained(), {}, settings, choices)
    expected = by_name(quantized.run(quantized.quantized(x)), quantized.outputs)
    for name, found in by_name(codes_of(model, x), quantized.outputs).items():
        np.testing.assert_array_equal(found, expected[name])
    if scales == "power_of_two":
        for layer in quantized.layers:
            assert (np.frexp(layer.output.scale)[0] == 0.5).all()


def test_tensors_that_share_an_encoding_learn_it_together() -> None:
    graph, settings = joined.every_join(), Quantization(scales="free")
    model = CodeModel(graph, settings, choose_all(graph, calibrate(graph, joined.samples(graph)), settings), True)
    rows = graph.encodings.owners("rows")
    assert len(rows) > 2
    assert len({id(model.learned[name]) for name in rows}) == 1
    assert "tanh" not in model.learned
    model.learned[rows[0]].assign([0.1])
    choices = model.trained_choices()
    (scale,) = {choices[name].output.scale for name in (*rows, "rows", "pool", "columns", "flat", "beats")}
    assert scale == pytest.approx(model.choices[rows[0]].output.scale * 2 ** (SCALE_RATE * 0.1))  # type: ignore[operator]


def test_gradients_reach_everything_in_a_graph_with_joins() -> None:
    graph, settings = joined.every_join(), Quantization(scales="free")
    x = joined.samples(graph, 64)
    model = CodeModel(graph, settings, choose_all(graph, calibrate(graph, x), settings), learn_ranges=True)
    trained = [variable.value for variable in model.trainable]
    with tf.GradientTape() as tape:
        outputs = model({name: tf.constant(values) for name, values in x.items()})
        rng = np.random.default_rng(0)
        loss = tf.add_n([tf.reduce_sum(one * rng.normal(size=one.shape)) for one in outputs.values()])
    for variable, gradient in zip(model.trainable, tape.gradient(loss, trained), strict=True):
        assert gradient is not None, variable.name
        assert np.isfinite(gradient).all(), variable.name
        assert np.abs(gradient).max() > 0, variable.name
