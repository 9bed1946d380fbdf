"""Settings with which a user completes a model file, where it does not say it all itself."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator

from dnn2fpga.exact.encoding import Encoding
from dnn2fpga.files.described import Described
from rtl_lib.core.formats import Format

_FORMAT = re.compile(r"(?P<kind>[su])(?P<width>\d{1,2})\.(?P<fraction>-?\d{1,2})")


def _parsed(text: str) -> Encoding:
    found = _FORMAT.fullmatch(text)
    if not found or not 1 <= int(found["width"]) <= 32:
        raise ValueError("must be such as s16.10 (signed, 16 bits, 10 of them after the point) or u8.8")
    format = Format(found["kind"] == "s", int(found["width"]))
    return Encoding.of(Fraction(2) ** -int(found["fraction"]), format.minimum, format.maximum)


def _is_format(text: str) -> str:
    _parsed(text)
    return text


class ReadSettings(Described):
    """Settings of the readers of model files.

    :param weights: the file with the arrays of a model whose file has none (Keras: JSON and ``.h5``).
    :param rule: TensorFlow Lite: whose rounding the integers follow (docs/front_ends.md).
    :param input_format: fixed point, for inputs that a model with integers of its own does not quantize.
    :param requantize: treat a model that brings its integers as one in floating point.
    """

    weights: Path | None = None
    rule: Literal["tflm", "reference", "xnnpack"] = "tflm"
    input_format: Annotated[str, AfterValidator(_is_format)] = "s16.10"
    requantize: bool = False

    @property
    def input_encoding(self) -> Encoding:
        """``input_format`` in full."""
        return _parsed(self.input_format)
