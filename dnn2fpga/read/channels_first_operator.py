"""The interface by which an operator of a source whose tensors are channels first (ONNX, PyTorch) becomes layers."""

from __future__ import annotations

from abc import ABC, abstractmethod

from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.reshape import Reshape
from dnn2fpga.read.builder import GraphBuilder, SymbolicTensor
from dnn2fpga.read.channels_first import Stream


class Operator(ABC):
    """An operator that is being read.

    :param has_integers: whether the model brings integers of its own.
    """

    builder: GraphBuilder
    has_integers: bool

    @property
    @abstractmethod
    def name(self) -> str:
        """The name of the node of the result."""

    @property
    @abstractmethod
    def label(self) -> str:
        """The name in messages."""

    def inner(self, what: str) -> str:
        """The name of a node before the result's."""
        return f"{self.name}_{what}"

    def add(self, layer: Layer, *inputs: SymbolicTensor) -> SymbolicTensor:
        return self.builder.add(layer, *inputs)

    def after(self, stream: Stream, *layers: Layer) -> Stream:
        """Add layers that compute number by number."""
        tensor = stream.tensor
        for layer in layers:
            tensor = self.add(layer, tensor)
        return stream.of(tensor)

    def vector(self, stream: Stream) -> SymbolicTensor:
        """A stream as one vector."""
        return as_vector(self.builder, stream)


def as_vector(builder: GraphBuilder, stream: Stream) -> SymbolicTensor:
    """Return a stream as one vector, for which an image is reshaped."""
    if len(stream.tensor.shape) == 1:
        return stream.tensor
    return builder.add(Reshape(f"{stream.tensor.name}_flat", None), stream.tensor)
