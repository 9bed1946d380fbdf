"""The CRC-32 of the serial link, a bit a cycle: bytes come slowly there, and one of whole bytes is larger."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.crc.catalog import CRC32_ISO_HDLC
from amaranth.lib.wiring import In, Out


class SerialCrc(wiring.Component):
    """Takes a byte when ``valid`` is high, at most every ninth cycle; ``crc`` and ``match`` stand eight cycles later.

    ``match``: what came since ``start`` ends in its own CRC, low byte first.
    """

    def __init__(self) -> None:
        super().__init__(
            {"start": In(1), "data": In(8), "valid": In(1), "crc": Out(32), "match": Out(1)},
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.bits = bits = CRC32_ISO_HDLC(data_width=1).create()
        shift, left = Signal(8), Signal(range(9))
        m.d.comb += [
            bits.start.eq(self.start),
            bits.data.eq(shift[0]),
            bits.valid.eq(left != 0),
            self.crc.eq(bits.crc),
            self.match.eq(bits.match_detected),
        ]
        with m.If(self.valid):
            m.d.sync += [shift.eq(self.data), left.eq(8)]
        with m.Elif(left != 0):
            m.d.sync += [shift.eq(shift[1:]), left.eq(left - 1)]
        return m
