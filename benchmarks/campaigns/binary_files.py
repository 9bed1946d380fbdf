"""Damaged and hostile files of larq, and of hls4ml's binary layers: whatever the campaign of Keras' files does to them,
and quantizers that say something else. Each is read, and made integers.
"""

from __future__ import annotations

from random import Random
from typing import Any

from . import model_files
from .sample_files import Campaign, on_tree
from .trees import Position, positions, replaced, value_at

CLASSES = [
    "SteSign", "ApproxSign", "SwishSign", "MagnitudeAwareSign", "SteHeaviside", "SteTern", "DoReFa", "DoReFaQuantizer",
    "NoOp", "QuantDense", "QuantConv2D", "QuantConv1D", "BinaryDense", "TernaryDense", "TernaryConv2D", "Dense",
    "os.system", "", "larq.quantizers.SteSign", "larq>SteSign", "function", "__lambda__", "Lambda",
]  # fmt: skip
NAMES = [
    "ste_sign", "ste_tern", "magnitude_aware_sign", "dorefa_quantizer", "ste_heaviside", "SteSign", "binary_tanh",
    "ternary_tanh", "hard_tanh", "linear", "relu", "softmax", "", "a>b", "a.b", "()", "x" * 100_000,
]  # fmt: skip
VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2, 3, 16, 17, 64, 0.5, -0.5, 1e-300, 1e30, 1e300, float("nan"), float("inf"), "Glorot",
    "weights", "activations", "same", "valid", "", [], [1], {}, 2**31, 10**30, *NAMES,
    {"class_name": "SteSign", "config": {}}, {"class_name": "SteTern", "config": {"ternary_weight_networks": True}},
    {"class_name": "DoReFa", "config": {"k_bit": 3, "mode": "weights"}}, {"class_name": "MagnitudeAwareSign"},
]  # fmt: skip
OPTIONS = (
    *("input_quantizer", "kernel_quantizer", "depthwise_quantizer", "pointwise_quantizer", "activation", "pad_values"),
    *("padding", "threshold_value", "ternary_weight_networks", "k_bit", "mode", "H", "epsilon", "scale", "center"),
)


def _at(tree: Any, names: tuple[str, ...]) -> list[Position]:
    return [position for position in positions(tree) if position and position[-1] in names]


def classes(tree: Any, random: Random) -> Any:
    objects = [p for p in _at(tree, ("class_name",)) if len(p) > 2]
    return replaced(tree, random.choice(objects), random.choice(CLASSES))


def options(tree: Any, random: Random) -> Any:
    for _ in range(random.choice([1, 1, 2, 8])):
        if places := _at(tree, OPTIONS):
            tree = replaced(tree, random.choice(places), random.choice(VALUES))
    return tree


def layers_as_others(tree: Any, random: Random) -> Any:
    """A layer with the options of another."""
    layers = [p[:-1] for p in _at(tree, ("class_name",)) if len(p) == 4]
    one, other = random.choice(layers), random.choice(layers)
    kept = {"name": value_at(tree, (*one, "config"))["name"]}
    return replaced(tree, (*one, "config"), value_at(tree, (*other, "config")) | kept)


CHANGES = {
    "classes of layers and quantizers": on_tree(classes),
    "options of layers and quantizers": on_tree(options),
    "layers with options of others": on_tree(layers_as_others),
    **model_files.DAMAGED,
}
CAMPAIGNS = (Campaign("larq", CHANGES), Campaign("hls4ml", CHANGES))

if __name__ == "__main__":
    for campaign in CAMPAIGNS:
        campaign.run()
