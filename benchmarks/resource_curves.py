"""Multiplexers and tables of all sizes, one module each, for their LUTs per bit."""

from __future__ import annotations

from typing import Any

import numpy as np
from amaranth.hdl import Array, Module, Mux, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl_lib.core.formats import index_signal
from rtl_lib.matrix.folded.epilogue import constant_of

MUX_INPUTS = (
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    10,
    12,
    14,
    16,
    18,
    20,
    24,
    27,
    32,
    36,
    40,
    48,
    50,
    64,
    80,
    100,
    128,
    144,
    192,
    256,
)
TABLE_DEPTHS = (16, 24, 32, 64, 65, 96, 128, 160, 192, 256, 320, 400, 512, 640, 768, 1024)
MUX_BITS, TABLE_BITS = (4, 12), 16


class _Chosen(wiring.Component):
    """``choices[index]`` in a register; the index counts, unless it comes from outside."""

    def __init__(self, count: int, bits: int, constant: bool) -> None:
        self.count, self.bits, self.constant = count, bits, constant
        super().__init__(
            {
                "data": In(bits * count),
                "step": In(1),
                "take": In(1),
                "at": In(index_signal(count).shape()),
                "o": Out(bits),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        counter = index_signal(self.count)
        if self.constant:
            rng = np.random.default_rng(self.count)
            numbers = [int(n) for n in rng.integers(0, 1 << self.bits, self.count)]
            m.d.comb += self.o.eq(Value.cast(constant_of(self.at, numbers)))
            return m
        with m.If(self.step):
            m.d.sync += counter.eq(Mux(counter == self.count - 1, 0, counter + 1))
        lanes = [self.data[k * self.bits : (k + 1) * self.bits] for k in range(self.count)]
        with m.If(self.take):
            m.d.sync += self.o.eq(Array(lanes)[counter])
        return m


def modules() -> dict[str, wiring.Component]:
    """Return the modules by name."""
    muxes = {f"mux_{n}_{bits}": _Chosen(n, bits, constant=False) for n in MUX_INPUTS for bits in MUX_BITS}
    return muxes | {f"table_{n}": _Chosen(n, TABLE_BITS, constant=True) for n in TABLE_DEPTHS}


def curves(luts: dict[str, int]) -> dict[str, list[tuple[float, float]]]:
    """LUTs a bit, from those of the modules. What chooses costs the same for few bits and for many."""
    few, many = MUX_BITS
    mux = [(n, round((luts[f"mux_{n}_{many}"] - luts[f"mux_{n}_{few}"]) / (many - few), 2)) for n in MUX_INPUTS]
    table = [(n, round(luts[f"table_{n}"] / TABLE_BITS, 2)) for n in TABLE_DEPTHS]
    return {"mux": [(1, 0.0), *mux], "table": [(1, 0.0), (2, 1.0), *table]}
