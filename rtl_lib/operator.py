"""What every operator spec offers: the integers, and the component that produces the same integers."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from rtl_lib.stream import Beat, StreamComponent


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


def create(operator: Operator, options: dict[str, Any]) -> StreamComponent:
    """Creates the component with those of ``options`` that this operator knows (``create_options`` of its class)."""
    known = getattr(operator, "create_options", ())
    return operator.create(**{key: value for key, value in options.items() if key in known})
