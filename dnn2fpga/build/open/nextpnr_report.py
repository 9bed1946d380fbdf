"""Reader of nextpnr's report: the clocks it reached, what it has placed, its progress, and the reason why it
stopped.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

SAME_CLOCK = 0.005  # a constraint in whole picoseconds is not exactly the clock asked for

_STAGES = (
    (re.compile(r"at iteration #(\d+), type ALL"), "placement, iteration {}"),
    (re.compile(r"at iteration #(\d+): temp"), "refining the placement, iteration {}"),
    (re.compile(r"^Info: +\d+ \| .*\| +(\d+)\| +[\d.]+ +[\d.]+\|"), "routing, {} arcs left"),
    (re.compile(r"iter=(\d+) .*overused=(\d+)"), "routing, round {}, {} wires too many"),
    (re.compile(r"^Info: (Packing \w+)"), "{}"),
)
_USED = re.compile(r"^Info:\s+(\w+): +(\d+)/ *(\d+) +\d+%")
_YOSYS_PASS = re.compile(r"^[\d.]+ Executing (\w+)")


@dataclass(frozen=True)
class Clock:
    """``target_mhz``: what nextpnr has checked it against."""

    name: str
    reached_mhz: float
    target_mhz: float

    @property
    def met(self) -> bool:
        return self.reached_mhz >= self.target_mhz


@dataclass(frozen=True)
class PlaceReport:
    """``used`` and ``available``: by nextpnr's kinds of cells."""

    clocks: tuple[Clock, ...]
    used: dict[str, int]
    available: dict[str, int]

    def main_clock(self, target_mhz: float) -> Clock | None:
        """The slowest of those that were checked against the target; None where nothing was."""
        checked = [c for c in self.clocks if abs(c.target_mhz / target_mhz - 1) < SAME_CLOCK]
        return min(checked, key=lambda clock: clock.reached_mhz, default=None)

    @property
    def met(self) -> bool:
        return all(clock.met for clock in self.clocks)

    @property
    def slack(self) -> float:
        """The slack of the worst clock: reached ÷ target."""
        return min((clock.reached_mhz / clock.target_mhz for clock in self.clocks), default=0.0)


def read_report(file: Path) -> PlaceReport:
    content = json.loads(file.read_text(encoding="utf-8"))
    clocks = (Clock(name, one["achieved"], one["constraint"]) for name, one in content["fmax"].items())
    rows = content["utilization"]
    used, available = ({name: row[key] for name, row in rows.items()} for key in ("used", "available"))
    return PlaceReport(tuple(clocks), used, available)


def overfull(log: str) -> dict[str, tuple[int, int]]:
    """Kinds of cells that nextpnr has more of than the chip: used, available."""
    found = (match for line in log.splitlines() if (match := _USED.match(line)))
    return {name: (int(used), int(has)) for name, used, has in (m.groups() for m in found) if int(used) > int(has) > 0}


def used_cells(log: str) -> dict[str, int]:
    """All of that table; empty where nextpnr did not come so far."""
    return {match[1]: int(match[2]) for line in log.splitlines() if (match := _USED.match(line))}


def errors(log: str) -> list[str]:
    """nextpnr's own words, without those about timing."""
    told = [line.removeprefix("ERROR: ") for line in log.splitlines() if line.startswith("ERROR: ")]
    return [line for line in told if not line.startswith("Max frequency")]


def shown(line: str) -> str | None:
    """A log line of nextpnr or yosys in a few words, if it tells how far the tool is."""
    for pattern, text in _STAGES:
        if match := pattern.search(line):
            return text.format(*(f"{int(word):,}" if word.isdigit() else word for word in match.groups()))
    match = _YOSYS_PASS.match(line)
    return match[1].lower() if match else None
