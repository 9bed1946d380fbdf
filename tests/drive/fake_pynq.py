"""A stand-in for the module `pynq`: an overlay whose accelerator answers from the integer model.

It takes the bytes of a transfer apart by docs/bundle.md and docs/vivado.md, bit by bit, and shares no code with the
driver.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from dnn2fpga.generate.manifest import Manifest, PortRecord
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.plan.wire import Wire

NAMES = ("identity", "version", "control", "status", "packet", "frames_in", "frames_out", "cycles_low", "cycles_high")
NAMES += ("latency", "interval", "input_frame_bytes", "output_frame_bytes")
OFFSETS = {name: 4 * place for place, name in enumerate(NAMES)}


class Buffer(np.ndarray):
    """What `pynq.allocate` gives."""

    freed = False

    def freebuffer(self) -> None:
        self.freed = True


def allocate(shape: tuple[int, ...], dtype: Any) -> Buffer:
    buffer = np.empty(shape, dtype).view(Buffer)
    buffer[:] = 0xA5  # memory is never clean
    return buffer


@dataclass
class Channel:
    dma: Dma
    is_sending: bool
    idle: bool = False
    error: bool = False
    started: int = 1
    buffer: Buffer | None = None
    nbytes: int = 0
    waited: bool = True

    def start(self) -> None:
        self.started += 1
        self.idle = self.error = False
        self.buffer = None

    def transfer(self, array: Buffer, start: int = 0, nbytes: int = 0) -> None:
        assert self.waited or self.buffer is None, "the last transfer was never waited for"
        assert 0 < nbytes <= array.nbytes < 2**26
        self.buffer, self.nbytes, self.idle, self.waited = array, nbytes, False, False
        self.dma.go()

    def wait(self) -> None:
        assert self.idle
        self.waited = True


@dataclass
class Dma:
    accelerator: FakeAccelerator
    transfers: list[int] = field(default_factory=list)  # frames in each
    control: int = 1

    def __post_init__(self) -> None:
        self.sendchannel, self.recvchannel = Channel(self, True), Channel(self, False)

    def read(self, offset: int) -> int:
        assert offset == 0
        return self.control

    def write(self, offset: int, value: int) -> None:
        assert (offset, value) == (0, 4)
        self.control = 4 if self.accelerator.broken == "stuck in reset" else 0

    def go(self) -> None:
        send, receive = self.sendchannel, self.recvchannel
        if send.buffer is None or receive.buffer is None or self.accelerator.broken in ("silent", "stuck in reset"):
            return
        if self.accelerator.broken == "dma error":
            receive.error = True
            return
        answer = self.accelerator.run(np.array(send.buffer[: send.nbytes]))
        assert len(answer) == receive.nbytes, "the accelerator would give another number of bytes"
        receive.buffer[: len(answer)] = answer
        self.transfers.append(self.accelerator.registers["packet"])
        send.idle = receive.idle = True
        send.buffer = receive.buffer = None


class FakeAccelerator:
    """The IP: its registers, and frames through the integer model."""

    def __init__(self, graph: QuantizedGraph, manifest: Manifest) -> None:
        self.graph, self.broken = graph, ""  # silent, dma error, tlast, stuck in reset
        self.ports: dict[str, PortRecord] = {"input": manifest.inputs[0], "output": manifest.outputs[0]}
        self.registers = dict.fromkeys(OFFSETS, 0) | {"identity": 0x444E3246, "version": 1, "packet": 1}
        self.registers |= {
            "input_frame_bytes": self.frame_bytes("input"),
            "output_frame_bytes": self.frame_bytes("output"),
        }

    def beat_bytes(self, side: str) -> int:
        wanted = self.ports[side].tdata_bits
        return next(2**n for n in range(20) if 8 * 2**n >= wanted)

    def frame_bytes(self, side: str) -> int:
        return self.beat_bytes(side) * self.ports[side].beats

    def read(self, offset: int) -> int:
        name = next(name for name, place in OFFSETS.items() if place == offset)
        return self.registers[name]

    def write(self, offset: int, value: int) -> None:
        name = next(name for name, place in OFFSETS.items() if place == offset)
        assert name in ("control", "status", "packet")
        if name == "control" and value & 2:
            self.registers |= dict.fromkeys(("frames_in", "frames_out", "cycles_low", "cycles_high", "status"), 0)
            value &= ~2
        self.registers[name] = value

    def run(self, data: np.ndarray) -> np.ndarray:
        assert self.registers["control"] & 1, "not running"
        frames = len(data) // self.frame_bytes("input")
        assert frames == self.registers["packet"], "tlast would come in the wrong place"
        q = self._decode(data.reshape(frames, -1, self.beat_bytes("input")))
        result = self._encode(self.graph.run(q))
        self.registers["frames_in"] += frames
        self.registers["frames_out"] += frames
        self.registers["status"] = 0b000010 | (0b100000 if self.broken == "tlast" else 0)
        return result

    def _decode(self, beats: np.ndarray) -> np.ndarray:
        port, tensor = self.ports["input"], self.graph.input
        numbers = np.zeros((*beats.shape[:2], port.lanes), np.int64)
        for place in np.ndindex(*beats.shape[:2]):
            word = int.from_bytes(beats[place].tobytes(), "little")
            for lane in range(port.lanes):
                value = word >> lane * port.lane_bits & (1 << port.width) - 1
                numbers[(*place, lane)] = value - (value >> port.width - 1 << port.width if port.signed else 0)
        if port.pixels > 1:
            rows = numbers.reshape(len(beats), tensor.shape[0], -1, tensor.shape[2])
            numbers = rows[:, :, : tensor.shape[1]]  # what is beside the last pixels of a row means nothing
        return numbers.reshape(len(beats), *tensor.shape).astype(tensor.format.dtype)

    def _encode(self, q: np.ndarray) -> np.ndarray:
        port, tensor = self.ports["output"], self.graph.output
        pixels = q.reshape(len(q), -1, port.lanes // port.pixels)
        beats = Wire.of(tensor.shape, port.pixels).pack(pixels)
        size, bits = self.beat_bytes("output"), port.lane_bits
        words = [
            sum((int(v) & (1 << bits) - 1) << lane * bits for lane, v in enumerate(beat))
            for beat in beats.reshape(-1, port.lanes)
        ]
        return np.frombuffer(b"".join(word.to_bytes(size, "little") for word in words), np.uint8)


def module(graph: QuantizedGraph, manifest: Manifest) -> ModuleType:
    """What `import pynq` would give; ``module.overlay`` is the one that was loaded last."""
    fake: Any = ModuleType("pynq")

    class Overlay:
        def __init__(self, bitfile_name: str) -> None:
            self.bitfile_name = bitfile_name
            self.accelerator = FakeAccelerator(graph, manifest)
            self.dma = Dma(self.accelerator)
            fake.overlay = self

    fake.Overlay, fake.allocate = Overlay, allocate
    return fake
