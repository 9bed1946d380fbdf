"""The one list of integer layer kinds: everything that must know them all is a loop over it."""

from __future__ import annotations

from typing import TypeVar

from dnn2fpga.layers.quantized import QuantizedLayer

T = TypeVar("T", bound=type[QuantizedLayer])

quantized_kinds: dict[str, type[QuantizedLayer]] = {}


def register(cls: T) -> T:
    """Class decorator for ``QuantizedLayer`` kinds."""
    quantized_kinds[cls.kind] = cls
    return cls
