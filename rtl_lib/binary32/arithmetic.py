"""IEEE 754 binary32 arithmetic: the software model, and stream components that give the same bits.

Everything rounds to nearest, ties to even, with these rules at the edges:

- a subnormal operand counts as a zero of its sign;
- a result whose exact magnitude, before rounding, is below 2^-126 is a zero of the exact result's sign;
- a result that rounds to 2^128 or more is an infinity;
- a product's sign is the exclusive or of its factors' signs, for zeros too; ``x + -x`` is +0, and -0 + -0 is -0;
- infinite operands and NaN are outside the contract: who uses these operators keeps them away.

On a wire a number is its 32 bits, as an unsigned integer. The logic is in ``rtl_lib.binary32.datapath``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Module, Value

from rtl_lib.binary32 import datapath as datapath
from rtl_lib.core import arithmetic
from rtl_lib.core.arithmetic import Rounding
from rtl_lib.core.formats import Format
from rtl_lib.core.pipeline import Pipeline, PipelineBuilder
from rtl_lib.core.stream import Beat
from rtl_lib.elementwise.requantize import narrow

BINARY32 = Format(False, 32)
SMALLEST = np.float32(2.0**-126)  # the smallest normal number


def multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``a * b`` of float32 arrays."""
    # The product of two 24-bit significands is exact in binary64, so that it is known before it is rounded.
    exact = _normal(a).astype(np.float64) * _normal(b).astype(np.float64)
    with np.errstate(over="ignore"):
        return np.where(np.abs(exact) < SMALLEST, np.copysign(0, exact), exact).astype(np.float32)


def add(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``a + b`` of float32 arrays."""
    # A sum of normal numbers that is subnormal is exact in binary32: nothing is rounded before it is flushed.
    with np.errstate(over="ignore"):
        return _normal(_normal(a) + _normal(b))


def from_integer(x: np.ndarray) -> np.ndarray:
    """Integers of a magnitude below 2^24 as float32: exact. 0 is +0."""
    return x.astype(np.float32)


def to_integer(x: np.ndarray, low: int | np.ndarray, high: int | np.ndarray, rounding: Rounding) -> np.ndarray:
    """``clamp(round(x), low, high)`` of a float32 array as int64; bounds within 53 bits."""
    # In binary64 a half is lost only where x is below 2^-28 (and then the integer part of the sum is still right).
    wide = _normal(x).astype(np.float64)
    if rounding is Rounding.HALF_EVEN:
        rounded = np.rint(wide)
    else:
        rounded = np.floor(wide + 0.5 if rounding is Rounding.HALF_UP else wide)
    return np.clip(rounded, low, high).astype(np.int64)


def _normal(x: np.ndarray) -> np.ndarray:
    """``x`` with subnormal numbers replaced by zeros of their sign."""
    return np.where(np.abs(x) < SMALLEST, np.copysign(np.float32(0), x), x)


@dataclass(frozen=True)
class _OfTwoNumbers:
    """Two numbers a beat in, one out."""

    @property
    def input_beat(self) -> Beat:
        return Beat(BINARY32, 2)

    @property
    def output_beat(self) -> Beat:
        return Beat(BINARY32, 1)


@dataclass(frozen=True)
class Binary32Multiply(_OfTwoNumbers):
    """The product of the two lanes of a beat."""

    def compute(self, x: np.ndarray) -> np.ndarray:
        """``[..., 2]`` bit patterns → ``[..., 1]`` bit patterns (uint32)."""
        a, b = _floats(x)
        return multiply(a, b).view(np.uint32)[..., np.newaxis]

    def create(self) -> Pipeline:
        return _Multiply(self.input_beat, self.output_beat, datapath.MULTIPLY_LATENCY)


class _Multiply(Pipeline):
    def datapath(self, m: Module, build: PipelineBuilder, lanes: list[Value]) -> list[Value]:
        return [datapath.multiplier(m, build, *lanes)]


@dataclass(frozen=True)
class Binary32Add(_OfTwoNumbers):
    """The sum of the two lanes of a beat."""

    def compute(self, x: np.ndarray) -> np.ndarray:
        """``[..., 2]`` bit patterns → ``[..., 1]`` bit patterns (uint32)."""
        a, b = _floats(x)
        return add(a, b).view(np.uint32)[..., np.newaxis]

    def create(self) -> Pipeline:
        return _Add(self.input_beat, self.output_beat, datapath.ADD_LATENCY)


class _Add(Pipeline):
    def datapath(self, m: Module, build: PipelineBuilder, lanes: list[Value]) -> list[Value]:
        return [datapath.adder(m, build, *lanes)]


@dataclass(frozen=True)
class Binary32FromInteger:
    """Integers of at most 24 bits to floating point, lane by lane."""

    input_format: Format
    lanes: int

    def __post_init__(self) -> None:
        if self.input_format.width > 24 + self.input_format.signed:
            raise ValueError(f"integers must have a magnitude of at most 24 bits to be exact, not {self.input_format}")

    @property
    def input_beat(self) -> Beat:
        return Beat(self.input_format, self.lanes)

    @property
    def output_beat(self) -> Beat:
        return Beat(BINARY32, self.lanes)

    def compute(self, x: np.ndarray) -> np.ndarray:
        """``[..., lanes]`` integers → the same shape in bit patterns (uint32)."""
        return from_integer(x).view(np.uint32)

    def create(self) -> Pipeline:
        return _FromInteger(self.input_beat, self.output_beat, datapath.FROM_INTEGER_LATENCY)


class _FromInteger(Pipeline):
    def datapath(self, m: Module, build: PipelineBuilder, lanes: list[Value]) -> list[Value]:
        return [datapath.integer_to_float(m, build, lane) for lane in lanes]


@dataclass(frozen=True)
class Binary32ToInteger:
    """Floating point to ``clamp(round(x), low, high)``, lane by lane."""

    output_format: Format
    lanes: int
    low: int
    high: int
    rounding: Rounding = Rounding.HALF_UP

    def __post_init__(self) -> None:
        check_clamp(self.low, self.high, self.output_format)

    @property
    def input_beat(self) -> Beat:
        return Beat(BINARY32, self.lanes)

    @property
    def output_beat(self) -> Beat:
        return Beat(self.output_format, self.lanes)

    def compute(self, x: np.ndarray) -> np.ndarray:
        """``[..., lanes]`` bit patterns → the same shape in the output format's dtype."""
        floats = x.astype(np.uint32).view(np.float32)
        return to_integer(floats, self.low, self.high, self.rounding).astype(self.output_format.dtype)

    def create(self) -> Pipeline:
        return _ToInteger(self)


class _ToInteger(Pipeline):
    """One more register for the clamp."""

    def __init__(self, spec: Binary32ToInteger) -> None:
        self.spec = spec
        super().__init__(spec.input_beat, spec.output_beat, datapath.TO_INTEGER_LATENCY + 1)

    def datapath(self, m: Module, build: PipelineBuilder, lanes: list[Value]) -> list[Value]:
        spec = self.spec
        results: list[Value] = []
        for lane in lanes:
            rounded = datapath.float_to_integer(m, build, lane, max(abs(spec.low), abs(spec.high)), spec.rounding)
            clamped = arithmetic.clamp(rounded, spec.low, spec.high)
            results.append(build.register(narrow(m, clamped, spec.output_format), "clamped"))
        return results


def check_clamp(low: int, high: int, output_format: Format) -> None:
    """Raise ``ValueError`` when the result of a conversion would not be exact or not fit."""
    if not low <= high or not output_format.contains(low, high):
        raise ValueError(f"the clamp [{low}, {high}] must be an interval inside the output format {output_format}")
    if output_format.width > 32:
        raise ValueError(f"the output format must have at most 32 bits, not {output_format}")


def _floats(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``[..., 2]`` bit patterns as the two operands."""
    floats = x.astype(np.uint32).view(np.float32)
    return floats[..., 0], floats[..., 1]
