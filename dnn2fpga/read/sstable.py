"""Reads a sorted table of keys and values, in which TensorFlow keeps the index of a checkpoint.

The file ends with a footer of 48 bytes: two *handles* (offset and size as varints), of which the second is the index's,
zeros, and a magic number. The index is a block whose values are the handles of blocks of data. A block is a row of
entries (how many bytes of the key are those of the key before, how many follow, how long the value is: varints), the
offsets at which a key is whole, their count; then a byte for its compression, and a checksum (CRC-32C, rotated).

Source: LevelDB's ``doc/table_format.md``; ``tensorflow/tsl/lib/io/table*.cc``.
"""

from __future__ import annotations

from collections.abc import Iterator

from dnn2fpga.read.protobuf import DamagedMessage, varint

MAGIC = 0xDB4775248B80FB57.to_bytes(8, "little")
FOOTER, TRAILER = 48, 5  # bytes
LARGEST_KEY, MOST_ENTRIES = 2**10, 2**15  # bytes; entries
_POLYNOMIAL = 0x82F63B78  # of CRC-32C, its bits reversed
_MASK = 0xA282EAD8  # which is added to a rotated checksum


def _remainder(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ _POLYNOMIAL * (byte & 1)
    return byte


_REMAINDERS = [_remainder(byte) for byte in range(256)]


def masked_crc(data: bytes | memoryview) -> int:
    """Return the checksum of bytes as tables keep it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _REMAINDERS[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF


def entries(data: memoryview) -> dict[str, memoryview]:
    """Return the values of a table by their keys.

    :raises DamagedMessage: when it is none, or damaged.
    """
    footer = data[-FOOTER:]
    if len(footer) < FOOTER or footer[-len(MAGIC) :] != MAGIC:
        raise DamagedMessage("its last bytes are not those of a table")
    _, at = _handle(footer, 0)
    index, _ = _handle(footer, at)
    found: dict[str, memoryview] = {}
    for _, handle in _entries(_block(data, index)):
        for key, value in _entries(_block(data, _handle(handle, 0)[0])):
            found[key.decode(errors="replace")] = value
            if len(found) > MOST_ENTRIES:
                raise DamagedMessage(f"it has more than {MOST_ENTRIES:,} entries")
    return found


def _handle(data: memoryview, at: int) -> tuple[tuple[int, int], int]:
    """Offset and size of a block, and the position after them."""
    offset, at = varint(data, at)
    size, at = varint(data, at)
    return (offset, size), at


def _block(data: memoryview, handle: tuple[int, int]) -> memoryview:
    offset, size = handle
    end = offset + size
    if end + TRAILER > len(data):
        raise DamagedMessage(f"a block of {size:,} bytes lies outside of the file")
    if data[end]:
        raise DamagedMessage("it is compressed")
    if int.from_bytes(data[end + 1 : end + TRAILER], "little") != masked_crc(data[offset : end + 1]):
        raise DamagedMessage("the checksum of a block is wrong")
    return data[offset:end]


def _entries(block: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 * (restarts + 1)
    if end < 0:
        raise DamagedMessage("a block is too short")
    key, at = b"", 0
    while at < end:
        shared, at = varint(block, at)
        further, at = varint(block, at)
        size, at = varint(block, at)
        if shared > len(key) or shared + further > LARGEST_KEY or at + further + size > end:
            raise DamagedMessage("a key or value lies outside of its block")
        key = key[:shared] + bytes(block[at : at + further])
        at += further
        yield key, block[at : at + size]
        at += size
