"""A queue of beats, where one path must wait for another.

A circular memory whose read port is the output: its register is loaded whenever it is empty or consumed, and the memory
holds something. So ``valid``, ``payload`` and ``ready`` depend on registers only, at one beat per cycle. Latency two
cycles when empty: written (cycle 0), read (1), at the output (2)::

    i.payload   A  B  C  .  .
    stored      0  1  1  1  0      beats in the memory: A is read while B is written
    o.payload         A  B  C
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib.memory import Memory

from rtl_lib.core.features import Features, Kind, index_bits
from rtl_lib.core.rules import FOREVER, State
from rtl_lib.core.stream import Beat, StreamComponent
from rtl_lib.core.timing import BeatModel

DEPTH, STORED, AT_OUTPUT, MOST = range(4)


class FifoModel(BeatModel):
    """The timing model of ``Fifo``."""

    def __init__(self, depth: int) -> None:
        self.state = [depth, 0, 0, 0]

    @property
    def most(self) -> int:
        """The most beats that were ever in the memory."""
        return self.state[MOST]

    @staticmethod
    def offers(s: State) -> int:
        return s[AT_OUTPUT]

    @staticmethod
    def accepts(s: State, valids: int, readys: int) -> int:
        return 1 if s[STORED] < s[DEPTH] else 0

    @staticmethod
    def moves(s: State, valids: int, readys: int, cycles: int) -> int:
        taken = valids if s[STORED] < s[DEPTH] else 0
        reads = 1 if s[STORED] > 0 and (readys or not s[AT_OUTPUT]) else 0
        s[AT_OUTPUT] = reads | (s[AT_OUTPUT] & ~readys)
        s[STORED] += taken - reads
        s[MOST] = max(s[MOST], s[STORED])
        return 0 if reads else FOREVER

    def full(self) -> bool:
        return self.state[STORED] == self.state[DEPTH]


class QueueModel(FifoModel):
    """A FIFO that is never full."""

    def __init__(self) -> None:
        super().__init__(1 << 40)

    def least(self) -> QueueModel:
        return self  # who looks at ``most`` finds it here


class Fifo(StreamComponent):
    """First in, first out.

    :param depth: beats that the memory holds, at least 2 (a memory of one could not be read and written in the same
        cycle). One more waits in the output register, so a ``Fifo`` whose sink consumes nothing accepts ``depth + 1``
        beats.
    """

    def __init__(self, beat: Beat, depth: int) -> None:
        if depth < 2:
            raise ValueError(f"depth must be at least 2, not {depth!r}")
        self.depth = depth
        super().__init__(beat, beat)

    def features(self) -> Features:
        return (
            Features()
            .add(Kind.RAM, 1, self.depth, self.input_beat.layout.size, 1)
            .add(Kind.COUNTER, 2 * index_bits(self.depth) + index_bits(self.depth + 1))
            .add(Kind.REGISTER, 1)
            .add(Kind.HANDSHAKE, 1)
        )

    def beat_model(self) -> BeatModel:
        return FifoModel(self.depth)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.memory = memory = Memory(shape=self.input_beat.layout.size, depth=self.depth, init=[])
        write = memory.write_port()
        # Not transparent: a beat is read one cycle after it was written at the earliest, so the two never meet.
        read = memory.read_port(transparent_for=())
        stored = Signal(range(self.depth + 1))
        at_output = Signal()
        m.d.comb += [
            self.i.ready.eq(stored != self.depth),
            write.en.eq(self.i.valid & self.i.ready),
            write.data.eq(self.i.payload.as_value()),
            read.en.eq((stored != 0) & (self.o.ready | ~at_output)),
            self.o.valid.eq(at_output),
            self.o.payload.as_value().eq(read.data),
        ]
        for port in (write, read):
            with m.If(port.en):
                m.d.sync += port.addr.eq(Mux(port.addr == self.depth - 1, 0, port.addr + 1))
        m.d.sync += [
            stored.eq(stored + write.en - read.en),
            at_output.eq(read.en | (at_output & ~self.o.ready)),
        ]
        return m
