"""The interface of a layer kind in floating point."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from dnn2fpga.layers.quantized import QuantizedLayer
from dnn2fpga.quantize.operations import Operations, Wires
from dnn2fpga.quantize.scaling import Choice, Seen
from dnn2fpga.quantize.settings import LayerSettings
from dnn2fpga.task import Ending
from dnn2fpga.tensors.basics import Shape
from dnn2fpga.tensors.tensor import Tensor


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
