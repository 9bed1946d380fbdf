"""Calibration: what range does every tensor of the float model cover on real data?

Data is streamed in batches, so memory does not grow with the data set. Other methods than min-max join this file's
registry.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np

from dnn2fpga.errors import UserError
from dnn2fpga.graph import Graph, Interval

Progress = Callable[[int, int], None]


class RangeObserver(ABC):
    """Sees one tensor batch by batch."""

    @abstractmethod
    def observe(self, values: np.ndarray) -> None: ...

    @abstractmethod
    def interval(self) -> Interval: ...


class MinMax(RangeObserver):
    """The whole observed range."""

    def __init__(self) -> None:
        self.low, self.high = np.inf, -np.inf

    def observe(self, values: np.ndarray) -> None:
        self.low = min(self.low, float(values.min()))
        self.high = max(self.high, float(values.max()))

    def interval(self) -> Interval:
        return Interval(self.low, self.high)


METHODS: dict[str, type[RangeObserver]] = {"min_max": MinMax}


def calibrate(
    graph: Graph,
    data: np.ndarray,
    method: str = "min_max",
    batch: int = 128,
    progress: Progress = lambda done, of: None,
) -> dict[str, Interval]:
    """The range of every tensor (by the name of the layer that gives it, and of the input) on ``data [frames,
    *shape]``.
    """
    if len(data) == 0:
        raise UserError("the calibration data is empty; give at least one sample")
    observers: dict[str, RangeObserver] = {}
    for start in range(0, len(data), batch):
        for name, values in graph.tensors(data[start : start + batch].astype(np.float32)):
            if not np.isfinite(values).all():
                raise UserError(f"the float model gives NaN or infinite values at '{name}' on the calibration data")
            observers.setdefault(name, METHODS[method]()).observe(values)
        progress(min(start + batch, len(data)), len(data))
    return {name: observer.interval() for name, observer in observers.items()}
