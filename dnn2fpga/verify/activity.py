"""The switching activity of the registers of every layer of a bundle, measured by the checker's harness."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dnn2fpga.progress import Progress, silent
from dnn2fpga.verify.checker import ACTIVITY, run_checker


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
    options = ["--vectors", str(vectors)] if vectors else []
    options += ["--frames", str(frames)] if frames else []
    progress("measuring activity", 0, 1)
    found = run_checker(ACTIVITY, bundle, build_dir, options)
    progress("measuring activity", 1, 1)
    return found
