"""How much the registers of every layer of a bundle switch, by the bundle's own harness, run as a program."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from dnn2fpga.atomic import scratch_folder
from dnn2fpga.errors import UserError
from dnn2fpga.programs import run_program
from dnn2fpga.progress import Progress, silent


def measure_activity(
    bundle: Path,
    build_dir: Path,
    progress: Progress = silent,
    *,
    vectors: Path | None = None,
    frames: int | None = None,
) -> dict[str, Any]:
    """``{"frames", "cycles", "layers": {layer: {"bits", "toggles_per_cycle"}}, ...}`` while frames pass back to back.

    :param vectors: a vector folder; the bundle's own test vectors, unless given.
    :raises UserError: when nothing could be measured.
    """
    script = bundle / "sim" / "activity.py"
    if not script.is_file():
        raise UserError(f"{script}: is missing; run 'dnn2fpga generate' again")
    build_dir.mkdir(parents=True, exist_ok=True)
    progress("measuring activity", 0, 1)
    with scratch_folder() as folder:
        results = folder / "activity.json"
        command = [sys.executable, str(script), "--build-dir", str(build_dir), "--results", str(results)]
        command += ["--vectors", str(vectors)] if vectors else []
        command += ["--frames", str(frames)] if frames else []
        done = run_program(command, scratch=folder)
        if done.returncode or not results.is_file():
            problem = (done.stderr or done.stdout).strip().removeprefix("error: ")
            raise UserError(f"the activity could not be measured: {problem}")
        found: dict[str, Any] = json.loads(results.read_text(encoding="utf-8"))
    progress("measuring activity", 1, 1)
    return found
