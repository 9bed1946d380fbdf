"""A serial line of eight data bits, no parity, one stop bit."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

LEAST_CYCLES_PER_BIT = 4
BITS = 10  # with start and stop bit


class UartReceiver(wiring.Component):
    """``data`` is a byte from ``line`` in the cycle in which ``strobe`` is high. A byte whose stop bit is missing is
    dropped: what it belonged to will not have the right CRC.

    :param cycles_per_bit: of the clock, at least 4.
    """

    def __init__(self, cycles_per_bit: int) -> None:
        _check(cycles_per_bit)
        self.cycles_per_bit = cycles_per_bit
        super().__init__({"line": In(1, init=1), "data": Out(8), "strobe": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        line = Signal(init=1)
        m.submodules.synchronizer = FFSynchronizer(self.line, line, init=1)
        to_first_middle = (
            3 * self.cycles_per_bit - 1
        ) // 2 - 1  # over the start bit; one cycle to notice that it is there
        left = Signal(range(to_first_middle + 1))  # cycles to the middle of the next bit
        bits = Signal(range(BITS))  # still to come
        shift = Signal(9)
        m.d.sync += self.strobe.eq(0)
        with m.If(bits == 0):
            m.d.sync += [bits.eq(Mux(line, 0, 9)), left.eq(to_first_middle)]
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        with m.Else():
            m.d.sync += [left.eq(self.cycles_per_bit - 1), bits.eq(bits - 1), shift.eq(Cat(shift[1:], line))]
            with m.If(bits == 1):
                m.d.sync += [self.data.eq(shift[1:]), self.strobe.eq(line)]
        return m


class UartTransmitter(wiring.Component):
    """Sends ``data`` when ``valid`` and ``ready`` are high.

    :param cycles_per_bit: of the clock, at least 4.
    """

    def __init__(self, cycles_per_bit: int) -> None:
        _check(cycles_per_bit)
        self.cycles_per_bit = cycles_per_bit
        super().__init__({"line": Out(1, init=1), "data": In(8), "valid": In(1), "ready": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        left = Signal(range(self.cycles_per_bit))  # cycles of the bit on the line
        bits = Signal(range(BITS + 1))  # with the one on the line
        shift = Signal(9, init=0x1FF)
        m.d.comb += self.ready.eq(bits == 0)
        with m.If(bits == 0):
            m.d.sync += [self.line.eq(~self.valid), bits.eq(Mux(self.valid, BITS, 0))]
            m.d.sync += [shift.eq(Cat(self.data, Const(1))), left.eq(self.cycles_per_bit - 1)]
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        with m.Else():
            m.d.sync += [self.line.eq(shift[0]), shift.eq(Cat(shift[1:], 1)), bits.eq(bits - 1)]
            m.d.sync += left.eq(self.cycles_per_bit - 1)
        return m


def _check(cycles_per_bit: int) -> None:
    if cycles_per_bit < LEAST_CYCLES_PER_BIT:
        raise ValueError(f"a bit must last at least {LEAST_CYCLES_PER_BIT} cycles, not {cycles_per_bit}")
