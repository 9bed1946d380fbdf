"""Streams between components, and the master-slave stage that separates layers.

A stream carries one *beat* a transfer: an array of ``lanes`` numbers of one format. A transfer happens in every
cycle in which ``valid`` and ``ready`` are both high. A source must not wait for ``ready`` before it raises
``valid``, and must hold ``valid`` and ``payload`` until the transfer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from amaranth.hdl import Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_lib.core.features import Features
from rtl_lib.core.formats import Format
from rtl_lib.core.timing import BeatModel


@dataclass(frozen=True)
class Beat:
    """The shape of one beat: ``lanes`` numbers of ``format``; lane 0 in the least significant bits."""

    format: Format
    lanes: int

    def __post_init__(self) -> None:
        if self.lanes < 1:
            raise ValueError(f"a beat must have at least one lane, not {self.lanes!r}")

    @property
    def layout(self) -> data.ArrayLayout:
        return data.ArrayLayout(self.format.shape, self.lanes)

    @property
    def signature(self) -> stream.Signature:
        return stream.Signature(self.layout)


class StreamComponent(wiring.Component):
    """A component with one input stream ``i`` and one output stream ``o``.

    ``o.valid`` and ``o.payload`` come from registers (and constants); ``i.ready`` may depend on ``o.ready`` in the
    same cycle. Layers are separated by ``MasterSlaveStage``, which cuts that path.
    """

    def __init__(self, input_beat: Beat, output_beat: Beat) -> None:
        self.input_beat = input_beat
        self.output_beat = output_beat
        super().__init__({"i": In(input_beat.signature), "o": Out(output_beat.signature)})

    # Whether it is registers that move together, with nothing but logic between them.
    is_pipeline: ClassVar[bool] = False

    # For reports: what of its kind it is.
    detail: str = ""

    # Whether it goes on reading a beat for some cycles before it takes it.
    holds_input: bool = False

    def components(self, name: str) -> list[tuple[str, StreamComponent]]:
        """What it consists of in stream order, named; itself, under ``name``, unless it is a chain."""
        return [(name, self)]

    def features(self) -> Features:
        """What it consists of, for estimates of its size."""
        raise NotImplementedError(f"{type(self).__name__} declares no features")

    def beat_model(self) -> BeatModel:
        """A fresh twin of this component's handshakes; it gives the exact cycle of every beat without simulation."""
        raise NotImplementedError(f"{type(self).__name__} declares no beat model")


def connect(m: Module, source: StreamComponent, sink: StreamComponent) -> None:
    """Connects ``source.o`` to ``sink.i`` and refuses beats that differ in lanes, width or sign.

    ``wiring.connect`` compares widths only, so that ``signed(8)`` would silently feed ``unsigned(8)``.
    """
    if source.output_beat != sink.input_beat:
        raise ValueError(
            f"streams must carry the same beat: {type(source).__name__} gives {source.output_beat}, "
            f"{type(sink).__name__} takes {sink.input_beat}"
        )
    wiring.connect(m, source.o, sink.i)


class Chain(StreamComponent):
    """Components connected one after the other, without stages between them."""

    def __init__(self, parts: list[tuple[str, StreamComponent]]) -> None:
        if not parts:
            raise ValueError("a chain must have at least one part")
        self.parts = parts
        super().__init__(parts[0][1].input_beat, parts[-1][1].output_beat)

    def components(self, name: str) -> list[tuple[str, StreamComponent]]:
        return [component for name, part in self.parts for component in part.components(name)]

    def features(self) -> Features:
        return sum((part.features() for _, part in self.parts), Features())

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        for name, part in self.parts:
            m.submodules[name] = part
        for (_, source), (_, sink) in zip(self.parts, self.parts[1:], strict=False):
            connect(m, source, sink)
        wiring.connect(m, wiring.flipped(self.i), self.parts[0][1].i)
        wiring.connect(m, self.parts[-1][1].o, wiring.flipped(self.o))
        return m
