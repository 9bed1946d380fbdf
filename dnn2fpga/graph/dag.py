"""A small directed acyclic graph of named nodes. It knows no layer: both networks, the float one and the integer one,
are such a graph, and every walk over a network is one of its methods.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Generic, TypeVar

L = TypeVar("L")
M = TypeVar("M")
V = TypeVar("V")


@dataclass(frozen=True)
class Node(Generic[L]):
    """One use of a layer.

    :param name: of the node, and of the tensor that it produces.
    :param layer: the same object in several nodes where a model calls a layer more than once.
    :param inputs: the tensors that it reads, in the order of the layer's arguments.
    """

    name: str
    layer: L
    inputs: tuple[str, ...]


@dataclass(frozen=True)
class Dag(Generic[L]):
    """Nodes in topological order.

    :param inputs: the names of the tensors that come from outside.
    :param outputs: the names of the tensors that leave; a tensor may leave and be read as well.
    :raises ValueError: with everything that is wrong, when names or wiring are.
    """

    inputs: tuple[str, ...]
    nodes: tuple[Node[L], ...]
    outputs: tuple[str, ...]

    def __post_init__(self) -> None:
        if problems := list(self._problems()):
            raise ValueError("; ".join(problems))

    def _problems(self) -> Iterator[str]:
        names = [*self.inputs, *(node.name for node in self.nodes)]
        for name, count in Counter(names).items():
            if count > 1:
                yield f"the name '{name}' is used {count} times"
        known = set(self.inputs)
        for node in self.nodes:
            if not node.inputs:
                yield f"'{node.name}' reads nothing"
            for name in node.inputs:
                if name not in known:
                    later = "which comes after it" if name in names else "which does not exist"
                    yield f"'{node.name}' reads '{name}', {later}"
            known.add(node.name)
        yield from (f"the output '{name}' does not exist" for name in self.outputs if name not in known)
        if not self.outputs:
            yield "there is no output"
        read = {name for node in self.nodes for name in node.inputs} | set(self.outputs)
        yield from (f"nothing reads '{name}'" for name in names if name not in read)

    @classmethod
    def chain(cls, input: str, named: Iterable[tuple[str, L]]) -> Dag[L]:
        """Create a chain of nodes that each read the one before.

        :param input: the name of the input.
        :param named: the layers in order, each with the name of its node.
        :raises ValueError: when a name is used twice.
        """
        nodes: list[Node[L]] = []
        for name, layer in named:
            nodes.append(Node(name, layer, (nodes[-1].name if nodes else input,)))
        return cls((input,), tuple(nodes), (nodes[-1].name if nodes else input,))

    # Looking

    @cached_property
    def by_name(self) -> dict[str, Node[L]]:
        """The nodes by name."""
        return {node.name: node for node in self.nodes}

    @property
    def names(self) -> tuple[str, ...]:
        """All tensors in topological order, inputs first."""
        return (*self.inputs, *(node.name for node in self.nodes))

    @cached_property
    def _readers(self) -> dict[str, tuple[Node[L], ...]]:
        found: dict[str, list[Node[L]]] = {name: [] for name in self.names}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                found[name].append(node)
        return {name: tuple(nodes) for name, nodes in found.items()}

    def readers(self, name: str) -> tuple[Node[L], ...]:
        """Return the nodes that read a tensor, each once."""
        return self._readers[name]

    def only_reader(self, name: str) -> Node[L] | None:
        """Return the node that reads a tensor, if it is read once and does not leave; else None."""
        readers = self.readers(name)
        alone = len(readers) == 1 and name not in self.outputs and readers[0].inputs.count(name) == 1
        return readers[0] if alone else None

    def unused(self, name: str) -> str:
        """Return the name, with underscores appended until no tensor has it."""
        while name in self.names:
            name += "_"
        return name

    # Walking

    def evaluate(self, given: Mapping[str, V], step: Callable[..., V]) -> Iterator[tuple[str, V]]:
        """Yield every tensor with its value in topological order; a value is forgotten after its last reader.

        :param given: the values of the inputs.
        :param step: called as ``step(node, *values)``; returns the value that a node produces.
        """
        left = Counter(name for node in self.nodes for name in node.inputs)
        values = {name: given[name] for name in self.inputs}
        yield from values.items()
        for node in self.nodes:
            value = step(node, *(values[name] for name in node.inputs))
            left.subtract(node.inputs)
            for name in set(node.inputs):
                if not left[name]:
                    del values[name]
            if left[node.name]:
                values[node.name] = value
            yield node.name, value

    def demand(
        self,
        at_outputs: Mapping[str, V],
        through: Callable[[Node[L], V | None], Iterable[V | None]],
        joined: Callable[[V, V], V],
    ) -> dict[str, V]:
        """Collect what is asked of every tensor, from the outputs backwards; tensors of which nothing is asked are left
        out.

        :param at_outputs: what is asked of tensors that leave.
        :param through: called with a node and what is asked of its output (None: nothing); returns what the node asks
            of each of its inputs.
        :param joined: unites what two readers ask of one tensor.
        """
        asked: dict[str, V] = dict(at_outputs)
        for node in reversed(self.nodes):
            for name, value in zip(node.inputs, through(node, asked.get(node.name)), strict=True):
                if value is not None:
                    asked[name] = joined(asked[name], value) if name in asked else value
        return asked

    # Changing: a graph is frozen, so each returns another one

    def mapped(self, change: Callable[[Node[L]], M]) -> Dag[M]:
        """Return the same wiring with other layers.

        :param change: called with each node; returns its new layer.
        """
        return Dag(self.inputs, tuple(Node(n.name, change(n), n.inputs) for n in self.nodes), self.outputs)

    def with_layer(self, name: str, layer: L) -> Dag[L]:
        """Return the same wiring with another layer in the node ``name``."""
        return self.mapped(lambda node: layer if node.name == name else node.layer)

    def without(self, name: str) -> Dag[L]:
        """Return the graph without a node that has one input; who reads the node reads that input instead.

        :raises ValueError: when the node has several inputs.
        """
        (source,) = self.by_name[name].inputs

        def renamed(names: Iterable[str]) -> tuple[str, ...]:
            return tuple(source if one == name else one for one in names)

        nodes = tuple(replace(node, inputs=renamed(node.inputs)) for node in self.nodes if node.name != name)
        return Dag(self.inputs, nodes, renamed(self.outputs))

    def with_node_after(self, name: str, added: str, layer: L, readers: Iterable[str] | None = None) -> Dag[L]:
        """Return the graph with a further node that reads tensor ``name``.

        :param added: the name of the new node.
        :param layer: its layer.
        :param readers: the nodes that read the new node in place of ``name``; None: all, and the outputs.
        """
        chosen = {node.name for node in self.readers(name)} if readers is None else set(readers)

        def rewired(node: Node[L]) -> Node[L]:
            if node.name not in chosen:
                return node
            return replace(node, inputs=tuple(added if one == name else one for one in node.inputs))

        nodes = [rewired(node) for node in self.nodes]
        place = 1 + next((k for k, node in enumerate(nodes) if node.name == name), -1)
        nodes.insert(place, Node(added, layer, (name,)))
        outputs = tuple(added if one == name and readers is None else one for one in self.outputs)
        return Dag(self.inputs, tuple(nodes), outputs)
