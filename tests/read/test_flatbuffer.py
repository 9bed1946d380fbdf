"""Our reader of FlatBuffers, on files of our own writer; and on files with wrong positions."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from flatbuffer_writer import Number, Table, written

from dnn2fpga.read.flatbuffer import DamagedFile, FlatBuffer

NESTED = Table({1: Number("i", -7)})
CONTENT = written(
    Table(
        {
            0: Number("b", -1),
            1: Number("d", 0.5),
            2: "name",
            3: np.array([1, 2, 2**40], np.int64),
            4: NESTED,
            5: [NESTED, Table({})],
            7: b"abc",
        }
    ),
    b"TEST",
)


def test_every_kind_of_field() -> None:
    root = FlatBuffer(CONTENT).root()
    assert (root.number(0, "b"), root.number(1, "d"), root.text(2)) == (-1, 0.5, "name")
    np.testing.assert_array_equal(root.numbers(3, np.int64), [1, 2, 2**40])
    nested = root.table(4)
    assert nested is not None
    assert nested.number(1, "i") == -7
    assert [table.number(1, "i", 3) for table in root.tables(5, 2)] == [-7, 3]
    assert bytes(root.bytes_of(7)) == b"abc"


def test_absent_fields() -> None:
    root = FlatBuffer(CONTENT).root()
    for number in (6, 100):
        assert root.number(number, "i", 5) == 5
        assert root.table(number) is None
        assert root.tables(number, 1) == []
        assert root.numbers(number, np.int32).size == root.bytes_of(number).nbytes == len(root.text(number)) == 0
        assert not root.flag(number)


def test_too_many_tables() -> None:
    with pytest.raises(DamagedFile, match="a list has 2 entries; at most 1 are read"):
        FlatBuffer(CONTENT).root().tables(5, 1)


@pytest.mark.parametrize("content", [b"", b"\x04\0\0", struct.pack("<I", 2**31), struct.pack("<Ii", 4, -100)])
def test_positions_outside_of_the_file(content: bytes) -> None:
    with pytest.raises(DamagedFile, match="lie outside of the file"):
        FlatBuffer(content).root()


def test_vector_that_is_longer_than_the_file() -> None:
    content = bytearray(CONTENT)
    at = content.index(np.array([1, 2, 2**40], np.int64).tobytes()) - 4
    struct.pack_into("<I", content, at, 2**30)
    with pytest.raises(DamagedFile, match="8,589,934,592 bytes"):
        FlatBuffer(bytes(content)).root().numbers(3, np.int64)


@pytest.mark.parametrize("size", [0, 2, 5])
def test_table_without_layout(size: int) -> None:
    content = struct.pack("<IHHi", 8, size, 4, 4) + bytes(8)
    with pytest.raises(DamagedFile, match="no layout"):
        FlatBuffer(content).root()
