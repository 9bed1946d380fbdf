"""The condition of tests that simulate: Verilator, which CI must have."""

from __future__ import annotations

import os

import pytest
from errors import ToolError
from toolchain import find_toolchain


def require_simulator() -> None:
    """Skip the test, or the module that is being imported, where there is no simulator; raise ``ToolError`` in CI."""
    try:
        find_toolchain()
    except ToolError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no simulator: {error}", allow_module_level=True)
