"""The graph of a design: who reads whom. The streams of a design are numbered in topological order: its boundaries,
then its output ports.
"""

from __future__ import annotations

from dataclasses import dataclass

from bundle import Manifest


@dataclass(frozen=True, kw_only=True)
class Read:
    """One stream reads another."""

    source: int
    reader: int
    slot: int  # the number of this reader among those of the source: its bit in `boundary_<tensor>_taken`
    fifo: int  # beats between the two


class Network:
    """The streams of a design and how they depend on each other."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.boundaries = len(manifest.boundaries)
        number = {b.tensor: b.index for b in manifest.boundaries}
        edges = [(b.index, edge.tensor, edge.fifo) for b in manifest.boundaries for edge in b.inputs]
        edges += [(self.boundaries + k, port.tensor, port.fifo) for k, port in enumerate(manifest.outputs)]
        self.beats = [item.beats for item in (*manifest.boundaries, *manifest.outputs)]  # per frame
        self.readers: list[list[Read]] = [[] for _ in self.beats]
        self.sources: list[list[Read]] = [[] for _ in self.beats]
        for reader, tensor, fifo in edges:
            source = number[tensor]
            read = Read(source=source, reader=reader, slot=len(self.readers[source]), fifo=fifo)
            self.readers[source].append(read)
            self.sources[reader].append(read)

    @property
    def outputs(self) -> range:
        """The streams that are output ports."""
        return range(self.boundaries, len(self.beats))

    def outputs_after(self) -> list[set[int]]:
        """Return for every stream the output ports that depend on it."""
        found: list[set[int]] = [set() for _ in self.beats]
        for stream in reversed(range(len(found))):
            found[stream] = {stream} if stream in self.outputs else set()
            found[stream].update(*(found[read.reader] for read in self.readers[stream]))
        return found

    def name(self, stream: int) -> str:
        """A stream in words: the layer whose output it is."""
        if stream < self.boundaries:
            return str(self.manifest.boundaries[stream])
        port = self.manifest.outputs[stream - self.boundaries]
        return f"output port {port.axis}, after {self.manifest.boundary(port.tensor)}"

    def names(self, streams: list[int], word: str) -> str:
        """Several streams in words, each once."""
        return f" {word} ".join(dict.fromkeys(self.name(stream) for stream in streams))
