"""Product: several inputs multiplied with each other, then requantized.

``y = requantize(prod_k (x_k - zero_point[k]))`` lane by lane (docs/arithmetic.md)::

    i_0 ─ - zero_point ─▐ difference ▌─┐
    i_1 ─ - zero_point ─▐ difference ▌─┴ · ─▐ product ▌─ requantize ─▐ result ▌─ o

The registers of the differences are only there where a zero point is not 0. Each product has a register, so Vivado and
yosys infer DSP blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from itertools import product as pairs_of
from operator import mul
from typing import Any, ClassVar

import numpy as np
from amaranth.hdl import Module, Mux, Signal, Value

from rtl_lib.core.arithmetic import Overflow, Rounding
from rtl_lib.core.branch_timing import GatedJoinModel
from rtl_lib.core.features import Features, Kind, index_bits, pipeline_features
from rtl_lib.core.formats import Format, index_signal
from rtl_lib.core.operator import Operator, Wide
from rtl_lib.core.pipeline import JoinPipeline, PipelineBuilder
from rtl_lib.core.stream import Beat
from rtl_lib.elementwise.requantize import Requantize
from rtl_lib.elementwise.term import Built, Counted, Steps, Term, adder_of, register_of
from rtl_lib.streams.pixel_rows import PixelRows


@dataclass(frozen=True, eq=False, kw_only=True)
class Product(Operator):
    """
    :param input_formats: of every input, at least two.
    :param zero_point: int64 ``[inputs, lanes]``.
    :param multiplier, shift, offset, low, high, rounding, overflow, negative_multiplier, negative_offset: of
        ``Requantize``.
    :raises OverflowError: where integers of 64 bits would not be exact.
    """

    input_formats: tuple[Format, ...]
    output_format: Format
    zero_point: np.ndarray
    multiplier: np.ndarray
    shift: np.ndarray
    offset: np.ndarray
    low: int | np.ndarray
    high: int | np.ndarray
    rounding: Rounding = Rounding.HALF_UP
    overflow: Overflow = Overflow.SATURATE
    negative_multiplier: np.ndarray | None = None
    negative_offset: np.ndarray | None = None

    def __post_init__(self) -> None:
        if len(self.input_formats) < 2:
            raise ValueError(f"a product must have at least two inputs, not {len(self.input_formats)}")
        if self.zero_point.shape != (len(self.input_formats), self.lanes):
            raise ValueError(
                f"zero_point must have shape {(len(self.input_formats), self.lanes)}, not {self.zero_point.shape}"
            )
        self.requantize  # noqa: B018 - refuses what is impossible

    @property
    def lanes(self) -> int:
        return len(self.multiplier)

    @cached_property
    def requantize(self) -> Requantize:
        """The requantization of the products."""
        differences = [
            Term(f.minimum - int(zero.max()), f.maximum - int(zero.min()))
            for f, zero in zip(self.input_formats, self.zero_point, strict=True)
        ]
        product = reduce(multiplied, differences)
        if max(-product.low, product.high) >= 1 << 61:
            raise OverflowError(f"products up to {max(-product.low, product.high)} do not fit 64-bit integers exactly")
        return Requantize(
            product.format,
            self.output_format,
            self.multiplier,
            self.shift,
            self.offset,
            self.low,
            self.high,
            self.rounding,
            self.overflow,
            self.negative_multiplier,
            self.negative_offset,
        )

    @property
    def input_beats(self) -> tuple[Beat, ...]:
        return tuple(Beat(format, self.lanes) for format in self.input_formats)

    @property
    def output_beat(self) -> Beat:
        return Beat(self.output_format, self.lanes)

    @property
    def luts(self) -> float:
        """Predicted: that of the requantization (products are DSP blocks)."""
        return self.requantize.luts

    def compute(self, *x: np.ndarray) -> np.ndarray:
        """``[..., lanes]`` of every input → the same shape in the output format's dtype."""
        differences = [of_input.astype(np.int64) - zero for of_input, zero in zip(x, self.zero_point, strict=True)]
        return self.requantize.compute(reduce(mul, differences))

    def repeated(self, pixels: int) -> dict[str, Any]:
        """The integers of the lanes of several pixels."""
        low, high = self.requantize.clamp
        by_lane = {"zero_point": self.zero_point, "multiplier": self.multiplier, "shift": self.shift}
        by_lane |= {"offset": self.offset, "low": low, "high": high}
        if self.requantize.negative is not None:
            by_lane |= zip(("negative_multiplier", "negative_offset"), self.requantize.negative, strict=True)
        return {name: np.concatenate([array] * pixels, axis=-1) for name, array in by_lane.items()}

    def for_pixels(self, pixels: int, *, surplus: bool) -> Wide | None:
        return Wide(replace(self, **self.repeated(pixels)).create, pixels)

    def create(self) -> ProductPipeline:
        return ProductPipeline(self)


@dataclass(frozen=True, eq=False, kw_only=True)
class GatedProduct(Product):
    """The product of an image and a *gate*: the second input has one beat per frame, which meets every pixel.

    :param size: rows and columns of the image.
    """

    size: tuple[int, int]
    gates: ClassVar[tuple[int, ...]] = (1,)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.input_formats) != 2:
            raise ValueError(f"a gated product must have two inputs, not {len(self.input_formats)}")

    def for_pixels(self, pixels: int, *, surplus: bool) -> Wide | None:
        rows, columns = self.size
        beats = PixelRows(columns, pixels).beats_per_frame(rows)
        wide = replace(self, **self.repeated(pixels))
        return Wide(lambda: GatedProductPipeline(wide, beats, self.lanes), pixels)

    def create(self) -> GatedProductPipeline:
        return GatedProductPipeline(self, self.size[0] * self.size[1], self.lanes)


def multiplied(a: Term, b: Term) -> Term:
    bounds = [x * y for x, y in pairs_of((a.low, a.high), (b.low, b.high))]
    return Term(min(bounds), max(bounds), a.value * b.value)


class ProductPipeline(JoinPipeline):
    """The hardware of ``Product``.

    :param gate_lanes: of the last input, where they are fewer than those of the others: they repeat.
    """

    def __init__(self, spec: Product, gate_lanes: int | None = None) -> None:
        self.spec = spec
        self.subtracts = bool(spec.zero_point.any())
        self.levels = (len(spec.input_formats) - 1).bit_length()
        *beats, last = spec.input_beats
        inputs = (*beats, Beat(last.format, gate_lanes or last.lanes))
        super().__init__(inputs, spec.output_beat, self.subtracts + self.levels + spec.requantize.latency)

    def features(self) -> Features:
        counted = Counted()
        for k in range(self.spec.lanes):
            self._product(counted, k, [0] * len(self.spec.input_formats))
        sizes = next(feature.sizes for feature in reversed(counted.bill.found) if feature.kind is Kind.PRODUCT)
        return pipeline_features(self.latency) + counted.bill + self.spec.requantize.datapath_features(sizes)

    def datapath(self, m: Module, build: PipelineBuilder, inputs: list[list[Value]]) -> list[Value]:
        products = [
            self._product(Built(m, build, k), k, [lanes[k % len(lanes)] for lanes in inputs]).value
            for k in range(self.spec.lanes)
        ]
        return self.spec.requantize.datapath(m, build, products)

    def _product(self, steps: Steps, lane: int, values: Sequence[Any]) -> Term:
        """Return the product of the values of one lane of every input."""
        spec = self.spec
        terms = [Term(f.minimum, f.maximum, value) for f, value in zip(spec.input_formats, values, strict=True)]
        if self.subtracts:
            zero_points = spec.zero_point[:, lane].tolist()
            terms = [self._difference(steps, term, zero) for term, zero in zip(terms, zero_points, strict=True)]
        for _ in range(self.levels):
            pairs = list(zip(terms[::2], terms[1::2], strict=False))
            products = [
                steps.register(steps.wire(multiplied(a, b), _block(a, b)), "product", Features()) for a, b in pairs
            ]
            terms = products + [steps.register(term, "factor", register_of(term)) for term in terms[2 * len(pairs) :]]
        (product,) = terms
        return product

    @staticmethod
    def _difference(steps: Steps, term: Term, zero_point: int) -> Term:
        difference = term.plus(-zero_point)
        width = difference.format.width
        operand = Features().add(Kind.OPERAND, width)
        return steps.register(steps.wire(difference, adder_of(-zero_point, width)), "difference", operand)


def _block(a: Term, b: Term) -> Features:
    """A multiplication; DSP blocks multiply signed numbers."""
    bits = [term.format.width + (not term.format.signed) for term in (a, b)]
    return Features().add(Kind.PRODUCT, 1, *bits, multiplied(a, b).format.width)


class GatedProductPipeline(ProductPipeline):
    """The gate stays until it has met the last of ``beats`` beats."""

    def __init__(self, spec: GatedProduct, beats: int, gate_lanes: int) -> None:
        self.beats = beats
        super().__init__(spec, gate_lanes)

    def features(self) -> Features:
        return super().features().add(Kind.COUNTER, index_bits(self.beats))

    def beat_model(self) -> GatedJoinModel:
        return GatedJoinModel(self.latency, self.beats)

    def consumed(self, m: Module, fires: Signal) -> list[Value]:
        beat = index_signal(self.beats)
        last = Signal()
        m.d.comb += last.eq(beat == self.beats - 1)
        with m.If(fires):
            m.d.sync += beat.eq(Mux(last, 0, beat + 1))
        return [fires, fires & last]
