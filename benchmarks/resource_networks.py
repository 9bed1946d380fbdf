"""Whole networks that the resource estimates are checked with; none of them was used for the fit."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from specimens import Specimen, on_a_random_network  # noqa: E402 - needs the path above

from dnn2fpga.errors import UserError  # noqa: E402
from dnn2fpga.graph import Graph, Layer  # noqa: E402
from dnn2fpga.layers.activation import Clamp  # noqa: E402
from dnn2fpga.layers.conv2d import Conv2D  # noqa: E402
from dnn2fpga.layers.dense import Dense  # noqa: E402
from dnn2fpga.layers.pooling import MaxPooling  # noqa: E402
from dnn2fpga.layers.reshape import Reshape  # noqa: E402
from dnn2fpga.optimize.calibration import calibrate  # noqa: E402
from dnn2fpga.optimize.post_training import Quantization, quantize  # noqa: E402
from dnn2fpga.passes.simplify import simplify  # noqa: E402
from dnn2fpga.plan.settings import PlanSettings  # noqa: E402
from dnn2fpga.quantized_graph import QuantizedGraph  # noqa: E402

RANDOM_NETWORKS = 12


@dataclass(frozen=True)
class Network:
    name: str
    graph: QuantizedGraph
    plan: PlanSettings


def _relu(name: str) -> Layer:
    return Clamp(f"{name}_relu", 0.0, math.inf)


def network(name: str, shape: tuple[int, ...], layers: list[Any], bits: int, **options: Any) -> QuantizedGraph:
    """``layers``: a number of filters (3×3) or neurons, or "pool". Random weights, a clamp behind all but the last."""
    rng = np.random.default_rng(len(layers) + shape[0])
    made: list[Layer] = []
    current = shape
    for index, what in enumerate(layers):
        if what == "pool":
            made.append(MaxPooling(f"pool_{index}", (2, 2), (2, 2), "valid"))
        elif what == "flat":
            made.append(Reshape(f"flat_{index}", None))
        else:
            image = len(current) == 3
            inputs = current[-1] * (9 if image else 1)
            kernel = (3, 3, current[-1], what) if image else (current[-1], what)
            weights = rng.normal(0, 1 / np.sqrt(inputs), kernel).astype(np.float32)
            bias = rng.normal(0, 0.1, what).astype(np.float32)
            label = f"{'conv' if image else 'dense'}_{index}"
            made.append(Conv2D(label, weights, bias) if image else Dense(label, weights, bias))
            made += [_relu(label)] if index < len(layers) - 1 else []
        for layer in made[-1:] if what in ("pool", "flat") else made[-2 if index < len(layers) - 1 else -1 :][:1]:
            current = layer.output_shape(current)
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


def _refolded(specimen: Specimen, quantized: QuantizedGraph, rng: np.random.Generator) -> PlanSettings:
    """Random foldings where the specimen's own plan leaves the choice."""
    layers = {}
    for layer in quantized.layers:
        for operator in quantized.operators[layer.name]:
            if "pe" not in getattr(operator, "create_options", ()):
                continue
            matrix, groups = operator.matrix, operator.groups  # type: ignore[attr-defined]
            layers[layer.name] = {
                "engine": rng.choice(["folded", "folded", "parallel"] if operator.beatwise else ["folded"]),  # type: ignore[attr-defined]
                "pe": int(rng.integers(1, matrix.n_outputs + 1)),
                "simd": int(rng.integers(1, matrix.n_inputs // groups + 1)),
                "multiplier": rng.choice(["dsp", "lut"]),
            }
    stages = specimen.plan.stages
    return PlanSettings.model_validate({"layers": layers, "stages": stages})


def drawn(count: int = RANDOM_NETWORKS, first_seed: int = 7_000_000) -> Iterator[Network]:
    seed = first_seed
    found: list[Network] = []

    def keep(specimen: Specimen) -> None:
        try:
            quantized = specimen.quantize()
        except UserError:
            return
        if sum(bool(quantized.operators[layer.name]) for layer in quantized.layers) < 3:
            return
        plan = _refolded(specimen, quantized, np.random.default_rng(seed))
        found.append(Network(f"random {seed - first_seed}", quantized, plan))

    while len(found) < count:
        on_a_random_network(seed, keep)
        seed += 1
    yield from found


def all_networks() -> Iterator[Network]:
    yield from drawn()
    yield from known()


Check = Callable[[Network], None]
