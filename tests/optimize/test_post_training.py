"""Calibration and post-training quantization of whole graphs."""

from __future__ import annotations

import numpy as np
import pytest
import tiny

from dnn2fpga.errors import UserError
from dnn2fpga.graph import Interval
from dnn2fpga.layers.scaling import LayerSettings, Scales
from dnn2fpga.optimize.calibration import calibrate
from dnn2fpga.optimize.post_training import WIDEST_INPUT_BEAT, QuantizationSettings, input_lanes
from dnn2fpga.passes.simplify import simplify

GRAPH = simplify(tiny.float_graph())


def test_calibration_sees_every_tensor_whatever_the_batches_are() -> None:
    x = tiny.samples(20)
    seen: list[tuple[int, int]] = []
    whole = calibrate(GRAPH, x, batch=100)
    assert whole.keys() == {"input", *(node.name for node in GRAPH.nodes)}
    assert whole["input"] == Interval(float(x.min()), float(x.max()))
    parts = calibrate(GRAPH, x, batch=7, progress=lambda done, of: seen.append((done, of)))
    for name, interval in whole.items():
        assert (parts[name].low, parts[name].high) == pytest.approx((interval.low, interval.high), abs=1e-6)
    assert seen == [(7, 20), (14, 20), (20, 20)]


def test_calibration_needs_numbers() -> None:
    with pytest.raises(UserError, match="calibration data is empty"):
        calibrate(GRAPH, tiny.samples(0))
    with pytest.raises(UserError, match="NaN or infinite values at 'input'"):
        calibrate(GRAPH, np.full((1, *tiny.INPUT_SHAPE), np.inf))


@pytest.mark.parametrize("bits", range(2, 17))
def test_every_width(bits: int) -> None:
    settings = QuantizationSettings(
        defaults=LayerSettings(weight_bits=bits, activation_bits=bits), input_bits=bits, output_bits=bits
    )
    quantized = tiny.quantized_graph(settings)
    assert quantized.input.width == bits
    assert {layer.output.width for layer in quantized.layers} == {bits}
    x = tiny.samples()
    error = np.abs(quantized.predict(x) - GRAPH.run(x)).max()
    assert error < 6 * 2.0**-bits  # halves with every bit


def test_per_layer_settings_and_the_wider_output() -> None:
    overrides = {"conv": {"weight_bits": 3, "activation_bits": 5}, "dense": {"weight_bits": 4}}
    quantized = tiny.quantized_graph(QuantizationSettings(layers=overrides))
    layers = {layer.name: layer for layer in quantized.layers}
    assert (layers["conv"].weight_width, layers["conv"].output.width) == (3, 5)  # type: ignore[attr-defined]
    assert (layers["dense"].weight_width, layers["dense"].output.width) == (4, 16)  # type: ignore[attr-defined]
    assert layers["scale"].output.width == 8


def test_power_of_two_scales_everywhere() -> None:
    quantized = tiny.quantized_graph(QuantizationSettings(defaults=LayerSettings(scales=Scales.POWER_OF_TWO)))
    scales = [quantized.input.scale, *(layer.output.scale for layer in quantized.layers)]
    assert all(np.frexp(scale)[0] == 0.5 for scale in scales)


def test_settings_of_layers_that_do_not_exist_are_all_listed() -> None:
    with pytest.raises(UserError) as caught:
        tiny.quantized_graph(QuantizationSettings(layers={"konv": {}, "conv": {}, "dens": {}}))
    assert len(caught.value.problems) == 2
    assert caught.value.problems[0].startswith("layers.konv: there is no such layer; there are conv, pool, ")


def test_input_lanes() -> None:
    assert input_lanes((28, 28, 3), 8) == 3
    assert input_lanes((16,), 8) == 16
    assert input_lanes((784,), 8) == 112
    assert 784 % input_lanes((784,), 16) == 0
    assert input_lanes((784,), 16) * 16 <= WIDEST_INPUT_BEAT
    assert input_lanes((1009,), 8) == 1  # a prime
