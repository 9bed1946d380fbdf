"""Post-training quantization: every layer to integers, from calibrated ranges alone (the first step of Tourad and
Eleuldj, Algorithm 1).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, cast

from pydantic import Field, create_model

from dnn2fpga.errors import UserError
from dnn2fpga.files.described import Described
from dnn2fpga.files.validation import Count
from dnn2fpga.graph.dag import Dag, Node
from dnn2fpga.graph.float import Graph
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.layers.quantized import QuantizedLayer
from dnn2fpga.layers.reshape import QuantizedReshape
from dnn2fpga.quantize.ranges import RangeMethod
from dnn2fpga.quantize.scaling import Observed, QuantizationChoice, activation_tensor, joint, with_one_scale
from dnn2fpga.quantize.settings import Bits, Granularity, LayerSettings, Percentile, Symmetry
from dnn2fpga.tensors.basics import Shape, Unsupported
from dnn2fpga.tensors.tensor import Tensor

WIDEST_INPUT_BEAT = 1024  # bits; a longer input vector arrives in several beats
SHARED = ("calibration", "activation_symmetry", "percentile", "scales")  # settings of those that share an encoding

# Settings of one layer; what is not given is the model's.
LayerOverrides: Any = create_model(  # type: ignore[call-overload]
    "LayerOverrides",
    __base__=Described,
    **{
        name: (Annotated[(field.annotation, *field.metadata, None)] | None, None)
        for name, field in LayerSettings.model_fields.items()
    },
)


class InputOverrides(Described):
    """Settings of one input: those of `Quantization` that begin with ``input_``. What is not given is the model's."""

    bits: Bits | None = None
    calibration: RangeMethod | None = None
    percentile: Percentile | None = None
    symmetry: Symmetry | None = None
    granularity: Granularity | None = None
    lanes: Count | None = None


class Quantization(LayerSettings):
    """The quantization of a whole graph: settings of what ``layers`` and ``inputs`` do not name."""

    input_bits: Bits = 8
    input_calibration: RangeMethod | None = None  # these four: as of activations when absent
    input_percentile: Percentile | None = None
    input_symmetry: Symmetry | None = None
    input_granularity: Granularity | None = None  # per channel costs nothing: the first layer's weights take it up
    output_bits: Bits = 16  # logits are only compared: more bits cost nothing and avoid ties
    input_lanes: Count | None = None  # numbers of an input vector that arrive together
    calibration_samples: Count = 1000
    layers: dict[str, LayerOverrides] = Field(default_factory=dict)
    inputs: dict[str, InputOverrides] = Field(default_factory=dict)

    @property
    def defaults(self) -> LayerSettings:
        return LayerSettings(**{name: getattr(self, name) for name in LayerSettings.model_fields})

    def with_layers(self, changes: Mapping[str, Mapping[str, Any]]) -> Quantization:
        """The same, with further settings of some layers."""
        own = {name: layer.model_dump(exclude_none=True) for name, layer in self.layers.items()}
        merged = {name: own.get(name, {}) | dict(changes.get(name, {})) for name in {**own, **changes}}
        return self.model_copy(update={"layers": {name: LayerOverrides(**merged[name]) for name in sorted(merged)}})

    def for_input(self, name: str) -> Quantization:
        """The same, with the settings of one input in place of those of all."""
        own = self.inputs[name].model_dump(exclude_none=True) if name in self.inputs else {}
        return self.model_copy(update={f"input_{key}": value for key, value in own.items()})

    def of_layer(self, graph: Graph, name: str) -> LayerSettings:
        """The settings of a node, its own and what its place asks for.

        Tensors that share one encoding have the most bits that one of them asks for; for what else decides about an
        encoding, the first of them stands.
        """
        settings = self._own(graph, name)
        owners = graph.encodings.owners(name)
        if len(owners) > 1 and name in owners:
            own = [self._own(graph, owner) for owner in owners]
            shared = {field: getattr(own[0], field) for field in SHARED}
            shared["activation_bits"] = max(one.activation_bits for one in own)
            settings = settings.model_copy(update=shared)
        return with_one_scale(settings) if graph.needs_uniform_scale_downstream(name) else settings

    def _own(self, graph: Graph, name: str) -> LayerSettings:
        settings = self.defaults
        if graph.leaves(name):
            settings = settings.model_copy(update={"activation_bits": max(self.output_bits, self.activation_bits)})
        if name in self.layers:
            settings = settings.model_copy(update=self.layers[name].model_dump(exclude_none=True))
        return settings


Choices = Mapping[str, QuantizationChoice]  # by tensor


def quantize(
    graph: Graph,
    statistics: Mapping[str, Observed],
    settings: Quantization,
    choices: Choices | None = None,
) -> QuantizedGraph:
    """Return a simplified graph in integers.

    :param choices: of all tensors, whose scales are decided already, as training does.
    :raises UserError: for settings of layers and inputs that do not exist, and for all layers that cannot be quantized.
    """
    return _Quantized(graph, statistics, settings, choices).model


def choose_all(
    graph: Graph, statistics: Mapping[str, Observed], settings: Quantization
) -> dict[str, QuantizationChoice]:
    """Return what calibration decides about every tensor; raise like ``quantize``."""
    return _Quantized(graph, statistics, settings, None).choices


class _Quantized:
    """The choices for a graph, and the integer model made of them."""

    def __init__(
        self, graph: Graph, statistics: Mapping[str, Observed], settings: Quantization, choices: Choices | None
    ) -> None:
        self.graph, self.statistics, self.settings = graph, statistics, settings
        self.given = choices
        self.choices: dict[str, QuantizationChoice] = {}
        self.problems = unknown_names(graph, settings)
        for name in graph.inputs:
            self.choices[name] = (
                choices[name] if choices else QuantizationChoice(choose_input(graph, name, statistics[name], settings))
            )
        self.nodes: dict[str, Node[QuantizedLayer]] = {}
        # A layer that follows one that cannot be quantized depends on it, and is not looked at.
        known: dict[str, bool] = dict.fromkeys(graph.inputs, True)
        for _ in graph.dag.evaluate(known, self._quantized):
            pass
        if self.problems:
            raise UserError(self.problems)
        self.model = QuantizedGraph(
            name=graph.name,
            inputs={name: self.choices[name].output for name in graph.inputs},
            dag=Dag(graph.dag.inputs, tuple(self.nodes.values()), graph.dag.outputs),
            output_names=graph.output_names,
            decided=graph.tasks,
            notes=graph.notes,
            float_parameters=graph.float_parameters,
            origin=graph.origin,
        )

    def _quantized(self, node: Node[Any], *before: bool) -> bool:
        """Add the integer layer of a node; False where it, or one that it depends on, cannot be quantized.

        :param before: whether the layers that it reads could be.
        """
        if not all(before):
            return False
        own = self.settings.of_layer(self.graph, node.name)
        try:
            inputs = in_needed_lanes(node.layer, [self.choices[name].output for name in node.inputs])
            choice = self.given[node.name] if self.given else self._choice(node, own, inputs)
            layer: QuantizedLayer = node.layer.quantize(choice, own, *inputs).model_copy(update={"name": node.name})
            layer.operators(*inputs)  # refuses what cannot be computed exactly
        except (Unsupported, ValueError, OverflowError) as reason:
            self.problems.append(f"layer '{node.name}' ({node.layer.kind}): {reason}")
            return False
        self.choices[node.name] = choice
        read = tuple(self._repacked(name, tensor) for name, tensor in zip(node.inputs, inputs, strict=True))
        self.nodes[node.name] = Node(node.name, layer, read)
        return True

    def _repacked(self, name: str, tensor: Tensor) -> str:
        """The name of a tensor in the lanes of ``tensor``: its own, or that of a further node."""
        if self.choices[name].output.lanes == tensor.lanes:
            return name
        added = self.graph.dag.unused(f"{name}_in_{tensor.lanes}_lanes")
        self.nodes.setdefault(added, Node(added, QuantizedReshape(name=added, output=tensor), (name,)))
        return added

    def _choice(self, node: Node[Any], settings: LayerSettings, inputs: Iterable[Tensor]) -> QuantizationChoice:
        encodings = self.graph.encodings
        shared = len(encodings.owners(node.name)) > 1
        names = encodings.joins(node.name) if shared else [node.name]
        seen: Observed = joint([self.statistics[name] for name in names])
        return cast(QuantizationChoice, node.layer.choose(seen, settings, *inputs))


def in_needed_lanes(layer: Any, inputs: Sequence[Tensor]) -> list[Tensor]:
    """The inputs of a layer in beats of the sizes that it needs.

    :raises ValueError: where that is not possible.
    """
    return [one.in_lanes(lanes) for one, lanes in zip(inputs, layer.input_lanes(*inputs), strict=True)]


def choose_input(graph: Graph, name: str, seen: Observed, settings: Quantization) -> Tensor:
    """The format and scale of an input tensor."""
    shape, settings = graph.inputs[name], settings.for_input(name)
    lanes = settings.input_lanes or input_lanes(shape, settings.input_bits)
    given = {
        "activation_bits": settings.input_bits,
        "calibration": settings.input_calibration,
        "percentile": settings.input_percentile,
        "activation_symmetry": settings.input_symmetry,
        "activation_granularity": settings.input_granularity,
    }
    own = settings.defaults.model_copy(update={name: value for name, value in given.items() if value is not None})
    own = with_one_scale(own) if graph.needs_uniform_scale_downstream(name) else own
    return activation_tensor(shape, lanes, seen, own)


def unknown_names(graph: Graph, settings: Quantization) -> list[str]:
    """Problems with settings of layers and inputs that do not exist."""
    groups = (
        ("layers", "layer", settings.layers, [node.name for node in graph.nodes]),
        ("inputs", "input", settings.inputs, list(graph.inputs)),
    )
    return [
        f"{group}.{name}: there is no such {what}; there are {', '.join(known)}"
        for group, what, given, known in groups
        for name in given
        if name not in known
    ]


def input_lanes(shape: Shape, bits: int) -> int:
    """Return the lanes of an input: one pixel per beat; a vector in as few equal beats as ``WIDEST_INPUT_BEAT``
    allows.
    """
    size = shape[-1]
    if len(shape) == 3:
        return size
    return max(
        lanes for lanes in range(1, size + 1) if size % lanes == 0 and lanes * bits <= max(WIDEST_INPUT_BEAT, bits)
    )
