"""Layers that need no arithmetic: those that do nothing at inference, and a softmax in last place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn

import numpy as np

from dnn2fpga.layers.base import Layer
from dnn2fpga.layers.quantized import QuantizedLayer
from dnn2fpga.quantize.operations import Operations, Wires
from dnn2fpga.quantize.scaling import Choice, Seen
from dnn2fpga.quantize.settings import LayerSettings
from dnn2fpga.task import Ending
from dnn2fpga.tensors.basics import Shape, Unsupported
from dnn2fpga.tensors.tensor import Tensor


@dataclass(frozen=True, eq=False)
class _NoHardware(Layer):
    """Passes drop it; it never gets as far as quantization or training."""

    def _refuse(self) -> NoReturn:
        raise Unsupported(f"{self.kind} is built only where a pass drops it")

    def choose(self, input: Tensor, seen: Seen, settings: LayerSettings) -> Choice:
        self._refuse()

    def quantize(self, input: Tensor, choice: Choice, settings: LayerSettings) -> QuantizedLayer:
        self._refuse()

    def forward(self, ops: Operations, x: Any, parameters: dict[str, Any]) -> Any:
        self._refuse()

    def forward_codes(self, ops: Operations, q: Any, wires: Wires, parameters: dict[str, Any]) -> Any:
        self._refuse()

    def keep_inputs(self, kept: np.ndarray, shape: Shape) -> tuple[Layer, np.ndarray]:
        return self, kept


@dataclass(frozen=True, eq=False)
class Identity(_NoHardware):
    """Dropout and its kin; dropped by a pass."""

    kind: ClassVar[str] = "identity"

    @property
    def is_identity(self) -> bool:
        return True

    def output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def compute(self, x: np.ndarray) -> np.ndarray:
        return x


@dataclass(frozen=True, eq=False)
class Softmax(_NoHardware):
    """In last place it does not change which class is largest: the hardware gives the logits.
    Elsewhere it is not built.
    """

    kind: ClassVar[str] = "softmax"

    @property
    def ending(self) -> Ending:
        return Ending.SOFTMAX

    def output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def compute(self, x: np.ndarray) -> np.ndarray:
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)
