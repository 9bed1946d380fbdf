"""Several requantizers on the sums of one layer: it is there once, and its lanes hold the codes of all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dnn2fpga.exact.accumulator import LARGEST, Accumulator, Codes, Requantizer, tensor_of
from dnn2fpga.exact.encoding import Encoding
from dnn2fpga.exact.requantizing import smallest
from dnn2fpga.graph.dag import Node
from dnn2fpga.layers.activation import sums_of
from dnn2fpga.layers.quantized import QuantizedLayer
from dnn2fpga.layers.select import QuantizedSelect
from dnn2fpga.tensors.tensor import Tensor, one_or_each
from rtl_lib.core import arithmetic
from rtl_lib.core.arithmetic import Overflow, Rounding
from rtl_lib.core.formats import Format

Nodes = list[Node[QuantizedLayer]]


@dataclass(frozen=True, eq=False)
class Last:
    """A last step that sums are given.

    :param codes: the tensor that it makes.
    """

    codes: Codes
    sums: Accumulator
    step: Requantizer


def with_shared_sums(nodes: Sequence[Node[QuantizedLayer]], lasts: Mapping[str, Last]) -> Nodes:
    """Return the layers with one in place of those that add up the same sums, and round them in different ways.

    :param nodes: layers in order.
    :param lasts: the last steps of those that add up sums, by name.
    """
    groups: dict[str, list[Last]] = {}
    for last in lasts.values():
        if last.sums.layer is not None:
            groups.setdefault(last.sums.layer, []).append(last)
    taken, instead = {node.name for node in nodes}, dict[str, Nodes]()
    for name, group in groups.items():
        while name in taken:
            name = f"{name}_sums"
        if len(group) > 1 and (together := _together(name, group)):
            taken.add(name)
            instead |= {last.codes.name: Nodes() for last in group} | {group[0].codes.name: together}
    return [new for node in nodes for new in instead.get(node.name, [node])]


def _together(name: str, group: Sequence[Last]) -> Nodes:
    """One layer, and what makes each tensor of its output; nothing where the layer is better repeated."""
    sums = group[0].sums
    steps = _of_one_kind(group) if sums.may_be_shared and sums.lanes == sums.shape[-1] else None
    return _with_sources(name, group, steps) if steps else _handed_on(name, group)


def _with_sources(name: str, group: Sequence[Last], steps: Sequence[Requantizer]) -> Nodes:
    """The layer's lanes are the codes; those that several tensors share are there once."""
    sums = group[0].sums
    columns = [_columns(last.codes.tensor, step) for last, step in zip(group, steps, strict=True)]
    lanes = list(dict.fromkeys(lane for lanes in columns for lane in lanes))
    place = {lane: k for k, lane in enumerate(lanes)}
    scale, zero, *numbers = zip(*lanes, strict=True)
    source, multiplier, shift, offset, low, high, below, start = (np.array(column, np.int64) for column in numbers)
    negative = None if all(step.negative is None for step in steps) else (below, start)
    kind = steps[0].rounding, steps[0].overflow
    joined = Requantizer(multiplier, shift, offset, low, high, *kind, negative=negative, sources=source)
    formats = [last.codes.tensor.format for last in group]
    format = Format.containing(min(f.minimum for f in formats), max(f.maximum for f in formats))
    output = Tensor(
        shape=(*sums.shape[:-1], len(lanes)),
        lanes=len(lanes),
        signed=format.signed,
        width=format.width,
        scale=one_or_each(scale),
        zero_point=one_or_each(zero),
    )
    nodes = [Node[QuantizedLayer](name, sums.build(name, output, joined), tuple(one.name for one in sums.inputs))]
    for last, own in zip(group, columns, strict=True):
        to, sources = last.codes, np.array([place[lane] for lane in own], np.int64)
        nodes.append(Node(to.name, QuantizedSelect(name=to.name, output=to.tensor, sources=sources), (name,)))
    return nodes


def _handed_on(name: str, group: Sequence[Last]) -> Nodes:
    """The sums are a tensor, which each requantizer reads; nothing where they are too wide for one."""
    sums = group[0].sums
    if max(-int(sums.low.min()), int(sums.high.max())) >= LARGEST:
        return []
    ones, (low, high) = (
        np.ones_like(sums.low),
        (np.full_like(sums.low, end) for end in (sums.low.min(), sums.high.max())),
    )
    encoding = Encoding.of(1, sums.low, sums.high).for_lanes(sums.lanes)
    raw = Codes(name, tensor_of(sums.shape, sums.lanes, encoding), encoding)
    layer = sums.build(name, raw.tensor, Requantizer(ones, 0 * ones, 0 * ones, low, high))
    nodes = [Node[QuantizedLayer](name, layer, tuple(one.name for one in sums.inputs))]
    for last in group:
        codes = last.codes
        nodes.append(Node(codes.name, sums_of(raw).build(codes.name, codes.tensor, last.step), (name,)))
    return nodes


def _columns(tensor: Tensor, step: Requantizer) -> list[tuple[float, ...]]:
    """What makes each lane: its scale and zero point, its source, and its numbers."""
    sources = np.arange(step.multiplier.size)
    arrays = (step.multiplier, step.shift, step.offset, step.low, step.high)
    numbers = (sources, *arrays, *(step.negative or (step.multiplier, step.offset)))
    columns = (tensor.scales, tensor.zero_points, *numbers)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _of_one_kind(group: Sequence[Last]) -> list[Requantizer] | None:
    """The steps with one rounding and one overflow, as a layer has; None where they have none in common."""
    if len({last.step.rounding for last in group if last.step.shift.any()}) > 1:
        group = [_with_plain_rounding(last) for last in group]
    roundings = {last.step.rounding for last in group if last.step.shift.any()} or {Rounding.FLOOR}
    overflows = {last.step.overflow for last in group}
    if len(roundings) > 1:
        return None
    if len(overflows) == 1:
        steps = [last.step for last in group]
    elif Overflow.WRAP in overflows and all(
        last.step.overflow is Overflow.WRAP or _never_clips(last) for last in group
    ):
        steps = [last.step if last.step.overflow is Overflow.WRAP else _unclipped(last) for last in group]
    else:
        return None
    return [replace(step, rounding=next(iter(roundings))) for step in steps]


def _with_plain_rounding(last: Last) -> Last:
    """The same without a rounding of ties to even, where there are none."""
    step, sums = last.step, last.sums
    is_even = step.rounding is Rounding.HALF_EVEN and step.negative is None
    return replace(last, step=smallest(step, sums.low, sums.high)) if is_even else last


def _never_clips(last: Last) -> bool:
    """Whether all codes lie within the bounds."""
    sums, step = last.sums, last.step
    places = np.stack([np.clip(a, sums.low, sums.high) for a in (sums.low, -1, 0, sums.high)])
    far = np.full(sums.lanes, 1 << 61)
    codes = arithmetic.requantize(
        places, step.multiplier, step.shift, step.offset, -far, far, step.rounding, Overflow.SATURATE, step.negative
    )
    return bool(((codes >= step.low) & (codes <= step.high)).all())


def _unclipped(last: Last) -> Requantizer:
    """The step with bounds that a number may wrap at, and never does."""
    format, like = last.codes.tensor.format, last.step.low
    low, high = np.full_like(like, format.minimum), np.full_like(like, format.maximum)
    return replace(last.step, low=low, high=high, overflow=Overflow.WRAP)
