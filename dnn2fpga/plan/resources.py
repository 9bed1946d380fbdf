"""Resources before synthesis: LUTs, registers, DSP blocks and block RAMs of any component.

Components say what they consist of (``rtl_lib.features``). Here is what the synthesis tool makes of it: rules for
memories and multiplications, and coefficients that were fitted to synthesis results (``resource_fit.json``, made by
``benchmarks/resources.py fit``). LUTs are the cells LUT1 to LUT6, inverters and LUTs used as memory; registers the
cells FD*; block RAM is counted in halves of 18 Kbit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rtl_lib.features import Amount, Feature, Features, Kind, MemoryStyle, ceil_div, distinct_columns, index_bits
from rtl_lib.folded_engine import folded_features
from rtl_lib.folded_sums import WeightMemory
from rtl_lib.matrix_product import MatrixProduct
from rtl_lib.multipliers import Multiplier
from rtl_lib.parallel_guess import UnsolvedEngine
from rtl_lib.stream import StreamComponent

if TYPE_CHECKING:
    from dnn2fpga.plan.hardware_plan import HardwarePlan
    from dnn2fpga.plan.layout import LayerLayout

FIT_FILE = Path(__file__).with_name("resource_fit.json")


@dataclass(frozen=True)
class Resources:
    """Numbers, or arrays with one entry for each of many candidates."""

    lut: Amount = 0.0
    ff: Amount = 0.0
    dsp: Amount = 0.0
    bram18: Amount = 0.0

    @property
    def rounded(self) -> dict[str, float]:
        """By name; numbers only."""
        return {f.name: round(float(getattr(self, f.name)), 1) for f in fields(self)}

    def __add__(self, other: Resources) -> Resources:
        return Resources(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __mul__(self, times: Amount) -> Resources:
        return Resources(*(getattr(self, f.name) * times for f in fields(self)))


@dataclass(frozen=True)
class Fit:
    """Of one FPGA family: coefficients of the terms of LUTs and registers; LUTs a bit by size for multiplexers and
    tables; coefficients of ``UnsolvedEngine``.
    """

    lut: dict[str, float]
    ff: dict[str, float]
    mux: tuple[tuple[float, float], ...]
    table: tuple[tuple[float, float], ...]
    sharing: tuple[float, ...] = ()
    registers: tuple[float, ...] = ()

    def mux_luts(self, inputs: Amount) -> Amount:
        return _curve(self.mux, inputs)

    def table_luts(self, depth: Amount) -> Amount:
        return _curve(self.table, depth)


@lru_cache
def fit_of(family: str) -> Fit:
    """The committed fit."""
    content = json.loads(FIT_FILE.read_text(encoding="utf-8"))
    if family not in content:
        raise ValueError(f"resources are estimated for {', '.join(content)}, not for {family!r}")
    own = content[family]
    mux, table = (tuple((float(x), float(y)) for x, y in own[name]) for name in ("mux", "table"))
    return Fit(own["lut"], own["ff"], mux, table, tuple(own["sharing"]), tuple(own["registers"]))


def _curve(points: tuple[tuple[float, float], ...], x: Amount) -> Amount:
    """Straight lines between the points, and on from the last one."""
    xs, ys = np.array(points).T
    return np.interp(x, xs, ys) + np.maximum(np.asarray(x, float) - xs[-1], 0) * ys[-1] / xs[-1]


Terms = dict[tuple[str, str], Amount]  # ("lut", "adder"), ... → amount
Term = tuple[str, str, Amount]


def terms(features: Features, fit: Fit) -> Terms:
    """What the coefficients are multiplied with; those of DSP blocks and block RAMs are 1."""
    result: Terms = {}
    for feature in features.found:
        for resource, name, amount in RULES[feature.kind](feature, fit):
            result[resource, name] = result.get((resource, name), 0.0) + amount
    return result


def resources_of(features: Features, family: str = "xc7", fit: Fit | None = None) -> Resources:
    fit = fit or fit_of(family)
    known = {"lut": fit.lut, "ff": fit.ff, "dsp": {"": 1.0}, "bram18": {"": 1.0}}
    total: dict[str, Amount] = dict.fromkeys(known, 0.0)
    for (resource, name), amount in terms(features, fit).items():
        total[resource] = total[resource] + known[resource][name] * amount
    return Resources(**total)


def estimate(component: StreamComponent, family: str = "xc7") -> Resources:
    """Of a component, or a chain of them."""
    return resources_of(component.features(), family)


def network_resources(plan: HardwarePlan, layouts: Iterable[LayerLayout], family: str = "xc7") -> dict[str, Resources]:
    """By layer, each with what separates it from the next one; ``input`` and ``output`` are what stands at the ends."""
    result = {boundary.layer: Resources() for boundary in plan.boundaries}
    for layout in layouts:
        for _, part in layout.parts:
            result[layout.layer.name] += estimate(part, family)
    for boundary in plan.boundaries:
        if separator := boundary.separator():
            result[boundary.layer] += estimate(separator, family)
        if boundary.wire.has_surplus:
            beats = index_bits(boundary.wire.rows.beats_per_row)
            result[boundary.layer] += resources_of(Features().add(Kind.COUNTER, beats), family)
    last = Features().add(Kind.COUNTER, index_bits(plan.boundaries[-1].beats))
    return result | {"output": resources_of(last, family)}


def folded_resources(
    product: MatrixProduct,
    pe: np.ndarray,
    simd: np.ndarray,
    multiplier: Multiplier = Multiplier.DSP,
    memory: WeightMemory = WeightMemory.AUTO,
    levels_per_register: int = 3,
    family: str = "xc7",
) -> Resources:
    """Of folded engines with all that belongs to them, one for each ``pe`` and ``simd``; nothing is created."""
    pe, simd = np.broadcast_arrays(np.asarray(pe, np.int64), np.asarray(simd, np.int64))
    matrix, requantize = product.matrix, product.requantize
    features = folded_features(
        matrix, requantize, product.groups, product.lanes, pe, simd, multiplier, memory, levels_per_register
    )
    return resources_of(features, family)


def parallel_resources(product: MatrixProduct, levels_per_register: int = 3, family: str = "xc7") -> Resources:
    """Of a parallel engine whose adder graph is not solved: a guess from the digits of the weights."""
    fit = fit_of(family)
    engine = UnsolvedEngine(product.matrix, product.requantize)
    return resources_of(engine.features(levels_per_register, list(fit.sharing), list(fit.registers)), family)


# What the tool makes of the features.


def _plain(feature: Feature, fit: Fit) -> Iterator[Term]:
    yield "lut", feature.kind.value, feature.count


def _register(feature: Feature, fit: Fit) -> Iterator[Term]:
    yield "ff", "register", feature.count


def _counted(feature: Feature, fit: Fit) -> Iterator[Term]:
    yield "lut", feature.kind.value, feature.count
    yield "ff", feature.kind.value, feature.count


def _mux(feature: Feature, fit: Fit) -> Iterator[Term]:
    (inputs,) = feature.sizes
    yield "lut", "mux", feature.count * np.where(inputs > 1, fit.mux_luts(inputs), 0)


def _comparator(feature: Feature, fit: Fit) -> Iterator[Term]:
    """Four bits are few enough for plain logic, seven are enough for a carry chain."""
    (bits,) = feature.sizes
    yield "lut", "comparator", feature.count * np.where((bits > 4) & (bits < 7), 2, 1)


def _shifter(feature: Feature, fit: Fit) -> Iterator[Term]:
    """Where there are few steps, abc takes the condition into the LUTs of every bit."""
    (steps,) = feature.sizes
    yield "lut", "gate", feature.count * np.where((steps >= 4) & (steps < 16), 2, 1)


def _choice(feature: Feature, fit: Fit) -> Iterator[Term]:
    (inputs,) = feature.sizes
    yield "lut", "choice", feature.count * np.where(inputs == 4, 1, inputs // 2)


def _table(feature: Feature, fit: Fit) -> Iterator[Term]:
    (depth,) = feature.sizes
    yield "lut", "table", _distinct(depth, feature.count) * fit.table_luts(depth)


def _distinct(depth: Amount, columns: Amount) -> Amount:
    """Equal columns of a small table are made once."""
    return np.where(depth <= 8, np.minimum(columns, distinct_columns(depth, np.maximum(columns, 1e-9))), columns)


# Block RAMs of 18 Kbit: depth → width; those of 36 Kbit are twice as deep.
HALF_BLOCKS = ((16384, 1), (8192, 2), (4096, 4), (2048, 9), (1024, 18), (512, 36))
# As memory_libmap of yosys weighs them.
HALF_COST, FULL_COST, LUT_RAM_COST, MUX_COST, ROM_BITS_OF_COST_1 = 129, 257, 8, 0.5, 64


def _blocks(depth: Amount, width: Amount) -> tuple[Amount, Amount]:
    """Halves of block RAM, and their cost."""
    half = _fewest([ceil_div(depth, d) * ceil_div(width, w) for d, w in HALF_BLOCKS])
    full = _fewest([ceil_div(depth, 2 * d) * ceil_div(width, w) for d, w in (*HALF_BLOCKS, (256, 72))])
    whole = full * FULL_COST < half * HALF_COST
    return np.where(whole, 2 * full, half), np.where(whole, full * FULL_COST, half * HALF_COST)


def _fewest(counts: list[Amount]) -> Amount:
    result = counts[0]
    for count in counts[1:]:
        result = np.minimum(result, count)
    return result


def _rom(feature: Feature, fit: Fit) -> Iterator[Term]:
    depth, width, *different = feature.sizes
    blocks, cost = _blocks(depth, width)
    logic = depth * width / ROM_BITS_OF_COST_1 < cost
    if feature.style is not MemoryStyle.AUTO:
        logic = np.full_like(logic, feature.style is MemoryStyle.LOGIC, bool)
    columns = _distinct(depth, width)
    yield "lut", "table", np.where(logic, columns * fit.table_luts(depth), 0) * feature.count * sum(different or [1])
    yield "ff", "memory", np.where(logic, columns, 0) * feature.count
    yield "bram18", "", np.where(logic, 0, blocks) * feature.count


# LUT RAM: bits of one that has four LUTs, by depth.
DUAL_PORT, SINGLE_PORT = ((32, 6), (64, 3)), ((32, 8), (64, 4), (128, 2), (256, 1))


def _ram_of(shapes: tuple[tuple[int, int], ...]) -> Callable[[Feature, Fit], Iterator[Term]]:
    def rule(feature: Feature, fit: Fit) -> Iterator[Term]:
        depth, width = (np.asarray(size, float) for size in feature.sizes)
        blocks, block_cost = _blocks(depth, width)
        units = [ceil_div(depth, d) * width / w for d, w in shapes]
        stacked = [ceil_div(depth, d) - 1 for d, _ in shapes]
        costs = [LUT_RAM_COST * n + MUX_COST * width * s for n, s in zip(units, stacked, strict=True)]
        cheapest = _fewest(costs)
        whole = [ceil_div(depth, d) * ceil_div(width, w) for d, w in shapes]
        chosen = np.argmin(np.stack(np.broadcast_arrays(*costs)), axis=0)
        luts = np.choose(chosen, np.broadcast_arrays(*whole)) * 4.0
        deep = np.choose(chosen, np.broadcast_arrays(*stacked))
        in_luts = cheapest < block_cost
        yield "lut", "memory", np.where(in_luts, luts, 0) * feature.count
        yield "lut", "mux", np.where(in_luts & (deep > 0), width * fit.mux_luts(deep + 1), 0) * feature.count
        yield "ff", "memory", np.where(in_luts, width, 0) * feature.count
        yield "bram18", "", np.where(in_luts, 0, blocks) * feature.count

    return rule


def _product(feature: Feature, fit: Fit) -> Iterator[Term]:
    a, b, result = feature.sizes
    wide, narrow = np.maximum(a, b), np.minimum(a, b)
    soft = (narrow < 2) | (result < 9)
    pieces = (1 + np.maximum(ceil_div(wide - 25, 17), 0)) * (1 + np.maximum(ceil_div(narrow - 18, 17), 0))
    yield "lut", "soft_product", np.where(soft, a * b, 0) * feature.count
    # Blocks have registers for their products and adders for the sum of several.
    yield "ff", "register", np.where(soft, result, 0) * feature.count
    yield "dsp", "", np.where(soft, 0, pieces) * feature.count


WIDEST_SIMPLE_CLAMP = 13  # bits that are compared without a carry chain


def _clamp(feature: Feature, fit: Fit) -> Iterator[Term]:
    before, result, signed_sum = feature.sizes
    needed = np.asarray(before > result)
    yield "lut", "clamp", feature.count * needed * result * (1 + signed_sum)
    yield "lut", "wide_clamp", feature.count * (needed & (before > WIDEST_SIMPLE_CLAMP)) * 1.0


def _binary32_unit(feature: Feature, fit: Fit) -> Iterator[Term]:
    """Near a coefficient of 1."""
    yield "lut", "binary32_unit", 650 * feature.count
    yield "ff", "binary32_unit", 350 * feature.count


RULES: dict[Kind, Callable[[Feature, Fit], Iterator[Term]]] = {
    Kind.REGISTER: _register,
    Kind.ADDER: _plain,
    Kind.CONSTANT_ADDER: _plain,
    Kind.ADDER_GRAPH: _plain,
    Kind.GATE: _plain,
    Kind.CHAIN: _plain,
    Kind.WIDE_SUM: _plain,
    Kind.COMPARATOR: _comparator,
    Kind.SHIFTER: _shifter,
    Kind.MUX: _mux,
    Kind.CHOICE: _choice,
    Kind.TABLE: _table,
    Kind.ROM: _rom,
    Kind.RAM: _ram_of(DUAL_PORT),
    Kind.SINGLE_PORT_RAM: _ram_of(SINGLE_PORT),
    Kind.PRODUCT: _product,
    Kind.CLAMP: _clamp,
    Kind.EVEN: _plain,
    Kind.COUNTER: _counted,
    Kind.HANDSHAKE: _plain,
    Kind.WINDOW_CONTROL: _counted,
    Kind.BINARY32_UNIT: _binary32_unit,
}


def names_of_terms() -> dict[str, list[str]]:
    """Every coefficient that a fit must have."""
    probe = Features([Feature(kind, 1, (40, 20, 60)[: _SIZES.get(kind, 0)]) for kind in Kind])
    flat: Any = Fit({}, {}, ((1, 1),), ((1, 1),))
    found: dict[str, list[str]] = {"lut": [], "ff": []}
    for resource, name in terms(probe, flat):
        if resource in found:
            found[resource].append(name)
    return found


_SIZES = (
    dict.fromkeys((Kind.MUX, Kind.CHOICE, Kind.TABLE, Kind.COMPARATOR, Kind.SHIFTER), 1)
    | dict.fromkeys((Kind.ROM, Kind.RAM, Kind.SINGLE_PORT_RAM), 2)
    | dict.fromkeys((Kind.PRODUCT, Kind.CLAMP), 3)
)
