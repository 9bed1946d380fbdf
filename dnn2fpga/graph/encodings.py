"""Constraints on the encodings of a float graph: tensors that must mean the same by the same integers, and tensors that
need one scale for all channels.

Both are known from the graph alone. A layer that preserves the encoding (pooling, reshape, concatenation) passes on
what is asked of its output; every other one computes, and can be asked for any encoding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from dnn2fpga.graph.dag import Dag, Node
from dnn2fpga.graph.union_find import UnionFind
from dnn2fpga.tensors.basics import Shape

LARGEST_BEAT = 64  # numbers: a longer input vector may arrive in several beats


@dataclass(frozen=True, eq=False)
class Encodings:
    """The constraints of a graph on the encodings of its tensors.

    :param dag: the layers and their wiring.
    :param shapes: the shape of every tensor by name, without the batch.
    """

    dag: Dag[Any]
    shapes: Mapping[str, Shape]

    def uniform(self, tensor: str) -> bool:
        """Return whether all channels must share one scale. That is so for outputs, for tensors of which a layer asks
        it, and for those that meet the channels of another tensor in the same lanes.
        """
        return self._uniform.get(tensor, False)

    def leaving(self, tensor: str) -> bool:
        """Return whether the integers of a tensor are those of an output."""
        return self._leaving.get(tensor, False)

    def fixed(self, tensor: str) -> bool:
        """Return whether training must not move the scale. That is so for outputs, for tensors of which a layer asks
        it, and for those that share their scale with one of these or with a function's range.
        """
        return self._sharing.find(tensor) in self._fixed

    def sharing(self, tensor: str) -> Sequence[str]:
        """Return the tensors that must have the encoding of this one, itself among them, in topological order."""
        return self._classes[self._sharing.find(tensor)]

    def owners(self, tensor: str) -> list[str]:
        """Return those tensors of the same encoding whose encoding can be chosen: the others inherit it from the
        tensors that they read.
        """
        return [name for name in self.sharing(tensor) if not self._carries(name)]

    def joins(self, tensor: str) -> list[str]:
        """Return those tensors of the same encoding that are several others, one after the other."""
        by_name = self.dag.by_name
        return [name for name in self.sharing(tensor) if self._carries(name) and len(by_name[name].inputs) > 1]

    def _carries(self, tensor: str) -> bool:
        node = self.dag.by_name.get(tensor)
        return node is not None and node.layer.preserves_encoding

    def _meets(self, node: Node[Any]) -> bool:
        """Return whether values of several inputs meet in the same lanes."""
        shapes = [self.shapes[name] for name in node.inputs]
        return bool(node.layer.needs_one_encoding(shapes, [self._in_beats[name] for name in node.inputs]))

    @cached_property
    def _in_beats(self) -> dict[str, bool]:
        shapes = self.shapes
        inputs = {name: len(shapes[name]) != 3 and shapes[name][-1] > LARGEST_BEAT for name in self.dag.inputs}

        def step(node: Node[Any], *before: bool) -> bool:
            return bool(node.layer.in_beats([shapes[name] for name in node.inputs], before))

        return dict(self.dag.evaluate(inputs, step))

    def _reaching(self, asking: frozenset[str]) -> dict[str, bool]:
        """The tensors whose integers reach an output, or a node of ``asking``, without being computed on before."""

        def through(node: Node[Any], asked: bool | None) -> list[bool | None]:
            passed_on = True if node.name in asking else asked if node.layer.preserves_encoding else None
            return [passed_on] * len(node.inputs)

        return self.dag.demand(dict.fromkeys(self.dag.outputs, True), through, lambda one, other: one or other)

    @cached_property
    def _leaving(self) -> dict[str, bool]:
        return self._reaching(frozenset())

    @cached_property
    def _asking(self) -> frozenset[str]:
        return frozenset(node.name for node in self.dag.nodes if node.layer.needs_uniform_scale)

    @cached_property
    def _uniform(self) -> dict[str, bool]:
        return self._reaching(self._asking | {node.name for node in self.dag.nodes if self._meets(node)})

    @cached_property
    def _sharing(self) -> UnionFind[str]:
        classes: UnionFind[str] = UnionFind()
        for name in self.dag.names:
            classes.find(name)
        for node in self.dag.nodes:
            alone = len(node.inputs) == 1
            if node.layer.preserves_encoding and (alone or self.uniform(node.name) or self._meets(node)):
                for name in node.inputs:
                    classes.union(name, node.name)
        return classes

    @cached_property
    def _classes(self) -> dict[str, list[str]]:
        return self._sharing.sets()

    @cached_property
    def _fixed(self) -> set[str]:
        fixed = set(self._reaching(self._asking))
        fixed |= {node.name for node in self.dag.nodes if node.layer.fixed_range}
        return {self._sharing.find(name) for name in fixed}
