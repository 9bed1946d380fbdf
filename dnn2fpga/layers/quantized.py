"""The interface of a layer kind in integers."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np
from pydantic import Field

from dnn2fpga.files.described import Described
from dnn2fpga.task import Ending
from dnn2fpga.tensors.tensor import Tensor
from rtl_lib.core.operator import Operator


class QuantizedLayer(Described):
    """One layer kind in integers. It is the chain of its operators:
    they compute the software model and create the hardware.
    """

    kind: ClassVar[str]

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    input: str
    output: Tensor

    @abstractmethod
    def operators(self, input: Tensor) -> list[Operator]:
        """In stream order; empty when the layer only renames a shape.
        Raises ``ValueError`` when input and layer do not match.
        """

    def output_shape(self, input: Tensor) -> tuple[int, ...]:
        """The shape that ``output`` must have."""
        return input.shape

    @property
    def weight_bits(self) -> int:
        """Bits of all weights and biases as stored."""
        return 0

    @property
    def ending(self) -> Ending:
        """What it makes of its numbers, in last place."""
        return Ending.LINEAR

    @classmethod
    def array_fields(cls) -> list[str]:
        return [name for name, field in cls.model_fields.items() if field.annotation is np.ndarray]
