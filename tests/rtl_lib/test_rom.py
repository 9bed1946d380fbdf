"""Read-only memories: the words in Verilog are those of the array, and of Amaranth's memory."""

from __future__ import annotations

import re

import numpy as np
import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib.memory import Memory
from hypothesis import given
from hypothesis import strategies as st

from rtl_lib.streams.rom import VerilogRoms, read_only


def words_of(text: str) -> list[int]:
    return [int(word, 16) for word in re.findall(r"words\[\d+\] = \d+'h([0-9a-f]+);", text)]


def joined(row: np.ndarray, bits: int) -> int:
    """The first lane lowest, two's complement."""
    return sum((int(value) & (1 << bits) - 1) << k * bits for k, value in enumerate(row))


def read(contents: np.ndarray, bits: int, platform: object) -> Module:
    m = Module()
    word = read_only(m, "weights", contents, bits, (Signal(8), Signal()), {"rom_style": "block"}, platform)
    assert len(word) == bits * contents.shape[1]
    return m


@given(st.integers(1, 17), st.integers(1, 9), st.integers(1, 6), st.integers(0, 99))
def test_every_word_is_there(bits: int, lanes: int, depth: int, seed: int) -> None:
    half = 1 << (bits - 1)
    contents = np.random.default_rng(seed).integers(-half, half, (depth, lanes))
    expected = [joined(row, bits) for row in contents]
    roms = VerilogRoms()
    name = roms.module_of(contents, bits, {})
    assert words_of(roms.text) == expected
    assert f"module {name}(" in roms.text
    assert f"output reg [{bits * lanes - 1}:0] data" in roms.text
    memory = read(contents, bits, None)._named_submodules["weights"][0]
    assert isinstance(memory, Memory)
    assert [int(word) for word in memory.init] == expected


def test_equal_memories_share_one_module() -> None:
    roms = VerilogRoms()
    contents = np.arange(12).reshape(4, 3)
    for _ in range(2):
        read(contents, 5, roms)
    assert len(roms.modules) == 1
    assert roms.module_of(contents, 5, {}) not in {
        roms.module_of(contents, 6, {}),
        roms.module_of(contents[::-1], 5, {}),
    }
    assert '(* rom_style = "block" *) reg [14:0] words [0:3];' in roms.text


@pytest.mark.parametrize("depth", [2, 3, 8, 9])
def test_the_address_is_as_wide_as_it_must_be(depth: int) -> None:
    roms = VerilogRoms()
    roms.module_of(np.zeros((depth, 1), int), 4, {})
    assert f"input wire [{(depth - 1).bit_length() - 1}:0] addr" in roms.text
