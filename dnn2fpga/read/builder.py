"""The interface by which a front end makes a graph: it adds inputs, layers and outputs, and names what it cannot read.
The requirements on every network, whatever file it comes from, are checked here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import count

from dnn2fpga.errors import UserError
from dnn2fpga.graph.dag import Dag, Node
from dnn2fpga.graph.float import Graph
from dnn2fpga.layers.base import Layer
from dnn2fpga.read.limits import LARGEST_EXTENT, MOST_JOINED, MOST_NUMBERS, MOST_PARAMETERS, MOST_PORTS
from dnn2fpga.tensors.basics import Shape, Unsupported


def identifier(name: str) -> str:
    """Return a name that Verilog, YAML and file systems all accept."""
    cleaned = re.sub(r"\W", "_", name, flags=re.ASCII)
    return cleaned if re.match(r"[A-Za-z_]", cleaned) else f"_{cleaned}"


@dataclass(frozen=True)
class SymbolicTensor:
    """A tensor of a graph that is being built.

    :param shape: without the batch.
    """

    name: str
    shape: Shape


class GraphBuilder:
    """Builds a `Graph` step by step, and collects the problems of a model.

    :param name: of the model.
    :param file: the file it is read from, for messages.
    :param reserved: names that layers of the file have of their own: no other node ever gets one.
    """

    def __init__(self, name: str, file: str, reserved: Iterable[str] = ()) -> None:
        self._name = identifier(name)
        self._file = file
        self._reserved = {identifier(one) for one in reserved}
        self._taken: set[str] = set()
        self._inputs: dict[str, Shape] = {}
        self._nodes: list[Node[Layer]] = []
        self._placed: dict[Layer, Layer] = {}
        self._outputs: dict[str, str] = {}
        self._parameters = 0
        self._problems: list[str] = []
        self._notes: list[str] = []

    def input(self, name: str, shape: Shape) -> SymbolicTensor:
        """Add an input of the model.

        :param shape: without the batch, at most three axes.
        :raises Unsupported: when nothing can be built for this shape.
        """
        fits = 1 <= len(shape) <= 3 and all(1 <= extent <= LARGEST_EXTENT for extent in shape)
        if not fits or math.prod(shape) > MOST_NUMBERS:
            raise Unsupported(f"the input must be a vector or an image (rows, columns, channels), not {shape}")
        if len(self._inputs) == MOST_PORTS:
            raise UserError(f"{self._file}: the model has more than {MOST_PORTS} inputs")
        name = self._unique(name)
        self._inputs[name] = shape
        return SymbolicTensor(name, shape)

    def add(self, layer: Layer, *inputs: SymbolicTensor) -> SymbolicTensor:
        """Add a layer that reads tensors; its name is made unique.

        :param layer: the same object in several calls is a layer whose weights are shared.
        :raises Unsupported, ValueError: when the layer does not accept these inputs, or its output is too large.
        """
        if len(inputs) > MOST_JOINED:
            raise Unsupported(f"it reads {len(inputs):,} tensors; at most {MOST_JOINED}")
        shape = layer.output_shape(*(tensor.shape for tensor in inputs))
        if math.prod(shape) > MOST_NUMBERS:
            raise Unsupported(f"its output has {math.prod(shape):,} numbers; at most {MOST_NUMBERS:,}")
        name = self._unique(layer.name)
        if layer not in self._placed:
            self._placed[layer] = replace(layer, name=name)
        self._nodes.append(Node(name, self._placed[layer], tuple(tensor.name for tensor in inputs)))
        return SymbolicTensor(name, shape)

    def output(self, tensor: SymbolicTensor, name: str | None = None) -> None:
        """Let a tensor leave the model.

        :param name: what it is called outside; None: as the tensor.
        """
        where = f"the output '{name or tensor.name}'"
        if not self._nodes:
            self.refuse("", "the model has no layers")
        elif tensor.name in self._inputs:
            self.refuse(where, "is an input of the model, unchanged; leave it out of the outputs")
        elif tensor.name in self._outputs:
            self.refuse(where, f"is the same tensor as the output '{self._outputs[tensor.name]}'; leave one out")
        elif len(tensor.shape) == 2:
            self.refuse("", f"the output must be a vector or an image (rows, columns, channels), not {tensor.shape}")
        elif len(self._outputs) == MOST_PORTS:
            raise UserError(f"{self._file}: the model has more than {MOST_PORTS} outputs")
        taken, own = set(self._outputs.values()), identifier(name or tensor.name)
        self._outputs[tensor.name] = own if own not in taken else _numbered(own, taken)

    def refuse(self, where: str, why: str) -> None:
        """Note a problem; `graph` raises all of them.

        :param where: the layer, or other part of the model.
        :param why: what is wrong, and what to do.
        """
        self._problems.append(": ".join(filter(None, (self._file, where, why))))

    def note(self, what: str) -> None:
        """Note what a user should know about the model; it is in the summary."""
        self._notes.append(what)

    def claim(self, parameters: int, where: str) -> None:
        """Count parameters before they are read.

        :raises UserError: at once, when there are too many.
        """
        self._parameters += parameters
        if self._parameters > MOST_PARAMETERS:
            raise UserError(
                f"{self._file}: {where}: with it the model has {self._parameters:,} parameters; "
                f"at most {MOST_PARAMETERS:,}"
            )

    def graph(self) -> Graph:
        """Return the graph.

        :raises UserError: with all problems.
        """
        read = {name for node in self._nodes for name in node.inputs} | set(self._outputs)
        for name in self._inputs:
            if name not in read and not self._problems:
                self.refuse(f"the input '{name}'", "no output depends on it; leave it out of the model")
        if self._problems:
            raise UserError(self._problems)
        named = list(self._outputs) != list(self._outputs.values())
        return Graph(
            name=self._name,
            inputs=self._inputs,
            dag=Dag(tuple(self._inputs), tuple(self._nodes), tuple(self._outputs)),
            output_names=tuple(self._outputs.values()) if named else (),
            notes=tuple(self._notes),
            float_parameters=sum(layer.parameter_count for layer in self._placed.values()),
        )

    def _unique(self, name: str) -> str:
        own = identifier(name)
        chosen = own if own not in self._taken else _numbered(own, self._taken | self._reserved)
        self._taken.add(chosen)
        return chosen


def _numbered(name: str, taken: set[str]) -> str:
    return next(one for k in count(2) if (one := f"{name}_{k}") not in taken)
