import json
import os
import shutil
from pathlib import Path

import pytest
from bare_bundle import ACCELERATOR, MANIFEST


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle with just what the Vivado scripts need."""
    folder = tmp_path / "a bundle"  # a space, as users have in their folders
    (folder / "rtl").mkdir(parents=True)
    (folder / "rtl" / "accelerator.v").write_text(ACCELERATOR)
    (folder / "manifest.json").write_text(json.dumps(MANIFEST))
    return folder


@pytest.fixture(scope="session")
def tclsh() -> str:
    """The path of tclsh; without it the test is skipped, but fails in CI."""
    path = shutil.which("tclsh")
    if path is None:
        message = "tclsh is not installed (Debian: apt-get install tcl)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return path
