"""The same configuration produces the same bytes: in another folder, another process, under another hash seed, next
year.

After an intended change of the Verilog, with a line in CHANGELOG.md:

    DNN2FPGA_UPDATE_GOLDEN=1 pytest tests/end_to_end/test_reproducible.py
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import fixed_networks
import pytest

from dnn2fpga.graph import files as config_files

pytestmark = pytest.mark.xdist_group("reproducible")  # written once

GOLDEN = Path(__file__).with_name("golden_digests.json")


def digests(folder: Path) -> dict[str, str]:
    """Return the digests of every file in a folder, by its name from there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def written(
    tmp_path_factory: pytest.TempPathFactory, run_python: Callable[..., subprocess.CompletedProcess[str]]
) -> list[Path]:
    """Two folders of bundles, from two processes with different hash seeds."""
    folders = [tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("another")]
    for hash_seed, folder in enumerate(folders, start=1):
        done = run_python(Path(fixed_networks.__file__), folder, hash_seed=hash_seed)
        assert done.returncode == 0, done.stderr
    return folders


@pytest.mark.parametrize("name", fixed_networks.NETWORKS)
def test_two_runs_write_the_same_bundle(written: list[Path], name: str) -> None:
    one, another = (digests(folder / name) for folder in written)
    expected = {"rtl/accelerator.v", "model.yaml", "weights.npz", "manifest.json", "README.md", "sim/run.py"}
    assert expected <= set(one)
    assert one == another


@pytest.mark.parametrize("name", fixed_networks.NETWORKS)
def test_a_read_and_written_configuration_is_the_same(written: list[Path], name: str, tmp_path: Path) -> None:
    config_files.save(config_files.load(written[0] / name), tmp_path)
    bundle = digests(written[0] / name)
    assert digests(tmp_path) == {file: bundle[file] for file in ("model.yaml", "weights.npz")}


def test_the_verilog_is_the_golden_one(written: list[Path]) -> None:
    found = {name: digests(written[0] / name)["rtl/accelerator.v"] for name in fixed_networks.NETWORKS}
    if os.environ.get("DNN2FPGA_UPDATE_GOLDEN"):
        GOLDEN.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    assert found == json.loads(GOLDEN.read_text(encoding="utf-8"))
