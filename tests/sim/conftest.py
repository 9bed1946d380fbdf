"""Makes the modules of sim/ importable, and builds the reference bundle once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

SIM = Path(__file__).resolve().parents[2] / "sim"
for folder in (str(SIM), str(Path(__file__).resolve().parent)):
    if folder not in sys.path:
        sys.path.insert(0, folder)


@pytest.fixture(scope="session")
def build_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder of builds for all tests: each design is compiled once."""
    return tmp_path_factory.mktemp("build")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A fresh copy of the reference bundle, which a test may spoil."""
    from reference_bundle import write_bundle

    return write_bundle(tmp_path / "bundle")
