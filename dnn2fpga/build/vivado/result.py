"""Reader of Vivado's reports on a design, in the units of our own estimates."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from dnn2fpga.errors import UserError

RESULT = "result.json"
UTILIZATION, TIMING = "utilization.rpt", "timing.rpt"
_NUMBER = r"-?\d+(?:\.\d+)?"


class VivadoResult(BaseModel):
    """The result of a placed and routed design. ``clock_mhz``: the fastest of its clocks; ``reached_mhz``: the clock at
    which the worst setup slack would be 0.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    lut: int
    ff: int
    bram18: int
    dsp: int
    clock_mhz: float
    worst_setup_slack_ns: float
    worst_hold_slack_ns: float
    reached_mhz: float

    @property
    def timing_met(self) -> bool:
        return min(self.worst_setup_slack_ns, self.worst_hold_slack_ns) >= 0


def read_result(reports: Path) -> VivadoResult:
    """Read the utilization and timing reports of a folder.

    :raises UserError: when a report or a line that is needed is missing; a number that is not there is never 0.
    """
    utilization, timing = reports / UTILIZATION, reports / TIMING
    rows = _read(utilization)
    setup, hold = _slacks(timing)
    period = _fastest_period_ns(timing)
    return VivadoResult(
        lut=int(_used(rows, utilization, r"(?:Slice|CLB) LUTs", "Slice LUTs' or 'CLB LUTs")),
        ff=int(_used(rows, utilization, r"(?:Slice|CLB) Registers", "Slice Registers' or 'CLB Registers")),
        bram18=round(2 * _used(rows, utilization, "Block RAM Tile", "Block RAM Tile")),  # a tile has two halves
        dsp=int(_used(rows, utilization, "DSPs", "DSPs")),
        clock_mhz=round(1000 / period, 3),
        worst_setup_slack_ns=setup,
        worst_hold_slack_ns=hold,
        reached_mhz=round(1000 / (period - setup), 3),
    )


def _used(text: str, file: Path, row: str, shown: str) -> float:
    """The column `Used` of a row of a table: ``| Slice LUTs* |  912 | 0 | ...``."""
    return float(_find(text, file, rf"^\|\s*{row}\*?\s*\|\s*({_NUMBER})\s*\|", f"a row '{shown}' with a number"))


def _slacks(file: Path) -> tuple[float, float]:
    """Worst setup and hold slack: columns 1 and 5 below the heading that begins with WNS(ns)."""
    row = _find(_read(file), file, r"^\s*WNS\(ns\).*WHS\(ns\).*\n[\s-]*\n\s*(\S.*)$", "the row below 'WNS(ns)'")
    columns = row.split()
    if len(columns) < 5 or not all(re.fullmatch(_NUMBER, columns[k]) for k in (0, 4)):
        raise UserError(f"{file}: the row below 'WNS(ns)' must have slacks in columns 1 and 5, not '{row.strip()}'")
    return float(columns[0]), float(columns[4])


def _fastest_period_ns(file: Path) -> float:
    """Return the shortest period in the table ``Clock Summary``: name, waveform, period, frequency; generated ones are
    indented.
    """
    periods = re.findall(rf"^\s*\S+\s+\{{[^}}]*\}}\s+({_NUMBER})\s+{_NUMBER}\s*$", _read(file), re.MULTILINE)
    if not periods:
        raise UserError(f"{file}: a row of 'Clock Summary' is missing; is it a report of Vivado, of a whole run?")
    return min(map(float, periods))


def _find(text: str, file: Path, pattern: str, what: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    if found is None:
        raise UserError(f"{file}: {what} is missing; is it a report of Vivado, of a whole run?")
    return found[1]


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror or error}") from error
