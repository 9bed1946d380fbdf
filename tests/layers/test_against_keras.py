"""Keras is the accuracy reference of every layer kind, never the oracle of the integers (that is test_integers.py)."""

from __future__ import annotations

import numpy as np
import pytest
from model_zoo import MODELS, Zoo

from dnn2fpga.layers.pass_through import Softmax
from dnn2fpga.optimize.calibration import calibrate
from dnn2fpga.optimize.post_training import Quantization, quantize
from dnn2fpga.passes.simplify import simplify
from dnn2fpga.quantize.settings import Granularity, Scales, Symmetry
from dnn2fpga.read.keras import read_keras_model
from dnn2fpga.read.keras_layers import LAYERS, OnlyInTraining
from dnn2fpga.task import Ending

FLOAT_ERROR = 1e-5  # of single precision, for outputs of the order of 1


def of_logits(outputs: np.ndarray, ending: Ending) -> np.ndarray:
    """The softmax that the hardware leaves out, put back."""
    return Softmax("softmax").compute(outputs) if ending is Ending.SOFTMAX else outputs


@pytest.mark.parametrize("name", MODELS)
def test_float_graph_computes_what_keras_computes(zoo: Zoo, name: str) -> None:
    example = zoo(name)

    outputs = of_logits(example.graph.run(example.x), example.graph.interface.ending)

    assert outputs.shape == example.expected.shape
    np.testing.assert_allclose(outputs, example.expected, rtol=FLOAT_ERROR, atol=FLOAT_ERROR)


NUMBERS = {
    "power of two": {},
    "free": {"scales": Scales.FREE},
    "shifted": {
        "scales": Scales.FREE,
        "activation_symmetry": Symmetry.ASYMMETRIC,
        "activation_granularity": Granularity.PER_CHANNEL,
        "weight_symmetry": Symmetry.ASYMMETRIC,
        "granularity": Granularity.PER_TENSOR,
    },
}


@pytest.mark.parametrize("numbers", NUMBERS)
@pytest.mark.parametrize("name", MODELS)
def test_sixteen_bits_are_close_to_float(zoo: Zoo, name: str, numbers: str) -> None:
    example = zoo(name)
    widths = dict.fromkeys(("weight_bits", "activation_bits", "input_bits", "output_bits"), 16)
    settings = Quantization(**widths, **NUMBERS[numbers])
    quantized = quantize(example.graph, calibrate(example.graph, example.x), settings)

    outputs = quantized.predict(example.x)

    expected = example.graph.run(example.x)
    assert outputs.shape == expected.shape
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=2e-4 * max(1, float(np.abs(expected).max())))


def test_every_supported_keras_class_is_in_the_table(zoo: Zoo) -> None:
    found = {type(layer).__name__ for name in MODELS for layer in zoo.build(name).layers}
    # Layers that act in training only are tested class by class in tests/read/test_keras_layers.py.
    # A leaky ReLU is tested in tests/read/test_keras_layers.py and tests/optimize/test_training_model.py.
    assert set(LAYERS) - found - {"LeakyReLU"} <= set(OnlyInTraining.stands_for)


@pytest.mark.parametrize("functional", [False, True])
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize(
    "name",
    [
        "batch_norm_conv",
        "average_pooling_same",
        "dense_behind_flatten",
        "softmax_layer",
        "relu_max_value",
        "rescaling",
        "depthwise_multiplier",
        "separable",
    ],
)
def test_both_file_formats_and_both_apis_are_read_alike(zoo: Zoo, name: str, suffix: str, functional: bool) -> None:
    example = zoo(name)

    graph = simplify(read_keras_model(zoo.save(name, suffix, functional)))

    assert [type(layer) for layer in graph.layers] == [type(layer) for layer in example.graph.layers]
    assert graph.interface == example.graph.interface
    np.testing.assert_array_equal(graph.run(example.x), example.graph.run(example.x))
