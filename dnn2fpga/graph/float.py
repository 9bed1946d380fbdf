"""The float graph: what a trained model computes, in our own terms. Frozen values; passes make new ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dnn2fpga.layers.base import Layer
from dnn2fpga.task import Ending, Interface, Task, unlabelled_task
from dnn2fpga.tensors.basics import Shape


@dataclass(frozen=True)
class Node:
    layer: Layer
    input: str  # the name of the layer it reads, or of the graph's input
    shape: Shape  # of its output

    @property
    def name(self) -> str:
        return self.layer.name


@dataclass(frozen=True)
class Graph:
    """Layers in topological order. Today every model is a chain:
    a node reads one tensor, and each tensor has one reader.
    """

    name: str
    input_name: str
    input_shape: Shape
    nodes: tuple[Node, ...]
    left_out: Ending | None = None  # what a last layer that needs no hardware made of the outputs
    decided: Task | None = None  # what the network is for, by its labels
    notes: tuple[str, ...] = ()  # what was changed on the way, for the summary
    float_parameters: int = 0  # of the model as it was read

    @classmethod
    def chain(cls, name: str, input_name: str, input_shape: Shape, layers: list[Layer], **rest: Any) -> Graph:
        nodes, previous, shape = [], input_name, input_shape
        for layer in layers:
            shape = layer.output_shape(shape)
            nodes.append(Node(layer, previous, shape))
            previous = layer.name
        return cls(name, input_name, input_shape, tuple(nodes), **rest)

    def with_layers(self, layers: list[Layer], **changes: Any) -> Graph:
        return replace(self.chain(self.name, self.input_name, self.input_shape, layers), **(self._kept() | changes))

    def _kept(self) -> dict[str, Any]:
        return {
            "left_out": self.left_out,
            "decided": self.decided,
            "notes": self.notes,
            "float_parameters": self.float_parameters,
        }

    @property
    def interface(self) -> Interface:
        """What the task depends on."""
        deciding = next((layer for layer in reversed(self.layers) if not layer.keeps_numbers), None)
        ending = self.left_out or (deciding.ending if deciding else Ending.LINEAR)
        return Interface(input=self.input_shape, output=self.output_shape, ending=ending)

    @property
    def task(self) -> Task:
        """What the network is for: as it was decided, or what its last layer says."""
        return self.decided or unlabelled_task(self.interface)

    @property
    def layers(self) -> list[Layer]:
        return [node.layer for node in self.nodes]

    @property
    def output_shape(self) -> Shape:
        return self.nodes[-1].shape if self.nodes else self.input_shape

    def one_scale_behind(self, index: int) -> bool:
        """Whether all channels behind node ``index`` (-1: of the input) must share one scale: those of the model's
        output, and those that reach a layer which asks for it without being computed on before.
        """
        for layer in self.layers[index + 1 :]:
            if layer.one_scale_in or not layer.keeps_numbers:
                return layer.one_scale_in
        return True

    def tensors(self, x: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """The value of every tensor for a batch ``[frames, *input_shape]``, input first."""
        values = {self.input_name: x}
        yield self.input_name, x
        for node in self.nodes:
            with np.errstate(over="ignore", invalid="ignore"):  # whoever looks at the values finds what is not finite
                value = node.layer.compute(values.pop(node.input))
            values[node.name] = value
            yield node.name, value

    def run(self, x: np.ndarray, batch: int = 256) -> np.ndarray:
        """The float model's output, computed in batches of ``batch`` frames."""
        outputs = []
        for start in range(0, len(x), batch):
            *_, (_, output) = self.tensors(x[start : start + batch].astype(np.float32))
            outputs.append(output)
        return np.concatenate(outputs)
