"""The peers of the parallel benchmark: what Alkaid and da4ml make of a case, as Verilog.

    .venv/bin/python benchmarks/peers.py [--cache FOLDER] [CASE ...]

Each peer lives in a virtual environment of its own in the cache, at a pinned version, and is only ever run as a
program (``peer_scripts/``); nothing of it is imported here. A design is made once for a version, script and case.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = Path(__file__).resolve().parent / "peer_scripts"
CASES = Path(os.environ.get("DNN2FPGA_DATA", ROOT.parent / "shared" / "data")) / "cases"
CACHE = Path.home() / ".cache" / "dnn2fpga" / "peers"

VERSIONS = {"alkaid": "0.8.2", "da4ml": "0.6.0"}
TIME_LIMIT = 1800  # seconds for a case; they take seconds


@dataclass(frozen=True)
class PeerDesign:
    """``verilog`` is self-contained with module ``top``; empty when the peer failed, with its words in ``failure``."""

    peer: str
    version: str
    case: str
    cycles: int  # as in the cases README, which counts da4ml's input register and not Alkaid's
    register_layers: int  # registers on the way from a port to a port, the same count for everybody
    verilog: list[Path]
    top: str
    seconds: float  # solving and writing
    exact: bool  # on all vectors of the case, by the peer's own emulation
    failure: str = ""


def build_peer(peer: str, case: Path, cache: Path = CACHE) -> PeerDesign:
    """The design of ``peer`` for the ``.npz`` file ``case``, from the cache if it was made before."""
    scripts = [SCRIPTS / f"{peer}_case.py", SCRIPTS / "case_network.py"]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in (*scripts, case))).hexdigest()[:12]
    kept = cache / "designs" / f"{peer}-{VERSIONS[peer]}" / f"{case.stem}-{digest}"
    if not (kept / "result.json").is_file():
        python = environment(f"{peer}-{VERSIONS[peer]}", [f"{peer}=={VERSIONS[peer]}"], cache)
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
            made = Path(folder) / "made"
            made.mkdir()
            _run(peer, [str(python), str(scripts[0]), str(case.resolve()), str(made)], case, made)
            shutil.rmtree(kept, ignore_errors=True)
            made.replace(kept)
    result = json.loads((kept / "result.json").read_text(encoding="utf-8"))
    return PeerDesign(
        peer=peer,
        version=result["version"],
        case=case.stem,
        cycles=result["cycles"],
        register_layers=result["register_layers"],
        verilog=sorted(kept.glob("verilog/*.v")),
        top="model",
        seconds=result["seconds_solve_write"],
        exact=result["exact"],
        failure=result.get("failure", ""),
    )


def _run(peer: str, command: list[str], case: Path, made: Path) -> None:
    """A peer that fails is a result as well."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT)
        failure = "" if done.returncode == 0 else f"exit status {done.returncode}: {done.stderr.strip()[-500:]}"
    except subprocess.TimeoutExpired:
        failure = f"not done after {TIME_LIMIT} s"
    if failure:
        shutil.rmtree(made / "verilog", ignore_errors=True)
        nothing = {"cycles": 0, "register_layers": 0, "seconds_solve_write": 0.0, "exact": False}
        result = {"peer": peer, "version": VERSIONS[peer], "case": case.stem, **nothing, "failure": failure}
        (made / "result.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def environment(name: str, packages: Sequence[str], cache: Path) -> Path:
    """The Python of a virtual environment with these packages."""
    folder = cache / "environments" / name
    python = folder / "bin" / "python"
    ready = folder / ".ready"
    if not ready.is_file():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *packages], check=True)
        ready.touch()
    return python


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("cases", nargs="*", help="names of cases (default: all)")
    parser.add_argument("--cache", type=Path, default=CACHE, help=f"where everything is kept (default {CACHE})")
    options = parser.parse_args(arguments)
    for name in options.cases or sorted(file.stem for file in CASES.glob("*.npz")):
        for peer in VERSIONS:
            design = build_peer(peer, CASES / f"{name}.npz", options.cache)
            told = design.failure or f"{design.cycles} cycles, exact: {design.exact}, {design.verilog[0].parent}"
            print(f"{name}, {peer} {design.version}: {told}", flush=True)


if __name__ == "__main__":
    main()
