"""NNgen, a peer that makes Verilog too, on the MNIST CNN of ``examples/mnist_cnn``: cycles per image, and cells.

    .venv/bin/python benchmarks/nngen.py [--cache FOLDER] [--no-synthesis] [SETTING ...]

NNgen comes from PyPI into an environment of its own and is only ever run as a program
(``peer_scripts/nngen_mnist.py``); Icarus Verilog simulates (``apt-get install iverilog``), yosys synthesizes. What was
made is kept, and every step is written down when it is done, so an interrupted run resumes. Writes
``docs/measurements/nngen.json`` and ``nngen.md``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "examples")]
from peers import CACHE, SCRIPTS, environment  # noqa: E402
from reporting import markdown_table  # noqa: E402
from tools import XC7, synthesize_xc7, xilinx  # noqa: E402

SCRIPT = SCRIPTS / "nngen_mnist.py"
FIGURES = ROOT / "docs" / "measurements" / "nngen.json"
REPORT = FIGURES.with_suffix(".md")
OURS = FIGURES.with_name("folding.json")
VERSION = "1.3.4"
PACKAGES = (f"nngen=={VERSION}", "veriloggen==2.3.0", "pyverilog==1.3.0")
TOP = "nngen_mnist"
PEER_LIMIT = 3600  # seconds for Verilog and simulation together
SYNTHESIS_LIMIT = 1200  # seconds of processor time


@dataclass(frozen=True)
class Setting:
    """The number of channels and pixels that NNgen's operators process at once, and the width of its memory port."""

    par_ich: int
    par_och: int
    par_col: int = 1
    par_row: int = 1
    axi_bits: int = 32

    @property
    def name(self) -> str:
        pixels = f", {self.par_row}×{self.par_col} pixels" if self.par_row * self.par_col > 1 else ""
        return f"{self.par_ich}/{self.par_och}{pixels}"


SETTINGS = {setting.name: setting for setting in (Setting(2, 2), Setting(4, 4))}


@dataclass
class Row:
    """A design. Cells are those of ``tools.XilinxCells``, LUTs with those that are memories; None: not measured."""

    who: str
    setting: str
    interval: int | None = None  # cycles from image to image
    interval_ready: int | None = None  # the same with a memory that never waits
    equal: bool | None = None  # all logits, in RTL and in the tool's own software
    seconds_to_verilog: float | None = None
    luts: int | None = None
    inverters: int | None = None
    estimated_lcs: int | None = None
    ffs: int | None = None
    dsps: int | None = None
    bram36: int | None = None
    failure: str = ""


def ours() -> list[Row]:
    """Our designs of the same network (``benchmarks/folding.py``)."""
    rows = []
    for one in json.loads(OURS.read_text(encoding="utf-8")) if OURS.is_file() else []:
        used = xilinx(one["cells"])
        row = Row("dnn2fpga", one["name"], one["interval"], one["interval"], True, one["seconds_to_verilog"])
        row.inverters = one["cells"].get("INV", 0)
        row.luts, row.ffs, row.dsps = used["LUT"] - row.inverters, used["FF"], used["DSP"]
        row.bram36 = used["BRAM36"]
        rows.append(row)
    return rows


def measure(setting: Setting, cache: Path, synthesis: bool, write: Any) -> None:
    """Measure a row, and pass it to ``write`` after every step."""
    row = Row(f"NNgen {VERSION}", setting.name)
    folder = build(setting, cache)
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    row.failure = result.get("failure", "")
    if not row.failure:
        waiting, ready = (result["simulated"][name] for name in ("waiting", "ready"))
        row.interval, row.interval_ready = waiting["cycles"], ready["cycles"]
        row.equal = waiting["equal"] and ready["equal"]
        row.seconds_to_verilog = result["seconds_to_verilog"]
    write(row)
    verilog = folder / "verilog" / f"{TOP}.v"
    if synthesis and verilog.is_file():
        cells(row, verilog)
        write(row)


def cells(row: Row, verilog: Path) -> None:
    """Synthesize, unless it takes too long or took too long before."""
    stopped = verilog.parent / "stopped"
    if not stopped.is_file():
        before = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (SYNTHESIS_LIMIT, before[1]))  # yosys inherits it
        try:
            found = synthesize_xc7([verilog], TOP)
        except RuntimeError as error:
            if f"ended with {-signal.SIGXCPU}" not in str(error):
                raise
            stopped.touch()
        finally:
            resource.setrlimit(resource.RLIMIT_CPU, before)
    if stopped.is_file():
        row.failure = f"{row.failure} synthesis not done after {SYNTHESIS_LIMIT} s of processor time".strip()
        return
    row.luts, row.inverters, row.estimated_lcs = found.luts + found.lut_rams, found.inverters, found.estimated_lcs
    row.ffs, row.dsps, row.bram36 = found.ffs, found.dsps, found.bram36


def build(setting: Setting, cache: Path) -> Path:
    """The folder with NNgen's Verilog and ``result.json``, from the cache if it was made before."""
    stated = json.dumps(asdict(setting))
    digest = hashlib.sha256(SCRIPT.read_bytes() + stated.encode()).hexdigest()[:12]
    kept = cache / "designs" / f"nngen-{VERSION}" / f"mnist-{digest}"
    if not (kept / "result.json").is_file():
        python = environment(f"nngen-{VERSION}", PACKAGES, cache)
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
            made = Path(folder) / "made"
            made.mkdir()
            (made / "setting.json").write_text(stated, encoding="utf-8")
            failure = run([str(python), str(SCRIPT), str(made / "setting.json"), str(made)])
            if failure:
                (made / "result.json").write_text(json.dumps({"failure": failure}), encoding="utf-8")
            shutil.rmtree(kept, ignore_errors=True)
            made.replace(kept)
    return kept


def run(command: list[str]) -> str:
    """Run a command and return what went wrong, if anything. It has a session of its own, so that its simulator ends
    with it.
    """
    if not shutil.which("iverilog"):
        sys.exit("error: Icarus Verilog is needed: apt-get install iverilog")
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    with subprocess.Popen(command, **pipes) as process:
        try:
            _, told = process.communicate(timeout=PEER_LIMIT)
        except subprocess.TimeoutExpired:
            return f"not done after {PEER_LIMIT} s"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    return f"exit status {process.returncode}: {told.strip()[-500:]}" if process.returncode else ""


def report(rows: Sequence[Row]) -> str:
    heads = ("design", "channels in/out at once", "cycles per image", "with a memory always ready", "equal in RTL")
    heads = (*heads, "to Verilog, s", "LUTs", "inverters", "est. LCs", "FF", "DSP", "BRAM36", "")

    def field(value: Any) -> str:
        if value is None:
            return "not measured"
        if isinstance(value, bool):
            return "yes" if value else "no"
        return f"{value:,}" if isinstance(value, int) else str(value)

    lines = [
        "# NNgen on the MNIST CNN",
        "",
        "`python benchmarks/nngen.py`. The network of [examples/mnist_cnn](../../examples/mnist_cnn/results.md), INT8,",
        "built with NNgen's own operators, one shift from accumulator to INT8 in each layer. Parameters and image are",
        "random (fixed seed): the hardware reads them from memory at every image, so neither Verilog nor cycles depend",
        "on them. NNgen makes one convolution unit and runs both convolutions on it.",
        "",
        "Cycles: from the start in its control register until it is idle again, the next image only then; Veriloggen's",
        "test bench in Icarus Verilog, a 32-bit bus, its memory model as it is and one that is always ready.",
        "Equal: all logits of one image, RTL and `ng.eval`, with both memories.",
        f"Cells: yosys, before placement, `{XC7.format(top=TOP)}`; LUTs with those that are memories.",
        "The memory at NNgen's AXI4 master is not counted.",
        "",
        *markdown_table(heads, [list(map(field, asdict(row).values())) for row in rows]),
        "",
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("settings", nargs="*", metavar="SETTING", help=f"of {', '.join(SETTINGS)} (default: all)")
    parser.add_argument("--cache", type=Path, default=CACHE, help=f"where everything is kept (default {CACHE})")
    parser.add_argument("--no-synthesis", action="store_true", help="cycles alone, cells stay unmeasured")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.settings if name not in SETTINGS]:
        parser.error(f"settings must be of {', '.join(SETTINGS)}, not {', '.join(unknown)}")
    stored = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.is_file() else []
    rows = {row["setting"]: Row(**row) for row in stored}

    def write(row: Row) -> None:
        rows[row.setting] = row
        listed = [rows[name] for name in SETTINGS if name in rows]
        FIGURES.write_text(json.dumps([asdict(one) for one in listed], indent=1) + "\n", encoding="utf-8")
        REPORT.write_text(report([*ours(), *listed]), encoding="utf-8")

    for name in options.settings or SETTINGS:
        print(f"NNgen {VERSION}, {name}", flush=True)
        measure(SETTINGS[name], options.cache, not options.no_synthesis, write)
    print(REPORT.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
