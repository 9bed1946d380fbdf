"""The findings of a diagnosis."""

from __future__ import annotations

import enum

from dnn2fpga.files.described import Described


class Cause(enum.Enum):
    """The cause of a loss of accuracy, in a few words."""

    OUTLIER = "an outlier"
    OTHER_RANGE = "calibration data of another range"
    OUTSIDE_RANGE = "inputs outside the calibrated range"
    FEW_CODES = "an input scale that destroys information"
    CONSTANT = "a constant channel"
    SAME_OUTPUT = "outputs that do not depend on the input"
    FEW_SAMPLES = "too few test samples to tell attempts apart"
    SAME_DECISIONS = "changes that turn no decision"


class Finding(Described):
    """One thing that was found."""

    cause: Cause
    text: str
    help: str
    matters: bool  # whether it is worth a line on the screen
