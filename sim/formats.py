"""The encoding of a tensor on a stream: the format of its numbers, and their layout in beats.

A *beat* is handled as one integer, its payload: lane `c` of a boundary occupies bits `[c*width +: width]`; in the
AXI4-Stream data words it occupies `[c*lane_bits +: lane_bits]`, extended from `width` to `lane_bits`.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from errors import BundleError


@dataclass(frozen=True, kw_only=True)
class NumberFormat:
    """A shape, the format of the numbers, numbers per beat (lanes), beats per frame."""

    shape: tuple[int, ...]
    signed: bool
    width: int
    lanes: int
    beats: int
    pixels: int  # of an image in one beat

    @property
    def element_bytes(self) -> int:
        """Bytes of one number in a vector file."""
        return 1 if self.width <= 8 else 2 if self.width <= 16 else 4

    @property
    def beat_bytes(self) -> int:
        """Bytes of one beat in a vector file."""
        return self.lanes * self.element_bytes

    @property
    def typecode(self) -> str:
        """The `array` typecode of the elements of a vector file."""
        for code in "bhil":
            if array(code).itemsize == self.element_bytes:
                return code if self.signed else code.upper()
        raise BundleError(f"this Python has no array type of {self.element_bytes} bytes")

    def pack(self, lanes: Sequence[int], lane_bits: int | None = None) -> int:
        """One beat as an integer: the payload of a boundary, or with `lane_bits` an AXI4-Stream data word."""
        bits = lane_bits or self.width
        mask = (1 << bits) - 1
        payload = 0
        for lane, number in enumerate(lanes):
            payload |= (number & mask) << (lane * bits)
        return payload

    def unpack(self, payload: int, lane_bits: int | None = None) -> list[int]:
        """The numbers of one beat: the inverse of `pack`, sign included."""
        bits = lane_bits or self.width
        mask, half = (1 << bits) - 1, 1 << (bits - 1)
        numbers = [(payload >> (lane * bits)) & mask for lane in range(self.lanes)]
        return [n - (mask + 1) if self.signed and n >= half else n for n in numbers]

    def limits(self) -> tuple[int, int]:
        """The smallest and the largest number of the format."""
        return (-(1 << (self.width - 1)), (1 << (self.width - 1)) - 1) if self.signed else (0, (1 << self.width) - 1)

    def position(self, beat: int, lane: int) -> dict[str, int]:
        """Return the position of a number in its tensor: row, column and channel of an image, else the index of the
        element.
        """
        if len(self.shape) == 3 and self.shape[2] * self.pixels == self.lanes:
            row, place = divmod(beat, -(-self.shape[1] // self.pixels))
            column, channel = divmod(lane, self.shape[2])
            return {"row": row, "column": place * self.pixels + column, "channel": channel}
        return {"element": beat * self.lanes + lane}

    @property
    def numbers(self) -> int:
        """The numbers of a frame. Rows of an image that is sent in beats of several pixels end with some that are 0."""
        surplus = -self.shape[1] % self.pixels * self.shape[0] * self.shape[2] if self.pixels > 1 else 0
        return math.prod(self.shape) + surplus
