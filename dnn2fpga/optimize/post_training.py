"""Post-training quantization: every layer to integers, from calibrated ranges alone (the first step of paper 002,
Algorithm 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dnn2fpga.errors import UserError
from dnn2fpga.graph import Graph, Interval, Shape, Unsupported
from dnn2fpga.layers.scaling import LayerSettings, activation_tensor
from dnn2fpga.quantized_graph import QuantizedGraph, QuantizedLayer

WIDEST_INPUT_BEAT = 1024  # bits; a longer input vector arrives in several beats


@dataclass(frozen=True, kw_only=True)
class QuantizationSettings:
    """How a whole graph is to be quantized."""

    defaults: LayerSettings = field(default_factory=LayerSettings)
    layers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # per layer: fields of LayerSettings
    input_bits: int = 8
    output_bits: int = 16  # logits are only compared: more bits cost nothing and avoid ties
    input_lanes: int | None = None  # numbers of an input vector that arrive together

    def of_layer(self, name: str, last: bool) -> LayerSettings:
        widest = max(self.output_bits, self.defaults.activation_bits)
        settings = replace(self.defaults, activation_bits=widest) if last else self.defaults
        return replace(settings, **self.layers.get(name, {}))


def quantize(graph: Graph, intervals: Mapping[str, Interval], settings: QuantizationSettings) -> QuantizedGraph:
    """A simplified graph in integers.

    :raises UserError: for settings of layers that do not exist, and for all layers that cannot be quantized.
    """
    problems = [
        f"layers.{name}: there is no such layer; there are {', '.join(node.name for node in graph.nodes)}"
        for name in settings.layers
        if name not in {node.name for node in graph.nodes}
    ]
    lanes = settings.input_lanes or input_lanes(graph.input_shape, settings.input_bits)
    tensor = activation_tensor(
        graph.input_shape, lanes, intervals[graph.input_name], settings.input_bits, settings.defaults.scales
    )
    input_tensor = tensor
    layers: list[QuantizedLayer] = []
    for node in graph.nodes:
        last = node is graph.nodes[-1]
        try:
            layer = node.layer.quantize(tensor, intervals[node.name], settings.of_layer(node.name, last))
            layer = layer.model_copy(update={"input": node.input})
            layer.operators(tensor)  # refuses what cannot be computed exactly
        except (Unsupported, ValueError, OverflowError) as reason:
            problems.append(f"layer '{node.name}' ({node.layer.kind}): {reason}")
            break  # what follows depends on this layer's output
        layers.append(layer)
        tensor = layer.output
    if problems:
        raise UserError(problems)
    return QuantizedGraph(
        name=graph.name,
        input_name=graph.input_name,
        input=input_tensor,
        layers=tuple(layers),
        decision=graph.decision,  # type: ignore[arg-type]
        notes=graph.notes,
        float_parameters=graph.float_parameters,
    )


def input_lanes(shape: Shape, bits: int) -> int:
    """One pixel a beat; a vector in as few equal beats as ``WIDEST_INPUT_BEAT`` allows."""
    size = shape[-1]
    if len(shape) == 3:
        return size
    return max(
        lanes for lanes in range(1, size + 1) if size % lanes == 0 and lanes * bits <= max(WIDEST_INPUT_BEAT, bits)
    )
