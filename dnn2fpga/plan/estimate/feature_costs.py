"""The rules by which a synthesis tool implements features: terms, to be multiplied with the coefficients of a family
(its ``Fit``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from dnn2fpga.plan.estimate.fabric import Fabric, LutRam, fewest
from rtl_lib.core.features import Amount, Feature, Features, Kind, MemoryStyle, ceil_div, distinct_columns, index_bits


@dataclass(frozen=True)
class Fit:
    """Coefficients of one FPGA family: of the terms of LUTs and registers; LUTs per bit by size for multiplexers and
    tables; coefficients of ``UnsolvedEngine``.
    """

    lut: dict[str, float]
    ff: dict[str, float]
    mux: tuple[tuple[float, float], ...]
    table: tuple[tuple[float, float], ...]
    fabric: Fabric
    sharing: tuple[float, ...] = ()
    registers: tuple[float, ...] = ()

    def mux_luts(self, inputs: Amount) -> Amount:
        return _curve(self.mux, inputs)

    def table_luts(self, depth: Amount) -> Amount:
        return _curve(self.table, depth)


def _curve(points: tuple[tuple[float, float], ...], x: Amount) -> Amount:
    """Straight lines between the points, and on from the last one."""
    xs, ys = np.array(points).T
    return np.interp(x, xs, ys) + np.maximum(np.asarray(x, float) - xs[-1], 0) * ys[-1] / xs[-1]


Terms = dict[tuple[str, str], Amount]  # ("lut", "adder"), ... → amount
Term = tuple[str, str, Amount]


def terms(features: Features, fit: Fit) -> Terms:
    """Return the terms that the coefficients are multiplied with; those of DSP blocks and block RAMs are 1."""
    result: Terms = {}
    for feature in features.found:
        for resource, name, amount in RULES[feature.kind](feature, fit):
            result[resource, name] = result.get((resource, name), 0.0) + amount
    return result


def _plain(feature: Feature, fit: Fit) -> Iterator[Term]:
    yield "lut", feature.kind.value, feature.count


def _register(feature: Feature, fit: Fit) -> Iterator[Term]:
    yield "ff", "register", feature.count


def _operand(feature: Feature, fit: Fit) -> Iterator[Term]:
    yield "ff", "register", feature.count * (not fit.fabric.dsp.keeps_operands)


def _offset(feature: Feature, fit: Fit) -> Iterator[Term]:
    """A product without a block needs an adder of its own."""
    dsp, soft = fit.fabric.dsp, np.False_
    if feature.sizes:
        a, b, product = feature.sizes
        soft = dsp.is_soft(np.maximum(a, b), np.minimum(a, b), product)
    yield "lut", "constant_adder", feature.count * (soft | (not dsp.adds_behind))


def _six_inputs(feature: Feature, fit: Fit) -> Iterator[Term]:
    """One LUT where they are that large."""
    yield "lut", "gate" if fit.fabric.lut_inputs == 6 else feature.kind.value, feature.count


def _running_sum(feature: Feature, fit: Fit) -> Iterator[Term]:
    """The choice of what to add to is in the LUTs of the adder, if they are large enough."""
    yield "lut", "adder", feature.count
    if fit.fabric.lut_inputs < 6:
        yield "lut", feature.kind.value, feature.count


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
    """Yield the LUTs of a shifter. Where there are few steps, abc merges the condition into the LUTs of every bit."""
    (steps,) = feature.sizes
    name = "gate" if fit.fabric.lut_inputs == 6 else "shifter"
    yield "lut", name, feature.count * np.where((steps >= 4) & (steps < 16), 2, 1)


def _choice(feature: Feature, fit: Fit) -> Iterator[Term]:
    """LUTs of six inputs choose among four values at best, those of four between two."""
    (inputs,) = feature.sizes
    among_four = np.where(inputs == 4, 1, inputs // 2)
    yield "lut", "choice", feature.count * (among_four if fit.fabric.lut_inputs == 6 else inputs - 1)


def _table(feature: Feature, fit: Fit) -> Iterator[Term]:
    (depth,) = feature.sizes
    yield "lut", "table", _distinct(depth, feature.count) * fit.table_luts(depth)


def _distinct(depth: Amount, columns: Amount) -> Amount:
    """Equal columns of a small table are made once."""
    return np.where(depth <= 8, np.minimum(columns, distinct_columns(depth, np.maximum(columns, 1e-9))), columns)


# Costs with which memory_libmap of yosys weighs a multiplexer after a memory, and registers in its place.
MUX_COST, RAM_BITS_OF_COST_1 = 0.5, 1


def _blocks(depth: Amount, width: Amount, fabric: Fabric) -> tuple[Amount, Amount]:
    """Block RAM of 18 Kbit, and its cost."""
    counts = [block.needed(depth, width) for block in fabric.blocks]
    cost = [count * block.cost for count, block in zip(counts, fabric.blocks, strict=True)]
    units = [count * block.bram18 for count, block in zip(counts, fabric.blocks, strict=True)]
    chosen = np.argmin(np.stack(np.broadcast_arrays(*cost)), axis=0)
    return np.choose(chosen, np.broadcast_arrays(*units)), fewest(cost)


def _rom(feature: Feature, fit: Fit) -> Iterator[Term]:
    depth, width, *different = feature.sizes
    blocks, cost = _blocks(depth, width, fit.fabric)
    logic = depth * width / fit.fabric.rom_bits <= cost
    if feature.style is not MemoryStyle.AUTO:
        logic = np.full_like(logic, feature.style is MemoryStyle.LOGIC, bool)
    columns = _distinct(depth, width)
    yield "lut", "table", np.where(logic, columns * fit.table_luts(depth), 0) * feature.count * sum(different or [1])
    yield "ff", "memory", np.where(logic, columns, 0) * feature.count
    yield "bram18", "", np.where(logic, 0, blocks) * feature.count


def _dual_port(feature: Feature, fit: Fit) -> Iterator[Term]:
    ram = fit.fabric.lut_ram
    return _ram(feature, fit, ram.dual_port if ram else (), fit.fabric.bypass)


def _single_port(feature: Feature, fit: Fit) -> Iterator[Term]:
    ram = fit.fabric.lut_ram
    return _ram(feature, fit, ram.single_port if ram else (), 0)


def _ram(feature: Feature, fit: Fit, shapes: tuple[tuple[int, int], ...], bypass: float) -> Iterator[Term]:
    depth, width, *at_once = (np.asarray(size, float) for size in feature.sizes)
    blocks, block_cost = _blocks(depth, width, fit.fabric)
    if fit.fabric.lut_ram:
        small, small_cost = _lut_ram(depth, width, fit, fit.fabric.lut_ram, shapes)
    else:
        small, small_cost = _registers(depth, width, fit)
    in_luts = small_cost < block_cost + (bypass if at_once else 0)
    for resource, name, amount in small:
        yield resource, name, np.where(in_luts, amount, 0) * feature.count
    yield "bram18", "", np.where(in_luts, 0, blocks) * feature.count
    if bypass and at_once:  # what is written and where, what was read
        yield "ff", "memory", np.where(in_luts, 0, 2 * width + index_bits(depth) + 2) * feature.count
        yield "lut", "gate", np.where(in_luts, 0, width) * feature.count


def _lut_ram(
    depth: Amount, width: Amount, fit: Fit, ram: LutRam, shapes: tuple[tuple[int, int], ...]
) -> tuple[list[Term], Amount]:
    """Return the terms of a LUT RAM, and its cost."""
    whole = [ceil_div(depth, d) * ceil_div(width, w) for d, w in shapes]
    units = [ceil_div(depth, d) * width / w for d, w in shapes] if ram.in_parts else whole
    stacked = [ceil_div(depth, d) - 1 for d, _ in shapes]
    costs = [ram.cost * n + MUX_COST * width * s for n, s in zip(units, stacked, strict=True)]
    chosen = np.argmin(np.stack(np.broadcast_arrays(*costs)), axis=0)
    luts = np.choose(chosen, np.broadcast_arrays(*whole)) * float(ram.luts)
    deep = np.choose(chosen, np.broadcast_arrays(*stacked))
    mux = np.where(deep > 0, width * fit.mux_luts(deep + 1), 0)
    return [("lut", "memory", luts), ("lut", "mux", mux), ("ff", "memory", width)], fewest(costs)


def _registers(depth: Amount, width: Amount, fit: Fit) -> tuple[list[Term], Amount]:
    """Return the terms of a memory of registers, in a family without LUT RAM, and its cost."""
    bits = depth * width
    return [("lut", "mux", width * fit.mux_luts(depth)), ("ff", "memory", bits + width)], bits / RAM_BITS_OF_COST_1


def _product(feature: Feature, fit: Fit) -> Iterator[Term]:
    a, b, result = feature.sizes
    dsp, lut, blocks, parts = fit.fabric.dsp, 0.0, 0.0, 0.0
    wide, narrow = np.maximum(a, b), np.minimum(a, b)
    for count, x, y in dsp.pieces(wide, narrow):
        soft = dsp.is_soft(x, y, np.minimum(x + y, result))
        lut = lut + np.where(soft, x * y, 0) * count
        blocks = blocks + np.where(soft, 0, np.where(x <= dsp.half, 0.5, 1)) * count
        parts = parts + count
    # The parts of a product that was cut are added up; the register is the block's own where the product is.
    cut, inside = parts > 1, blocks > 0
    kept = inside & dsp.keeps_product & (~cut | dsp.adds)
    yield "lut", "soft_product", lut * feature.count
    yield (
        "lut",
        "adder",
        np.where(cut & (not dsp.adds), (parts - 1) * np.maximum(result - dsp.piece, 0), 0) * feature.count,
    )
    yield "ff", "register", np.where(kept, 0, result) * feature.count
    yield "dsp", "", blocks * feature.count


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
    Kind.OPERAND: _operand,
    Kind.ADDER: _plain,
    Kind.RUNNING_SUM: _running_sum,
    Kind.CONSTANT_ADDER: _plain,
    Kind.OFFSET: _offset,
    Kind.ADDER_GRAPH: _plain,
    Kind.GATE: _plain,
    Kind.ROW: _six_inputs,
    Kind.COUNT: _six_inputs,
    Kind.CHAIN: _plain,
    Kind.WIDE_SUM: _plain,
    Kind.COMPARATOR: _comparator,
    Kind.SHIFTER: _shifter,
    Kind.MUX: _mux,
    Kind.CHOICE: _choice,
    Kind.TABLE: _table,
    Kind.ROM: _rom,
    Kind.RAM: _dual_port,
    Kind.SINGLE_PORT_RAM: _single_port,
    Kind.PRODUCT: _product,
    Kind.CLAMP: _clamp,
    Kind.EVEN: _plain,
    Kind.COUNTER: _counted,
    Kind.HANDSHAKE: _plain,
    Kind.WINDOW_CONTROL: _counted,
    Kind.BINARY32_UNIT: _binary32_unit,
}


def names_of_terms(fabric: Fabric) -> dict[str, list[str]]:
    """Every coefficient that a fit must have."""
    probe = Features([Feature(kind, 1, (40, 20, 60)[: _SIZES.get(kind, 0)]) for kind in Kind])
    found: dict[str, list[str]] = {"lut": [], "ff": []}
    for resource, name in terms(probe, Fit({}, {}, ((1, 1),), ((1, 1),), fabric)):
        if resource in found:
            found[resource].append(name)
    return found


_SIZES = (
    dict.fromkeys((Kind.MUX, Kind.CHOICE, Kind.TABLE, Kind.COMPARATOR, Kind.SHIFTER), 1)
    | dict.fromkeys((Kind.ROM, Kind.RAM, Kind.SINGLE_PORT_RAM), 2)
    | dict.fromkeys((Kind.PRODUCT, Kind.CLAMP), 3)
)
