"""Everything that must hold, what fails fastest first: format, lint, types, imports, tests, the demo from a wheel.

`make test` and CI both call this. With CI=true a missing tool is an error instead of a skip.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent

# TensorFlow's kernels depend on the processor: oneDNN's are on by default where it has AVX-512. What trains or
# evaluates networks runs with them and without.
ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
TRAINING = ("layers", "optimize", "passes", "read", "cases", "cli", "test_readme.py")


def run(what: str, *command: str | Path, cwd: Path = ROOT, **environment: str) -> None:
    print(f"── {what}", flush=True)
    start = time.monotonic()
    result = subprocess.run([str(part) for part in command], cwd=cwd, env=os.environ | environment, check=False)
    if result.returncode:
        sys.exit(f"failed: {what} (exit code {result.returncode}): {' '.join(map(str, command))}")
    print(f"   {time.monotonic() - start:.0f} s", flush=True)


def wheel_runs_the_demo() -> None:
    """The wheel, not the checkout: another environment with the same packages, and none of the sources in reach."""
    with tempfile.TemporaryDirectory() as folder:
        away = Path(folder)
        run("build the wheel", BIN / "uv", "build", "--quiet", "--wheel", "--out-dir", away, ROOT)
        (wheel,) = away.glob("*.whl")
        run("install the wheel", BIN / "uv", "venv", "--quiet", "--python", sys.executable, away / "venv")
        python = away / "venv" / "bin" / "python"
        run("install the wheel", BIN / "uv", "pip", "install", "--quiet", "--python", python, wheel)
        dnn2fpga = away / "venv" / "bin" / "dnn2fpga"
        run("demo from the wheel", dnn2fpga, "demo", "-o", away / "demo", cwd=away)
        for board in ("arty_a7_35t", "pynq_z2", "ulx3s_85f"):  # needs boards, templates, pins
            run(f"sources for {board}", dnn2fpga, "build", away / "demo", "--board", board, "--no-run", cwd=away)
        run("power", dnn2fpga, "power", away / "demo", "--board", "ulx3s_85f", "--no-simulation", cwd=away)


def main() -> None:
    os.environ["PATH"] = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    run("format", BIN / "ruff", "format", "--check", "--quiet")
    run("lint", BIN / "ruff", "check", "--quiet")
    run("types", BIN / "mypy")
    run("imports", BIN / "lint-imports")
    # Two processes, tests of one group (one TensorFlow, one simulator build) kept together.
    pytest = (BIN / "pytest", "-n", "2", "--dist", "loadgroup")
    run("tests", *pytest, *sys.argv[1:], **{ONEDNN: "1"})
    if not sys.argv[1:]:
        run("tests of training, without oneDNN", *pytest, *(ROOT / "tests" / one for one in TRAINING), **{ONEDNN: "0"})
    wheel_runs_the_demo()
    print("all passed")


if __name__ == "__main__":
    main()
