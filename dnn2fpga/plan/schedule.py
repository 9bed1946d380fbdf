"""The timing models of a design, from which the cycles of all its streams follow."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping, Set
from functools import cached_property, lru_cache

from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.plan.layout import lay_out
from dnn2fpga.plan.settings import PlanSettings
from dnn2fpga.plan.streams import Boundary, Edge, Output, streams_of
from rtl_lib.core.stream import StreamComponent
from rtl_lib.core.timing import BeatModel, in_a_row
from rtl_lib.core.timing_network import Stream, TimingNetwork
from rtl_lib.core.trace import Passage, trace

EdgeKey = tuple[str, str, int]
Models = Mapping[EdgeKey, BeatModel]


class Schedule:
    """A design: its components, its streams, and when the beats pass."""

    def __init__(self, graph: QuantizedGraph, settings: PlanSettings) -> None:
        self.settings = settings
        self.layout = lay_out(graph, settings)
        self.boundaries, self.outputs = streams_of(graph, settings, self.layout)  # their cycles are not known yet
        self.by_name = {boundary.name: boundary for boundary in self.boundaries}
        self.layers = {layer.name: layer for layer in self.layout.layers}

    @property
    def edges(self) -> Iterator[Edge]:
        """Yield the edges from every tensor to each of its readers."""
        for boundary in self.boundaries:
            yield from boundary.edges

    def components_of(self, boundary: Boundary) -> list[StreamComponent]:
        """The components of the layer before a boundary, and of what stands between it and its readers."""
        own = self.layers[boundary.name].components if boundary.name in self.layers else []
        return [*own, *boundary.components]

    @cached_property
    def alone(self) -> dict[str, int]:
        """Cycles between two frames of every layer by itself, which nothing keeps waiting."""
        return {name: self._alone(name) for name in self.layers}

    def _alone(self, name: str) -> int:
        network, boundary, layer = TimingNetwork(), self.by_name[name], self.layers[name]
        streams = []
        for source in layer.sources:
            beats = self.by_name[source.boundary].beats
            stream = network.source(beats)
            for _, adapter in source.adapters:
                stream = network.add(adapter.beat_model(), stream)
            streams.append(stream)
        stream = self._through(network, name, streams)
        network.watch("", stream, boundary.beats)  # without names: layers that are alike are traced once
        network.sink(stream)
        return traced(network)[""].interval_cycles

    def _through(self, network: TimingNetwork, name: str, streams: list[Stream], label: str = "") -> Stream:
        for model in in_a_row(part.beat_model() for _, part in self.layers[name].parts):
            streams = [network.add(model, *streams, name=label)]
        return streams[0]

    def trace(
        self,
        fifos: Models | None = None,
        source_period: int = 0,
        least_interval: int | None = None,
    ) -> dict[str, Passage]:
        """Trace frames through the timing models: when every tensor passes, and every output's frames leave
        (``port_of``).

        :param fifos: timing models on some edges in place of what is planned there.
        :param source_period, least_interval: of ``rtl_lib.core.trace``; no interval is shorter than that of the
            slowest layer.
        """
        least = least_interval or max([*self.alone.values(), source_period])
        return traced(self.network(fifos, source_period), least)

    def latency(self, interval: int) -> int:
        """Return the cycles from the first input beat to the last output beat, when frames come no faster than the
        interval.
        """
        passages = self.trace(source_period=interval)
        return max(passages[self.port_of(output)].last_cycle for output in self.outputs)

    def network(self, fifos: Models | None = None, source_period: int = 0) -> TimingNetwork:
        """The timing models, connected."""
        network, others = TimingNetwork(), fifos or {}
        streams: dict[EdgeKey, Stream] = {}
        for boundary in self.boundaries:
            if boundary.is_input:
                stream = network.source(boundary.beats, source_period, boundary.name)
            else:
                read = [self._entering(network, streams, edge) for edge in boundary.inputs]
                stream = self._through(network, boundary.name, read, f"layer '{boundary.name}'")
            self._after(network, boundary, stream, streams, others)
        for output in self.outputs:
            stream = streams[output.edge.key]
            boundary = self.by_name[output.edge.source]
            if boundary.forks:
                network.watch(self.port_of(output), stream, boundary.beats)
            network.sink(stream)
        return network

    def _entering(self, network: TimingNetwork, streams: dict[EdgeKey, Stream], edge: Edge) -> Stream:
        """Return the stream of an edge, as the layer receives it."""
        stream = streams[edge.key]
        for _, adapter in self.layers[edge.reader].sources[edge.place].adapters:
            stream = network.add(adapter.beat_model(), stream)
        return stream

    def _after(
        self, network: TimingNetwork, boundary: Boundary, stream: Stream, streams: dict[EdgeKey, Stream], fifos: Models
    ) -> None:
        """Add the timing models of what separates a tensor from its readers."""
        separator, busy_cycles = boundary.separator(), self.alone.get(boundary.name, boundary.beats)
        if separator and boundary.forks:
            forked = network.add(separator.beat_model(), stream, name=boundary.name)
            network.watch(boundary.name, forked, boundary.beats, busy_cycles)
            for edge, branch in zip(boundary.edges, forked, strict=True):
                fifo = boundary.fifo_of(edge)
                model = fifos.get(edge.key) or (fifo and fifo.beat_model())
                streams[edge.key] = network.add(model, branch, name=_label(edge)) if model else branch
            return
        (edge,) = boundary.edges
        model = fifos.get(edge.key) or (separator and separator.beat_model())
        if boundary.is_input:
            network.watch(boundary.name, stream, boundary.beats, busy_cycles)
        if model:
            stream = network.add(model, stream, name=_label(edge))
        if not boundary.is_input:
            network.watch(boundary.name, stream, boundary.beats, busy_cycles)
        streams[edge.key] = stream

    def port_of(self, output: Output) -> str:
        """The name under which a trace tells when an output's frames leave."""
        source = self.by_name[output.edge.source]
        return f"{source.name} → {output.name}" if source.forks else source.name


def nearest_upstream(schedule: Schedule, free: Set[str]) -> dict[str, list[str]]:
    """Return by layer with candidates the nearest such layers that it reads from."""
    nearest: dict[str, list[str]] = {}
    for boundary in schedule.boundaries:
        sources = (edge.source for edge in boundary.inputs)
        found = [name for source in sources for name in ([source] if source in free else nearest[source])]
        nearest[boundary.name] = list(dict.fromkeys(found))
    return {name: nearest[name] for name in free}


def _label(edge: Edge) -> str:
    return f"the FIFO from '{edge.source}' to '{edge.reader}'"


def traced(network: TimingNetwork, least_interval: int = 1 << 62) -> dict[str, Passage]:
    """``trace``, once for the same models: many layers are alike, and planning comes back to the same designs."""
    return _trace_of(pickle.dumps((network, least_interval)))


@lru_cache(maxsize=512)
def _trace_of(given: bytes) -> dict[str, Passage]:
    return trace(*pickle.loads(given))
