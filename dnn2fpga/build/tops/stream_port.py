"""The accelerator's streams, as manifest.json describes them, and how they lie in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from dnn2fpga.generate.manifest import Manifest, PortRecord


@dataclass(frozen=True, kw_only=True)
class StreamPort:
    """``tdata_bits`` per beat, ``beats`` per frame; the names of its signals begin with ``axis``."""

    axis: str
    tdata_bits: int
    beats: int

    @classmethod
    def of(cls, port: PortRecord) -> Self:
        """Take what matters here from an entry of the manifest."""
        return cls(axis=port.axis, tdata_bits=port.tdata_bits, beats=port.beats)

    @property
    def suffix(self) -> str:
        """The suffix that distinguishes signals of this port from those of others; empty for a single port."""
        return self.axis[len("s_axis") :]

    @property
    def beat_bytes(self) -> int:
        """The bytes of one beat on the IP's stream and in memory: a power of two, because DMA engines know no other
        widths.
        """
        return 1 << (-(-self.tdata_bits // 8) - 1).bit_length()

    @property
    def frame_bytes(self) -> int:
        return self.beats * self.beat_bytes


@dataclass(frozen=True)
class StreamPorts:
    """All streams of an accelerator, in the order of the manifest."""

    inputs: tuple[StreamPort, ...]
    outputs: tuple[StreamPort, ...]

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        """Take the ports of a manifest."""
        return cls(tuple(map(StreamPort.of, manifest.inputs)), tuple(map(StreamPort.of, manifest.outputs)))

    @property
    def is_single(self) -> bool:
        """Is there one input and one output? Their registers, DMA and link are the simplest then."""
        return len(self.inputs) == len(self.outputs) == 1

    @property
    def axes(self) -> tuple[str, ...]:
        """The prefixes of all streams, inputs first."""
        return tuple(port.axis for port in (*self.inputs, *self.outputs))
