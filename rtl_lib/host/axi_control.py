"""An AXI4-Lite slave with registers of 32 bits.

Address and data of a write may come in any order: each waits in a register of its own until both are there. A read is
answered one cycle after its address. Every ``ready`` and every ``valid`` depends on registers only::

    awvalid/awready   A  .  .  .
    wvalid/wready     .  D  .  .
    <name>_write      .  .  1  .
    bvalid            .  .  .  1
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

BITS, BYTES = 32, 4


class Response(IntEnum):
    """The response to a transfer, as AMBA AXI numbers it."""

    OKAY = 0
    SLVERR = 2


@dataclass(frozen=True)
class Register:
    """One register; ``offset`` in bytes. What is not ``writable`` answers a write with SLVERR and stays as it is."""

    name: str
    offset: int
    description: str
    writable: bool = False

    def __post_init__(self) -> None:
        if self.offset < 0 or self.offset % BYTES:
            raise ValueError(f"the offset of '{self.name}' must be a multiple of {BYTES}, not {self.offset!r}")


def axi_lite_ports(address_bits: int) -> dict[str, wiring.Member]:
    """The ports of a slave, by their AXI names in lower case."""
    return {
        "awaddr": In(address_bits),
        "awprot": In(3),
        "awvalid": In(1),
        "awready": Out(1),
        "wdata": In(BITS),
        "wstrb": In(BYTES),
        "wvalid": In(1),
        "wready": Out(1),
        "bresp": Out(2),
        "bvalid": Out(1),
        "bready": In(1),
        "araddr": In(address_bits),
        "arprot": In(3),
        "arvalid": In(1),
        "arready": Out(1),
        "rdata": Out(BITS),
        "rresp": Out(2),
        "rvalid": Out(1),
        "rready": In(1),
    }


class AxiLiteRegisters(wiring.Component):
    """The slave, and for every register: ``<name>_value``, what a read returns; ``<name>_read`` and ``<name>_write``,
    high for the one cycle in which that happens. ``write_data`` and ``write_mask`` (the byte strobes, a bit for each
    bit of the data) belong to the register that is written.
    """

    def __init__(self, registers: Sequence[Register], address_bits: int) -> None:
        offsets = [register.offset for register in registers]
        if len(set(offsets)) != len(offsets):
            raise ValueError("every register must have an offset of its own")
        if max(offsets) >= 1 << address_bits:
            raise ValueError(f"offsets must be below {1 << address_bits}, not {max(offsets)}")
        self.registers = registers
        self.address_bits = address_bits
        ports = axi_lite_ports(address_bits) | {"write_data": Out(BITS), "write_mask": Out(BITS)}
        for register in registers:
            ports |= {f"{register.name}_value": In(BITS), f"{register.name}_read": Out(1)}
            ports |= {f"{register.name}_write": Out(1)} if register.writable else {}
        super().__init__(ports)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        self._writes(m)
        self._reads(m)
        return m

    def _writes(self, m: Module) -> None:
        address = Signal(self.address_bits, reset_less=True)
        strobes = Signal(BYTES, reset_less=True)
        data = Signal(BITS, reset_less=True)
        has_address, has_data, act = Signal(), Signal(), Signal()
        m.d.comb += [
            self.awready.eq(~has_address),
            self.wready.eq(~has_data),
            act.eq(has_address & has_data & (~self.bvalid | self.bready)),
            self.write_data.eq(data),
            self.write_mask.eq(Cat(strobe.replicate(8) for strobe in strobes)),
        ]
        with m.If(self.awready):
            m.d.sync += [address.eq(self.awaddr), has_address.eq(self.awvalid)]
        with m.If(self.wready):
            m.d.sync += [data.eq(self.wdata), strobes.eq(self.wstrb), has_data.eq(self.wvalid)]
        with m.If(self.bready):
            m.d.sync += self.bvalid.eq(0)
        with m.If(act):
            m.d.sync += [has_address.eq(0), has_data.eq(0), self.bvalid.eq(1), self.bresp.eq(Response.SLVERR)]
            with m.Switch(address // BYTES):
                for register in self.registers:
                    if register.writable:
                        with m.Case(register.offset // BYTES):
                            m.d.comb += getattr(self, f"{register.name}_write").eq(1)
                            m.d.sync += self.bresp.eq(Response.OKAY)

    def _reads(self, m: Module) -> None:
        m.d.comb += self.arready.eq(~self.rvalid)
        with m.If(self.rready):
            m.d.sync += self.rvalid.eq(0)
        with m.If(self.arready & self.arvalid):
            m.d.sync += [self.rvalid.eq(1), self.rdata.eq(0), self.rresp.eq(Response.SLVERR)]
            with m.Switch(self.araddr // BYTES):
                for register in self.registers:
                    with m.Case(register.offset // BYTES):
                        m.d.comb += getattr(self, f"{register.name}_read").eq(1)
                        m.d.sync += self.rdata.eq(getattr(self, f"{register.name}_value"))
                        m.d.sync += self.rresp.eq(Response.OKAY)
