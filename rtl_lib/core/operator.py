"""The interface of every operator spec: the integers, and the component that produces the same integers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from rtl_lib.core.replicate import side_by_side
from rtl_lib.core.stream import Beat, StreamComponent


@dataclass(frozen=True)
class Wide:
    """The form of an operator for beats of several pixels.

    :param create: the component, with the options of the operator's ``create``.
    :param pixels: in a beat of its output.
    :param in_order: it depends on the order of the numbers only, not on rows of pixels.
    """

    create: Callable[..., StreamComponent]
    pixels: int
    in_order: bool = False


class Operator(ABC):
    """A frozen spec with two faces. What ``create`` is told (pipelining, folding) can never change a result."""

    # The options of ``create``, all with defaults.
    create_options: ClassVar[tuple[str, ...]] = ()

    # The inputs that have one beat per frame, which meets every beat of the others.
    gates: ClassVar[tuple[int, ...]] = ()

    @property
    @abstractmethod
    def input_beats(self) -> tuple[Beat, ...]:
        """One for each input."""

    @property
    @abstractmethod
    def output_beat(self) -> Beat: ...

    @abstractmethod
    def compute(self, *x: Any, **_: Any) -> np.ndarray:
        """Integers ``[frames, beats, lanes]`` of every input → ``[frames, beats', lanes']``, exact."""

    @abstractmethod
    def create(self, *_: Any, **options: Any) -> StreamComponent:
        """A fresh component. Until it is elaborated it is a description, which knows its timing and its size."""

    @property
    def input_beat(self) -> Beat:
        """The beat of the only input."""
        (beat,) = self.input_beats
        return beat

    @property
    def output_size(self) -> tuple[int, int] | None:
        """Rows and columns of the image that it makes; None: those of the image that arrives."""
        return None

    @property
    def luts(self) -> float:
        """Predicted LUTs on an FPGA, roughly: good for comparing models, not for filling a part. Here one for each bit
        of the result.
        """
        return self.output_beat.layout.size

    def for_pixels(self, pixels: int, *, surplus: bool) -> Wide | None:
        """Return the form of the operator for beats of ``pixels`` pixels (of every input but the gates); None: it needs
        them one by one.

        :param surplus: whether the last beat of a row has surplus lanes.
        """
        return None

    def known(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Those of ``options`` that its ``create`` has."""
        return {key: value for key, value in options.items() if key in self.create_options}


class Beatwise(Operator):
    """An operator whose result for one beat does not depend on any other beat: several pixels are the work of several
    copies.
    """

    def for_pixels(self, pixels: int, *, surplus: bool) -> Wide | None:
        return in_copies(self, pixels)


def in_copies(operator: Operator, pixels: int) -> Wide:
    """One for each pixel."""
    return Wide(lambda **options: side_by_side([operator.create(**options) for _ in range(pixels)]), pixels)


class Rowwise(Operator):
    """An operator that knows the rows of the image, and has an option of ``create`` for several ``pixels`` in a
    beat.
    """

    @abstractmethod
    def pixels_out(self, pixels: int) -> int | None:
        """Return how many pixels leave in a beat when ``pixels`` arrive in one; None: not possible."""

    def for_pixels(self, pixels: int, *, surplus: bool) -> Wide | None:
        leaving = self.pixels_out(pixels)
        return None if leaving is None else Wide(lambda **options: self.create(pixels=pixels, **options), leaving)
