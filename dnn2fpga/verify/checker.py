"""Runs the checker: the programs in ``sim/`` that this tool ships, not the bundle's copy, which is for others.

They share no code with the compiler and run in a process of their own.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dnn2fpga.errors import UserError
from dnn2fpga.files.atomic import digest, scratch_folder
from dnn2fpga.files.shipped import shipped_folder
from dnn2fpga.processes.programs import ending, run_program

RUN, ACTIVITY = "run.py", "activity.py"
_MISMATCH = 1  # exit code: everything could be run, and something differs


def run_checker(program: str, bundle: Path, build_dir: Path, options: Sequence[str]) -> dict[str, Any]:
    """Return what `program` wrote as its results; raises `UserError` when it could not run."""
    build_dir.mkdir(parents=True, exist_ok=True)
    with scratch_folder() as folder:
        results = folder / "results.json"
        command = [sys.executable, str(shipped_folder("sim") / program), "--bundle", str(bundle)]
        command += ["--build-dir", str(build_dir), *options, "--results", str(results)]
        done = run_program(command, scratch=folder)
        if done.returncode not in (0, _MISMATCH) or not results.is_file():
            told = (done.stderr or done.stdout).strip().removeprefix("error: ") or f"it {ending(done.returncode)}"
            raise UserError(f"the simulation could not run: {told}".splitlines())
        found: dict[str, Any] = json.loads(results.read_text(encoding="utf-8"))
    return found


def checker_digest() -> str:
    """One digest of all programs of the checker, to be kept with a verdict."""
    files = sorted(file for file in shipped_folder("sim").iterdir() if file.is_file())
    return hashlib.sha256("\n".join(f"{file.name} {digest(file)}" for file in files).encode()).hexdigest()
