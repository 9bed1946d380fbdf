"""The integer model: what the hardware computes, to the last bit, and the configuration files that hold it.

``model.yaml`` describes layers, shapes, formats and scales; ``weights.npz`` holds the integers. Both may be edited
by hand: they are validated whenever they are read, and need neither Keras nor TensorFlow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from dnn2fpga.layers.quantized import QuantizedLayer
from dnn2fpga.task import Interface, Task, unlabelled_task
from dnn2fpga.tensors.tensor import Tensor
from rtl_lib.core.operator import Operator

FORMAT_VERSION: Literal[2] = 2


@dataclass(frozen=True)
class QuantizedGraph:
    """A chain of integer layers.

    ``run`` is the software model; ``tensors`` gives every layer boundary. Arrays are ``[frames, beats, lanes]`` on
    wires and ``[frames, *shape]`` outside.
    """

    name: str
    input_name: str
    input: Tensor
    layers: tuple[QuantizedLayer, ...]
    decided: Task | None = None
    notes: tuple[str, ...] = ()
    float_parameters: int = 0

    @property
    def output(self) -> Tensor:
        return self.layers[-1].output if self.layers else self.input

    @property
    def interface(self) -> Interface:
        """What the task depends on."""
        ending = self.decided.ending if self.decided else self.layers[-1].ending
        return Interface(input=self.input.shape, output=self.output.shape, ending=ending)

    @property
    def task(self) -> Task:
        """As it was decided when the model was quantized, or what its last layer says."""
        return self.decided or unlabelled_task(self.interface)

    @cached_property
    def operators(self) -> dict[str, list[Operator]]:
        """The operators of every layer, by its name. Made once: solving an adder graph takes seconds."""
        result, tensor = {}, self.input
        for layer in self.layers:
            result[layer.name] = layer.operators(tensor)
            tensor = layer.output
        return result

    def input_of(self, index: int) -> Tensor:
        return self.layers[index - 1].output if index else self.input

    def tensors(self, q: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """Every tensor for a batch of quantized inputs ``[frames, *shape]``, as ``[frames, beats, lanes]``, input
        first.
        """
        beats = q.reshape(len(q), self.input.beats, self.input.lanes)
        yield self.input_name, beats
        for layer in self.layers:
            for operator in self.operators[layer.name]:
                beats = operator.compute(beats)
            beats = beats.reshape(len(q), layer.output.beats, layer.output.lanes)
            yield layer.name, beats

    def run(self, q: np.ndarray, batch: int = 32) -> np.ndarray:
        """Quantized inputs ``[frames, *input.shape]`` → integer outputs ``[frames, *output.shape]``.

        ``batch`` frames at a time, so that the windows of a layer stay in the cache.
        """
        outputs = [np.zeros((0, *self.output.shape), self.output.format.dtype)]
        for start in range(0, len(q), batch):
            *_, (_, beats) = self.tensors(q[start : start + batch])
            outputs.append(beats.reshape(-1, *self.output.shape))
        return np.concatenate(outputs)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Real inputs → real outputs, through the integers; a batch of inputs at a time."""
        parts = [self.run(self.input.quantize(x[k : k + 1024])) for k in range(0, max(len(x), 1), 1024)]
        return self.output.dequantize(np.concatenate(parts))

    @property
    def weight_bits(self) -> int:
        return sum(layer.weight_bits for layer in self.layers)
