"""The FPGA families that boards may name: whose tools build for them, and in what their resources are counted."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Tools(StrEnum):
    """The tools that turn Verilog into a bitstream."""

    VIVADO = "vivado"
    TRELLIS = "trellis"  # yosys, nextpnr-ecp5, ecppack
    ICESTORM = "icestorm"  # yosys, nextpnr-ice40, icepack
    APICULA = "apicula"  # yosys, nextpnr-himbaechel for Gowin, gowin_pack

    @property
    def is_open(self) -> bool:
        return self is not Tools.VIVADO


@dataclass(frozen=True, kw_only=True)
class Family:
    """``estimates``: the resource estimates that hold for it (``plan/resource_fit.json``)."""

    tools: Tools
    bram_kbit: int  # of one block as ``resources.bram`` counts them
    estimates: str


FAMILIES = {
    "artix7": Family(tools=Tools.VIVADO, bram_kbit=36, estimates="xc7"),
    "zynq7000": Family(tools=Tools.VIVADO, bram_kbit=36, estimates="xc7"),
    "zynquplus": Family(tools=Tools.VIVADO, bram_kbit=36, estimates="xc7"),
    "virtexuplus": Family(tools=Tools.VIVADO, bram_kbit=36, estimates="xc7"),
    "ecp5": Family(tools=Tools.TRELLIS, bram_kbit=18, estimates="ecp5"),
    "ice40": Family(tools=Tools.ICESTORM, bram_kbit=4, estimates="ice40"),
    "gowin": Family(tools=Tools.APICULA, bram_kbit=18, estimates="gowin"),
}
