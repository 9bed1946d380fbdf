"""The serial protocol between a host and the accelerator, as both sides must speak it (docs/host_link.md).

A *frame* on the line is a flag byte, escaped content, and a flag byte; the content ends in a CRC-32. After any garbage
the next flag begins anew. Two streams of bytes run over it, one each way. A position is the number of a byte in its
stream, modulo 2^16. The host masters: the device says its whole state after the frames that it has seen, and nothing
otherwise, so any frame may be lost, and any sent twice.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

FLAG, ESCAPE, ESCAPED_BY = 0x7E, 0x7D, 0x20
VERSION = 1
POSITIONS = 1 << 16
CRC_BYTES = 4
LATENCY_BYTES = 4  # cycles, after every result
MOST_PAYLOAD = 255


class Kind(IntEnum):
    """First byte of a frame: what the host asks, or how the device found what it was sent."""

    OPEN = 0x01  # a new session: resets the accelerator and both streams
    DATA = 0x02  # bytes of the input stream, or none
    ACCEPTED = 0x80
    BAD_FRAME = 0x81  # its CRC or length is wrong
    WRONG_POSITION = 0x82  # the input stream does not continue there, or has no room for this many bytes
    NO_SESSION = 0x83  # the session is another: the device was reset
    OPENED = 0x84  # the payload is an Identity


@dataclass(frozen=True)
class Request:
    """Host to device. ``taken``: where the output stream continues for the host; the device may forget what is
    before.
    """

    kind: int
    session: int
    tag: int
    position: int = 0
    taken: int = 0
    payload: bytes = b""

    HEADER = struct.Struct("<BBBHHB")

    def encode(self) -> bytes:
        """Return the bytes that go over the line."""
        fields = (self.kind, self.session, self.tag, self.position, self.taken, len(self.payload))
        return framed(self.HEADER.pack(*fields) + self.payload)

    @classmethod
    def decode(cls, content: bytes) -> Request | None:
        """None when the length is wrong."""
        fields = _split(cls.HEADER, content)
        return cls(*fields) if fields else None


@dataclass(frozen=True)
class Answer:
    """Device to host: its state, and bytes of the output stream from ``position`` on.

    ``tag``: of the last good frame; ``expected``: where the input stream continues; ``released``: how much of it has
    gone into the accelerator.
    """

    kind: int
    session: int
    tag: int
    expected: int
    released: int
    position: int
    payload: bytes = b""

    HEADER = struct.Struct("<BBBHHHB")

    def encode(self) -> bytes:
        """Return the bytes that go over the line."""
        fields = (self.kind, self.session, self.tag, self.expected, self.released, self.position, len(self.payload))
        return framed(self.HEADER.pack(*fields) + self.payload)

    @classmethod
    def decode(cls, content: bytes) -> Answer | None:
        """None when the length is wrong."""
        fields = _split(cls.HEADER, content)
        return cls(*fields) if fields else None


@dataclass(frozen=True)
class Identity:
    """The identity of the device. ``buffer_bytes`` of the input stream may wait in it; ``design`` is the beginning of
    the SHA-256 of the bundle's manifest.
    """

    buffer_bytes: int
    clock_hz: int
    design: bytes
    version: int = VERSION

    LAYOUT = struct.Struct("<BII8s")

    def encode(self) -> bytes:
        return self.LAYOUT.pack(self.version, self.buffer_bytes, self.clock_hz, self.design)

    @classmethod
    def decode(cls, payload: bytes) -> Identity | None:
        """None when it is not one."""
        if len(payload) != cls.LAYOUT.size:
            return None
        version, buffer_bytes, clock_hz, design = cls.LAYOUT.unpack(payload)
        return cls(buffer_bytes, clock_hz, design, version)


def _split(header: struct.Struct, content: bytes) -> tuple | None:
    if len(content) < header.size:
        return None
    *fields, length = header.unpack(content[: header.size])
    payload = content[header.size :]
    return (*fields, payload) if len(payload) == length else None


def framed(content: bytes) -> bytes:
    """Content → bytes on the line."""
    checked = content + zlib.crc32(content).to_bytes(CRC_BYTES, "little")
    escaped = bytearray()
    for byte in checked:
        escaped += bytes([ESCAPE, byte ^ ESCAPED_BY]) if byte in (FLAG, ESCAPE) else bytes([byte])
    return bytes([FLAG, *escaped, FLAG])


class Deframer:
    """Bytes from the line → contents of frames, without their CRC; None for each that is damaged.

    Between two flags nothing is no frame, so frames may share a flag.
    """

    def __init__(self) -> None:
        self._content = bytearray()
        self._escaped = False

    def feed(self, data: bytes) -> Iterator[bytes | None]:
        """Yield the contents of the frames that end within ``data``; None for a damaged one."""
        for byte in data:
            if byte == FLAG:
                content, complete = bytes(self._content), not self._escaped
                self._content.clear()
                self._escaped = False
                if content:
                    yield _checked(content) if complete else None
            elif byte == ESCAPE:
                self._escaped = True
            else:
                self._content.append(byte ^ ESCAPED_BY if self._escaped else byte)
                self._escaped = False


def _checked(content: bytes) -> bytes | None:
    body, crc = content[:-CRC_BYTES], content[-CRC_BYTES:]
    return body if len(content) > CRC_BYTES and zlib.crc32(body).to_bytes(CRC_BYTES, "little") == crc else None
