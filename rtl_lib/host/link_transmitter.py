"""The transmitter, which turns the device's state into bytes of the line: flags, escapes, header, payload, CRC
(rtl_lib.host.link_protocol).
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Array, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from rtl_lib.host.link_crc import SerialCrc
from rtl_lib.host.link_protocol import CRC_BYTES, ESCAPE, ESCAPED_BY, FLAG, Answer, Identity, Kind

HEADER = data.StructLayout(
    {"kind": 8, "session": 8, "tag": 8, "expected": 16, "released": 16, "position": 16, "length": 8}
)


class LinkTransmitter(wiring.Component):
    """Sends one frame after every ``send``; the header is copied when ``accepted`` is high.

    ``payload`` must follow ``payload_address`` by one cycle.

    :param identity: the payload of an answer to OPEN.
    """

    def __init__(self, identity: Identity) -> None:
        self.identity = identity.encode()
        super().__init__(
            {
                "header": In(HEADER),
                "send": In(1),
                "accepted": Out(1),
                "payload_address": Out(16),
                "payload": In(8),
                "byte": Out(8),
                "valid": Out(1),
                "ready": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.crc = crc = SerialCrc()
        size = Answer.HEADER.size
        header = Signal(HEADER)
        index = Signal(range(size + 256 + CRC_BYTES))  # of the byte of the content
        crc_index, payload_index = Signal(range(CRC_BYTES)), Signal(8)
        identity = Array(Const(byte, 8) for byte in self.identity)
        content, in_crc, escaping = Signal(8), Signal(), Signal()
        special = (content == FLAG) | (content == ESCAPE)
        end_of_payload = size + header.length
        m.d.comb += [
            in_crc.eq(index >= end_of_payload),
            payload_index.eq(index - size),
            crc_index.eq(index - end_of_payload),
            self.payload_address.eq(header.position + payload_index),
        ]
        # Arrays, because tools make a shifter of `word_select`.
        header_bytes = Array(header.as_value()[8 * k : 8 * k + 8] for k in range(size))
        crc_bytes = Array(crc.crc[8 * k : 8 * k + 8] for k in range(CRC_BYTES))
        with m.If(in_crc):
            m.d.comb += content.eq(crc_bytes[crc_index])
        with m.Elif(index < size):
            m.d.comb += content.eq(header_bytes[index[: (size - 1).bit_length()]])
        with m.Elif(header.kind == Kind.OPENED):
            m.d.comb += content.eq(identity[payload_index[: (len(identity) - 1).bit_length()]])
        with m.Else():
            m.d.comb += content.eq(self.payload)

        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [self.accepted.eq(self.send), crc.start.eq(1)]
                m.d.sync += [header.eq(self.header), index.eq(0), escaping.eq(0)]
                with m.If(self.send):
                    m.next = "BEGIN"
            with m.State("BEGIN"):
                m.d.comb += [self.byte.eq(FLAG), self.valid.eq(1)]
                with m.If(self.ready):
                    m.next = "FETCH"
            with m.State("FETCH"):  # a cycle for the memory
                m.next = "CONTENT"
            with m.State("CONTENT"):
                done = ~special | escaping
                m.d.comb += [
                    self.byte.eq(Mux(escaping, content ^ ESCAPED_BY, Mux(special, ESCAPE, content))),
                    self.valid.eq(1),
                    crc.data.eq(content),
                    crc.valid.eq(self.ready & done & ~in_crc),
                ]
                with m.If(self.ready):
                    m.d.sync += escaping.eq(special & ~escaping)
                    with m.If(done):
                        m.d.sync += index.eq(index + 1)
                        m.next = "FETCH"
                        with m.If(in_crc & (crc_index == CRC_BYTES - 1)):
                            m.next = "END"
            with m.State("END"):
                m.d.comb += [self.byte.eq(FLAG), self.valid.eq(1)]
                with m.If(self.ready):
                    m.next = "IDLE"
        return m
