"""The float graph: what a trained model computes, in our own terms. Frozen values; passes make new ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from dnn2fpga.task import Ending, Interface, Task, unlabelled_task

if TYPE_CHECKING:
    from dnn2fpga.layers.scaling import Choice, Seen
    from dnn2fpga.layers.settings import LayerSettings
    from dnn2fpga.layers.training import Operations, Wires
    from dnn2fpga.quantized_graph import QuantizedLayer, Tensor

Shape = tuple[int, ...]  # without the batch dimension


class Unsupported(Exception):
    """A layer (or one of its options) that the tool cannot build; the message says which option and why."""


@dataclass(frozen=True)
class Interval:
    """The smallest and largest real value of a tensor."""

    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Normalization:
    """A batch normalization, ``(x - mean) / sqrt(variance + epsilon) * gamma + beta``; vectors ``[channels]``."""

    gamma: np.ndarray
    beta: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    epsilon: np.ndarray

    def of_channels(self, kept: np.ndarray) -> Normalization:
        return Normalization(**{name: values[kept] for name, values in vars(self).items()})


@dataclass(frozen=True, eq=False)
class AffineMap:
    """``x * scale + offset`` per channel; ``normalization`` where that is one."""

    scale: np.ndarray
    offset: np.ndarray
    normalization: Normalization | None = None

    def before_maximum(self) -> AffineMap | None:
        """The map for each of the numbers of which the largest is picked, in place of the picked one. None where a
        negative scale would turn the largest into the smallest. No normalization any more: its statistics are those of
        picked numbers, and training must not replace them by those of all.
        """
        return AffineMap(self.scale, self.offset) if (self.scale >= 0).all() else None


@dataclass(frozen=True, eq=False)
class Layer(ABC):
    """One layer kind in floating point. Subclasses are frozen dataclasses in ``dnn2fpga/layers``."""

    name: str

    kind: ClassVar[str]
    has_weights: ClassVar[bool] = False  # products with constants: what may be pruned, and left in floating point
    is_convolution: ClassVar[bool] = False  # what paper 002 keeps out of partial quantization
    keeps_numbers: ClassVar[bool] = False  # the integers of its output mean what those of its input mean
    picks_largest: ClassVar[bool] = False  # among inputs of one channel: what never decreases may be done before it
    fixed_range: ClassVar[bool] = False  # of its output: that of a function, for training not to move

    @abstractmethod
    def output_shape(self, input_shape: Shape) -> Shape: ...

    @abstractmethod
    def compute(self, x: np.ndarray) -> np.ndarray:
        """The float reference: ``[frames, *input_shape]`` → ``[frames, *output_shape]``."""

    @abstractmethod
    def choose(self, input: Tensor, seen: Seen, settings: LayerSettings) -> Choice:
        """The numbers on the output and the scales of the weights, from what calibration saw at the output.

        :raises Unsupported, ValueError: when they cannot be had.
        """

    @abstractmethod
    def quantize(self, input: Tensor, choice: Choice, settings: LayerSettings) -> QuantizedLayer:
        """The integer layer, given all scales."""

    # Training (``layers/training.py``). ``parameters`` are the arrays that training may change.

    @property
    def parameters(self) -> dict[str, np.ndarray]:
        return {}

    @abstractmethod
    def forward(self, ops: Operations, x: Any, parameters: dict[str, Any]) -> Any:
        """``compute``, differentiable."""

    @abstractmethod
    def forward_codes(self, ops: Operations, q: Any, wires: Wires, parameters: dict[str, Any]) -> Any:
        """The integer layer on its codes, differentiable."""

    # Removing channels (paper 003, section IV).

    def keep_outputs(self, kept: np.ndarray) -> Layer | None:
        """The layer with only these of its output channels; None when it does not decide about them."""
        return None

    @abstractmethod
    def keep_inputs(self, kept: np.ndarray, shape: Shape) -> tuple[Layer, np.ndarray | None]:
        """The layer for an input of ``shape`` of which only these channels are left,
        and which channels of its output are left (None: all).
        """

    # What the passes ask. The default answers are "no".

    @property
    def is_identity(self) -> bool:
        """Does nothing at inference."""
        return False

    @property
    def ending(self) -> Ending:
        """What it makes of its numbers, in last place."""
        return Ending.LINEAR

    @property
    def parameter_count(self) -> int:
        return 0

    @property
    def one_scale_in(self) -> bool:
        """Whether all channels of its input must share one scale, which training must not move."""
        return False

    def as_affine(self) -> AffineMap | None:
        """The map, when the layer is one."""
        return None

    def as_clamp(self) -> tuple[float, float] | None:
        """``(low, high)`` when the layer is a clamp."""
        return None

    def absorb_affine(self, affine: AffineMap) -> Layer | None:
        """This layer followed by a per-channel affine map, as one layer."""
        return None

    def absorb_clamp(self, low: float, high: float) -> Layer | None:
        """This layer followed by a clamp, as one layer."""
        return None


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
