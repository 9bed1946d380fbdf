"""Post-training quantization of whole graphs."""

from __future__ import annotations

import numpy as np
import pytest
import tiny

from dnn2fpga.errors import UserError
from dnn2fpga.optimize.calibration import calibrate
from dnn2fpga.optimize.post_training import WIDEST_INPUT_BEAT, Quantization, choose_all, input_lanes, quantize
from dnn2fpga.passes.simplify import simplify
from dnn2fpga.quantize.settings import Granularity, Scales, Symmetry

GRAPH = simplify(tiny.float_graph())


FAMILIES = {
    "symmetric": Quantization(),
    "free": Quantization(scales=Scales.FREE),
    "asymmetric": Quantization(activation_symmetry=Symmetry.ASYMMETRIC, weight_symmetry=Symmetry.ASYMMETRIC),
    "per channel": Quantization(activation_granularity=Granularity.PER_CHANNEL),
    "per tensor": Quantization(granularity=Granularity.PER_TENSOR),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("bits", range(1, 17))
def test_every_width(bits: int, family: str) -> None:
    widths = dict.fromkeys(("weight_bits", "activation_bits", "input_bits", "output_bits"), bits)
    settings = FAMILIES[family].model_copy(update=widths)
    quantized = tiny.quantized_graph(settings)
    assert quantized.input.width == bits
    assert {layer.output.width for layer in quantized.layers} == {bits}
    x = tiny.samples()
    error = np.abs(quantized.predict(x) - GRAPH.run(x)).max()
    assert error < 6 * 2.0**-bits  # halves with every bit


def test_per_layer_settings_and_the_wider_output() -> None:
    overrides = {"conv": {"weight_bits": 3, "activation_bits": 5}, "dense": {"weight_bits": 4}}
    quantized = tiny.quantized_graph(Quantization(layers=overrides))
    layers = {layer.name: layer for layer in quantized.layers}
    assert (layers["conv"].weight_width, layers["conv"].output.width) == (3, 5)  # type: ignore[attr-defined]
    assert (layers["dense"].weight_width, layers["dense"].output.width) == (4, 16)  # type: ignore[attr-defined]
    assert layers["scale"].output.width == 8


def test_power_of_two_scales_everywhere() -> None:
    quantized = tiny.quantized_graph(Quantization(scales=Scales.POWER_OF_TWO))
    scales = [quantized.input.scale, *(layer.output.scale for layer in quantized.layers)]
    assert all(np.frexp(scale)[0] == 0.5 for scale in scales)


def test_channels_of_their_own_scale_where_nothing_compares_them() -> None:
    quantized = tiny.quantized_graph(Quantization(activation_granularity=Granularity.PER_CHANNEL, scales=Scales.FREE))
    own = {layer.name for layer in quantized.layers if isinstance(layer.output.scale, tuple)}
    # after 'scale' follows a table; the output is compared
    assert own == {"conv", "pool"}


def test_asymmetric_codes_cover_the_range() -> None:
    statistics = calibrate(GRAPH, tiny.samples())
    settings = Quantization(activation_symmetry=Symmetry.ASYMMETRIC, scales=Scales.FREE)
    output = quantize(GRAPH, statistics, settings).output
    seen = statistics["dense"].interval
    assert seen.low < 0 < seen.high
    assert (output.signed, output.width) == (False, 16)
    ends = output.dequantize(np.array([[0] * 3, [2**16 - 1] * 3]))[:, 0]
    np.testing.assert_allclose(ends, [seen.low, seen.high], atol=output.uniform_scale)


def test_settings_of_a_layer_are_added_to_those_it_has() -> None:
    settings = Quantization(layers={"conv": {"weight_bits": 3}}).with_layers(
        {"conv": {"activation_bits": 5}, "dense": {"weight_bits": 4}}
    )
    own = {name: layer.model_dump(exclude_none=True) for name, layer in settings.layers.items()}
    assert own == {"conv": {"weight_bits": 3, "activation_bits": 5}, "dense": {"weight_bits": 4}}
    assert settings.of_layer(GRAPH, "conv").weight_bits == 3


def test_choices_make_the_same_graph_again() -> None:
    settings, statistics = Quantization(), calibrate(GRAPH, tiny.samples())
    choices = choose_all(GRAPH, statistics, settings)
    assert list(choices) == ["input", *(node.name for node in GRAPH.nodes)]
    one, again = quantize(GRAPH, statistics, settings), quantize(GRAPH, {}, settings, choices)
    assert [layer.model_dump_json() for layer in one.layers] == [layer.model_dump_json() for layer in again.layers]


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"weight_set": "ternary"}, "layer 'conv' (conv2d): weight set 'ternary' has 2 bits, not 8"),
        ({"weight_set": "power_of_two"}, "layer 'conv' (conv2d): weight set 'power_of_two' has 2 to 5 bits, not 8"),
        ({"weight_set": "binary", "weight_bits": 1, "weight_symmetry": "asymmetric"}, "are always symmetric"),
        ({"overflow": "wrap"}, "overflow 'wrap' cannot be joined with a clamp"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(own: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as caught:
        tiny.quantized_graph(Quantization(layers={"conv": own}))
    assert message in str(caught.value)


def test_settings_of_layers_that_do_not_exist_are_all_listed() -> None:
    with pytest.raises(UserError) as caught:
        tiny.quantized_graph(Quantization(layers={"konv": {}, "conv": {}, "dens": {}}))
    assert len(caught.value.problems) == 2
    assert caught.value.problems[0].startswith("layers.konv: there is no such layer; there are conv, pool, ")


def test_input_lanes() -> None:
    assert input_lanes((28, 28, 3), 8) == 3
    assert input_lanes((16,), 8) == 16
    assert input_lanes((784,), 8) == 112
    assert 784 % input_lanes((784,), 16) == 0
    assert input_lanes((784,), 16) * 16 <= WIDEST_INPUT_BEAT
    assert input_lanes((1009,), 8) == 1  # a prime
