"""Pruning of the float graph, before it is quantized: filters are removed from the graph (Faraone et al., section IV),
then single weights become zero (Vaziri and Mohtasebi, section III) and stay zero during quantization-aware training.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Annotated, Literal, cast

import numpy as np
from pydantic import Field

from dnn2fpga.data import Data
from dnn2fpga.errors import UserError
from dnn2fpga.files.described import Described
from dnn2fpga.files.validation import Count, CountOrNone
from dnn2fpga.graph.float import Graph
from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.linear import Linear
from dnn2fpga.optimize.channel_groups import Block, ChannelGroups, deciding_outputs, with_weights
from dnn2fpga.optimize.post_training import Quantization
from dnn2fpga.progress import Progress, silent
from dnn2fpga.quantize.scaling import choose_weight_scaling, quantize_weights, weight_levels
from dnn2fpga.quantize.settings import LayerSettings, Numbers, Symmetry

if TYPE_CHECKING:
    from dnn2fpga.optimize.fine_tuning import FineTuning
    from dnn2fpga.optimize.settings import TrainingSettings

MANY_ZEROS = 0.1  # of the weights of a layer: fewer are chance

Part = Annotated[float, Field(ge=0, lt=1)]
Rank = Literal["magnitude", "quantization_error"]


class PruningSettings(Described):
    """The amount of pruning: none by default."""

    sparsity: Part | None = None  # zeros among the weights of every layer: those of least magnitude
    layers: dict[str, Part] = Field(default_factory=dict)  # sparsity of single layers
    schedule: Literal["once", "polynomial"] = "once"  # polynomial: more and more zeros during the training
    every: Count = 20  # steps from one choice of the zeros to the next (polynomial)
    filters: Part | None = None  # to be removed from every layer with weights but the last
    filters_of: dict[str, Part] = Field(default_factory=dict)  # to be removed from single layers
    # The criterion of what is removed first: the smallest L2 norm, or the highest quantization error (Faraone et al.).
    rank: Rank = "magnitude"
    multiple: Count = 1  # filters stay in groups of this size (Faraone et al.: N % PE = 0), rounded up
    rounds: Count = 1  # in which filters are removed, with training after each
    epochs: CountOrNone = 4  # of training in floating point after each step

    @property
    def is_asked(self) -> bool:
        return bool(self.sparsity or self.layers or self.filters or self.filters_of)

    def sparsity_of(self, graph: Graph) -> dict[str, float]:
        """Return the sparsity by layer, where it is not 0."""
        wanted = {layer.name: self.layers.get(layer.name, self.sparsity) for layer in with_weights(graph)}
        return {name: sparsity for name, sparsity in wanted.items() if sparsity}

    def filters_left(self, graph: Graph) -> dict[str, int]:
        """Return how many filters stay, by block (``channel_groups``), where not all of them do.

        A block is a layer, or layers whose filters live and die together.
        """
        result = {}
        last = deciding_outputs(graph)
        for block in ChannelGroups(graph).blocks:
            given = [self.filters_of[name] for name in block.layers if name in self.filters_of]
            part = max(given) if given else 0.0 if last & set(block.layers) else self.filters or 0.0
            wanted = max(len(block.groups) - round(part * len(block.groups)), 1)
            left = min(math.ceil(wanted / self.multiple) * self.multiple, len(block.groups))
            if left < len(block.groups):
                result[block.name] = left
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
    """Remove filters, then set weights to zero; train in floating point after each step.

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
    """Return masks by layer, of its trainable weights: those before a batch normalization was folded in, which are zero
    where the folded ones are.
    """
    weights = {layer.name: layer.parameters["weights"] for layer in with_weights(graph)}
    return {name: magnitude_mask(weights[name], sparsity) for name, sparsity in sparsity_of.items()}


def masked(graph: Graph, masks: Mapping[str, np.ndarray]) -> Graph:
    """The graph with zeros where the masks have them."""

    @cache  # a layer in several nodes stays one
    def with_zeros(layer: Layer) -> Layer:
        if layer.name not in masks:
            return layer
        linear, mask = cast(Linear, layer), masks[layer.name]
        values = linear.parameters
        return linear.with_parameters(
            values | {"weights": values["weights"] * mask}, (linear.weights * mask, linear.bias)
        )

    return graph.mapped(lambda node: with_zeros(node.layer))


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
    """The graph in which only ``left`` filters (or neurons) of some blocks are left, and what follows does not know of
    the others. It computes what it would if nothing read them.

    :raises UserError: for all blocks whose filters cannot be removed.
    """
    groups = ChannelGroups(graph)
    if problems := _pinned(groups, left):
        raise UserError(problems)
    removed: list[int] = []
    for block in groups.blocks:
        if block.name in left:
            order = _first_to_go(groups, block, rank, quantization)
            removed += order[: len(order) - left[block.name]]
    return groups.without(removed)


def rounds(graph: Graph, final: Mapping[str, int], count: int) -> list[dict[str, int]]:
    """Return how many filters are left after each of ``count`` rounds of about equal parts; none when all filters
    stay.
    """
    first = {block.name: len(block.groups) for block in ChannelGroups(graph).blocks}
    return [
        {name: first[name] - (first[name] - last) * done // count for name, last in final.items()}
        for done in range(1, count + 1 if final else 1)
    ]


def _first_to_go(groups: ChannelGroups, block: Block, rank: Rank, quantization: Quantization) -> list[int]:
    """All groups of a block, the least important one first; of equal quantization errors the smallest filters. What
    belongs together counts together.
    """
    graph = groups.graph
    norms, errors = np.zeros((2, len(block.groups)))
    of_node: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for place, group in enumerate(block.groups):
        for name, index in groups.filters[group]:
            if name not in of_node:
                layer = cast(Linear, graph.dag.by_name[name].layer)
                squares = np.square(layer.weights, dtype=np.float64).reshape(-1, layer.outputs).sum(axis=0)
                settings = quantization.of_layer(graph, name)
                error = quantization_errors(layer, settings) if rank == "quantization_error" else 0 * squares
                of_node[name] = squares, error
            norms[place] += of_node[name][0][index]
            errors[place] += of_node[name][1][index]
    return [block.groups[place] for place in np.lexsort((norms, -errors))]


def quantization_errors(layer: Linear, settings: LayerSettings) -> np.ndarray:
    """Mean squared quantization error of each filter's weights, Faraone et al., Equation 4: ``[outputs]``."""
    if settings.numbers is Numbers.BINARY32:
        return np.zeros(layer.outputs)
    scaling = choose_weight_scaling(layer.weights, settings, np.full(layer.outputs, np.finfo(np.float64).tiny))
    quantized = quantize_weights(layer.weights, scaling, settings) * scaling.scale
    return np.square(quantized - layer.weights).reshape(-1, layer.outputs).mean(axis=0)


def _pinned(groups: ChannelGroups, left: Mapping[str, int]) -> list[str]:
    """The problems of the blocks that cannot be changed."""
    return [
        f"layer '{block.name}': its filters cannot be removed: {block.reason}; set pruning.filters_of.{block.name}: 0"
        for block in groups.blocks
        if block.name in left and block.reason
    ]


# Refusals


def _problems(graph: Graph, settings: PruningSettings, quantization: Quantization) -> list[str]:
    """All of them."""
    names = [layer.name for layer in with_weights(graph)]
    groups, last = ChannelGroups(graph), deciding_outputs(graph)
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
    problems += [
        f"pruning.filters_of.{name}: these are the model's outputs; remove filters of other layers"
        for name in names
        if name in last and settings.filters_of.get(name)
    ]
    problems += [
        f"pruning.filters_of: the filters of {' and '.join(block.layers)} go together; say the same of all, or of one"
        for block in groups.blocks
        if len({settings.filters_of[name] for name in block.layers if name in settings.filters_of}) > 1
    ]
    sparse, thinned = settings.sparsity_of(graph), settings.filters_left(graph)
    ranked = {name for block in groups.blocks if block.name in thinned for name in block.layers}
    for node in graph.nodes:
        layer, of_layer = node.layer, quantization.of_layer(graph, node.name)
        try:
            if layer.name in sparse and not _has_zero(of_layer):
                own = f"pruning.layers.{layer.name}"
                raise ValueError(f"its weights are only -1 and +1, never 0; set {own}: 0, or give it 2 bits or more")
            if layer.name in ranked:
                weight_levels(of_layer)
        except ValueError as reason:
            problems.append(f"layer '{layer.name}' ({layer.kind}): {reason}")
    return problems + _pinned(groups, {name: count for name, count in thinned.items() if name not in last})


def _has_zero(settings: LayerSettings) -> bool:
    """Return whether a weight of 0 stays 0; raise ``ValueError`` for a weight set that does not exist."""
    always = settings.numbers is Numbers.BINARY32 or settings.weight_symmetry is Symmetry.ASYMMETRIC
    return always or weight_levels(settings).contain(np.zeros(1))


def _notes(graph: Graph, left: Mapping[str, int], sparsity_of: Mapping[str, float]) -> list[str]:
    """Return the lines for the summary."""
    blocks = {block.name: block for block in ChannelGroups(graph).blocks}
    removed = ", ".join(
        f"{' = '.join(blocks[name].layers)} {len(blocks[name].groups)} → {n}" for name, n in left.items()
    )
    zeros = ", ".join(f"{name} {sparsity:.0%}" for name, sparsity in sparsity_of.items())
    return [f"filters left by pruning: {removed}"] * bool(left) + [f"weights pruned to zero: {zeros}"] * bool(zeros)
