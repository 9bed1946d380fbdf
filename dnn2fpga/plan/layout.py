"""The components of every layer, and how the numbers travel between them.

The integer model knows tensors of one pixel a beat. The hardware may take several: each row then starts a new beat, and
what stands beside its last pixels means nothing (``rtl_lib.streams.pixel_rows``). Layers that cannot work so
get one pixel per beat again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dnn2fpga.errors import UserError
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.layers.quantized import QuantizedLayer
from dnn2fpga.plan.settings import PlanSettings
from dnn2fpga.tensors.tensor import Tensor
from rtl_lib.core.operator import Operator
from rtl_lib.core.stream import Beat, StreamComponent
from rtl_lib.streams.pixel_rows import PixelRows, UnpackPixels

OF_THE_PLAN = ("fifo",)  # chosen for a layer, but nothing that its operators would know

Named = list[tuple[str, StreamComponent]]


@dataclass(frozen=True)
class Wire:
    """How an image travels: ``pixels`` of a row of ``width`` in a beat."""

    width: int = 1
    pixels: int = 1

    @classmethod
    def of(cls, shape: Sequence[int], pixels: int) -> Wire:
        """For a tensor of this shape."""
        return cls(shape[1], pixels) if len(shape) == 3 else cls()

    @classmethod
    def into(cls, tensor: Tensor, pixels: int) -> Wire:
        """As many pixels a beat as are asked for, if it is an image and has them."""
        if len(tensor.shape) != 3 or tensor.lanes != tensor.shape[2]:
            return cls()
        return cls.of(tensor.shape, min(pixels, tensor.shape[1]))

    def pack(self, beats: np.ndarray) -> np.ndarray:
        """``[frames, pixels, channels]`` as they travel, with 0 beside the last pixels of a row."""
        return self.rows.pack(beats) if self.pixels > 1 else beats

    @property
    def rows(self) -> PixelRows:
        return PixelRows(self.width, self.pixels)

    @property
    def has_surplus(self) -> bool:
        return self.rows.last_pixels != self.pixels

    def beats(self, tensor: Tensor) -> int:
        """Of ``tensor``, which has one pixel a beat."""
        return tensor.beats // self.width * self.rows.beats_per_row if self.pixels > 1 else tensor.beats

    def beat(self, tensor: Tensor) -> Beat:
        return Beat(tensor.format, tensor.lanes * self.pixels)


def components_of(
    operators: Iterable[Operator], wire: Wire, options: dict[str, Any]
) -> tuple[list[tuple[str, StreamComponent]], Wire]:
    """The components of one layer in stream order, named, fresh ones at every call; and how its output travels."""
    found: Named = []
    for index, operator in enumerate(operators):
        made, wire = _components_of(operator, wire, options)
        found += [(f"{name}_{index}", component) for name, component in made]
    return found, wire


def _components_of(operator: Operator, wire: Wire, options: dict[str, Any]) -> tuple[Named, Wire]:
    name = _snake_case(type(operator).__name__)
    known = operator.known(options)
    size = operator.output_size
    width = size[1] if size else wire.width
    if wire.pixels == 1:
        return operator.create(**known).components(name), replace(wire, width=width)
    if wide := operator.for_pixels(wire.pixels, surplus=wire.has_surplus):
        return wide.create(**known).components(name), Wire(width, wide.pixels)
    rest, behind = _components_of(operator, Wire(wire.width), options)
    return [*_unpacked(operator, wire), *rest], behind


def _unpacked(operator: Operator, wire: Wire) -> Named:
    """What gives an operator one pixel a beat."""
    unpack = UnpackPixels(operator.input_beat.format, operator.input_beat.lanes, wire.width, wire.pixels)
    return unpack.create().components("unpack_pixels")


def _knows_rows(operator: Operator, pixels: int) -> bool:
    """Whether it is lost where the pixels of a beat are no longer those of a row."""
    wide = operator.for_pixels(pixels, surplus=False)
    return wide is None or not wide.in_order


@dataclass(frozen=True)
class LayerLayout:
    """A layer that has hardware."""

    layer: QuantizedLayer
    source: Wire
    parts: Named
    wire: Wire  # behind it


def lay_out(graph: QuantizedGraph, settings: PlanSettings) -> list[LayerLayout]:
    """The layers that have hardware. (Others only give the same beats another shape: the boundary before is theirs
    too.)

    :raises UserError: for everything in the settings that does not fit the graph.
    """
    names = [layer.name for layer in graph.layers]
    problems = [
        f"hardware.layers: there is no layer '{name}'; the layers are {', '.join(names)}"
        for name in settings.layers
        if name not in names
    ]
    found = []
    wire = Wire.into(graph.input, settings.pixels)
    shape = graph.input.shape  # of the image that the wire has the pixels of
    for index, layer in enumerate(graph.layers):
        operators = graph.operators[layer.name]
        problems += _unknown_options(layer, operators, settings)
        source = wire
        reshaped = graph.inputs_of(graph.nodes[index])[0].shape != shape
        unpack = bool(operators) and reshaped and wire.pixels > 1 and _knows_rows(operators[0], wire.pixels)
        try:
            before = _unpacked(operators[0], wire) if unpack else []
            parts, wire = components_of(operators, Wire() if unpack else wire, settings.create_options(layer.name))
        except ValueError as error:
            problems.append(f"layer '{layer.name}': {error}")
            continue
        if operators:
            shape = layer.output.shape
            found.append(LayerLayout(layer, source, [*before, *parts], wire))
    if not (found or problems):
        problems = [f"no layer of '{graph.name}' computes anything: there is nothing to build"]
    if problems:
        raise UserError(problems)
    return found


def _unknown_options(layer: QuantizedLayer, operators: Iterable[Operator], settings: PlanSettings) -> list[str]:
    known = {option for operator in operators for option in operator.create_options}
    return [
        f"layer '{layer.name}' ({layer.kind}): has no '{key}' to choose"
        for key in settings.own(layer.name)
        if key not in known and key not in OF_THE_PLAN
    ]


def _snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
