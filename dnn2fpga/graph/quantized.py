"""The integer model: the bit-exact specification of what the hardware computes.

``graph.files`` reads and writes it as configuration files; it needs neither Keras nor TensorFlow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from dnn2fpga.graph.dag import Dag, Node
from dnn2fpga.graph.decided import Decided
from dnn2fpga.graph.origin import Origin
from dnn2fpga.graph.ports import Values, by_name, only, only_name, or_named
from dnn2fpga.layers.quantized import QuantizedLayer
from dnn2fpga.task import Ending, Interface, Task
from dnn2fpga.tensors.basics import Shape
from dnn2fpga.tensors.conversion import Conversion
from dnn2fpga.tensors.tensor import Tensor
from rtl_lib.core.operator import Operator


@dataclass(frozen=True, eq=False)
class QuantizedGraph(Decided):
    """A network of integer layers.

    ``run`` is the software model; ``boundaries`` returns every tensor. Arrays are ``[frames, beats, lanes]`` on wires
    and ``[frames, *shape]`` outside.

    :param inputs: the input tensors by name.
    :param dag: the layers and their wiring; a node has the name of its layer.
    :param output_names: the outside name of each of ``dag.outputs``; absent: the tensors' names.
    :param conversions: by input, how the host converts real numbers; absent: as `Tensor.quantize`.
    :param decided: the task by output; absent: as its last layer says.
    """

    name: str
    inputs: Mapping[str, Tensor]
    dag: Dag[QuantizedLayer]
    output_names: tuple[str, ...] = ()
    decided: Mapping[str, Task] = field(default_factory=dict)
    conversions: Mapping[str, Conversion] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    float_parameters: int = 0
    origin: Origin | None = None

    @classmethod
    def chain(
        cls, name: str, input_name: str, input: Tensor, layers: Iterable[QuantizedLayer], **rest: Any
    ) -> QuantizedGraph:
        """Create a network of layers that each read the one before.

        :param name: of the network.
        :param input_name, input: the input tensor and its name.
        :param rest: the other fields.
        """
        return cls(name, {input_name: input}, Dag.chain(input_name, [(layer.name, layer) for layer in layers]), **rest)

    @property
    def nodes(self) -> tuple[Node[QuantizedLayer], ...]:
        return self.dag.nodes

    @property
    def layers(self) -> tuple[QuantizedLayer, ...]:
        """The layer of every node."""
        return tuple(node.layer for node in self.nodes)

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """Every tensor, inputs first, in topological order."""
        return {**self.inputs, **{node.name: node.layer.output for node in self.nodes}}

    def inputs_of(self, node: Node[QuantizedLayer]) -> tuple[Tensor, ...]:
        """Return the tensors that a node reads, in the order of its layer's arguments."""
        return tuple(self.tensors[name] for name in node.inputs)

    @property
    def input_shapes(self) -> dict[str, Shape]:
        """The shape of each input, without the batch."""
        return {name: tensor.shape for name, tensor in self.inputs.items()}

    @property
    def input_name(self) -> str:
        """The name of the only input."""
        return only_name(self.inputs, "input")

    @property
    def input(self) -> Tensor:
        """The only input."""
        return only(self.inputs, "input")

    @property
    def leaving(self) -> dict[str, str]:
        """The names of the tensors that leave, by the name of the output."""
        return dict(zip(self.output_names or self.dag.outputs, self.dag.outputs, strict=True))

    @property
    def outputs(self) -> dict[str, Tensor]:
        """The tensors that leave, by the name of the output."""
        return {name: self.tensors[tensor] for name, tensor in self.leaving.items()}

    @property
    def output(self) -> Tensor:
        """The only output."""
        return only(self.outputs, "output")

    @property
    def interfaces(self) -> dict[str, Interface]:
        """The facts that the task of each output depends on, by output."""
        shapes = tuple(self.input_shapes.values())
        return {
            name: Interface(inputs=shapes, output=self.tensors[tensor].shape, ending=self._ending(name, tensor))
            for name, tensor in self.leaving.items()
        }

    def _ending(self, name: str, tensor: str) -> Ending:
        if name in self.decided:
            return self.decided[name].ending
        node = self.dag.by_name.get(tensor)
        return node.layer.ending if node else Ending.LINEAR

    @cached_property
    def operators(self) -> dict[str, list[Operator]]:
        """The operators of every layer, by its name. They are made once: solving an adder graph takes seconds."""
        return {node.name: node.layer.operators(*self.inputs_of(node)) for node in self.nodes}

    def quantized(self, x: Values) -> dict[str, np.ndarray]:
        """Quantize real inputs ``[frames, *shape]`` to integers of the same shape, by the name of the input.

        :param x: an array of the only input, or arrays by the name of the input.
        :raises ValueError: when inputs are missing or have other names.
        """
        given = by_name(x, self.inputs)
        return {name: self._converted(name, values) for name, values in given.items()}

    def _converted(self, name: str, x: np.ndarray) -> np.ndarray:
        return self.inputs[name].quantize(x, self.conversions.get(name, Conversion()))

    def random_inputs(self, frames: int, seed: int) -> dict[str, np.ndarray]:
        """Return random integers ``[frames, *shape]`` of the inputs' formats, by the name of the input.

        :param frames: their number.
        :param seed: of the generator; the same seed produces the same integers.
        """
        rng = np.random.default_rng(seed)
        return {
            name: rng.integers(of.format.minimum, of.format.maximum + 1, (frames, *of.shape))
            for name, of in self.inputs.items()
        }

    def boundaries(self, q: Values) -> Iterator[tuple[str, np.ndarray]]:
        """Yield every tensor for a batch of quantized inputs, as integers ``[frames, beats, lanes]``, in topological
        order.

        :param q: integers ``[frames, *shape]`` of the only input, or by the name of the input.
        :raises ValueError: when inputs are missing or have other names.
        """
        given = by_name(q, self.inputs)
        frames = len(next(iter(given.values())))

        def step(node: Node[QuantizedLayer], *beats: np.ndarray) -> np.ndarray:
            for operator in self.operators[node.name]:
                beats = (operator.compute(*beats),)
            return beats[0].reshape(frames, node.layer.output.beats, node.layer.output.lanes)

        entering = {name: values.reshape(frames, *_on_wire(self.inputs[name])) for name, values in given.items()}
        return self.dag.evaluate(entering, step)

    def run(self, q: Values, batch: int = 32) -> Any:
        """Compute the outputs of quantized inputs: integers ``[frames, *shape]``, by name if there are several outputs.

        :param q: integers ``[frames, *shape]`` of the only input, or by the name of the input.
        :param batch: frames at a time, so that the windows of a layer stay in the cache.
        :raises ValueError: when inputs are missing or have other names.
        """
        given = by_name(q, self.inputs)
        parts = {name: [np.zeros((0, *of.shape), of.format.dtype)] for name, of in self.outputs.items()}
        for start in range(0, len(next(iter(given.values()))), batch):
            frames = {name: values[start : start + batch] for name, values in given.items()}
            beats_of = {name: beats for name, beats in self.boundaries(frames) if name in self.dag.outputs}
            for name, tensor in self.leaving.items():
                parts[name].append(beats_of[tensor].reshape(-1, *self.tensors[tensor].shape))
        return or_named({name: np.concatenate(values) for name, values in parts.items()})

    def predict(self, x: Values) -> Any:
        """Compute real outputs ``[frames, *shape]`` of real inputs, through the integers; by name if there are several
        outputs.

        :param x: real numbers ``[frames, *shape]`` of the only input, or by the name of the input.
        :raises ValueError: when inputs are missing or have other names.
        """
        given = by_name(x, self.inputs)
        count = len(next(iter(given.values())))
        parts: dict[str, list[np.ndarray]] = {name: [] for name in self.outputs}
        for start in range(0, max(count, 1), 1024):
            frames = {name: values[start : start + 1024] for name, values in given.items()}
            for name, q in by_name(self.run(self.quantized(frames)), self.outputs).items():
                parts[name].append(self.outputs[name].dequantize(q))
        return or_named({name: np.concatenate(values) for name, values in parts.items()})

    @property
    def weight_bits(self) -> int:
        return sum(layer.weight_bits for layer in self.layers)


def _on_wire(tensor: Tensor) -> tuple[int, int]:
    return tensor.beats, tensor.lanes
