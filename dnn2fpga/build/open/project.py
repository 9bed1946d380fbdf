"""The input files and command lines of the open tools."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from dnn2fpga.build.boards import Board
from dnn2fpga.build.open.toolchains import (
    CELLS,
    NETLIST,
    NETLIST_VERILOG,
    NEXTPNR_LOG,
    REPORT,
    TOOLCHAINS,
    YOSYS,
    YOSYS_LOG,
    device_of,
)

SYNTHESIS, PLACEMENT, PACKING = "synthesis", "placement and routing", "bitstream"
SCRIPT, SHELL_SCRIPT = "synthesis.ys", "build.sh"
# abc9 of yosys 0.70 mistakes a wire called x[0] for a bit of the wire x, and stops.
HIDE_ELEMENTS = "rename -hide */w:*[[]*"


@dataclass(frozen=True, kw_only=True)
class Project:
    """``commands``: the options of each step; ``programs``: the names of what they are for."""

    clock_mhz: float
    bitstream: str
    files: tuple[Path, ...]
    commands: dict[str, list[str]]
    programs: dict[str, str]

    def lines(self, seed: int) -> list[str]:
        """Return the command lines, quoted for a shell."""
        more = {PLACEMENT: placement_options(seed, self.clock_mhz)}
        return [shlex.join([self.programs[step], *own, *more.get(step, ())]) for step, own in self.commands.items()]

    def write_shell_script(self, folder: Path, seed: int) -> None:
        """Run native tools."""
        (folder / SHELL_SCRIPT).write_text("\n".join(["set -e", *self.lines(seed), ""]), encoding="utf-8")


def write_project(bundle: Path, board: Board, folder: Path, clock_mhz: float, seed: int = 1) -> Project:
    """Verilog, constraints and scripts, in ``folder``."""
    from dnn2fpga.build.tops.board_top import write_board_top

    chain, device = TOOLCHAINS[board.architecture.tools], device_of(board)
    design = write_board_top(bundle, board, folder, clock_mhz)
    sources = " ".join(file.name for file in design.verilog)
    # Counts and netlist go into files: the yosys of PyPI loses its standard output.
    script = [f"read_verilog -sv {sources}", f"hierarchy -top {design.top}", HIDE_ELEMENTS]
    script += [f"{device.synthesis} -top {design.top}", f"write_json {NETLIST}"]
    script += [f"write_verilog -noattr {NETLIST_VERILOG}", f"tee -q -o {CELLS} stat -json"]
    (folder / SCRIPT).write_text("\n".join([*script, ""]), encoding="utf-8")
    place = [word.format(constraints=design.constraints.name) for word in device.place]
    project = Project(
        clock_mhz=clock_mhz,
        bitstream=design.top + chain.bitstream,
        files=(*design.verilog, design.constraints, folder / SCRIPT),
        commands={
            SYNTHESIS: ["-q", "-l", YOSYS_LOG, SCRIPT],
            PLACEMENT: ["-q", "--log", NEXTPNR_LOG, "--json", NETLIST, "--report", REPORT, *place],
            PACKING: [*device.pack, design.top + chain.bitstream],
        },
        programs={SYNTHESIS: YOSYS.name, PLACEMENT: chain.placer.name, PACKING: chain.packer.name},
    )
    project.write_shell_script(folder, seed)
    return project


def placement_options(seed: int, mhz: float) -> tuple[str, ...]:
    """A missed clock is no failure of the tool: whether it is met is in the report."""
    return ("--seed", str(seed), "--freq", f"{mhz:g}", "--timing-allow-fail")
