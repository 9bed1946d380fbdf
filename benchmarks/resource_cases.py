"""The components whose synthesis the resource estimates are fitted to: every kind, in sizes that take seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from rtl_lib.binary32.matrix import Binary32Matrix
from rtl_lib.core.arithmetic import Overflow, Rounding
from rtl_lib.core.formats import Format
from rtl_lib.core.stream import Beat, StreamComponent
from rtl_lib.elementwise.lookup_table import LookupTable
from rtl_lib.elementwise.requantize import Requantize
from rtl_lib.image.block_reduction import BlockReduction
from rtl_lib.image.border_average import BorderAverage
from rtl_lib.image.frame_reduction import FrameSum
from rtl_lib.image.reduction import Reduction, WindowReduction
from rtl_lib.image.windows import Padding, Windows
from rtl_lib.matrix.constant_matrix import ConstantMatrix
from rtl_lib.matrix.folded.multipliers import Multiplier
from rtl_lib.matrix.folded.sums import WeightMemory
from rtl_lib.matrix.matrix_product import Engine, MatrixProduct
from rtl_lib.streams.fifo import Fifo
from rtl_lib.streams.master_slave_stage import MasterSlaveStage
from rtl_lib.streams.pixel_rows import UnpackPixels
from rtl_lib.streams.repack import Repack


@dataclass(frozen=True)
class Case:
    """A component to synthesize; ``create`` returns a fresh one."""

    name: str
    create: Callable[[], StreamComponent]


def u(width: int) -> Format:
    return Format(False, width)


def s(width: int) -> Format:
    return Format(True, width)


def requantize(
    inputs: Format, outputs: Format, lanes: int, *, bits: int = 0, seed: int = 0, rounding: Rounding = Rounding.HALF_UP
) -> Requantize:
    """Create a requantization from the whole input format to about three quarters over the output's; ``bits`` of the
    multipliers (0: wires).
    """
    rng = np.random.default_rng(seed)
    drop = max(0, inputs.width - outputs.width - 1)
    multiplier = np.ones(lanes, np.int64)
    shift = np.full(lanes, drop)
    if bits:
        multiplier = rng.integers(1 << (bits - 1), 1 << bits, lanes) | 1
        shift = shift + bits - 1
    half = 1 << max(0, int(shift[0]) + outputs.width - 3)
    offset = rng.integers(-half, half + 1, lanes)
    low, high = outputs.minimum, outputs.maximum
    return Requantize(inputs, outputs, multiplier, shift, offset, low, high, rounding, Overflow.SATURATE)


def product(
    inputs: int,
    outputs: int,
    *,
    bits: int = 6,
    input_format: Format = u(6),  # noqa: B008 - immutable
    output_format: Format = u(6),  # noqa: B008 - immutable
    lanes: int | None = None,
    multiplier_bits: int = 0,
    density: float = 1.0,
    groups: int = 1,
    seed: int = 0,
) -> MatrixProduct:
    """Weights as training leaves them, roughly normal; 1 bit: ±1."""
    rng = np.random.default_rng(seed)
    top = (1 << (bits - 1)) - 1
    if bits == 1:
        weights = rng.choice([-1, 1], (inputs, outputs))
    else:
        weights = np.clip(np.rint(rng.normal(0, max(top, 1) / 2.5, (inputs, outputs))), -top, top).astype(int)
    weights = weights * (rng.random((inputs, outputs)) < density)
    if groups > 1:
        own = np.arange(outputs) * groups // outputs
        weights = weights * ((np.arange(inputs) % groups)[:, None] == own)
    scale = max(top, 1) * input_format.maximum
    matrix = ConstantMatrix(weights, rng.integers(-scale, scale + 1, outputs), input_format)
    finish = requantize(matrix.output_format, output_format, outputs, bits=multiplier_bits, seed=seed)
    return MatrixProduct(matrix, finish, lanes or inputs, groups)


def folded(inputs: int, outputs: int, pe: int, simd: int, **options: Any) -> Callable[[], StreamComponent]:
    own = {key: options.pop(key) for key in ("multiplier", "weight_memory", "levels_per_register") if key in options}
    return lambda: product(inputs, outputs, **options).create(Engine.FOLDED, pe=pe, simd=simd, **own)


def parallel(inputs: int, outputs: int, levels_per_register: int = 3, **options: Any) -> Callable[[], StreamComponent]:
    return lambda: product(inputs, outputs, **options).create(Engine.PARALLEL, levels_per_register=levels_per_register)


LUT, DSP = Multiplier.LUT, Multiplier.DSP
BLOCK, DISTRIBUTED = WeightMemory.BLOCK, WeightMemory.DISTRIBUTED

FOLDED: tuple[tuple[int, int, int, int, dict[str, Any]], ...] = (
    # inputs, outputs, pe, simd
    (16, 8, 4, 16, {"multiplier": LUT}),
    (16, 8, 4, 8, {"multiplier": LUT}),
    (16, 8, 2, 16, {"multiplier": LUT, "bits": 4}),
    (18, 12, 12, 1, {"multiplier": LUT, "bits": 8, "input_format": u(8), "output_format": u(8)}),
    (24, 6, 3, 6, {"multiplier": LUT, "input_format": s(5), "output_format": s(7)}),
    (32, 16, 1, 4, {"multiplier": LUT, "bits": 3, "input_format": u(3)}),
    (32, 16, 4, 2, {"multiplier": LUT, "levels_per_register": 1}),
    (32, 16, 4, 4, {"multiplier": LUT, "levels_per_register": 2, "bits": 8, "input_format": s(8)}),
    (27, 10, 5, 5, {"multiplier": LUT, "weight_memory": DISTRIBUTED, "bits": 5}),
    (48, 10, 10, 4, {"multiplier": LUT, "lanes": 4, "bits": 6}),
    (48, 10, 2, 4, {"multiplier": LUT, "lanes": 4, "bits": 6}),
    (64, 12, 4, 8, {"multiplier": LUT, "lanes": 8, "bits": 4, "input_format": u(4), "weight_memory": BLOCK}),
    (64, 12, 6, 2, {"multiplier": LUT, "lanes": 16, "bits": 5, "input_format": u(5)}),
    (20, 20, 20, 2, {"multiplier": LUT, "bits": 2, "input_format": u(4)}),
    (40, 8, 8, 8, {"multiplier": LUT, "multiplier_bits": 8}),
    (36, 9, 3, 12, {"multiplier": LUT, "multiplier_bits": 12, "input_format": u(4), "bits": 4}),
    (16, 8, 8, 16, {}),
    (16, 8, 4, 8, {}),
    (16, 8, 2, 4, {"bits": 8, "input_format": u(8), "output_format": u(8)}),
    (32, 16, 16, 2, {"bits": 4, "input_format": u(4), "output_format": u(4)}),
    (32, 16, 3, 5, {"bits": 4, "input_format": u(4), "output_format": u(4)}),
    (27, 16, 8, 3, {"bits": 8, "input_format": s(8), "output_format": s(8)}),
    (27, 16, 16, 9, {"bits": 6, "multiplier_bits": 8}),
    (144, 16, 4, 9, {"bits": 6}),
    (144, 16, 2, 3, {"bits": 4, "input_format": u(4), "multiplier_bits": 6}),
    (72, 24, 12, 8, {"bits": 8, "input_format": u(8), "output_format": u(8)}),
    (96, 24, 24, 2, {"bits": 6, "lanes": 2}),
    (96, 24, 6, 4, {"bits": 6, "lanes": 4}),
    (96, 24, 6, 4, {"bits": 8, "lanes": 12, "input_format": u(8)}),
    (256, 10, 5, 8, {"bits": 8, "lanes": 8, "input_format": u(8), "output_format": s(8), "multiplier_bits": 8}),
    (256, 32, 8, 4, {"bits": 8, "lanes": 4, "input_format": u(8)}),
    (60, 30, 10, 6, {"bits": 12, "input_format": s(10), "output_format": s(10)}),
    (30, 10, 5, 6, {"bits": 16, "input_format": s(16), "output_format": s(16)}),
    (24, 8, 4, 24, {"bits": 2, "input_format": u(2)}),
    (24, 8, 4, 24, {"bits": 3, "input_format": u(3), "levels_per_register": 1}),
    (64, 16, 4, 16, {"bits": 4, "input_format": u(4), "weight_memory": BLOCK}),
    (64, 16, 4, 16, {"bits": 4, "input_format": u(4), "weight_memory": DISTRIBUTED}),
    (200, 20, 2, 2, {"bits": 5, "weight_memory": DISTRIBUTED}),
    (32, 16, 4, 8, {"bits": 1}),
    (32, 16, 16, 2, {"bits": 1, "input_format": s(6)}),
    (48, 16, 2, 24, {"bits": 1, "input_format": u(1)}),
    (60, 12, 6, 10, {"bits": 1, "input_format": u(1), "output_format": u(1)}),
    (64, 32, 8, 16, {"bits": 1, "input_format": u(1), "lanes": 16}),
    (36, 8, 4, 3, {"groups": 4, "bits": 6}),
    (36, 8, 2, 9, {"groups": 4, "bits": 8, "input_format": u(8), "multiplier": LUT}),
    (72, 8, 8, 1, {"groups": 8, "bits": 4, "input_format": u(4)}),
    (32, 16, 8, 16, {"multiplier": LUT, "bits": 5}),
    (20, 12, 4, 20, {}),
    (100, 20, 20, 5, {"multiplier": LUT, "bits": 4}),
    (128, 10, 10, 2, {"multiplier": LUT, "bits": 8, "lanes": 2, "input_format": u(8), "multiplier_bits": 8}),
    (54, 12, 12, 6, {"bits": 5, "multiplier_bits": 8}),
    (300, 16, 16, 1, {}),
    (216, 24, 12, 9, {"bits": 8, "input_format": u(8), "output_format": u(8)}),
)

PARALLEL: tuple[tuple[int, int, dict[str, Any]], ...] = (
    (8, 8, {}),
    (16, 16, {}),
    (16, 16, {"density": 0.4}),
    (9, 4, {"bits": 8, "input_format": u(8), "output_format": u(8)}),
    (9, 16, {"bits": 8, "input_format": u(8), "output_format": u(8)}),
    (27, 8, {"bits": 4, "input_format": u(8), "output_format": u(6)}),
    (32, 8, {"bits": 6, "input_format": u(4), "density": 0.3}),
    (24, 12, {"bits": 2, "input_format": u(6)}),
    (24, 24, {"bits": 3, "input_format": u(4), "levels_per_register": 1}),
    (16, 12, {"bits": 8, "input_format": s(10), "output_format": s(10), "levels_per_register": 2}),
    (30, 10, {"bits": 1, "input_format": u(1), "output_format": s(6)}),
    (48, 12, {"bits": 1, "input_format": u(3), "levels_per_register": 4}),
    (12, 12, {"bits": 5, "multiplier_bits": 7}),
    (36, 6, {"bits": 6, "input_format": s(8), "output_format": s(8), "levels_per_register": 8}),
    (64, 8, {"bits": 7, "density": 0.1, "input_format": u(7)}),
    (20, 5, {"bits": 12, "input_format": s(12), "output_format": s(12)}),
)


MORE_GRAPHS: tuple[tuple[int, int, dict[str, Any]], ...] = (
    (16, 64, {}),
    (64, 32, {"bits": 3, "input_format": u(3)}),
    (27, 12, {"bits": 8, "input_format": u(8)}),
    (108, 12, {"bits": 4, "input_format": u(4)}),
    (32, 5, {}),
    (9, 12, {"bits": 4, "input_format": u(4)}),
    (64, 16, {"bits": 2, "input_format": u(2)}),
    (48, 12, {"bits": 5, "density": 0.5}),
    (16, 16, {"bits": 8, "input_format": u(4)}),
    (4, 16, {"bits": 8, "input_format": u(8)}),
    (16, 2, {"bits": 8, "input_format": u(8)}),
)


def parallel_products() -> Iterator[MatrixProduct]:
    """Yield the products for what is fitted to solved graphs only."""
    for k, (inputs, outputs, options) in enumerate([*PARALLEL, *MORE_GRAPHS]):
        own = {key: value for key, value in options.items() if key != "levels_per_register"}
        yield product(inputs, outputs, seed=100 + k, **own)


def _matrix_products() -> Iterator[Case]:
    for k, (inputs, outputs, pe, simd, options) in enumerate(FOLDED):
        yield Case(f"folded {k}", folded(inputs, outputs, pe, simd, seed=k, **options))
    for k, (inputs, outputs, options) in enumerate(PARALLEL):
        yield Case(f"parallel {k}", parallel(inputs, outputs, seed=100 + k, **options))


def _specs() -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Whatever has a ``create``, with its options."""
    for k, (a, b, lanes, bits, rounding) in enumerate(
        (
            (s(16), s(8), 8, 0, Rounding.HALF_UP),
            (s(20), u(8), 6, 0, Rounding.FLOOR),
            (s(14), u(4), 10, 0, Rounding.HALF_EVEN),
            (s(18), s(8), 6, 8, Rounding.HALF_UP),
            (u(12), u(6), 8, 6, Rounding.FLOOR),
            (s(24), s(12), 4, 14, Rounding.HALF_EVEN),
        )
    ):
        yield "requantize", requantize(a, b, lanes, bits=bits, rounding=rounding, seed=k), {}
    same = Padding.same
    for windows, pixels in (
        (Windows(8, 8, 2, u(6), (3, 3)), 1),
        (Windows(28, 28, 1, u(8), (3, 3)), 1),
        (Windows(16, 16, 4, u(6), (3, 3), padding=same((16, 16), (3, 3), (1, 1))), 1),
        (Windows(12, 12, 1, s(8), (5, 5)), 1),
        (Windows(14, 14, 8, u(4), (2, 2), (2, 2)), 1),
        (Windows(32, 32, 3, u(8), (3, 3), padding=same((32, 32), (3, 3), (1, 1))), 1),
        (Windows(15, 15, 8, u(6), (3, 3), (2, 2), same((15, 15), (3, 3), (2, 2))), 1),
        (Windows(30, 30, 16, u(6), (3, 3)), 1),
        (Windows(10, 40, 2, s(8), (5, 3), padding=same((10, 40), (5, 3), (1, 1)), fill=3), 1),
        (Windows(26, 26, 16, u(8), (2, 2), (2, 2)), 1),
        (Windows(150, 150, 1, u(8), (3, 3), padding=same((150, 150), (3, 3), (1, 1))), 1),
        (Windows(20, 20, 4, u(1), (3, 3), padding=same((20, 20), (3, 3), (1, 1))), 1),
        (Windows(7, 7, 12, s(5), (7, 1)), 1),
        (Windows(16, 16, 4, u(6), (3, 3), padding=same((16, 16), (3, 3), (1, 1))), 2),
        (Windows(16, 16, 4, u(6), (2, 2), (2, 2)), 4),
    ):
        yield "windows", windows, {"pixels": pixels}
    for size, channels, form, block, reduction, pixels in (
        ((26, 26), 12, u(6), (2, 2), Reduction.MAXIMUM, 1),
        ((30, 30), 16, u(7), (2, 2), Reduction.MAXIMUM, 1),
        ((13, 13), 8, s(8), (2, 2), Reduction.MAXIMUM, 1),
        ((12, 12), 4, u(4), (3, 3), Reduction.SUM, 1),
        ((2, 2), 24, u(6), (2, 2), Reduction.MAXIMUM, 1),
        ((16, 16), 8, u(6), (2, 2), Reduction.MAXIMUM, 2),
        ((20, 20), 4, s(8), (2, 2), Reduction.SUM, 4),
        ((9, 30), 6, u(5), (1, 3), Reduction.MAXIMUM, 1),
    ):
        yield "blocks", BlockReduction(*size, channels, form, block, reduction), {"pixels": pixels}
    for form, channels, size, reduction in (
        (u(6), 8, 4, Reduction.MAXIMUM),
        (s(8), 4, 9, Reduction.MAXIMUM),
        (u(4), 16, 4, Reduction.MAXIMUM),
        (u(6), 8, 4, Reduction.SUM),
        (s(8), 3, 9, Reduction.SUM),
        (u(5), 4, 25, Reduction.SUM),
    ):
        yield "reduction", WindowReduction(form, channels, size, reduction), {}
    for form, channels, beats in ((u(8), 4, 64), (s(6), 12, 49), (u(4), 16, 100)):
        yield "frame sum", FrameSum(form, channels, beats), {}
    for outer, inner, channels, rows, width in (
        (u(8), u(6), 4, 8, 10),
        (s(10), s(8), 3, 5, 14),
        (u(12), u(8), 2, 7, 8),
    ):
        inside = np.outer([2] + [3] * (rows - 2) + [2], [2] + [3] * (rows - 2) + [2])
        table = np.rint((1 << width) / inside).astype(int)
        yield "average", BorderAverage(outer, inner, channels, table, width), {}
    for source, form, lanes in ((u(8), u(8), 2), (s(10), s(6), 1), (s(12), s(8), 1), (u(6), u(6), 4), (s(9), s(7), 4)):
        rng = np.random.default_rng(source.width)
        table = rng.integers(form.minimum, form.maximum + 1, 1 << source.width)
        curve = np.rint(np.tanh(np.linspace(-3, 3, 1 << source.width)) * form.maximum).astype(int)
        yield (
            "table",
            LookupTable(source, form, table if source.width < 9 else np.clip(curve, form.minimum, None), lanes),
            {},
        )
    for form, before, after in (
        (u(8), 16, 4), (s(6), 30, 1), (u(4), 64, 32), (u(5), 24, 3),
        (u(8), 4, 16), (s(6), 1, 30), (u(4), 32, 64), (u(5), 3, 24),
    ):  # fmt: skip
        yield "repack", Repack(form, before, after), {}
    for form, channels, width, pixels in ((u(6), 4, 7, 2), (s(8), 3, 16, 4)):
        yield "pixels", UnpackPixels(form, channels, width, pixels), {}
    for terms, outputs, lanes, units in ((4, 2, 2, 1), (9, 8, 9, 2)):
        rng = np.random.default_rng(terms)
        yield (
            "binary32",
            Binary32Matrix(
                weights=rng.normal(size=(terms, outputs)).astype(np.float32),
                bias=rng.normal(size=outputs).astype(np.float32),
                input_format=s(6),
                lanes=lanes,
                input_zero_point=np.zeros(lanes, np.int64),
                output_format=s(8),
                low=-128,
                high=127,
                output_zero_point=np.zeros(outputs, np.int64),
            ),
            {"float_units": units},
        )


def cases() -> list[Case]:
    found = [
        Case(f"stage {b}", lambda b=b: MasterSlaveStage(b)) for b in (Beat(u(8), 4), Beat(s(16), 8), Beat(u(5), 3))
    ]
    for width, depth in ((16, 2), (40, 30), (24, 64), (8, 100), (32, 200), (16, 1000), (72, 400)):
        beat = Beat(u(8), width // 8)
        found.append(Case(f"fifo {width} {depth}", lambda beat=beat, depth=depth: Fifo(beat, depth)))
    for k, (name, spec, options) in enumerate(_specs()):
        found.append(Case(f"{name} {k}", lambda spec=spec, options=options: spec.create(**options)))
    return [*found, *_matrix_products()]
