"""Settings of ``dnn2fpga build``."""

from __future__ import annotations

from pydantic import Field

from dnn2fpga.described import Described


class BuildSettings(Described):
    """Section ``build`` of the settings.

    :param seed: of the first placement.
    :param placements: at most so many, each with the next seed, until one meets the clock.
    """

    seed: int = Field(default=1, ge=0, lt=2**31)
    placements: int = Field(default=3, ge=1, le=100)
