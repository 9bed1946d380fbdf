"""Read-only memories, large ones too.

In simulation they are Amaranth's. In Verilog each is a module that is written here, because ten million weights are
more than Amaranth and Yosys convert in reasonable time::

    module rom_4f0c… (input wire clk, input wire en, input wire [3:0] addr, output reg [15:0] data);
      reg [15:0] words [0:8];
      initial begin
        words[0] = 16'h01ff;
        …
      end
      always @(posedge clk) if (en) data <= words[addr];
    endmodule
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from amaranth.hdl import ClockSignal, Instance, Module, Signal, Value
from amaranth.lib.memory import Memory

from rtl_lib.core.formats import index_signal


def read_only(
    m: Module,
    name: str,
    contents: np.ndarray,
    bits: int,
    ports: tuple[Value, Value],
    attributes: Mapping[str, str],
    platform: Any,
) -> Value:
    """Return the word at an address, one cycle later.

    :param contents: integers ``[words, lanes]``; the lanes of a word are adjacent, the first in its lowest bits.
    :param bits: of a lane.
    :param ports: address, and enable.
    :param attributes: for the synthesis tool.
    :param platform: what ``elaborate`` was given: ``VerilogRoms`` when Verilog is written.
    """
    address, enable = ports
    if isinstance(platform, VerilogRoms):
        word = Signal(bits * contents.shape[1], name=f"{name}_word")
        m.submodules[name] = Instance(
            platform.module_of(contents, bits, attributes),
            i_clk=ClockSignal("sync"),
            i_en=enable,
            i_addr=address,
            o_data=word,
        )
        return word
    words = [int(text, 16) for text in _hex_words(contents, bits)]
    memory = Memory(shape=bits * contents.shape[1], depth=len(words), init=words, attrs=dict(attributes))
    m.submodules[name] = memory
    read = memory.read_port()
    m.d.comb += [read.addr.eq(address), read.en.eq(enable)]
    data: Value = read.data
    return data


class VerilogRoms:
    """The platform for which Verilog is written; equal memories share one module."""

    def __init__(self) -> None:
        self.modules: dict[str, str] = {}  # text, by name

    @property
    def text(self) -> str:
        return "".join(text for _, text in sorted(self.modules.items()))

    def module_of(self, contents: np.ndarray, bits: int, attributes: Mapping[str, str]) -> str:
        """The name of the module with these contents."""
        body = _body(contents, bits, attributes)
        name = f"rom_{hashlib.sha256(body.encode()).hexdigest()[:16]}"
        self.modules[name] = f"\nmodule {name}{body}"
        return name


def _body(contents: np.ndarray, bits: int, attributes: Mapping[str, str]) -> str:
    depth, width = len(contents), bits * contents.shape[1]
    attribute = "".join(f'(* {key} = "{value}" *) ' for key, value in attributes.items())
    words = "".join(f"    words[{k}] = {width}'h{text};\n" for k, text in enumerate(_hex_words(contents, bits)))
    return (
        f"(input wire clk, input wire en, input wire [{len(index_signal(depth)) - 1}:0] addr, "
        f"output reg [{width - 1}:0] data);\n"
        f"  {attribute}reg [{width - 1}:0] words [0:{depth - 1}];\n"
        f"  initial begin\n{words}  end\n"
        f"  always @(posedge clk) if (en) data <= words[addr];\n"
        f"endmodule\n"
    )


def _hex_words(contents: np.ndarray, bits: int) -> Iterator[str]:
    digits = -(-bits * contents.shape[1] // 4)
    for word in contents:
        of_word = (word[:, np.newaxis] >> np.arange(bits) & 1).astype(np.uint8).ravel()
        text = np.packbits(of_word, bitorder="little")[::-1].tobytes().hex()
        yield text[-digits:].zfill(digits)
