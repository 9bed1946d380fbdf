"""The real program, in processes of its own: it refuses, and imports nothing heavy to start (more: test_accidents)."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import bad_models
import numpy as np
import pytest
import tiny
from command_line import listing, program

from dnn2fpga.graph import files as config_files


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A work folder with nothing but configuration files."""
    folder = tmp_path / "work"
    folder.mkdir()
    config_files.save(tiny.quantized_graph(), folder)
    return folder


def test_the_installed_program_refuses_too(tmp_path: Path) -> None:
    installed = shutil.which("dnn2fpga", path=str(Path(sys.executable).parent))
    assert installed, "the console script is not installed"
    (tmp_path / "text.keras").write_text("hello\n")
    np.savez(tmp_path / "data.npz", x=np.zeros((1, 4)))
    for arguments in (
        ["quantize", "missing.keras", "--data", "data.npz"],
        ["quantize", "text.keras", "--data", "data.npz"],
        ["build", ".", "--board", "nonesuch"],
        ["generate", "nowhere"],
        ["nonsense"],
    ):
        before = listing(tmp_path)
        result = subprocess.run([installed, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert result.returncode == 2, result
        assert result.stderr.strip()
        assert "Traceback" not in result.stderr
        assert listing(tmp_path) == before


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_nan_weights_in_a_process_of_its_own(tmp_path: Path) -> None:
    bad_models.nan_weights().save(tmp_path / "model.keras")
    np.savez(tmp_path / "data.npz", x=np.zeros((1, 4)))
    result = program("", "quantize", "model.keras", "--data", "data.npz", cwd=tmp_path)
    assert result.returncode == 2
    lines = result.stderr.strip().splitlines()
    assert lines
    assert all(line.startswith("error: ") for line in lines), "TensorFlow's own chatter is no message of ours"


LOADED = """
import sys
from dnn2fpga.cli.app import main
try:
    main()
except SystemExit:
    pass
print("MODULES", *sys.modules, file=sys.stderr)
"""
HEAVY = {"tensorflow", "keras", "h5py", "sklearn", "scipy"}


def modules_after(*arguments: object, cwd: Path) -> set[str]:
    result = subprocess.run(
        [sys.executable, "-c", LOADED, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False
    )
    return set(result.stderr.rpartition("MODULES")[2].split())


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["boards"], ["quantize", "--help"]])
def test_start_up_imports_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    loaded = modules_after(*arguments, cwd=tmp_path)
    assert "dnn2fpga.cli.app" in loaded
    assert not loaded & (HEAVY | {"numpy", "amaranth"})


def test_nothing_behind_quantization_imports_tensorflow(tmp_path: Path, work: Path) -> None:
    for arguments in (["generate", work], ["build", work, "--board", "pynq_z2", "--no-run"], ["verify", work / "none"]):
        loaded = modules_after(*arguments, cwd=tmp_path)
        assert "dnn2fpga.flow" in loaded
        assert not loaded & {"tensorflow", "keras", "h5py", "sklearn"}
