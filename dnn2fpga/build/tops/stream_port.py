"""One of the accelerator's two streams, as manifest.json describes it, and how it lies in memory."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, PositiveInt

from dnn2fpga.generate.manifest import PortRecord


class StreamPort(BaseModel):
    """``tdata_bits`` a beat, ``beats`` a frame."""

    model_config = ConfigDict(frozen=True)

    tdata_bits: PositiveInt
    beats: PositiveInt

    @classmethod
    def of(cls, port: PortRecord) -> StreamPort:
        return cls(tdata_bits=port.tdata_bits, beats=port.beats)

    @property
    def beat_bytes(self) -> int:
        """Of one beat on the IP's stream and in memory: a power of two, because DMA engines know no other widths."""
        return 1 << (-(-self.tdata_bits // 8) - 1).bit_length()

    @property
    def frame_bytes(self) -> int:
        return self.beats * self.beat_bytes
