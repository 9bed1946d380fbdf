"""The design of a whole board in Verilator, pins and all, connected to a pseudo-terminal: for programs that talk to
boards.

    python board.py <board_top.v> <other.v>... --cycles-per-bit 25 --build-dir build
    python board.py <netlist.v> --cells <yosys>/share/ecp5/cells_sim.v --cycles-per-bit 25 --build-dir build

The second form simulates what synthesis has made of it, with yosys' models of the FPGA's cells. Prints the name of
the pseudo-terminal, and runs until its standard input is closed.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from builds import BULK_OPTIONS, SIM, cached, exclusive
from errors import BundleError, ToolError
from toolchain import Toolchain, find_toolchain

HARNESS, PRIMITIVES = SIM / "board.cpp", SIM / "primitives.v"
PORTS = {"clk": r"clk\w*__io", "rx": r"uart_0__rx__io", "tx": r"uart_0__tx__io"}


@dataclass(frozen=True)
class BoardSources:
    """``rtl`` holds the module ``top``."""

    rtl: Path
    others: tuple[Path, ...]
    top: str = "board_top"
    cells: Path | None = None  # models of what a netlist consists of


def build_board(sources: BoardSources, toolchain: Toolchain, build_dir: Path) -> Path:
    """Build the simulation, if it is not there already; returns the executable."""
    files = [*sources.others, PRIMITIVES]
    cells = _cells(sources.cells) if sources.cells else ""

    def build(folder: Path, log: Path) -> None:
        (folder / "cells.v").write_text(cells, encoding="utf-8")
        bench = folder / "bench.v"
        bench.write_text(_bench(sources), encoding="utf-8")
        verilate: list[str | Path] = [toolchain.verilator, "--cc", "--exe", *toolchain.options, *BULK_OPTIONS]
        verilate += [
            "--prefix",
            "Vtop",
            "--top-module",
            "bench",
            "-Mdir",
            folder,
            "-o",
            "board",
            bench,
            sources.rtl,
            *files,
            folder / "cells.v",
            HARNESS,
        ]
        make: list[str | Path] = ["make", f"-j{os.cpu_count() or 1}", "-C", folder, "-f", "Vtop.mk"]
        with log.open("w", encoding="utf-8") as output:
            for command in (verilate, make):
                subprocess.run(command, check=True, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)

    parts = ["board", cells, *BULK_OPTIONS, *(file.read_text(encoding="utf-8") for file in (*files, HARNESS))]
    return cached("board", parts, sources, toolchain, build_dir, build) / "board"


def _cells(file: Path) -> str:
    """The models of a family's cells without pins and clocks, for which we have our own: simpler, without tristate."""
    own = re.findall(r"^module (\w+)", PRIMITIVES.read_text(encoding="utf-8"), re.MULTILINE)
    module = re.compile(r"^module\s+(\w+)\b.*?^endmodule", re.MULTILINE | re.DOTALL)
    models = module.sub(lambda found: "" if found[1] in own else found[0], file.read_text(encoding="utf-8"))
    # Inputs that a netlist leaves open are low, which Verilator assumes anyway.
    return "`define NO_ICE40_DEFAULT_ASSIGNMENTS\n" + models


def _bench(sources: BoardSources) -> str:
    """A top with names that are the same for all boards; other inputs are low."""
    found = re.search(
        rf"^module {sources.top}\((.*?)\);", sources.rtl.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    ports = [port.strip() for port in found[1].split(",")] if found else []
    wired: dict[str, Sequence[str]] = {
        name: [port for port in ports if re.fullmatch(pattern, port)] for name, pattern in PORTS.items()
    }
    if any(len(matching) != 1 for matching in wired.values()):
        raise BundleError(
            f"{sources.rtl}: module {sources.top} must have one port each for {', '.join(PORTS)}, not {wired}"
        )
    # Wires between, because the pins of some families are inout.
    connections = ", ".join(f".{matching[0]}({name}_pin)" for name, matching in wired.items())
    wires = "  wire clk_pin = clk, rx_pin = rx, tx_pin;\n  assign tx = tx_pin;\n"
    return f"module bench(input clk, input rx, output tx);\n{wires}  {sources.top} board ({connections});\nendmodule\n"


def main() -> None:
    """Build, then become the simulation."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("rtl", type=Path, help="Verilog with the top module")
    parser.add_argument("others", type=Path, nargs="*", help="other Verilog files")
    parser.add_argument("--top", default="board_top")
    parser.add_argument("--cells", type=Path, help="models of the cells of a netlist")
    parser.add_argument("--cycles-per-bit", type=int, required=True)
    parser.add_argument("--build-dir", type=Path, required=True)
    given = parser.parse_args()
    sources, folder = BoardSources(given.rtl, tuple(given.others), given.top, given.cells), given.build_dir.resolve()
    try:
        toolchain = find_toolchain()
        with exclusive(folder), toolchain.environment():
            executable = build_board(sources, toolchain, folder)
    except (BundleError, ToolError) as error:
        sys.exit(f"error: {error}")
    os.execv(executable, [str(executable), str(given.cycles_per_bit)])


if __name__ == "__main__":
    main()
