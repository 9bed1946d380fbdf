"""The components of every layer, and how the numbers travel between them.

The integer model knows tensors of one pixel per beat. The hardware may take several (``wire``). Layers that cannot work
so get one pixel per beat again, and so do joins whose inputs do not travel alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dnn2fpga.errors import UserError
from dnn2fpga.graph.dag import Node
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.layers.quantized import QuantizedLayer
from dnn2fpga.plan.settings import PlanSettings
from dnn2fpga.plan.wire import Wire
from dnn2fpga.tensors.basics import Shape
from rtl_lib.core.operator import Operator
from rtl_lib.core.stream import Beat, StreamComponent
from rtl_lib.streams.pixel_rows import UnpackPixels

OF_THE_PLAN = ("fifo",)  # chosen for a layer, but nothing that its operators would know

Named = list[tuple[str, StreamComponent]]


@dataclass(frozen=True)
class Source:
    """The source of one input of a layer.

    :param boundary: the tensor whose stream it is; layers without hardware have no stream of their own.
    :param wire: how it travels.
    :param shape: of the image that the wire has the pixels of.
    :param adapters: components between the stream and the layer.
    """

    boundary: str
    wire: Wire
    shape: Shape
    adapters: tuple[tuple[str, StreamComponent], ...] = ()


@dataclass(frozen=True, eq=False)
class LayerLayout:
    """A layer that has hardware.

    :param parts: in stream order; the first reads all sources.
    :param wire: after it.
    """

    node: Node[QuantizedLayer]
    sources: tuple[Source, ...]
    parts: Named
    wire: Wire

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def layer(self) -> QuantizedLayer:
        return self.node.layer

    @property
    def components(self) -> list[StreamComponent]:
        """The components of the layer, and those between the streams and it."""
        return [part for _, part in [*(a for source in self.sources for a in source.adapters), *self.parts]]


@dataclass(frozen=True, eq=False)
class Layout:
    """The layers that have hardware in topological order, and the streams that leave, by output."""

    inputs: dict[str, Wire]
    layers: tuple[LayerLayout, ...]
    outputs: dict[str, Source]


def lay_out(graph: QuantizedGraph, settings: PlanSettings) -> Layout:
    """Lay out the layers that have hardware. (Others only give the same beats another shape.)

    :raises UserError: for everything in the settings that does not fit the graph.
    """
    names = [node.name for node in graph.nodes]
    problems = [
        f"hardware.layers: there is no layer '{name}'; the layers are {', '.join(names)}"
        for name in settings.layers
        if name not in names
    ]
    wires = {name: Wire.into(tensor, settings.pixels) for name, tensor in graph.inputs.items()}
    known = {name: Source(name, wire, graph.inputs[name].shape) for name, wire in wires.items()}
    layers = []
    for node in graph.nodes:
        operators, sources = graph.operators[node.name], tuple(known[name] for name in node.inputs)
        problems += _unknown_options(node.layer, operators, settings)
        if not operators:
            known[node.name] = sources[0]
            continue
        shapes = [tensor.shape for tensor in graph.inputs_of(node)]
        try:
            layer = _laid_out(node, operators, sources, shapes, settings.create_options(node.name))
        except ValueError as error:
            problems.append(f"layer '{node.name}': {error}")
            layer = LayerLayout(node, sources, [], Wire())  # so that the layers after it are looked at, too
        layers.append(layer)
        known[node.name] = Source(node.name, layer.wire, node.layer.output.shape)
    if not (layers or problems):
        problems = [f"no layer of '{graph.name}' computes anything: there is nothing to build"]
    if problems:
        raise UserError(problems)
    return Layout(wires, tuple(layers), {name: known[tensor] for name, tensor in graph.leaving.items()})


def _laid_out(
    node: Node[QuantizedLayer],
    operators: Sequence[Operator],
    sources: tuple[Source, ...],
    shapes: Sequence[Shape],
    options: dict[str, Any],
) -> LayerLayout:
    """:param shapes: of the tensors that the layer reads, which may have been renamed on the way."""
    if len(sources) > 1:
        return _joined(node, operators, sources, shapes, options)
    (source,) = sources
    wire, before = source.wire, []
    if source.shape != shapes[0] and wire.pixels > 1 and _knows_rows(operators[0], wire.pixels):
        before, wire = unpacked(operators[0].input_beat, wire), Wire()
    parts, after = components_of(operators, wire, options)
    return LayerLayout(node, sources, [*before, *parts], after)


def _joined(
    node: Node[QuantizedLayer],
    operators: Sequence[Operator],
    sources: tuple[Source, ...],
    shapes: Sequence[Shape],
    options: dict[str, Any],
) -> LayerLayout:
    """Several pixels per beat, where all inputs but the gates travel so; else one pixel of each."""
    join, *rest = operators
    alike = {source.wire for k, source in enumerate(sources) if k not in join.gates}
    renamed = any(source.shape != shape for source, shape in zip(sources, shapes, strict=True))
    wire = next(iter(alike))
    wide = None
    if len(alike) == 1 and wire.pixels > 1 and not renamed:
        wide = join.for_pixels(wire.pixels, surplus=wire.has_surplus)
    if wide is None:
        sources = tuple(_one_by_one(source, beat) for source, beat in zip(sources, join.input_beats, strict=True))
        first, pixels = join.create(**join.known(options)), 1
    else:
        first, pixels = wide.create(**join.known(options)), wide.pixels
    size = join.output_size
    wire = Wire(size[1] if size else wire.width, pixels)
    parts, after = components_of(rest, wire, options)
    name = f"{snake_case(type(join).__name__)}_0"
    return LayerLayout(node, sources, [*first.components(name), *_renumbered(parts)], after)


def _one_by_one(source: Source, beat: Beat) -> Source:
    """One pixel per beat."""
    return source if source.wire.pixels == 1 else replace(source, adapters=tuple(unpacked(beat, source.wire)))


def _renumbered(parts: Named) -> Named:
    """The names of components after a first one."""
    return [(re.sub(r"\d+$", lambda match: str(int(match[0]) + 1), name), part) for name, part in parts]


def components_of(
    operators: Iterable[Operator], wire: Wire, options: dict[str, Any]
) -> tuple[list[tuple[str, StreamComponent]], Wire]:
    """The components of operators that follow one another, named, and how the output of the last travels."""
    found: Named = []
    for index, operator in enumerate(operators):
        made, wire = _components_of(operator, wire, options)
        found += [(f"{name}_{index}", component) for name, component in made]
    return found, wire


def _components_of(operator: Operator, wire: Wire, options: dict[str, Any]) -> tuple[Named, Wire]:
    name = snake_case(type(operator).__name__)
    known = operator.known(options)
    size = operator.output_size
    width = size[1] if size else wire.width
    if wire.pixels == 1:
        return operator.create(**known).components(name), replace(wire, width=width)
    if wide := operator.for_pixels(wire.pixels, surplus=wire.has_surplus):
        return wide.create(**known).components(name), Wire(width, wide.pixels)
    rest, behind = _components_of(operator, Wire(wire.width), options)
    return [*unpacked(operator.input_beat, wire), *rest], behind


def unpacked(beat: Beat, wire: Wire) -> Named:
    """Return the component that unpacks beats of several pixels into beats of one pixel.

    :param beat: one pixel.
    """
    return UnpackPixels(beat.format, beat.lanes, wire.width, wire.pixels).create().components("unpack_pixels")


def _knows_rows(operator: Operator, pixels: int) -> bool:
    """Return whether the operator needs the pixels of a beat to be those of a row."""
    wide = operator.for_pixels(pixels, surplus=False)
    return wide is None or not wide.in_order


def _unknown_options(layer: QuantizedLayer, operators: Iterable[Operator], settings: PlanSettings) -> list[str]:
    known = {option for operator in operators for option in operator.create_options}
    return [
        f"layer '{layer.name}' ({layer.kind}): has no '{key}' to choose"
        for key in settings.own(layer.name)
        if key not in known and key not in OF_THE_PLAN
    ]


def snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
