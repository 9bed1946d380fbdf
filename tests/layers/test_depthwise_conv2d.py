"""A depthwise convolution is a convolution with zeros between the channels; and what of it is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from model_zoo import Zoo

from dnn2fpga.data import Data
from dnn2fpga.errors import UserError
from dnn2fpga.graph.float import Graph
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.keras_import import tf
from dnn2fpga.layers.activation import Clamp
from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.conv2d import Conv2D
from dnn2fpga.layers.dense import Dense
from dnn2fpga.layers.depthwise_conv2d import DepthwiseConv2D
from dnn2fpga.layers.reshape import Reshape
from dnn2fpga.optimize.calibration import calibrate
from dnn2fpga.optimize.operations import TensorFlowOperations
from dnn2fpga.optimize.post_training import Quantization, choose_all, quantize
from dnn2fpga.optimize.pruning import PruningSettings, prune
from dnn2fpga.optimize.training_model import CodeModel
from dnn2fpga.passes.simplify import simplify
from dnn2fpga.tensors.basics import Shape
from dnn2fpga.tensors.tensor import Tensor

SHAPE = (7, 6, 3)
RNG = np.random.default_rng(0)
NOTHING = Data(np.zeros((1, *SHAPE), np.float32), None)
STRIDES = [(1, 1), (2, 2), (1, 2), (3, 1)]


def numbers(*shape: int) -> np.ndarray:
    return RNG.uniform(-1, 1, shape).astype(np.float32)


def depthwise(multiplier: int = 2, **options: Any) -> DepthwiseConv2D:
    outputs = SHAPE[2] * multiplier
    return DepthwiseConv2D("depthwise", numbers(3, 2, outputs), numbers(outputs), **options)


def equal_conv2d(layer: DepthwiseConv2D) -> Conv2D:
    """Output by output: ``c * m + k`` reads channel ``c``."""
    outputs = layer.outputs
    weights = np.zeros((*layer.weights.shape[:2], SHAPE[2], outputs), np.float32)
    for output in range(outputs):
        weights[:, :, output * SHAPE[2] // outputs, output] = layer.weights[:, :, output]
    return Conv2D(layer.name, weights, layer.bias, strides=layer.strides, padding=layer.padding)


def chain(*layers: Layer, shape: Shape = SHAPE) -> Graph:
    return simplify(Graph.chain("network", "input", shape, list(layers)))


def samples(count: int = 12, shape: Shape = SHAPE) -> np.ndarray:
    """Channels of quite different size."""
    x = np.random.default_rng(1).uniform(-1, 1, (count, *shape)) * [1, 5, 0.1][: shape[-1]]
    return x.astype(np.float32)


def built(graph: Graph, settings: Quantization) -> QuantizedGraph:
    return quantize(graph, calibrate(graph, samples()), settings)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("strides", STRIDES)
@pytest.mark.parametrize("multiplier", [1, 2])
def test_it_is_a_convolution_with_zeros_between_the_channels(
    multiplier: int, strides: tuple[int, int], padding: str
) -> None:
    layer, x = depthwise(multiplier, strides=strides, padding=padding), samples()
    expected = equal_conv2d(layer).compute(x)
    assert layer.output_shape(SHAPE) == expected.shape[1:]
    np.testing.assert_allclose(layer.compute(x), expected, rtol=1e-5, atol=1e-5)

    ops = TensorFlowOperations()
    found = layer.forward(ops, {name: tf.constant(value) for name, value in layer.parameters.items()}, tf.constant(x))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"weight_set": "ternary", "weight_bits": 2},
        {"weight_set": "power_of_two", "weight_bits": 4, "scales": "free"},
        {"activation_granularity": "per_channel", "activation_symmetry": "asymmetric", "scales": "free"},
        {"granularity": "per_tensor", "rounding": "half_even"},
        {"numbers": "binary32"},
    ],
    ids=str,
)
def test_so_are_its_integers(settings: dict[str, Any]) -> None:
    """The integers are those of a dense layer too, of a set with a zero: the dense layer has weights that must be zero.
    The integers that are stored are fewer.
    """
    layer = depthwise(strides=(2, 1), padding="same")
    ours, other = (built(chain(one), Quantization(**settings)) for one in (layer, equal_conv2d(layer)))
    q = ours.input.quantize(2 * samples())
    np.testing.assert_array_equal(ours.run(q), other.run(q))
    assert ours.layers[0].weights.size * SHAPE[2] == other.layers[0].weights.size  # type: ignore[attr-defined]
    assert ours.weight_bits < other.weight_bits


FAMILIES: dict[str, dict[str, Any]] = {
    "default": {},
    "free": {"scales": "free", "rounding": "half_even"},
    "all of it": {
        "activation_granularity": "per_channel",
        "activation_symmetry": "asymmetric",
        "weight_symmetry": "asymmetric",
        "scales": "free",
    },
    "binary": {"weight_set": "binary", "weight_bits": 1},
    "ternary": {"weight_set": "ternary", "weight_bits": 2},
    "power of two": {"weight_set": "power_of_two", "weight_bits": 4, "granularity": "per_tensor"},
    "additive power of two": {"weight_set": "additive_power_of_two", "weight_bits": 6},
    "sixteen bits": {"weight_bits": 16, "activation_bits": 16, "input_bits": 16},
    "binary32": {"numbers": "binary32"},
}


@pytest.mark.parametrize("strides", [(1, 1), (2, 1)])
@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_trained_is_what_is_built(family: str, strides: tuple[int, int]) -> None:
    graph = chain(
        depthwise(strides=strides, padding="same"),
        Clamp("relu", 0.0, 6.0),
        Conv2D("conv", numbers(1, 1, 6, 2), numbers(2)),
    )
    settings, x = Quantization(**FAMILIES[family]), samples()
    if family == "binary32":
        settings = settings.model_copy(update={"activation_granularity": "per_tensor"})
    statistics = calibrate(graph, x)
    quantized, choices = quantize(graph, statistics, settings), choose_all(graph, statistics, settings)
    model = CodeModel(graph, settings, choices, learn_ranges=True)
    with tf.GradientTape() as tape:
        ((q, _),) = model.codes(tf.constant(x)).values()
        loss = tf.reduce_sum(tf.cast(q, tf.float64) * np.random.default_rng(0).normal(size=q.shape))
    expected = quantized.run(quantized.input.quantize(x))
    if family == "binary32":  # summed in another order
        assert np.mean(np.asarray(q) != expected) <= 1e-2
    else:
        np.testing.assert_array_equal(np.asarray(q).astype(np.int64), expected)
    for variable, gradient in zip(
        model.trainable, tape.gradient(loss, [variable.value for variable in model.trainable]), strict=True
    ):
        assert gradient is not None, variable.name
        assert np.isfinite(gradient).all(), variable.name
        assert np.abs(gradient).max() > 0, variable.name


def test_a_normalization_behind_it_is_folded_and_trained(zoo: Zoo) -> None:
    example = zoo("depthwise_batch_norm")
    first, _ = example.graph.layers
    assert isinstance(first, DepthwiseConv2D)
    assert first.unfolded is not None
    settings = Quantization(activation_granularity="per_channel", scales="free")
    model = CodeModel(example.graph, settings, choose_all(example.graph, calibrate(example.graph, example.x), settings))
    quantized = quantize(model.trained(), {}, settings, model.trained_choices())
    ((q, _),) = model.codes(tf.constant(example.x)).values()
    np.testing.assert_array_equal(np.asarray(q), quantized.run(quantized.input.quantize(example.x)))
    name, before = first.name, np.asarray(model.variables[first.name]["mean"])
    model.ops.observing.assign(True)
    for _ in range(200):
        model.codes(tf.constant(example.x))
    inputs = quantized.input.dequantize(quantized.input.quantize(example.x)).astype(np.float32)
    seen = DepthwiseConv2D("plain", first.unfolded.weights, first.unfolded.bias).compute(inputs)
    assert not np.allclose(before, seen.mean(axis=(0, 1, 2)), atol=1e-2)
    np.testing.assert_allclose(model.variables[name]["mean"], seen.mean(axis=(0, 1, 2)), rtol=1e-2, atol=1e-3)


def test_a_separable_convolution_is_two_layers(zoo: Zoo) -> None:
    layers = zoo("separable").graph.layers
    assert [layer.kind for layer in layers] == ["depthwise_conv2d", "conv2d"]
    depthwise, pointwise = layers
    assert depthwise.name == f"{pointwise.name}_depthwise"
    assert (depthwise.clamp[0], pointwise.clamp[0]) == (-np.inf, 0.0)  # type: ignore[attr-defined]
    assert not depthwise.bias.any()  # type: ignore[attr-defined]
    assert pointwise.bias.all()  # type: ignore[attr-defined]
    assert pointwise.weights.shape == (1, 1, 6, 4)  # type: ignore[attr-defined]


# Refusals


def test_channels_in_several_beats_are_refused() -> None:
    with pytest.raises(UserError, match="its 3 channels must arrive in one beat, not in 1 lanes"):
        built(chain(depthwise()), Quantization(input_lanes=1))


@pytest.mark.parametrize("numbers_", ["integer", "binary32"])
def test_integer_layers_that_do_not_fit_their_input_are_refused(numbers_: str) -> None:
    quantized = built(chain(depthwise()), Quantization(numbers=numbers_))
    [layer] = quantized.layers
    image = {"signed": True, "width": 8, "scale": 1.0}
    for shape, lanes in [((42, 3), 3), ((7, 6, 3), 1)]:
        with pytest.raises(ValueError, match="needs an image, one pixel a beat"):
            layer.operators(Tensor(shape=shape, lanes=lanes, **image))
    with pytest.raises(ValueError, match=r"a multiple of 4 channels\], not \(3, 2, 6\)"):
        layer.operators(Tensor(shape=(7, 6, 4), lanes=4, **image))
    flat = layer.model_copy(update={"weights": layer.weights.reshape(6, 6)})  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=r"weights must be \[rows, columns, "):
        flat.operators(quantized.input)


def pruned(**settings: Any) -> Graph:
    conv, last = Conv2D("conv", numbers(1, 1, 3, 3), numbers(3)), Dense("last", numbers(6, 4), numbers(4))
    graph = chain(conv, depthwise(), Conv2D("point", numbers(1, 1, 6, 6), numbers(6)), last)
    return prune(graph, NOTHING, PruningSettings(**settings), None, Quantization()).graph


def test_weights_of_it_may_become_zero() -> None:
    graph = pruned(layers={"depthwise": 0.5})
    assert (graph.layers[1].weights == 0).sum() == 18  # type: ignore[attr-defined]
    assert not (built(graph, Quantization()).layers[1].weights != 0).sum() > 18  # type: ignore[attr-defined]


def test_its_filters_go_with_the_channels_in_front_of_it() -> None:
    """Filters that are nothing but a bias of 0 change nothing: what is left computes what it did."""
    weights, bias = numbers(1, 1, 3, 4), numbers(4)
    weights[..., [0, 2]], bias[[0, 2]] = 0, 0
    deep, silent = DepthwiseConv2D("deep", numbers(3, 2, 8), numbers(8)), [0, 1, 4, 5]
    deep.bias[silent] = 0
    graph = chain(Conv2D("conv", weights, bias), deep, Conv2D("point", numbers(1, 1, 8, 6), numbers(6)))
    less = prune(graph, NOTHING, PruningSettings(filters=0.5), None, Quantization()).graph
    assert [less.shapes[node.name][-1] for node in less.nodes] == [2, 4, 6]
    np.testing.assert_allclose(less.run(samples()), graph.run(samples()), rtol=1e-5, atol=1e-5)


def test_filters_are_not_removed_where_the_outputs_would_go_too() -> None:
    graph = chain(Conv2D("conv", numbers(1, 1, 3, 3), numbers(3)), depthwise())
    with pytest.raises(UserError, match="'conv': its filters cannot be removed: the model's outputs"):
        prune(graph, NOTHING, PruningSettings(filters=0.5), None, Quantization())
    with pytest.raises(UserError, match=r"pruning.filters_of.depthwise: its filters are tied"):
        pruned(filters_of={"depthwise": 0.5})


def test_a_reshape_between() -> None:
    """Channels that change their place, and one channel alone."""
    graph = chain(Reshape("reshape", (6, 7, 3)), depthwise(), Reshape("flat", None), shape=(7, 6, 3))
    quantized = built(graph, Quantization(weight_bits=16, activation_bits=16, input_bits=16))
    np.testing.assert_allclose(quantized.predict(samples()), graph.run(samples()), atol=5e-3)
    one = DepthwiseConv2D("one", numbers(2, 2, 3), numbers(3))
    graph = chain(one, shape=(4, 4, 1))
    x = samples(3, (4, 4, 1))
    np.testing.assert_allclose(graph.run(x), dense_of_one_channel(one).compute(x), rtol=1e-5, atol=1e-6)


def dense_of_one_channel(layer: DepthwiseConv2D) -> Conv2D:
    return Conv2D("conv", layer.weights[:, :, np.newaxis], layer.bias)
