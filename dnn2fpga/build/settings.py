"""Settings of ``dnn2fpga build``."""

from __future__ import annotations

from pydantic import Field

from dnn2fpga.files.described import Described
from dnn2fpga.files.validation import Seed


class BuildSettings(Described):
    """Section ``build`` of the settings.

    :param seed: of the first placement.
    :param placements: at most this many, each with the next seed, until one meets the clock.
    """

    seed: Seed = 1
    placements: int = Field(default=3, ge=1, le=100)
