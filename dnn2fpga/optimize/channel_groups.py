"""Groups of channels of a float graph that are kept or removed together.

A channel is an index of the last axis of a tensor. Layers say which channels stand and fall with which
(``Prunable.channel_origins``); the connected components of that relation over all tensors are the groups. What is
removed is always whole groups, so that every tensor, and every layer that reads it, agree about what is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from dnn2fpga.graph.dag import Node
from dnn2fpga.graph.float import Graph
from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.linear import Linear
from dnn2fpga.tensors.basics import Unsupported


@dataclass(frozen=True)
class Block:
    """Groups that are made of filters of the same layers.

    :param name: of the layer, or of the first of the layers.
    :param layers: that have a filter, or several, in each of the groups.
    :param groups: in the order of the first layer's filters.
    :param reason: why none can be removed; None: they can.
    """

    name: str
    layers: tuple[str, ...]
    groups: tuple[int, ...]
    reason: str | None


@dataclass(frozen=True, eq=False)
class ChannelGroups:
    """The groups of a graph."""

    graph: Graph

    @cached_property
    def of(self) -> dict[str, np.ndarray]:
        """The group of every channel of every tensor."""
        sizes = {name: shape[-1] for name, shape in self.graph.shapes.items()}
        starts = dict(zip(sizes, np.cumsum([0, *sizes.values()]), strict=False))
        ends = [(starts[a] + i, starts[b] + j) for a, i, b, j in self._ties()]
        one, other = np.concatenate([np.zeros((2, 0), np.int64), *map(np.stack, ends)], axis=1)
        count = sum(sizes.values())
        _, groups = connected_components(coo_matrix((np.ones(len(one)), (one, other)), (count, count)), directed=False)
        return {name: groups[starts[name] : starts[name] + size] for name, size in sizes.items()}

    def _ties(self) -> Iterator[tuple[str, np.ndarray, str, np.ndarray]]:
        """Channels of one tensor and channels of another, in pairs."""
        shapes = self.graph.shapes
        first_use: dict[int, Node[Any]] = {}
        for node in self.graph.nodes:
            answer = self._origins[node.name]
            for name, origin in zip(node.inputs, [] if isinstance(answer, Unsupported) else answer, strict=False):
                (tied,) = np.nonzero(origin >= 0)
                yield name, origin[tied], node.name, tied
            # A layer in several nodes has its numbers once.
            first = first_use.setdefault(id(node.layer), node)
            for one, other in zip((first.name, *first.inputs), (node.name, *node.inputs), strict=True):
                channels = np.arange(min(shapes[one][-1], shapes[other][-1]))
                yield one, channels, other, channels

    @cached_property
    def _origins(self) -> dict[str, list[np.ndarray] | Unsupported]:
        """Return the channel origins by node; the reason why, where no channel can be removed."""
        shapes = self.graph.shapes
        found: dict[str, list[np.ndarray] | Unsupported] = {}
        for node in self.graph.nodes:
            try:
                inputs = [shapes[name] for name in node.inputs]
                found[node.name] = node.layer.channel_origins(shapes[node.name], *inputs)
            except Unsupported as reason:
                found[node.name] = reason
        return found

    @cached_property
    def reasons(self) -> dict[int, str]:
        """The groups of which nothing can be removed, and why."""
        found: dict[int, str] = {}
        groups = self.of
        for node in self.graph.nodes:
            if isinstance(answer := self._origins[node.name], Unsupported):
                for name in (*node.inputs, node.name):
                    found |= dict.fromkeys(groups[name].tolist(), f"{answer} ('{node.name}')")
        for name in self.graph.inputs:
            found |= dict.fromkeys(groups[name].tolist(), f"they meet the channels of the model's input '{name}'")
        for name, tensor in self.graph.outputs.items():
            found |= dict.fromkeys(
                groups[tensor].tolist(), f"the model's outputs are computed channel by channel from them ('{name}')"
            )
        return found

    @cached_property
    def filters(self) -> dict[int, list[tuple[str, int]]]:
        """The filters of every group, each with the node that has it; only those of layers that decide about them."""
        found: dict[int, list[tuple[str, int]]] = {}
        seen: set[int] = set()
        for node in self.graph.nodes:
            if node.layer.has_weights and not node.layer.ties_channels and id(node.layer) not in seen:
                seen.add(id(node.layer))
                for index, group in enumerate(self.of[node.name].tolist()):
                    found.setdefault(group, []).append((node.name, index))
        return found

    @cached_property
    def blocks(self) -> list[Block]:
        """All of them, in topological order of their first layers."""
        groups: dict[tuple[tuple[str, ...], str | None], list[int]] = {}
        for group, members in self.filters.items():
            layers = tuple(dict.fromkeys(self.graph.dag.by_name[name].layer.name for name, _ in members))
            groups.setdefault((layers, self.reasons.get(group)), []).append(group)
        first = [layers[0] for layers, _ in groups]
        return [
            Block(layers[0] if first.count(layers[0]) == 1 else " + ".join(layers), layers, tuple(own), reason)
            for (layers, reason), own in groups.items()
        ]

    def without(self, removed: Iterable[int]) -> Graph:
        """The graph in which nothing knows of some groups. It computes what it would if nothing read them."""
        gone = np.array(sorted(removed), np.int64)
        kept = {name: np.flatnonzero(~np.isin(groups, gone)) for name, groups in self.of.items()}
        layers: dict[int, Layer] = {}

        def shrunk(node: Node[Any]) -> Layer:
            if id(node.layer) not in layers:
                whole = all(len(kept[name]) == len(self.of[name]) for name in (*node.inputs, node.name))
                inputs = [kept[name] for name in node.inputs]
                layers[id(node.layer)] = node.layer if whole else node.layer.keep_channels(inputs, kept[node.name])
            return layers[id(node.layer)]

        return self.graph.mapped(shrunk)


def deciding_outputs(graph: Graph) -> set[str]:
    """The layers with weights that no other layer with weights follows on the way to an output."""

    def through(node: Node[Any], reaches: bool | None) -> list[bool | None]:
        return [None if node.layer.has_weights else reaches] * len(node.inputs)

    reaching = graph.dag.demand(dict.fromkeys(graph.dag.outputs, True), through, lambda one, other: one or other)
    return {node.layer.name for node in graph.nodes if node.layer.has_weights and reaching.get(node.name)}


def with_weights(graph: Graph) -> list[Linear]:
    """The layers that may be pruned, each once."""
    return list({id(layer): cast(Linear, layer) for layer in graph.layers if layer.has_weights}.values())
