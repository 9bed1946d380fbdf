"""What every operator spec offers: the integers, and the component that produces the same integers."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from rtl_lib.core.replicate import side_by_side
from rtl_lib.core.stream import Beat, StreamComponent


class Operator(Protocol):
    """A frozen spec with two faces. What ``create`` is told (pipelining, folding) can never change a result."""

    @property
    def input_beat(self) -> Beat: ...

    @property
    def output_beat(self) -> Beat: ...

    def compute(self, x: np.ndarray) -> np.ndarray:
        """Integers ``[frames, beats, lanes]`` → ``[frames, beats', lanes']``, exact."""

    def create(self) -> StreamComponent:
        """A fresh component. Some operators take options here, all with defaults."""


def predicted_luts(operator: Operator) -> float:
    """What its logic should take on an FPGA, roughly (``luts`` of its class); one LUT a result bit where nothing is
    declared. Good for comparing models, not for filling a part.
    """
    return float(getattr(operator, "luts", operator.output_beat.layout.size))


def create_for_pixels(
    operator: Operator, pixels: int, options: dict[str, Any], *, surplus: bool
) -> tuple[StreamComponent, int] | None:
    """The component that takes beats of ``pixels`` pixels, and how many pixels are in a beat that it gives; None where
    there is no such component.

    :param surplus: whether the last beat of a row has lanes that mean nothing.
    """
    if pixels_out := getattr(operator, "pixels_out", None):  # it knows rows itself
        given = pixels_out(pixels)
        return None if given is None else (create(operator, {**options, "pixels": pixels}), given)
    if getattr(operator, "beatwise", False):  # what it does with one beat does not depend on any other
        return side_by_side([create(operator, options) for _ in range(pixels)]), pixels
    # What knows no rows, only the order of the numbers, may take more of them at a time.
    widened = None if surplus or not hasattr(operator, "widened") else operator.widened(pixels)
    return None if widened is None else (create(widened, options), 1)


def knows_no_rows(operator: Operator, pixels: int) -> bool:
    """Whether it only knows the order of the numbers, and can take those of so many pixels at a time."""
    knows = hasattr(operator, "pixels_out") or getattr(operator, "beatwise", False)
    return not knows and hasattr(operator, "widened") and operator.widened(pixels) is not None


def create(operator: Operator, options: dict[str, Any]) -> StreamComponent:
    """Creates the component with those of ``options`` that this operator knows (``create_options`` of its class)."""
    known = getattr(operator, "create_options", ())
    return operator.create(**{key: value for key, value in options.items() if key in known})
