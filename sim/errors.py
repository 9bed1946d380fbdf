"""The errors of the simulation folder: everything a user can cause or cure, told without a traceback."""

from __future__ import annotations


class SimulationError(Exception):
    """Base of the errors below; `run.py` turns it into one message and exit code 2."""


class BundleError(SimulationError):
    """The bundle or a vector folder is missing, incomplete or contradicts itself."""


class ToolError(SimulationError):
    """A tool (Verilator, g++, make, cocotb) is missing, too old, or failed to build the simulation."""
