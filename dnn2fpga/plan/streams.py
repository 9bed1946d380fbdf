"""The streams of a design: one boundary per tensor, one edge per reader of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator

from pydantic import Field

from dnn2fpga.errors import UserError
from dnn2fpga.files.described import Described
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.plan.layout import LayerLayout, Layout, Named
from dnn2fpga.plan.settings import PlanSettings, Stages
from dnn2fpga.plan.wire import Wire
from dnn2fpga.tensors.tensor import Tensor
from rtl_lib.core.stream import Beat, StreamComponent
from rtl_lib.streams.fifo import Fifo
from rtl_lib.streams.fork_stage import ForkStage
from rtl_lib.streams.master_slave_stage import MasterSlaveStage

LEAVES = -1
MOST_STREAMS = 60  # of a fork or a join: timing models hold them as the bits of one integer


class Edge(Described):
    """One reader of a tensor.

    :param source: the tensor.
    :param reader: the layer, or the output.
    :param place: which of the layer's inputs it is; ``LEAVES`` for an output.
    :param fifo: beats that a FIFO holds on this edge; 0: there is none.
    """

    source: str
    reader: str
    place: int = 0
    fifo: int = 0

    @property
    def leaves(self) -> bool:
        return self.place == LEAVES

    @property
    def key(self) -> tuple[str, str, int]:
        return self.source, self.reader, self.place


class Boundary(Described):
    """The stream of one tensor after the stage of the layer that produces it, and when frame 0 passes.

    :param edges: the tensor's readers. A single one has its FIFO in place of the stage, before the boundary.
    :param inputs: what the layer reads; nothing, for an input of the model.
    :param folding: PE × SIMD.
    :param pixels: of an image in one beat (1: as ``tensor`` says).
    :param staged: whether a master-slave stage stands before it (after it, for an input of the model).
    :param busy_cycles: that the layer itself needs for a frame.
    :param resources: of the layer and of the components between it and its readers, estimated: lut, ff, dsp, bram18.
    """

    index: int
    name: str
    kind: str
    engine: str
    folding: str
    tensor: Tensor
    pixels: int
    inputs: tuple[Edge, ...]
    edges: tuple[Edge, ...]
    staged: bool
    first_cycle: int = 0
    last_cycle: int = 0
    interval_cycles: int = 0
    busy_cycles: int = 0
    resources: dict[str, float] = Field(default_factory=dict)

    @property
    def is_input(self) -> bool:
        """True for an input of the model."""
        return not self.inputs

    @property
    def wire(self) -> Wire:
        return Wire.of(self.tensor.shape, self.pixels)

    @property
    def beats(self) -> int:
        """Beats per frame."""
        return self.wire.beats(self.tensor)

    @property
    def beat(self) -> Beat:
        return self.wire.beat(self.tensor)

    @property
    def forks(self) -> bool:
        """True if the stream has several readers."""
        return len(self.edges) > 1

    @property
    def fifo(self) -> int:
        """Beats of the FIFO in place of the stage; 0: there is none."""
        return 0 if self.forks else self.edges[0].fifo

    def separator(self) -> StreamComponent | None:
        """Return the component between the layer and the boundary (after it, for an input of the model)."""
        if self.forks:
            return ForkStage(self.beat, len(self.edges))
        if self.fifo:
            return Fifo(self.beat, self.fifo)
        return MasterSlaveStage(self.beat) if self.staged else None

    def fifo_of(self, edge: Edge) -> Fifo | None:
        """Return the FIFO on one of several edges."""
        return Fifo(self.beat, edge.fifo) if self.forks and edge.fifo else None

    @property
    def components(self) -> list[StreamComponent]:
        """Everything between the layer and its readers."""
        found = [self.separator(), *(self.fifo_of(edge) for edge in self.edges)]
        return [component for component in found if component]


class Output(Described):
    """The place where frames leave.

    :param edge: from the tensor that leaves.
    :param latency_cycles: the cycle in which the last beat of frame 0 leaves.
    """

    name: str
    edge: Edge
    latency_cycles: int = 0
    interval_cycles: int = 0


def streams_of(
    graph: QuantizedGraph, settings: PlanSettings, layout: Layout
) -> tuple[tuple[Boundary, ...], tuple[Output, ...]]:
    """All that is known of the streams without a schedule.

    :raises UserError: for FIFOs in the settings where there is no such edge, and for too many readers or inputs.
    """
    edges = list(_edges(graph, layout))
    readers = Counter(edge.source for edge in edges)
    edges = [_with_fifo(edge, readers[edge.source], settings, graph.inputs) for edge in edges]
    if problems := [*_too_many(edges), *_unknown_fifos(edges, readers, settings)]:
        raise UserError(problems)
    layers = {layer.name: layer for layer in layout.layers}
    found: list[Boundary] = []
    for name, wire in layout.inputs.items():
        own = tuple(edge for edge in edges if edge.source == name)
        held = len(own) == 1 and not own[0].leaves and layers[own[0].reader].parts[0][1].holds_input
        found.append(_boundary(len(found), name, "input", "-", "", graph.inputs[name], wire, edges, held))
    for layer in layout.layers:
        folding = ", ".join(part.detail for _, part in layer.parts if part.detail)
        staged = settings.stages is Stages.EVERY_LAYER or not _flows_on(layer, edges, layers)
        engine, output = engine_of(layer.parts), layer.layer.output
        found.append(
            _boundary(len(found), layer.name, layer.layer.kind, engine, folding, output, layer.wire, edges, staged)
        )
    outputs = [Output(name=edge.reader, edge=edge) for edge in edges if edge.leaves]
    return tuple(found), tuple(outputs)


def _edges(graph: QuantizedGraph, layout: Layout) -> Iterator[Edge]:
    """Yield the edges in the order of the readers: layers, then outputs."""
    for layer in layout.layers:
        for place, source in enumerate(layer.sources):
            yield Edge(source=source.boundary, reader=layer.name, place=place)
    for name, source in layout.outputs.items():
        yield Edge(source=source.boundary, reader=name, place=LEAVES)


def _with_fifo(edge: Edge, readers: int, settings: PlanSettings, inputs: Container[str]) -> Edge:
    """Return the edge with the FIFO that the settings ask for. A source waits by itself: its only reader needs no
    FIFO.
    """
    if readers == 1:
        fifo = 0 if edge.source in inputs else settings.options(edge.source).get("fifo", 0)
        return edge.model_copy(update={"fifo": fifo})
    fifo = next((one.beats for one in settings.fifos if (one.tensor, one.reader) == edge.key[:2]), 0)
    return edge.model_copy(update={"fifo": fifo})


def _too_many(edges: list[Edge]) -> Iterator[str]:
    """Tensors with more readers, and layers with more inputs, than a timing model can tell apart."""
    for tensor, count in Counter(edge.source for edge in edges).items():
        if count > MOST_STREAMS:
            yield f"'{tensor}' is read {count} times; at most {MOST_STREAMS} are supported: copy it through a layer"
    for layer, count in Counter(edge.reader for edge in edges if not edge.leaves).items():
        if count > MOST_STREAMS:
            yield f"layer '{layer}' reads {count} tensors; at most {MOST_STREAMS} are supported: join them in two steps"


def _unknown_fifos(edges: list[Edge], readers: Counter[str], settings: PlanSettings) -> Iterator[str]:
    keys = {edge.key[:2] for edge in edges}
    for one in settings.fifos:
        if (one.tensor, one.reader) not in keys:
            known = ", ".join(f"{source} → {reader}" for source, reader in sorted(keys) if readers[source] > 1)
            yield (
                f"hardware.fifos: '{one.reader}' does not read the stream of '{one.tensor}'; the edges of tensors that "
                f"several read are {known or 'none'}"
            )
        elif readers[one.tensor] == 1:
            yield f"hardware.fifos: only '{one.reader}' reads '{one.tensor}': use hardware.layers.{one.tensor}.fifo"
    for name in settings.layers:
        if settings.own(name).get("fifo") and readers[name] > 1:
            yield f"hardware.layers.{name}.fifo: several read it: use hardware.fifos"


def _flows_on(layer: LayerLayout, edges: list[Edge], layers: dict[str, LayerLayout]) -> bool:
    """Return whether the layer and its only reader are nothing but pipelines in a row."""
    own = [edge for edge in edges if edge.source == layer.name]
    if len(own) > 1 or own[0].leaves or len(layers[own[0].reader].sources) > 1:
        return False
    reader = layers[own[0].reader]
    return all(part.is_pipeline for _, part in [*layer.parts, *reader.parts])


def _boundary(
    index: int,
    name: str,
    kind: str,
    engine: str,
    folding: str,
    tensor: Tensor,
    wire: Wire,
    edges: Iterable[Edge],
    staged: bool,
) -> Boundary:
    edges = list(edges)
    return Boundary(
        index=index,
        name=name,
        kind=kind,
        engine=engine,
        folding=folding,
        tensor=tensor,
        pixels=wire.pixels,
        inputs=() if kind == "input" else tuple(edge for edge in edges if edge.reader == name and not edge.leaves),
        edges=tuple(edge for edge in edges if edge.source == name),
        staged=staged,
    )


def engine_of(parts: Named) -> str:
    """A short name for reports: the operators of the layer, without the requantization that most end in."""
    names = [re.sub(r"(_\d+)+$", "", name).replace("_", " ") for name, _ in parts]
    return " + ".join([name for name in names if name != "requantize"] or names)
