"""Damaged and hostile files of QKeras: whatever the campaign of Keras' files does to them, and quantizers that say
something else. Each is read, and made integers.
"""

from __future__ import annotations

from random import Random
from typing import Any

from . import model_files
from .sample_files import Campaign, on_tree
from .trees import Position, positions, replaced, value_at

CLASSES = [
    "quantized_bits", "quantized_linear", "ternary", "stochastic_ternary", "binary", "stochastic_binary",
    "quantized_relu", "quantized_tanh", "quantized_sigmoid", "quantized_po2", "quantized_relu_po2", "quantized_ulaw",
    "quantized_hswish", "bernoulli", "os.system", "", "QDense", "function", "__lambda__", "hgq>QDense",
]  # fmt: skip
VALUES: list[Any] = [
    None, True, False, 0, 1, 2, 3, 4, 8, 16, 24, 25, 26, 64, 65, -1, -64, -65, 0.5, 0.25, 0.3, -0.5, 1e-300, 1e300,
    float("nan"), float("inf"), "auto", "auto_po2", "rnd", "floor", "", "1", [], [1], [[1.0, 2.0]], {}, 2**31, 10**30,
]  # fmt: skip
TEXTS = [
    "quantized_relu(6,0)", "quantized_bits(6, 0, alpha=1)", "quantized_bits(4,0,1,alpha='auto_po2')", "ternary()",
    "binary(alpha=1)", "quantized_relu", "quantized_bits(", "quantized_bits)", "quantized_bits(())", "(", "=", "a=b",
    "quantized_bits(4,,)", "quantized_bits(__import__('os').system('true'))", "quantized_relu(" + "1," * 1000 + ")",
    "quantized_bits(" * 300, "quantized_relu(6" + " " * 100_000, "quantized_bits(1e999)", "quantized_bits(nan,inf)",
    "quantized_relu(999999999999999999999)", "quantized_tanh(5,1,1,1,1,1,1)", "eval('1')", "x" * 100_000,
]  # fmt: skip


def _quantizers(tree: Any) -> list[Position]:
    """Where quantizers stand, as objects or as texts."""
    return [p for p in positions(tree) if p and (str(p[-1]).endswith("quantizer") or p[-1] == "activation")]


def _options(tree: Any) -> list[Position]:
    objects = [p for p in _quantizers(tree) if isinstance(value_at(tree, p), dict)]
    return [(*p, "config", key) for p in objects for key in value_at(tree, (*p, "config"))]


def classes(tree: Any, random: Random) -> Any:
    objects = [p for p in _quantizers(tree) if isinstance(value_at(tree, p), dict)]
    position = random.choice(objects)
    package = random.choice(["", "qkeras>"])
    key = random.choice(["class_name", "registered_name"])
    return replaced(tree, (*position, key), package + random.choice(CLASSES))


def options(tree: Any, random: Random) -> Any:
    for _ in range(random.choice([1, 1, 2, 8])):
        tree = replaced(tree, random.choice(_options(tree)), random.choice(VALUES))
    return tree


def texts(tree: Any, random: Random) -> Any:
    text = random.choice(TEXTS)
    if random.random() < 0.5:
        place = random.randrange(len(text) + 1)
        text = text[:place] + random.choice("(),='\"0a \n[") + text[place + random.choice([0, 1]) :]
    return replaced(tree, random.choice(_quantizers(tree)), text)


CAMPAIGN = Campaign(
    "qkeras",
    {
        "classes of quantizers": on_tree(classes),
        "options of quantizers": on_tree(options),
        "quantizers as texts": on_tree(texts),
        **model_files.DAMAGED,
    },
)

if __name__ == "__main__":
    CAMPAIGN.run()
