"""The receiver, which turns bytes of the line into requests: flags, escapes, header, payload, CRC
(rtl_lib.host.link_protocol).
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from rtl_lib.host.link_crc import SerialCrc
from rtl_lib.host.link_protocol import CRC_BYTES, ESCAPE, ESCAPED_BY, FLAG, MOST_PAYLOAD, Request

HEADER = data.StructLayout({"kind": 8, "session": 8, "tag": 8, "position": 16, "taken": 16, "length": 8})
LONGEST = Request.HEADER.size + MOST_PAYLOAD + CRC_BYTES


class LinkReceiver(wiring.Component):
    """``ended`` is high for a cycle at the end of every frame; ``good`` says then whether it is undamaged, and
    ``header`` holds what stands in it. Payload bytes are given as they come, before anybody knows whether the frame is
    good.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "byte": In(8),
                "strobe": In(1),
                "header": Out(HEADER),
                "payload": Out(8),
                "payload_index": Out(8),
                "payload_valid": Out(1),
                "ended": Out(1),
                "good": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.crc = crc = SerialCrc()
        size = Request.HEADER.size
        escaped = Signal()
        count = Signal(range(LONGEST + 2))  # bytes of the frame; one too many says that it is too long
        header = Signal(8 * size)
        is_flag, is_escape, is_content = Signal(), Signal(), Signal()
        m.d.comb += [
            is_flag.eq(self.strobe & (self.byte == FLAG)),
            is_escape.eq(self.strobe & (self.byte == ESCAPE)),
            is_content.eq(self.strobe & ~is_flag & ~is_escape),
            self.payload.eq(self.byte ^ (escaped * ESCAPED_BY)),
            self.header.eq(header),
            self.payload_index.eq(count - size),
            self.payload_valid.eq(is_content & (count >= size) & (count < size + self.header.length)),
            crc.data.eq(self.payload),
            crc.valid.eq(is_content),
            crc.start.eq(is_flag),
            self.ended.eq(is_flag & (count != 0)),
            self.good.eq(crc.match & ~escaped & (count == self.header.length + (size + CRC_BYTES))),
        ]
        with m.If(is_flag):
            m.d.sync += [count.eq(0), escaped.eq(0)]
        with m.If(is_escape):
            m.d.sync += escaped.eq(1)
        with m.If(is_content):
            m.d.sync += escaped.eq(0)
            with m.If(count != LONGEST + 1):
                m.d.sync += count.eq(count + 1)
            with m.If(count < size):
                m.d.sync += header.eq(header.shift_right(8) | (self.payload << 8 * (size - 1)))
        return m
