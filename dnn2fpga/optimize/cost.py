"""The cost of a model, for the searches that weigh cost against score."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from dnn2fpga.graph.quantized import QuantizedGraph

# Solving adder graphs dominates the time, and trials of a search have many layers in common.
_luts_of_layers: dict[bytes, float] = {}


def model_bits(model: QuantizedGraph) -> float:
    """Bits of all weights and biases as stored."""
    return float(model.weight_bits)


def luts(model: QuantizedGraph) -> float:
    """Predicted LUTs of all operators. The order of two models counts, not the number: windows, stages and the sharing
    that synthesis finds are not in it.
    """
    total = 0.0
    for node in model.nodes:
        # A layer's hardware depends on the layer and on the tensors that it reads, on nothing else.
        read = [tensor.model_dump_json() for tensor in model.inputs_of(node)]
        described = f"{node.layer.kind} {node.layer.model_dump_json()} {' '.join(read)}"
        key = hashlib.sha256(described.encode()).digest()
        if key not in _luts_of_layers:
            _luts_of_layers[key] = sum(float(operator.luts) for operator in model.operators[node.name])
        total += _luts_of_layers[key]
    return total


COSTS: dict[str, Callable[[QuantizedGraph], float]] = {"model_bits": model_bits, "luts": luts}
UNITS = {"model_bits": "bits of weights and biases", "luts": "predicted LUTs"}
