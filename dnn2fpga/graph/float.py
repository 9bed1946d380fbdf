"""The float graph: what a trained model computes, in our own terms. Frozen values; passes make new ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from dnn2fpga.graph.dag import Dag, Node
from dnn2fpga.graph.decided import Decided
from dnn2fpga.graph.encodings import Encodings
from dnn2fpga.graph.origin import Origin
from dnn2fpga.graph.ports import Values, by_name, only, only_name, or_named
from dnn2fpga.layers.base import Layer
from dnn2fpga.task import Ending, Interface, Task
from dnn2fpga.tensors.basics import Shape


@dataclass(frozen=True, eq=False)
class Graph(Decided):
    """A network of float layers.

    :param inputs: the shapes of the input tensors (without the batch), by name.
    :param dag: the layers and their wiring.
    :param output_names: the outside name of each of ``dag.outputs``; absent: the tensors' names.
    :param left_out: by output, the function of a last layer that needs no hardware.
    :param decided: by output, the task that its labels have decided.
    :param notes: the changes by passes, for the summary.
    :param tool: the library that it was trained with, where files of its kind come from several.
    :param float_parameters: of the model as it was read.
    """

    name: str
    inputs: Mapping[str, Shape]
    dag: Dag[Any]
    output_names: tuple[str, ...] = ()
    left_out: Mapping[str, Ending] = field(default_factory=dict)
    decided: Mapping[str, Task] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    float_parameters: int = 0
    origin: Origin | None = None
    tool: str | None = None

    @classmethod
    def chain(cls, name: str, input_name: str, input_shape: Shape, layers: list[Layer], **rest: Any) -> Graph:
        """Create a network of layers that each read the one before.

        :param name: of the network.
        :param input_name, input_shape: of the only input, without the batch.
        :param rest: the other fields.
        """
        dag = Dag.chain(input_name, [(layer.name, layer) for layer in layers])
        return cls(name, {input_name: input_shape}, dag, **rest)

    # Changing

    def with_dag(self, dag: Dag[Any], **changes: Any) -> Graph:
        """Return the graph with other layers or other wiring, and the same inputs and outputs.

        :param changes: new values of other fields.
        """
        if not self.output_names and dag.outputs != self.dag.outputs:  # names of outputs are those of tensors
            now = dict(zip(self.dag.outputs, dag.outputs, strict=True))
            changes = {"left_out": {now.get(name, name): how for name, how in self.left_out.items()}, **changes}
        return replace(self, dag=dag, **changes)

    def mapped(self, change: Callable[[Node[Any]], Layer], **changes: Any) -> Graph:
        """Return the same wiring with other layers.

        :param change: called with each node; returns its new layer.
        :param changes: new values of other fields.
        """
        return self.with_dag(self.dag.mapped(change), **changes)

    # Looking

    @property
    def nodes(self) -> tuple[Node[Any], ...]:
        return self.dag.nodes

    @property
    def layers(self) -> list[Any]:
        """The layer of every node."""
        return [node.layer for node in self.nodes]

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """The shape of every tensor, without the batch."""
        return dict(self.dag.evaluate(self.inputs, lambda node, *shapes: node.layer.output_shape(*shapes)))

    @property
    def input_shapes(self) -> Mapping[str, Shape]:
        """The shape of each input, without the batch."""
        return self.inputs

    @property
    def input_name(self) -> str:
        """The name of the only input."""
        return only_name(self.inputs, "input")

    @property
    def input_shape(self) -> Shape:
        """The shape of the only input."""
        return self.inputs[self.input_name]

    @property
    def outputs(self) -> dict[str, str]:
        """The tensors that leave, by the name of the output."""
        return dict(zip(self.output_names or self.dag.outputs, self.dag.outputs, strict=True))

    @property
    def output_shape(self) -> Shape:
        """The shape of the only output."""
        return self.shapes[only(self.outputs, "output")]

    @property
    def interfaces(self) -> dict[str, Interface]:
        """The facts that the task of each output depends on, by output."""
        return {name: self._interface(name, tensor) for name, tensor in self.outputs.items()}

    def _interface(self, name: str, tensor: str) -> Interface:
        ending = self.left_out.get(name)
        while ending is None:
            node = self.dag.by_name.get(tensor)
            if node is None or not node.layer.keeps_ending or len(node.inputs) > 1:
                ending = node.layer.ending if node else Ending.LINEAR
            else:
                tensor = node.inputs[0]
        return Interface(inputs=tuple(self.inputs.values()), output=self.shapes[self.outputs[name]], ending=ending)

    @cached_property
    def encodings(self) -> Encodings:
        """The tensors that share their scales, and those that have one scale for all channels."""
        return Encodings(self.dag, self.shapes)

    def needs_uniform_scale_downstream(self, tensor: str) -> bool:
        """Return whether all channels of a tensor must share one scale (`Encodings.uniform`)."""
        return self.encodings.uniform(tensor)

    def leaves(self, tensor: str) -> bool:
        """Return whether the integers of a tensor are those of an output."""
        return self.encodings.leaving(tensor)

    # Computing

    def tensors(self, x: Values) -> Iterator[tuple[str, np.ndarray]]:
        """Yield the real values ``[frames, *shape]`` of every tensor, in topological order.

        :param x: real numbers ``[frames, *shape]`` of the only input, or by the name of the input.
        :raises ValueError: when inputs are missing or have other names.
        """

        def step(node: Node[Any], *values: np.ndarray) -> np.ndarray:
            with np.errstate(over="ignore", invalid="ignore"):  # whoever looks at the values finds what is not finite
                return node.layer.compute(*values)  # type: ignore[no-any-return]

        given = by_name(x, self.inputs)
        real = {name: v if np.issubdtype(v.dtype, np.floating) else v.astype(np.float32) for name, v in given.items()}
        return self.dag.evaluate(real, step)

    def run(self, x: Values, batch: int = 256) -> Any:
        """Compute the outputs ``[frames, *shape]``, by name if there are several.

        :param x: real numbers ``[frames, *shape]`` of the only input, or by the name of the input.
        :param batch: frames at a time.
        :raises ValueError: when inputs are missing or have other names.
        """
        given = by_name(x, self.inputs)
        parts: dict[str, list[np.ndarray]] = {name: [] for name in self.outputs}
        for start in range(0, len(next(iter(given.values()))), batch):
            frames = {name: values[start : start + batch].astype(np.float32) for name, values in given.items()}
            leaving = {name: value for name, value in self.tensors(frames) if name in self.dag.outputs}
            for name, tensor in self.outputs.items():
                parts[name].append(leaving[tensor])
        return or_named({name: np.concatenate(values) for name, values in parts.items()})
