"""Streams between components, and the master-slave stage that separates layers.

A stream carries one *beat* a transfer: an array of ``lanes`` numbers of one format. A transfer happens in every
cycle in which ``valid`` and ``ready`` are both high. A source must not wait for ``ready`` before it raises
``valid``, and must hold ``valid`` and ``payload`` until the transfer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from amaranth.hdl import Elaboratable, Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_lib.core.features import Features
from rtl_lib.core.formats import Format


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

    def repeated(self, times: int) -> Beat:
        """The numbers of several such beats in one."""
        return Beat(self.format, self.lanes * times)

    @property
    def signature(self) -> stream.Signature:
        return stream.Signature(self.layout)


Beats = Beat | tuple[Beat, ...]


class StreamComponent(Elaboratable):
    """A component with streams: an input ``i`` and an output ``o``, or ``i_0``, ``i_1`` … and ``o_0``, ``o_1`` … where
    there are several (a tuple of beats, which has at least two).

    The ``valid`` and ``payload`` of outputs come from registers (and constants); the ``ready`` of an input may depend
    on the ``ready`` of outputs in the same cycle, and on the ``valid`` of other inputs. Layers are separated by
    ``MasterSlaveStage``, which cuts that path.

    Until its ports are asked for, a component is a description that costs nothing: it knows its timing and its size.
    """

    def __init__(self, inputs: Beats, outputs: Beats) -> None:
        self.input_beats = inputs if isinstance(inputs, tuple) else (inputs,)
        self.output_beats = outputs if isinstance(outputs, tuple) else (outputs,)

    @property
    def input_beat(self) -> Beat:
        """The beat of the only input."""
        (beat,) = self.input_beats
        return beat

    @property
    def output_beat(self) -> Beat:
        """The beat of the only output."""
        (beat,) = self.output_beats
        return beat

    @cached_property
    def signature(self) -> wiring.Signature:
        """The ports of the component; they become attributes now."""
        members = _members("i", In, self.input_beats) | _members("o", Out, self.output_beats)
        signature = wiring.Signature(members)
        self.__dict__.update(signature.members.create(path=()))
        return signature

    @cached_property
    def inputs(self) -> tuple[Any, ...]:
        """The input streams."""
        return self._ports("i")

    @cached_property
    def outputs(self) -> tuple[Any, ...]:
        """The output streams."""
        return self._ports("o")

    @cached_property
    def i(self) -> Any:
        """The only input stream."""
        (stream,) = self.inputs
        return stream

    @cached_property
    def o(self) -> Any:
        """The only output stream."""
        (stream,) = self.outputs
        return stream

    def _ports(self, side: str) -> tuple[Any, ...]:
        return tuple(vars(self)[name] for name in self.signature.members if name[0] == side)

    def __del__(self) -> None:
        """Without the warning of Amaranth: one that was planned with need not be built."""

    # True for registers that move together, with nothing but logic between them.
    is_pipeline: ClassVar[bool] = False

    # For reports: what of its kind it is.
    detail: str = ""

    # True if the component keeps reading a beat for some cycles before it consumes it.
    holds_input: bool = False

    def components(self, name: str) -> list[tuple[str, StreamComponent]]:
        """Return the components in stream order, named; the component itself, under ``name``, unless it is a chain."""
        return [(name, self)]

    def features(self) -> Features:
        """Return the parts of the component, for estimates of its size."""
        raise NotImplementedError(f"{type(self).__name__} declares no features")

    def beat_model(self) -> Any:
        """A fresh timing model of this component's handshakes, which tells the exact cycle of every beat without
        simulation: a ``BeatModel``, a ``JoinModel`` where there are several inputs, a ``ForkModel`` where there are
        several outputs.
        """
        raise NotImplementedError(f"{type(self).__name__} declares no beat model")


def _members(side: str, flow: wiring.Flow, beats: tuple[Beat, ...]) -> dict[str, wiring.Member]:
    """The ports of one side, by name."""
    names = [side] if len(beats) == 1 else [f"{side}_{k}" for k in range(len(beats))]
    return {name: flow(beat.signature) for name, beat in zip(names, beats, strict=True)}


def connect(m: Module, source: StreamComponent, sink: StreamComponent) -> None:
    """Connect ``source.o`` to ``sink.i`` and refuse beats that differ in lanes, width or sign.

    ``wiring.connect`` compares widths only, so that ``signed(8)`` would silently feed ``unsigned(8)``.
    """
    if source.output_beat != sink.input_beat:
        raise ValueError(
            f"streams must carry the same beat: {type(source).__name__} produces {source.output_beat}, "
            f"{type(sink).__name__} accepts {sink.input_beat}"
        )
    wiring.connect(m, source.o, sink.i)


class Chain(StreamComponent):
    """Components connected one after the other, without stages between them. The first may have several inputs, the
    last several outputs.
    """

    def __init__(self, parts: list[tuple[str, StreamComponent]]) -> None:
        if not parts:
            raise ValueError("a chain must have at least one part")
        self.parts = parts
        inputs, outputs = parts[0][1].input_beats, parts[-1][1].output_beats
        super().__init__(inputs if len(inputs) > 1 else inputs[0], outputs if len(outputs) > 1 else outputs[0])

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
        for outside, inside in zip(self.inputs, self.parts[0][1].inputs, strict=True):
            wiring.connect(m, wiring.flipped(outside), inside)
        for inside, outside in zip(self.parts[-1][1].outputs, self.outputs, strict=True):
            wiring.connect(m, inside, wiring.flipped(outside))
        return m
