"""A tensor on a wire: integers of a format, their scale, and the order of the beats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Self, TypeVar

import numpy as np
from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from dnn2fpga.files.described import Described
from dnn2fpga.tensors.conversion import Conversion
from rtl_lib.core.arithmetic import Overflow, Rounding
from rtl_lib.core.formats import Format

V = TypeVar("V")


def _integers(value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in "iu":
        raise ValueError(f"must be an array of integers, not of {array.dtype}")
    return array.astype(np.int64)


def _binary32(value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype != np.float32:
        raise ValueError(f"must be an array of float32, not of {array.dtype}")
    return array


# Array fields of a layer: kept in weights.npz, not in model.yaml.
IntegerArray = Annotated[np.ndarray, BeforeValidator(_integers), PlainSerializer(lambda a: a.tolist())]
OptionalIntegerArray = Annotated[
    np.ndarray | None,
    BeforeValidator(lambda value: None if value is None else _integers(value)),
    PlainSerializer(lambda a: None if a is None else a.tolist()),
]
Binary32Array = Annotated[np.ndarray, BeforeValidator(_binary32), PlainSerializer(lambda a: a.tolist())]


TO_NEAREST = Conversion()
Extent = Annotated[int, Field(ge=1, le=2**28)]
Integer = Annotated[int, Field(ge=-(2**32), le=2**32)]  # of any format that a wire may have
Scale = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Tensor(Described):
    """A tensor on a wire: integers of a format; the real value is ``(integer - zero_point) * scale``.

    ``lanes`` numbers travel together in one beat; the beats follow ``shape`` in row-major order.
    ``scale`` and ``zero_point`` are one number for all lanes, or one per lane (which is a channel).
    """

    shape: tuple[Extent, ...] = Field(min_length=1, max_length=8)
    lanes: Extent
    signed: bool
    width: int = Field(ge=1, le=32)
    scale: Scale | tuple[Scale, ...]
    zero_point: Integer | tuple[Integer, ...] = 0

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.size % self.lanes:
            raise ValueError(f"lanes must divide the {self.size} numbers of shape {list(self.shape)}, not {self.lanes}")
        for name in ("scale", "zero_point"):
            value = getattr(self, name)
            if isinstance(value, tuple) and len(value) != self.lanes:
                raise ValueError(f"{name} must be one number, or one for each of the {self.lanes} lanes")
        if not self.format.contains(int(self.zero_points.min()), int(self.zero_points.max())):
            raise ValueError(f"zero_point must lie in the format {self.format}, not be {self.zero_point}")
        return self

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def beats(self) -> int:
        return self.size // self.lanes

    @property
    def format(self) -> Format:
        return Format(self.signed, self.width)

    @property
    def scales(self) -> np.ndarray:
        """``scale`` of every lane."""
        return np.broadcast_to(np.asarray(self.scale, np.float64), (self.lanes,))

    @property
    def zero_points(self) -> np.ndarray:
        """``zero_point`` of every lane."""
        return np.broadcast_to(np.asarray(self.zero_point, np.int64), (self.lanes,))

    @property
    def extremes(self) -> tuple[np.ndarray, np.ndarray]:
        """The least and the largest integer of every lane."""
        low, high = (np.full(self.lanes, end, np.int64) for end in (self.format.minimum, self.format.maximum))
        return low, high

    @property
    def uniform_scale(self) -> float:
        """The scale of all lanes; raises ``ValueError`` where they differ."""
        if isinstance(self.scale, tuple):
            raise ValueError("all channels of its input must have the same scale")
        return self.scale

    def numbers_like(self, other: Tensor) -> bool:
        """Return whether the same integers mean the same numbers in both tensors."""
        return (self.format, self.scale, self.zero_point) == (other.format, other.scale, other.zero_point)

    def in_lanes(self, lanes: int) -> Tensor:
        """The same numbers in beats of another size.

        :raises ValueError: where the lanes' scales differ, and numbers would change lanes.
        """
        if lanes == self.lanes:
            return self
        own = isinstance(self.scale, tuple) or isinstance(self.zero_point, tuple)
        if own and lanes % self.lanes:
            raise ValueError(f"channels with scales of their own cannot travel in {lanes} lanes, only in {self.lanes}")
        repeated = {
            name: getattr(self, name) * (lanes // self.lanes)
            for name in ("scale", "zero_point")
            if isinstance(getattr(self, name), tuple)
        }
        return Tensor(**{**dict(self), "lanes": lanes, **repeated})

    def quantize(self, x: np.ndarray, conversion: Conversion = TO_NEAREST) -> np.ndarray:
        """Real numbers ``[samples, *shape]`` → integers; by default to nearest (half up), saturated."""
        levels = conversion.levels(np.reshape(x, (-1, self.beats, self.lanes)), self.scales, self.zero_points)
        codes = conversion.fitted(levels, self.format.minimum, self.format.maximum)
        return codes.astype(self.format.dtype).reshape(np.shape(x))

    def clips(self, x: np.ndarray) -> np.ndarray:
        """Return which real numbers ``[samples, *shape]`` saturate by more than one step. One step is part of the
        scale's choice: an image in [0, 1] in 8 bits has scale 2^-8.
        """
        beats = np.asarray(x, np.float64).reshape(-1, self.beats, self.lanes)
        q = np.floor(beats / self.scales + 0.5) + self.zero_points
        return ((q < self.format.minimum - 1) | (q > self.format.maximum + 1)).reshape(np.shape(x))

    def dequantize(self, q: np.ndarray) -> np.ndarray:
        """Integers ``[samples, *shape]`` → real numbers."""
        beats = q.astype(np.float64).reshape(-1, self.beats, self.lanes)
        return ((beats - self.zero_points) * self.scales).reshape(q.shape)


def one_or_each(values: Sequence[V]) -> V | tuple[V, ...]:
    """One number where all are the same."""
    first, *rest = values
    return first if all(value == first for value in rest) else (first, *rest)


class Arithmetic(Described):
    """The rounding and the overflow with which results are brought into a format."""

    rounding: Rounding = Rounding.HALF_UP
    overflow: Overflow = Overflow.SATURATE
