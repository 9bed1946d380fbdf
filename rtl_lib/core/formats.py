"""Integer formats: how many bits a number has on a wire, and whether one of them is a sign."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from amaranth.hdl import Shape, Signal


@dataclass(frozen=True, order=True)
class Format:
    """A two's-complement or unsigned integer of ``width`` bits."""

    signed: bool
    width: int

    def __post_init__(self) -> None:
        if not 1 <= self.width <= 64:
            raise ValueError(f"format width must be 1 to 64 bits, not {self.width!r}")

    @classmethod
    def containing(cls, low: int, high: int) -> Format:
        """The narrowest format that holds every integer of the interval ``[low, high]``."""
        if low > high:
            raise ValueError(f"interval must not be empty, not [{low}, {high}]")
        if low >= 0:
            return cls(False, max(1, int(high).bit_length()))
        return cls(True, max(int(max(high, 0)).bit_length(), int(~low).bit_length()) + 1)

    @property
    def minimum(self) -> int:
        return -(1 << (self.width - 1)) if self.signed else 0

    @property
    def maximum(self) -> int:
        return (1 << (self.width - self.signed)) - 1

    @property
    def shape(self) -> Shape:
        """The Amaranth shape."""
        return Shape(self.width, self.signed)

    @property
    def dtype(self) -> np.dtype:
        """The narrowest NumPy integer type that holds the format."""
        size = next(s for s in (1, 2, 4, 8) if 8 * s >= self.width)
        return np.dtype(f"{'i' if self.signed else 'u'}{size}")

    def contains(self, low: int, high: int) -> bool:
        return self.minimum <= low and high <= self.maximum

    def __str__(self) -> str:
        return f"{'s' if self.signed else 'u'}{self.width}"


def index_signal(count: int, **options: Any) -> Signal:
    """A signal for 0 … ``count - 1``, at least one bit wide: Verilog has no empty vectors. Named like its variable."""
    return Signal(range(max(count, 2)), src_loc_at=1, **options)
