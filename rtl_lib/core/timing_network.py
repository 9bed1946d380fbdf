"""A network of timing models: sources, components with any number of streams, observed tensors, sinks.

::

    network = TimingNetwork()
    entry = network.source(beats=16)
    network.watch("input", entry, 16)
    long, skip = network.add(ForkStageModel(2), entry)
    sum = network.add(JoinPipelineModel(2, 2), network.add(PipelineModel(9), long), network.add(FifoModel(8), skip))
    network.watch("sum", sum, 16)
    network.sink(sum)
    trace(network)["sum"].last_cycle

Every stream is read once: a tensor with several readers passes a fork, and is observed at all of its outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import overload

from rtl_lib.core.rules import FOREVER, State, helper
from rtl_lib.core.timing import BeatModel, ForkModel, JoinModel, NetworkPart

Stream = int


NO_FRAME = FOREVER  # the cycle in which a frame that never comes is due
BEATS, PERIOD, MOST_FRAMES, DRAINS, PACED, RELEASED, FRAMES, COUNT, ELAPSED, FIRST = range(10)


@helper
def due(s: State) -> int:
    """The first cycle in which the next beat may be offered."""
    if s[FRAMES] >= s[MOST_FRAMES]:
        return NO_FRAME
    return s[FRAMES] * s[PERIOD] + (s[COUNT] * s[PERIOD] // s[BEATS] if s[PACED] else 0)


@helper
def source_offers(s: State) -> int:
    return 1 if s[ELAPSED] >= due(s) and (s[RELEASED] or not s[DRAINS]) else 0


class Source(NetworkPart):
    """Offers frames of ``beats``, a frame not before ``period`` cycles after the one before.

    :param most_frames: after which it offers nothing.
    :param drains: whether it offers each beat only when it is released: when nothing else moves any more.
    """

    inputs = 0

    def __init__(self, beats: int, period: int = 0, most_frames: int = FOREVER, drains: bool = False) -> None:
        self.state = [beats, period, most_frames, int(drains), *[0] * 5, -1]

    @property
    def first(self) -> int:
        """The cycle of the first beat; -1: there was none."""
        return self.state[FIRST]

    @property
    def beats(self) -> int:
        return self.state[BEATS]

    @property
    def frames(self) -> int:
        """Return the number of frames that have been taken whole."""
        return self.state[FRAMES]

    @property
    def drains(self) -> bool:
        return bool(self.state[DRAINS])

    def pace(self, period: int, *, evenly: bool) -> None:
        """Has it offer a frame per ``period`` cycles.

        :param evenly: whether its beats are spread over them.
        """
        self.state[PERIOD], self.state[PACED] = period, int(evenly)

    @staticmethod
    def offers(s: State) -> int:
        return source_offers(s)

    @staticmethod
    def accepts(s: State, valids: int, readys: int) -> int:
        return 0

    @staticmethod
    def moves(s: State, valids: int, readys: int, cycles: int) -> int:
        if readys and source_offers(s):
            if s[FIRST] < 0:
                s[FIRST] = s[ELAPSED]
            s[RELEASED] = 0
            s[COUNT] += 1
            if s[COUNT] == s[BEATS]:
                s[COUNT] = 0
                s[FRAMES] += 1
        s[ELAPSED] += cycles
        next_offer = due(s)
        return FOREVER if next_offer == NO_FRAME or next_offer <= s[ELAPSED] else next_offer - s[ELAPSED] - 1


class Sink(NetworkPart):
    """Takes every beat."""

    outputs = 0

    def __init__(self) -> None:
        self.state = []

    @staticmethod
    def offers(s: State) -> int:
        return 0

    @staticmethod
    def accepts(s: State, valids: int, readys: int) -> int:
        return 1

    @staticmethod
    def moves(s: State, valids: int, readys: int, cycles: int) -> int:
        return FOREVER


@dataclass(eq=False)
class Node:
    """A part with its streams."""

    name: str
    part: NetworkPart
    inputs: tuple[Stream, ...]
    outputs: tuple[Stream, ...]


@dataclass(frozen=True)
class Watch:
    """A tensor of ``beats`` per frame: a beat of it passes when the last of ``streams`` passes it.

    :param busy_cycles: of what makes it, per frame; 0: not known. Frames may follow each other faster for a while, as
        long as they gather before it.
    """

    streams: tuple[Stream, ...]
    beats: int
    busy_cycles: int = 0


@dataclass(eq=False)
class TimingNetwork:
    """Parts in topological order, as a stream must exist before it is read. A trace changes the state of the parts:
    a network is traced once.
    """

    nodes: list[Node] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    watches: dict[str, Watch] = field(default_factory=dict)
    producers: list[int] = field(default_factory=list)  # by stream: the node that writes it
    consumers: list[int] = field(default_factory=list)  # by stream: the node that reads it; -1: none yet

    def source(self, beats: int, period: int = 0, name: str = "") -> Stream:
        """A stream that offers frames of ``beats`` as fast as they are taken; at least ``period`` cycles lie between
        the first offers of two frames.
        """
        source = Source(beats, period)
        self.sources.append(source)
        return self._added(source, (), name)[0]

    @overload
    def add(self, part: BeatModel | JoinModel, *streams: Stream, name: str = "") -> Stream: ...

    @overload
    def add(self, part: ForkModel, *streams: Stream, name: str = "") -> tuple[Stream, ...]: ...

    def add(self, part: NetworkPart, *streams: Stream, name: str = "") -> Stream | tuple[Stream, ...]:
        """Connect a part, and return its outputs.

        :param streams: what it reads, one stream per input.
        :param name: for the report of a deadlock.
        :returns: its output stream, or a tuple of them where the part is a fork.
        :raises ValueError: when a stream is read twice, or the number of inputs differs.
        """
        outputs = self._added(part, streams, name)
        return outputs[0] if len(outputs) == 1 else outputs

    def watch(self, name: str, streams: Stream | Sequence[Stream], beats: int, busy_cycles: int = 0) -> None:
        """Has the trace tell when the tensor ``name``, of ``beats`` per frame, passes.

        :param streams: its stream, or those of all of its readers.
        :param busy_cycles: of ``Watch``.
        """
        if name in self.watches:
            raise ValueError(f"a tensor must be watched once, not {name!r} twice")
        self.watches[name] = Watch((streams,) if isinstance(streams, int) else tuple(streams), beats, busy_cycles)

    def sink(self, stream: Stream) -> None:
        """Accept every beat of a stream, which must be watched."""
        self._added(Sink(), (stream,), "")

    def pace(self, period: int, *, evenly: bool = True) -> None:
        """Has every source offer a frame per ``period`` cycles.

        :param evenly: whether its beats are spread over them, or offered as fast as they are taken.
        """
        for source in self.sources:
            source.pace(period, evenly=evenly)

    def least(self, *, drains: bool = False) -> TimingNetwork:
        """The network of the parts' ``least``, with sources that offer one frame.

        :param drains: whether they offer a beat only when nothing else moves any more.
        """
        sources = [Source(source.beats, most_frames=1, drains=drains) for source in self.sources]
        remaining = iter(sources)
        nodes = [replace(node, part=node.part.least() if node.inputs else next(remaining)) for node in self.nodes]
        return replace(self, nodes=nodes, sources=sources)

    def _added(self, part: NetworkPart, streams: tuple[Stream, ...], name: str) -> tuple[Stream, ...]:
        name = name or f"{type(part).__name__} {len(self.nodes)}"
        if len(streams) != part.inputs:
            raise ValueError(f"{name} must read {part.inputs} streams, not {len(streams)}")
        for stream in streams:
            if self.consumers[stream] >= 0:
                raise ValueError(
                    f"a stream must be read once: {name} reads that of {self.nodes[self.consumers[stream]].name}"
                )
            self.consumers[stream] = len(self.nodes)
        first = len(self.producers)
        outputs = tuple(range(first, first + part.outputs))
        self.producers += [len(self.nodes)] * part.outputs
        self.consumers += [-1] * part.outputs
        self.nodes.append(Node(name, part, streams, outputs))
        return outputs

    def groups(self) -> list[list[int]]:
        """The parts, by their places, in groups that no stream connects."""
        group_of = list(range(len(self.nodes)))

        def first(k: int) -> int:
            while group_of[k] != k:
                group_of[k] = k = group_of[group_of[k]]
            return k

        for writer, reader in zip(self.producers, self.consumers, strict=True):
            group_of[first(reader)] = first(writer)
        groups: dict[int, list[int]] = {}
        for k in range(len(self.nodes)):
            groups.setdefault(first(k), []).append(k)
        return list(groups.values())

    def tensor_of(self, stream: Stream) -> str:
        """Return the nearest watched tensor that a stream comes from, itself included; the first part, where there is
        none.
        """
        watched = {stream: name for name, watch in self.watches.items() for stream in watch.streams}
        while stream not in watched and self.nodes[self.producers[stream]].inputs:
            stream = self.nodes[self.producers[stream]].inputs[0]
        return watched.get(stream, self.nodes[self.producers[stream]].name)

    @property
    def ends(self) -> list[str]:
        """Return the watched tensors that leave through a sink.

        :raises ValueError: when a stream has no reader, or a sink's is not watched.
        """
        unread = [self.nodes[self.producers[s]].name for s, reader in enumerate(self.consumers) if reader < 0]
        if unread:
            raise ValueError(f"every stream must be read, not left open after {', '.join(unread)}")
        watched = {stream: name for name, watch in self.watches.items() for stream in watch.streams}
        sinks = [node.inputs[0] for node in self.nodes if not node.outputs]
        if open_ends := [self.nodes[self.producers[s]].name for s in sinks if s not in watched]:
            raise ValueError(f"what enters a sink must be watched, also after {', '.join(open_ends)}")
        return list(dict.fromkeys(watched[stream] for stream in sinks))
