"""The bundle by itself: a hardware engineer has cocotb and Verilator, and neither dnn2fpga nor NumPy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.simulation, pytest.mark.usefixtures("simulator"), pytest.mark.xdist_group("cnn")]

MISSING = ("dnn2fpga", "rtl_lib", "numpy", "amaranth", "yaml", "pydantic", "keras", "tensorflow")

# Python imports a module of this name when it starts.
SITECUSTOMIZE = f"""\
import sys

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {MISSING!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, NotInstalled())
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """One in which Python finds none of ``MISSING``."""
    folder = tmp_path / "python"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(SITECUSTOMIZE)
    keep = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "PYTHON", "COV"))}
    return keep | {"PYTHONPATH": str(folder)}


@pytest.mark.parametrize("module", MISSING)
def test_the_modules_are_really_missing(environment: dict[str, str], module: str) -> None:
    done = subprocess.run([sys.executable, "-c", f"import {module}"], env=environment, capture_output=True, check=False)
    assert done.returncode == 1
    assert b"No module named" in done.stderr


def test_make_simulates_the_bundle(cnn_work: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    bundle = shutil.copytree(cnn_work / "bundle", tmp_path / "handed_over")
    command = ["make", "-C", str(bundle / "sim"), f"PYTHON={sys.executable}"]
    done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("pass  ") == 7
    done = subprocess.run([*command, "bulk"], env=environment, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pass  bulk" in done.stdout
