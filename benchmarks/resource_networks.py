"""Whole networks that the resource estimates are checked with; none of them was used for the fit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from dnn2fpga.graph.float import Graph
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.layers.activation import Clamp
from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.conv2d import Conv2D
from dnn2fpga.layers.dense import Dense
from dnn2fpga.layers.pooling import MaxPooling
from dnn2fpga.layers.reshape import Reshape
from dnn2fpga.optimize.calibration import calibrate
from dnn2fpga.optimize.post_training import Quantization, quantize
from dnn2fpga.passes.simplify import simplify
from dnn2fpga.plan.settings import PlanSettings

RANDOM_NETWORKS = 16
MOST_PARALLEL = 2_000  # weights that are not 0 in a parallel engine


@dataclass(frozen=True)
class Network:
    name: str
    graph: QuantizedGraph
    plan: PlanSettings


def _relu(name: str) -> Layer:
    return Clamp(f"{name}_relu", 0.0, math.inf)


def _layers(what: Any, index: int, shape: tuple[int, ...], rng: np.random.Generator) -> list[Layer]:
    """One of ``network``, with its clamp."""
    if what == "pool":
        return [MaxPooling(f"pool_{index}", (2, 2), (2, 2), "valid")]
    if what == "flat":
        return [Reshape(f"flat_{index}", None)]
    image = len(shape) == 3
    inputs = shape[-1] * (9 if image else 1)
    kernel = (3, 3, shape[-1], what) if image else (shape[-1], what)
    weights = rng.normal(0, 1 / np.sqrt(inputs), kernel).astype(np.float32)
    bias = rng.normal(0, 0.1, what).astype(np.float32)
    label = f"{'conv' if image else 'dense'}_{index}"
    return [Conv2D(label, weights, bias) if image else Dense(label, weights, bias), _relu(label)]


def network(name: str, shape: tuple[int, ...], layers: list[Any], bits: int, **options: Any) -> QuantizedGraph:
    """Create a network of ``layers``: a number of filters (3×3) or neurons, or "pool". Random weights, a clamp after
    all but the last.
    """
    rng = np.random.default_rng(len(layers) + shape[0])
    made: list[Layer] = []
    current = shape
    for index, what in enumerate(layers):
        added = _layers(what, index, current, rng)
        for layer in added[:-1] if index == len(layers) - 1 and len(added) > 1 else added:
            current = layer.output_shape(current)
            made.append(layer)
    graph = simplify(Graph.chain(name, "input", shape, made))
    samples = rng.uniform(0, 1, (32, *shape)).astype(np.float32)
    settings = Quantization(weight_bits=bits, activation_bits=bits, **{"input_bits": bits, "output_bits": 8, **options})
    return quantize(graph, calibrate(graph, samples), settings)


MNIST = ((28, 28, 1), [12, 12, "pool", "flat", 10])
JETS = ((16,), [64, 32, 32, 5])
SVHN = ((32, 32, 3), [16, "pool", 16, "pool", 24, "pool", "flat", 42, 64, 10])


def _plan(**layers: dict[str, Any]) -> dict[str, Any]:
    return {"layers": layers}


def known() -> Iterator[Network]:
    mnist_folded = _plan(
        conv_0={"engine": "folded", "pe": 12, "simd": 3},
        conv_1={"engine": "folded", "pe": 6, "simd": 12},
        dense_4={"pe": 5, "simd": 4},
    )
    chosen: list[tuple[str, Any, int, dict[str, Any]]] = [
        ("MNIST CNN, 8 bits, folded", MNIST, 8, mnist_folded),
        ("MNIST CNN, 4 bits, folded", MNIST, 4, mnist_folded),
        ("MNIST CNN, 6 bits, LUTs", MNIST, 6, {**mnist_folded, "multiplier": "lut"}),
        ("MNIST CNN, 4 bits, parallel", MNIST, 4, _plan(dense_4={"pe": 10, "simd": 12})),
        ("jet tagging, 6 bits, folded", JETS, 6, {"engine": "folded", "simd": 4, "pe": 5}),
        (
            "jet tagging, 8 bits, folded",
            JETS,
            8,
            _plan(
                dense_0={"engine": "folded", "pe": 16, "simd": 4},
                dense_1={"engine": "folded", "pe": 8, "simd": 16},
                dense_2={"engine": "folded", "pe": 8, "simd": 8, "multiplier": "lut"},
                dense_3={"engine": "folded", "pe": 5, "simd": 2},
            ),
        ),
        ("jet tagging, 3 bits, parallel", JETS, 3, {}),
        (
            "SVHN CNN, 7 bits",
            SVHN,
            7,
            _plan(
                conv_0={"engine": "folded", "pe": 16, "simd": 9},
                conv_2={"engine": "folded", "pe": 8, "simd": 18},
                conv_4={"engine": "folded", "pe": 6, "simd": 12},
                dense_7={"pe": 3, "simd": 8},
                dense_8={"pe": 4, "simd": 6},
                dense_9={"engine": "folded", "pe": 2, "simd": 8},
            ),
        ),
        (
            "SVHN CNN, 4 bits",
            SVHN,
            4,
            _plan(
                conv_0={"engine": "parallel"},
                conv_2={"engine": "folded", "pe": 16, "simd": 16, "multiplier": "lut"},
                conv_4={"engine": "folded", "pe": 4, "simd": 18},
                dense_7={"pe": 6, "simd": 4, "weight_memory": "block"},
                dense_8={"engine": "folded", "pe": 8, "simd": 6},
                dense_9={"engine": "folded", "pe": 1, "simd": 8, "multiplier": "lut"},
            ),
        ),
    ]
    for name, (shape, layers), bits, plan in chosen:
        yield Network(name, network("network", shape, layers, bits), PlanSettings.model_validate(plan))


def _folded(product: Any, rng: np.random.Generator) -> dict[str, Any]:
    """Divisors, mostly; a parallel engine where vectors arrive whole and there are few weights."""
    matrix, inputs = product.matrix, product.matrix.n_inputs // product.groups
    if product.beatwise and np.count_nonzero(matrix.weights) <= MOST_PARALLEL and rng.random() < 0.4:
        return {"engine": "parallel"}
    # At most this many products per cycle, as nobody would build more.
    fits = [
        simd for simd in _parts(inputs) if product.beatwise or product.lanes % simd == 0 or simd % product.lanes == 0
    ]
    pairs = [(pe, simd) for pe in _parts(matrix.n_outputs) for simd in fits if 2 <= pe * simd <= 64]
    pe, simd = pairs[rng.integers(len(pairs))]
    return {"engine": "folded", "pe": pe, "simd": simd, "multiplier": str(rng.choice(["dsp", "dsp", "lut"]))}


def _parts(count: int) -> list[int]:
    return sorted({-(-count // k) for k in range(1, count + 1)})


def drawn(count: int = RANDOM_NETWORKS) -> Iterator[Network]:
    """CNNs and dense networks of any size that synthesis is done with in a minute or two, folded at random."""
    for number in range(count):
        rng = np.random.default_rng(1000 + number)
        bits = int(rng.integers(3, 9))
        if number % 3 == 0:
            shape: tuple[int, ...] = (int(rng.integers(8, 40)),)
            layers: list[Any] = [int(n) for n in rng.integers(6, 49, rng.integers(2, 5))]
        else:
            size = int(rng.integers(22, 33))
            shape = (size, size, int(rng.choice([1, 3])))
            layers = []
            for _ in range(int(rng.integers(1, 4))):
                layers += [int(rng.choice([4, 6, 8, 12, 16])), *(["pool"] if rng.random() < 0.7 else [])]
            layers += ["flat", int(rng.integers(4, 17))]
        graph = network(f"random_{number}", shape, layers, bits)
        own = {
            layer.name: _folded(operator, rng)
            for layer in graph.layers
            for operator in graph.operators[layer.name]
            if "pe" in operator.create_options
        }
        levels = int(rng.integers(2, 5))
        plan = PlanSettings.model_validate({"layers": own, "levels_per_register": levels})
        described = " ".join(map(str, layers)).replace(" flat", "")
        yield Network(f"random {number}: {'×'.join(map(str, shape))}, {described}; {bits} bits", graph, plan)


def all_networks() -> Iterator[Network]:
    yield from drawn()
    yield from known()
