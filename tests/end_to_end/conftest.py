"""A simulator for the tests of this folder, or a skip that says what is missing (in CI an error)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fixed_networks import cnn

from dnn2fpga.generate.bundle import write_bundle
from dnn2fpga.graph import files as config_files
from dnn2fpga.plan.hardware_plan import plan
from dnn2fpga.work_folder import WorkFolder

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "sim"))


@pytest.fixture(scope="session")
def simulator() -> None:
    """Skips the test when Verilator cannot be used."""
    from errors import ToolError
    from toolchain import find_toolchain

    try:
        find_toolchain()
    except ToolError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(f"no simulator: {error}")


@pytest.fixture(scope="session")
def cnn_work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder with the configuration files and the bundle of the small CNN; not to be changed."""
    work = WorkFolder(tmp_path_factory.mktemp("cnn"))
    graph = cnn()
    config_files.save(graph, work.path)
    write_bundle(graph, plan(graph), work.bundle)
    work.record_generation(work.path, work.digests_read())
    return work.path


@pytest.fixture(scope="session")
def run_python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a Python script of the tests in a process of its own, with a hash seed."""

    def run(script: Path, *arguments: Path, hash_seed: int = 0) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONHASHSEED": str(hash_seed)}
        command = [sys.executable, str(script), *map(str, arguments)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    return run
