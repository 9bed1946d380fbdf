"""Counts of the cells of a synthesized netlist, in the resources of the FPGA's family.

A LUT is counted for whatever uses the place of one: inverters, both halves of a carry cell, LUTs used as memory or
shift register, and those that such a memory makes unusable. ``bram`` counts the family's own blocks, ``bram18`` the
same in units of 18 Kbit; a multiplier of half the size is half a ``dsp``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

NAMES = ("lut", "ff", "dsp", "bram", "bram18")


@dataclass(frozen=True)
class CellNames:
    """Cell names of one family: patterns of whole names, and how much one such cell counts."""

    lut: dict[str, float]
    ff: str
    dsp: dict[str, float]
    bram: dict[str, float]
    bram_kbit: int

    def counted(self, cells: Mapping[str, int]) -> dict[str, float]:
        """:param cells: how many there are of every type."""
        blocks = _sum(cells, self.bram)
        return {
            "lut": _sum(cells, self.lut),
            "ff": _sum(cells, {self.ff: 1}),
            "dsp": _sum(cells, self.dsp),
            "bram": math.ceil(blocks),
            "bram18": _whole(round(blocks * self.bram_kbit / 18, 3)),
        }


def _sum(cells: Mapping[str, int], counts: dict[str, float]) -> float:
    found = (n * each for pattern, each in counts.items() for name, n in cells.items() if re.fullmatch(pattern, name))
    return _whole(sum(found))


def _whole(number: float) -> float:
    return int(number) if number == int(number) else number


FAMILIES = {
    "xc7": CellNames(
        lut={"LUT.*|INV|SRL.*": 1, "RAM32M|RAM64M": 4, "RAM(32|64)X1D": 2, "RAM(32|64)X1S": 1},
        ff="FD.*",
        dsp={"DSP48E1": 1},
        bram={"RAMB36E1": 1, "RAMB18E1": 0.5},
        bram_kbit=36,
    ),
    "ecp5": CellNames(  # a memory of four LUTs keeps two more of its slice from being used
        lut={"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 6},
        ff="TRELLIS_FF",
        dsp={"MULT18X18D": 1},
        bram={"DP16KD|PDPW16KD": 1},
        bram_kbit=18,
    ),
    "ice40": CellNames(  # a carry cell stands before a LUT, its sum's mostly
        lut={"SB_LUT4": 1},
        ff="SB_DFF.*",
        dsp={"SB_MAC16": 1},
        bram={"SB_RAM40_4K.*": 1},
        bram_kbit=4,
    ),
    "gowin": CellNames(  # nextpnr leaves the other four LUTs of a memory's tile alone
        lut={"LUT[1-4]|ALU": 1, "RAM16S.*": 8},
        ff="DFF.*",
        dsp={"MULT9X9": 0.5, "MULT18X18|MULTALU18X18": 1, "MULTADDALU18X18|MULTALU36X18": 2, "MULT36X36": 4},
        bram={"SPX?9?|SDPX?9?B?|DPX?9?B?|pROMX?9?": 1},
        bram_kbit=18,
    ),
}


def counted(family: str, cells: Mapping[str, int]) -> dict[str, float]:
    """``{"lut", "ff", "dsp", "bram", "bram18"}`` of a netlist for a family of the resource estimates."""
    return FAMILIES[family].counted(cells)
