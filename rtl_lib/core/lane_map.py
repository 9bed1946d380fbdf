"""Which lane of one beat each lane of another one shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

T = TypeVar("T")


@dataclass(frozen=True)
class LaneMap:
    """Lane ``k`` of the outputs is lane ``sources[k]`` of the inputs.

    :param inputs: how many lanes there are to choose from.
    """

    inputs: int
    sources: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.sources or not all(0 <= source < self.inputs for source in self.sources):
            raise ValueError(f"sources must be numbers of the {self.inputs} lanes, from 0 up, not {list(self.sources)}")

    @classmethod
    def all(cls, lanes: int) -> LaneMap:
        """Every lane in its place."""
        return cls(lanes, tuple(range(lanes)))

    @property
    def changes_nothing(self) -> bool:
        return self.sources == tuple(range(self.inputs))

    def of(self, x: np.ndarray) -> np.ndarray:
        """``[..., inputs]`` → ``[..., outputs]``"""
        return x[..., list(self.sources)]

    def of_list(self, lanes: Sequence[T]) -> list[T]:
        """The same of one object per lane."""
        return [lanes[source] for source in self.sources]
