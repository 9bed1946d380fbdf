"""Pruning of the float graph, before it is quantized: filters are removed from the graph (paper 003, section IV), then
single weights become zero (paper 000, section III) and stay zero during quantization-aware training.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import numpy as np
from pydantic import Field

from dnn2fpga.data import Data
from dnn2fpga.errors import UserError
from dnn2fpga.files.described import Described
from dnn2fpga.files.validation import Count, CountOrNone
from dnn2fpga.graph.dag import Node
from dnn2fpga.graph.float import Graph
from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.linear import Linear
from dnn2fpga.optimize.post_training import Quantization
from dnn2fpga.progress import Progress, silent
from dnn2fpga.quantize.scaling import choose_weight_scaling, quantize_weights, weight_levels
from dnn2fpga.quantize.settings import LayerSettings, Numbers, Symmetry
from dnn2fpga.tensors.basics import Unsupported

if TYPE_CHECKING:
    from dnn2fpga.optimize.fine_tuning import FineTuning
    from dnn2fpga.optimize.settings import TrainingSettings

MANY_ZEROS = 0.1  # of the weights of a layer: fewer are chance

Part = Annotated[float, Field(ge=0, lt=1)]
Rank = Literal["magnitude", "quantization_error"]


class PruningSettings(Described):
    """How much is pruned: nothing, unless it is said."""

    sparsity: Part | None = None  # zeros among the weights of every layer: those of least magnitude
    layers: dict[str, Part] = Field(default_factory=dict)  # sparsity of single layers
    schedule: Literal["once", "polynomial"] = "once"  # polynomial: more and more zeros during the training
    every: Count = 20  # steps from one choice of the zeros to the next (polynomial)
    filters: Part | None = None  # to be removed from every layer with weights but the last
    filters_of: dict[str, Part] = Field(default_factory=dict)  # to be removed from single layers
    rank: Rank = "magnitude"  # what goes first: the smallest L2 norm, or the highest quantization error (paper 003)
    multiple: Count = 1  # filters stay in groups of so many (paper 003: N % PE = 0), rounded up
    rounds: Count = 1  # in which filters are removed, with training after each
    epochs: CountOrNone = 4  # of training in floating point after each step

    @property
    def is_asked(self) -> bool:
        return bool(self.sparsity or self.layers or self.filters or self.filters_of)

    def sparsity_of(self, graph: Graph) -> dict[str, float]:
        """By layer, where it is not 0."""
        wanted = {layer.name: self.layers.get(layer.name, self.sparsity) for layer in with_weights(graph)}
        return {name: sparsity for name, sparsity in wanted.items() if sparsity}

    def filters_left(self, graph: Graph) -> dict[str, int]:
        """How many filters stay, by layer, where not all of them do."""
        result = {}
        for layer in with_weights(graph)[:-1]:
            if layer.ties_channels:
                continue
            part = self.filters_of.get(layer.name, self.filters) or 0.0
            wanted = max(layer.outputs - round(part * layer.outputs), 1)
            left = min(math.ceil(wanted / self.multiple) * self.multiple, layer.outputs)
            if left < layer.outputs:
                result[layer.name] = left
        return result


@dataclass(frozen=True, eq=False)
class Pruned:
    """The float graph that is left, and by layer a mask like its trainable weights: 0 where a weight stays 0."""

    graph: Graph
    masks: dict[str, np.ndarray]


def prune(
    graph: Graph,
    data: Data,
    settings: PruningSettings,
    training: TrainingSettings | None,
    quantization: Quantization,
    progress: Progress = silent,
) -> Pruned:
    """Removes filters, then sets weights to zero; trains in floating point after each step.

    :param data: to train with, on its labels or on the outputs of ``graph``.
    :param training: None leaves all other weights as they are.
    :param quantization: its errors may rank the filters; its weight sets must have a zero where weights become zero.
    :raises UserError: for everything that cannot be done as asked.
    """
    if problems := _problems(graph, settings, quantization):
        raise UserError(problems)
    tune: FineTuning | None = None
    if training:
        from dnn2fpga.optimize.fine_tuning import FineTuning  # TensorFlow, only when it is needed

        tune = FineTuning(data, training, graph, progress)
    pruned, final, sparsity_of = graph, settings.filters_left(graph), settings.sparsity_of(graph)
    for left in rounds(graph, final, settings.rounds):
        pruned = remove_filters(pruned, left, settings.rank, quantization)
        pruned = tune(pruned, "training after removing filters") if tune else pruned
    if tune and sparsity_of and settings.schedule == "polynomial":
        result = tune.gradually(pruned, "training with fewer and fewer weights", sparsity_of, settings.every)
    else:
        masks = magnitude_masks(pruned, sparsity_of)
        pruned = masked(pruned, masks)
        result = Pruned(tune(pruned, "training with few weights", masks) if tune and masks else pruned, masks)
    notes = (*graph.notes, *_notes(graph, final, sparsity_of))
    return Pruned(replace(result.graph, notes=notes), result.masks)


# Zeros among the weights


def magnitude_mask(weights: np.ndarray, sparsity: float) -> np.ndarray:
    """float32 like ``weights``: 0 for those of least magnitude, ``round(sparsity * size)`` of them (of equals the
    first), 1 for the others.
    """
    mask = np.ones(weights.size, np.float32)
    mask[np.argsort(np.abs(weights), axis=None, kind="stable")[: round(sparsity * weights.size)]] = 0
    return mask.reshape(weights.shape)


def magnitude_masks(graph: Graph, sparsity_of: Mapping[str, float]) -> dict[str, np.ndarray]:
    """By layer, of its trainable weights: those before a batch normalization was folded in, which are zero where the
    folded ones are.
    """
    weights = {layer.name: layer.parameters["weights"] for layer in with_weights(graph)}
    return {name: magnitude_mask(weights[name], sparsity) for name, sparsity in sparsity_of.items()}


def masked(graph: Graph, masks: Mapping[str, np.ndarray]) -> Graph:
    """The graph with zeros where the masks have them."""

    def with_zeros(node: Node[Any]) -> Layer:
        if node.name not in masks:
            return cast(Layer, node.layer)
        linear, mask = cast(Linear, node.layer), masks[node.name]
        values = linear.parameters
        return linear.with_parameters(
            values | {"weights": values["weights"] * mask}, (linear.weights * mask, linear.bias)
        )

    return graph.mapped(with_zeros)


def zeros_kept(graph: Graph, quantization: Quantization) -> dict[str, np.ndarray]:
    """Masks for a model that was pruned before it came here: its zeros stay, in layers where they are many."""
    masks = {}
    for node in graph.nodes:
        layer = node.layer
        mask = (layer.parameters["weights"] != 0).astype(np.float32) if layer.has_weights else np.ones(1, np.float32)
        if mask.mean() <= 1 - MANY_ZEROS and _has_zero(quantization.of_layer(graph, node.name)):
            masks[node.name] = mask
    return masks


# Filters


def remove_filters(graph: Graph, left: Mapping[str, int], rank: Rank, quantization: Quantization) -> Graph:
    """The graph in which only ``left`` filters (or neurons) of some layers are left, and what follows does not know of
    the others. It computes what it would if nothing read them.

    :raises UserError: for all layers whose filters cannot be removed.
    """
    kept = {}
    for node in graph.nodes:
        if node.name in left:
            order = _first_to_go(cast(Linear, node.layer), rank, quantization.of_layer(graph, node.name))
            kept[node.name] = np.sort(order[len(order) - left[node.name] :])
    layers, problems = _keep_only(graph, kept)
    if problems:
        raise UserError(problems)
    return graph.mapped(lambda node: layers[node.name])


def rounds(graph: Graph, final: Mapping[str, int], count: int) -> list[dict[str, int]]:
    """How many filters are left after each of ``count`` rounds of about equal parts; none when all filters stay."""
    first = {layer.name: layer.outputs for layer in with_weights(graph)}
    return [
        {name: first[name] - (first[name] - last) * done // count for name, last in final.items()}
        for done in range(1, count + 1 if final else 1)
    ]


def _first_to_go(layer: Linear, rank: Rank, settings: LayerSettings) -> np.ndarray:
    """All filters, the least important one first; of equal quantization errors the smallest filter."""
    norms = np.square(layer.weights, dtype=np.float64).reshape(-1, layer.outputs).sum(axis=0)
    errors = quantization_errors(layer, settings) if rank == "quantization_error" else np.zeros_like(norms)
    return np.lexsort((norms, -errors))


def quantization_errors(layer: Linear, settings: LayerSettings) -> np.ndarray:
    """Mean squared quantization error of each filter's weights, paper 003, Equation 4: ``[outputs]``."""
    if settings.numbers is Numbers.BINARY32:
        return np.zeros(layer.outputs)
    scaling = choose_weight_scaling(layer.weights, settings, np.full(layer.outputs, np.finfo(np.float64).tiny))
    quantized = quantize_weights(layer.weights, scaling, settings) * scaling.scale
    return np.square(quantized - layer.weights).reshape(-1, layer.outputs).mean(axis=0)


def _keep_only(graph: Graph, kept: Mapping[str, np.ndarray]) -> tuple[dict[str, Layer], list[str]]:
    """The layers with only the ``kept`` filters of some, and the problems of those for which it cannot be done."""
    layers: dict[str, Layer] = {}
    problems: list[str] = []
    arriving, source, shape = None, "", graph.input_shape  # the channels that are left of the tensor, and since where
    for node in graph.nodes:
        layer = node.layer
        if arriving is not None:
            try:
                layer, arriving = layer.keep_inputs(arriving, shape)
            except Unsupported as reason:
                problems.append(
                    f"layer '{source}': its filters cannot be removed: {reason}; set pruning.filters_of.{source}: 0"
                )
                arriving = None
        if node.name in kept:
            layer = layer.keep_outputs(kept[node.name]) or layer
            arriving, source = kept[node.name], node.name
        layers[node.name] = layer
        shape = graph.shapes[node.name]
    if arriving is not None:
        problems.append(
            f"layer '{source}': its filters cannot be removed: the model's outputs are computed channel by channel from"
            f" them; set pruning.filters_of.{source}: 0"
        )
    return layers, problems


# What cannot be done


def _problems(graph: Graph, settings: PruningSettings, quantization: Quantization) -> list[str]:
    """All of them."""
    names = [layer.name for layer in with_weights(graph)]
    problems = [
        f"pruning.{key}.{name}: there is no such layer with weights; there are {', '.join(names)}"
        for key, asked in (("layers", settings.layers), ("filters_of", settings.filters_of))
        for name in asked
        if name not in names
    ]
    problems += [
        f"pruning.filters_of.{layer.name}: its filters are tied to the channels of its input, and go with them"
        for layer in with_weights(graph)
        if layer.ties_channels and settings.filters_of.get(layer.name)
    ]
    if names and settings.filters_of.get(names[-1]):
        problems.append(
            f"pruning.filters_of.{names[-1]}: these are the model's outputs; remove filters of other layers"
        )
    sparse, thinned = settings.sparsity_of(graph), settings.filters_left(graph)
    for node in graph.nodes:
        layer, of_layer = node.layer, quantization.of_layer(graph, node.name)
        try:
            if layer.name in sparse and not _has_zero(of_layer):
                own = f"pruning.layers.{layer.name}"
                raise ValueError(f"its weights are only -1 and +1, never 0; set {own}: 0, or give it 2 bits or more")
            if layer.name in thinned:
                weight_levels(of_layer)
        except ValueError as reason:
            problems.append(f"layer '{layer.name}' ({layer.kind}): {reason}")
    return problems + _keep_only(graph, {name: np.arange(count) for name, count in thinned.items()})[1]


def _has_zero(settings: LayerSettings) -> bool:
    """Whether a weight of 0 stays 0; raises ``ValueError`` for a weight set that does not exist."""
    always = settings.numbers is Numbers.BINARY32 or settings.weight_symmetry is Symmetry.ASYMMETRIC
    return always or weight_levels(settings).contain(np.zeros(1))


def _notes(graph: Graph, left: Mapping[str, int], sparsity_of: Mapping[str, float]) -> list[str]:
    """For the summary."""
    count = {layer.name: layer.outputs for layer in with_weights(graph)}
    removed = ", ".join(f"{name} {count[name]} → {n}" for name, n in left.items())
    zeros = ", ".join(f"{name} {sparsity:.0%}" for name, sparsity in sparsity_of.items())
    return [f"filters left by pruning: {removed}"] * bool(left) + [f"weights pruned to zero: {zeros}"] * bool(zeros)


def with_weights(graph: Graph) -> list[Linear]:
    """What may be pruned."""
    return [cast(Linear, layer) for layer in graph.layers if layer.has_weights]
