"""Post-training quantization: every layer to integers, from calibrated ranges alone (the first step of paper 002,
Algorithm 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, create_model

from dnn2fpga.errors import UserError
from dnn2fpga.files.described import Described
from dnn2fpga.files.validation import Count
from dnn2fpga.graph.float import Graph
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.layers.quantized import QuantizedLayer
from dnn2fpga.quantize.ranges import RangeMethod
from dnn2fpga.quantize.scaling import Choice, Seen, activation_tensor, with_one_scale
from dnn2fpga.quantize.settings import Bits, Granularity, LayerSettings, Percentile, Symmetry
from dnn2fpga.tensors.basics import Shape, Unsupported
from dnn2fpga.tensors.tensor import Tensor

WIDEST_INPUT_BEAT = 1024  # bits; a longer input vector arrives in several beats

# Settings of one layer; what is not given is the model's.
LayerOverrides: Any = create_model(  # type: ignore[call-overload]
    "LayerOverrides",
    __base__=Described,
    **{
        name: (Annotated[(field.annotation, *field.metadata, None)] | None, None)
        for name, field in LayerSettings.model_fields.items()
    },
)


class Quantization(LayerSettings):
    """How a whole graph is to be quantized: settings of every layer, but for those in ``layers``."""

    input_bits: Bits = 8
    input_calibration: RangeMethod | None = None  # these four: as of activations when absent
    input_percentile: Percentile | None = None
    input_symmetry: Symmetry | None = None
    input_granularity: Granularity | None = None  # per channel costs nothing: the first layer's weights take it up
    output_bits: Bits = 16  # logits are only compared: more bits cost nothing and avoid ties
    input_lanes: Count | None = None  # numbers of an input vector that arrive together
    calibration_samples: Count = 1000
    layers: dict[str, LayerOverrides] = Field(default_factory=dict)

    @property
    def defaults(self) -> LayerSettings:
        return LayerSettings(**{name: getattr(self, name) for name in LayerSettings.model_fields})

    def with_layers(self, changes: Mapping[str, Mapping[str, Any]]) -> Quantization:
        """The same, with further settings of some layers."""
        own = {name: layer.model_dump(exclude_none=True) for name, layer in self.layers.items()}
        merged = {name: own.get(name, {}) | dict(changes.get(name, {})) for name in {**own, **changes}}
        return self.model_copy(update={"layers": {name: LayerOverrides(**merged[name]) for name in sorted(merged)}})

    def of_layer(self, graph: Graph, index: int) -> LayerSettings:
        """The settings of the layer at ``index``, its own and what its place asks for."""
        settings, node = self.defaults, graph.nodes[index]
        if node is graph.nodes[-1]:
            settings = settings.model_copy(update={"activation_bits": max(self.output_bits, self.activation_bits)})
        if node.name in self.layers:
            settings = settings.model_copy(update=self.layers[node.name].model_dump(exclude_none=True))
        return with_one_scale(settings) if graph.one_scale_behind(index) else settings


def quantize(
    graph: Graph,
    statistics: Mapping[str, Seen],
    settings: Quantization,
    choices: Mapping[str, Choice] | None = None,
) -> QuantizedGraph:
    """A simplified graph in integers.

    :param choices: of layers (and of the input) whose scales are decided already, as training does.
    :raises UserError: for settings of layers that do not exist, and for all layers that cannot be quantized.
    """
    problems = unknown_layers(graph, settings)
    input_tensor = (
        choices[graph.input_name].output if choices else choose_input(graph, statistics[graph.input_name], settings)
    )
    layers: list[QuantizedLayer] = []
    tensor = input_tensor
    for index, node in enumerate(graph.nodes):
        of_layer = settings.of_layer(graph, index)
        try:
            choice = choices[node.name] if choices else node.layer.choose(tensor, statistics[node.name], of_layer)
            layer = node.layer.quantize(tensor, choice, of_layer).model_copy(update={"input": node.input})
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
        decided=graph.task,
        notes=graph.notes,
        float_parameters=graph.float_parameters,
    )


def choose_all(graph: Graph, statistics: Mapping[str, Seen], settings: Quantization) -> dict[str, Choice]:
    """What calibration decides about the input and every layer; raises like ``quantize``."""
    quantized = quantize(graph, statistics, settings)
    tensor = quantized.input
    choices = {graph.input_name: Choice(tensor)}
    for index, node in enumerate(graph.nodes):
        choices[node.name] = node.layer.choose(tensor, statistics[node.name], settings.of_layer(graph, index))
        tensor = choices[node.name].output
    return choices


def choose_input(graph: Graph, seen: Seen, settings: Quantization) -> Tensor:
    lanes = settings.input_lanes or input_lanes(graph.input_shape, settings.input_bits)
    given = {
        "activation_bits": settings.input_bits,
        "calibration": settings.input_calibration,
        "percentile": settings.input_percentile,
        "activation_symmetry": settings.input_symmetry,
        "activation_granularity": settings.input_granularity,
    }
    own = settings.defaults.model_copy(update={name: value for name, value in given.items() if value is not None})
    own = with_one_scale(own) if graph.one_scale_behind(-1) else own
    return activation_tensor(graph.input_shape, lanes, seen, own)


def unknown_layers(graph: Graph, settings: Quantization) -> list[str]:
    names = [node.name for node in graph.nodes]
    return [
        f"layers.{name}: there is no such layer; there are {', '.join(names)}"
        for name in settings.layers
        if name not in names
    ]


def input_lanes(shape: Shape, bits: int) -> int:
    """One pixel a beat; a vector in as few equal beats as ``WIDEST_INPUT_BEAT`` allows."""
    size = shape[-1]
    if len(shape) == 3:
        return size
    return max(
        lanes for lanes in range(1, size + 1) if size % lanes == 0 and lanes * bits <= max(WIDEST_INPUT_BEAT, bits)
    )
