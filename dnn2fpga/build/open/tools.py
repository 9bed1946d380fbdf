"""Finds the programs that make a bitstream: native ones where they are new enough, else the PyPI packages.

The packages (``yowasp-*``) hold the same programs compiled for WebAssembly. They see files by relative paths from
their current folder, and compile themselves for this machine at the first start.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from dnn2fpga.errors import UserError
from dnn2fpga.processes.programs import run_program

YOWASP = "import sys, {module} as m; sys.exit(m.{function}(sys.argv[1:]))"


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program and the Python package that has it. ``oldest``: native version from which on it is taken, if it can
    tell its version.
    """

    name: str
    package: str
    module: str
    function: str = ""  # of the module; none: the module is run as it is
    oldest: tuple[int, int] | None = None

    @property
    def in_python(self) -> tuple[str, ...]:
        if not self.function:
            return (sys.executable, "-m", self.module)
        return (sys.executable, "-c", YOWASP.format(module=self.module, function=self.function))


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A program that was found. ``origin``: what it is and why it was taken, for people."""

    name: str
    command: tuple[str, ...]
    origin: str


def found_tools(*kits: Sequence[Program]) -> list[list[Tool]]:
    """The programs of every kit, all native or all from PyPI: those of one kit read each other's files.

    :raises UserError: for all programs that are in neither place.
    """
    found = [_natives(kit) or _packages(kit) for kit in kits]
    missing = {p.package: p for kit, tools in zip(kits, found, strict=True) if not tools for p in _absent(kit)}
    if missing:
        names = ", ".join(program.name for program in missing.values())
        raise UserError(f"not installed: {names}; pip install {' '.join(missing)}")
    return [tools for tools in found if tools]


def _absent(kit: Sequence[Program]) -> list[Program]:
    return [program for program in kit if not _importable(program)]


def _natives(kit: Sequence[Program]) -> list[Tool] | None:
    tools = []
    for program in kit:
        path = shutil.which(program.name)
        told = _version(path, program) if path else None
        if path is None or told is None:
            return None
        tools.append(Tool(name=program.name, command=(path,), origin=told))
    return tools


def _version(path: str, program: Program) -> str | None:
    """Return the version that a native program reports; None where it is too old, or cannot be run."""
    if program.oldest is None:
        return path
    try:
        done = run_program([path, "-V"], timeout_s=600)
    except (UserError, subprocess.TimeoutExpired):
        return None
    number = re.search(r"(?:Yosys |Version nextpnr-)(\d+)\.(\d+)\S*", done.stdout + done.stderr)
    if number is None or (int(number[1]), int(number[2])) < program.oldest:
        return None
    return f"{program.name} {number[0].split()[-1].removeprefix('nextpnr-')}"


def _packages(kit: Sequence[Program]) -> list[Tool] | None:
    if _absent(kit):
        return None
    return [Tool(name=p.name, command=p.in_python, origin=f"{p.package} {_installed(p.package)}") for p in kit]


def _importable(program: Program) -> bool:
    return importlib.util.find_spec(program.module.partition(".")[0]) is not None


def _installed(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "(unknown version)"
