"""The one list of layer kinds: everything that must know them all is a loop over it."""

from __future__ import annotations

from typing import TypeVar

from dnn2fpga.graph import Layer
from dnn2fpga.quantized_graph import QuantizedLayer

T = TypeVar("T", bound=type)

by_keras_class: dict[str, type[Layer]] = {}
quantized_kinds: dict[str, type[QuantizedLayer]] = {}


def register(cls: T) -> T:
    """Class decorator for ``Layer`` and ``QuantizedLayer`` kinds."""
    if issubclass(cls, QuantizedLayer):
        quantized_kinds[cls.kind] = cls
    elif issubclass(cls, Layer):
        by_keras_class.update(dict.fromkeys(cls.keras_classes, cls))
    return cls
