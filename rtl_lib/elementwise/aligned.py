"""The part that sums and extrema of several inputs share: integers that bring every input to one scale, a tree that
makes one number of them, and one rounding at the end::

    i_0 ─ · multiplier ─▐ product ▌─┐
    i_1 ─ · multiplier ─▐ product ▌─┴ tree ─▐ ... ▌─ offset, shift, clamp ─▐ result ▌─ o

The registers of the products are only there where a multiplier is no power of two; powers of two are wires. The tree
has a register after every two levels, and after its last one.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from amaranth.hdl import Module, Value

from rtl_lib.core import arithmetic
from rtl_lib.core.arithmetic import Overflow, Rounding
from rtl_lib.core.features import Features, Kind, pipeline_features
from rtl_lib.core.formats import Format
from rtl_lib.core.operator import Operator, Wide
from rtl_lib.core.pipeline import JoinPipeline, PipelineBuilder
from rtl_lib.core.stream import Beat
from rtl_lib.elementwise.epilogue import Finish
from rtl_lib.elementwise.requantize import narrow, simplified
from rtl_lib.elementwise.term import Built, Counted, Steps, Term, adder_of, is_wires, register_of

LEVELS_PER_REGISTER = 2  # of the tree
EXACT = 1 << 62  # what stays below is exact in integers of 64 bits


@dataclass(frozen=True)
class Lane:
    """The integers of one lane, as small as they can be.

    :param multipliers: of every input.
    :param offsets: added to every product, before the tree.
    :param finish: what is done after the tree; its ``multiplier`` is 1.
    """

    multipliers: list[int]
    offsets: list[int]
    finish: Finish

    @property
    def unread(self) -> int:
        """The number of low bits after the tree that reach no result."""
        exact = self.finish.offset or self.finish.rounding is not Rounding.FLOOR
        return 0 if exact else self.finish.shift


@dataclass(frozen=True, eq=False, kw_only=True)
class Aligned(Operator):
    """
    :param input_formats: of every input, at least one.
    :param multiplier: int64 ``[inputs, lanes]``.
    :param shift: int64 ``[lanes]``, at least 0.
    :param offset: int64; a subclass says of what shape.
    :param low, high: the clamp, one number for all lanes or one per lane.
    :raises OverflowError: where integers of 64 bits would not be exact.
    """

    input_formats: tuple[Format, ...]
    output_format: Format
    multiplier: np.ndarray
    shift: np.ndarray
    offset: np.ndarray
    low: int | np.ndarray
    high: int | np.ndarray
    rounding: Rounding = Rounding.HALF_UP
    overflow: Overflow = Overflow.SATURATE

    def __post_init__(self) -> None:
        expected = {"multiplier": (len(self.input_formats), self.lanes), "shift": (self.lanes,)}
        for name, shape in {**expected, "offset": self.offset_shape}.items():
            if (found := getattr(self, name).shape) != shape:
                raise ValueError(f"{name} must have shape {shape}, not {found}")
        if (self.shift < 0).any():
            raise ValueError("shift must not be negative; use larger multipliers")
        low, high = int(self.clamp[0].min()), int(self.clamp[1].max())
        if not self.output_format.contains(low, high):
            raise ValueError(f"the clamp [{low}, {high}] must lie in the output format {self.output_format}")
        # No partial result is larger than all magnitudes together.
        largest = np.array([max(-f.minimum, f.maximum) for f in self.input_formats], object)
        products = largest @ abs(self.multiplier.astype(object))
        offsets = abs(self.offset.astype(object)).reshape(-1, self.lanes).sum(axis=0)
        worst = max(products + offsets) + (1 << int(self.shift.max()))
        if worst >= EXACT:
            raise OverflowError(f"a sum of {worst.bit_length()} bits does not fit 64-bit integers exactly")

    @property
    @abstractmethod
    def offset_shape(self) -> tuple[int, ...]: ...

    @abstractmethod
    def reduced(self, x: Sequence[np.ndarray]) -> np.ndarray:
        """Return the values to be rounded, of int64 inputs."""

    @abstractmethod
    def joined(self, a: Term, b: Term) -> Term:
        """One step of the tree."""

    @abstractmethod
    def step_features(self, a: Term, b: Term, dropped: int) -> Features:
        """Return the features of one step of the tree.

        :param dropped: low bits of its result that nobody reads.
        """

    @abstractmethod
    def lane(self, k: int) -> Lane: ...

    @property
    def lanes(self) -> int:
        return self.multiplier.shape[1]

    @property
    def input_beats(self) -> tuple[Beat, ...]:
        return tuple(Beat(format, self.lanes) for format in self.input_formats)

    @property
    def output_beat(self) -> Beat:
        return Beat(self.output_format, self.lanes)

    @property
    def luts(self) -> float:
        """Predicted: the tree, a rounding increment and a clamp, each one for every result bit."""
        return (len(self.input_formats) + 1) * self.output_beat.layout.size

    @cached_property
    def clamp(self) -> tuple[np.ndarray, np.ndarray]:
        """``low`` and ``high`` of every lane."""
        low, high = (np.broadcast_to(np.asarray(bound, np.int64), (self.lanes,)) for bound in (self.low, self.high))
        return low, high

    def compute(self, *x: np.ndarray) -> np.ndarray:
        """``[..., lanes]`` of every input → the same shape in the output format's dtype."""
        total = self.reduced([of_input.astype(np.int64) for of_input in x])
        rounded = arithmetic.shift_right(total, self.shift, self.rounding)
        return arithmetic.fit(rounded, *self.clamp, self.overflow).astype(self.output_format.dtype)

    def for_pixels(self, pixels: int, *, surplus: bool) -> Wide | None:
        low, high = self.clamp
        by_lane = {"multiplier": self.multiplier, "shift": self.shift, "offset": self.offset, "low": low, "high": high}
        repeated: dict[str, Any] = {name: np.concatenate([array] * pixels, axis=-1) for name, array in by_lane.items()}
        return Wide(replace(self, **repeated).create, pixels)

    def create(self) -> AlignedPipeline:
        return AlignedPipeline(self)

    def smallest(self, k: int, offsets: Sequence[int]) -> tuple[list[int], list[int], Finish]:
        """Multipliers and offsets of lane ``k``, and what is done at the end."""
        multipliers = [int(m) for m in self.multiplier[:, k]]
        multipliers, offsets, shift, rounding = simplified(multipliers, offsets, int(self.shift[k]), self.rounding)
        low, high = (int(bound[k]) for bound in self.clamp)
        return multipliers, offsets, Finish(1, 0, shift, low, high, rounding, self.overflow)


class AlignedPipeline(JoinPipeline):
    """The hardware of ``Aligned``."""

    def __init__(self, spec: Aligned) -> None:
        self.spec = spec
        self.lanes = [spec.lane(k) for k in range(spec.lanes)]
        self.multiplies = any(m and not is_wires(m) for lane in self.lanes for m in lane.multipliers)
        self.adds = any(offset for lane in self.lanes for offset in lane.offsets)
        self.levels = (len(spec.input_formats) - 1).bit_length()
        registers = self.multiplies + self.adds + -(-self.levels // LEVELS_PER_REGISTER)
        super().__init__(spec.input_beats, spec.output_beat, latency=registers + 1)

    def features(self) -> Features:
        counted, form = Counted(), self.output_beat.format
        bill = pipeline_features(self.latency).add(Kind.REGISTER, self.output_beat.layout.size)
        for lane in self.lanes:
            bits, offset = self._total(counted, lane, [0] * len(lane.multipliers)).format.width, lane.finish.offset
            bill += adder_of(offset, bits + 1) + lane.finish.features(bits + bool(offset), form.width)
        return bill + counted.bill

    def datapath(self, m: Module, build: PipelineBuilder, inputs: list[list[Value]]) -> list[Value]:
        results: list[Value] = []
        for k, (lane, values) in enumerate(zip(self.lanes, zip(*inputs, strict=True), strict=True)):
            total = self._total(Built(m, build, k), lane, values)
            number = (-total.value if total.negative else total.value) + lane.finish.offset
            result = narrow(m, lane.finish.wires(number), self.output_beat.format)
            results.append(build.register(result, f"result_{k}"))
        return results

    def _total(self, steps: Steps, lane: Lane, values: Sequence[Any]) -> Term:
        """Return the value to be rounded, of the values of one lane of every input."""
        formats = self.spec.input_formats
        terms = [Term(f.minimum, f.maximum, value) for f, value in zip(formats, values, strict=True)]
        terms = [self._product(steps, term, m) for term, m in zip(terms, lane.multipliers, strict=True)]
        if self.adds:
            terms = [_added(steps, term, offset) for term, offset in zip(terms, lane.offsets, strict=True)]
        for level in range(self.levels):
            last = level == self.levels - 1
            dropped = lane.unread if last else 0
            pairs = list(zip(terms[::2], terms[1::2], strict=False))
            joined = [steps.wire(self.spec.joined(a, b), self.spec.step_features(a, b, dropped)) for a, b in pairs]
            terms = joined + terms[2 * len(pairs) :]
            if level % LEVELS_PER_REGISTER == LEVELS_PER_REGISTER - 1 or last:
                terms = [steps.register(term, f"level_{level}", register_of(term, dropped)) for term in terms]
        (total,) = terms
        return total

    def _product(self, steps: Steps, term: Term, multiplier: int) -> Term:
        product = term.times(multiplier)
        if not self.multiplies:
            return product
        if not multiplier or is_wires(multiplier):
            return steps.register(product, "product", register_of(product))
        width, factor = term.format.width, abs(multiplier).bit_length()
        block = Features().add(Kind.PRODUCT, 1, width, factor + 1, width + factor)
        return steps.register(steps.wire(product, block), "product", Features())  # the block has one


def _added(steps: Steps, term: Term, offset: int) -> Term:
    total = replace(term.plus(offset), of_block=False)
    adder = adder_of(offset, total.format.width, Kind.OFFSET if term.of_block else Kind.CONSTANT_ADDER)
    return steps.register(steps.wire(total, adder), "aligned", register_of(total))
