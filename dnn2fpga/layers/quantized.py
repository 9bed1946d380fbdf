"""The interface of a layer kind in integers."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

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
    reads_several: ClassVar[bool] = False  # tensors; else one

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    output: Tensor

    @abstractmethod
    def operators(self, *inputs: Any) -> list[Operator]:
        """Return the operators in stream order; none when the layer only renames a shape.

        The first operator reads all inputs, each other one reads the operator before it.

        :param inputs: the tensors that the layer reads.
        :raises ValueError: when inputs and layer do not match.
        """

    def output_shape(self, *inputs: Any) -> tuple[int, ...]:
        """The shape that ``output`` must have."""
        return tuple(inputs[0].shape)

    @property
    def weight_bits(self) -> int:
        """Bits of all weights and biases as stored."""
        return 0

    @property
    def ending(self) -> Ending:
        """Return what the layer makes of its values where it is the last one."""
        return Ending.LINEAR

    @classmethod
    def array_fields(cls) -> list[str]:
        """The fields that are kept in ``weights.npz``."""
        arrays = (np.ndarray, np.ndarray | None)
        return [name for name, field in cls.model_fields.items() if field.annotation in arrays]

    @classmethod
    def required_arrays(cls) -> list[str]:
        """Those that every layer of the kind has."""
        return [name for name in cls.array_fields() if cls.model_fields[name].is_required()]

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays that the layer has, by field."""
        values = {name: getattr(self, name) for name in self.array_fields()}
        return {name: value for name, value in values.items() if value is not None}
