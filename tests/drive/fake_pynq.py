"""A stand-in for the module `pynq`: an overlay whose accelerator answers from an integer model.

It takes the bytes of a transfer apart by docs/bundle.md and docs/vivado.md, bit by bit, and shares no code with the
driver.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from dnn2fpga.generate.manifest import Manifest, PortRecord
from dnn2fpga.graph.ports import by_name
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.plan.wire import Wire
from rtl_lib.core.formats import Format

Model = Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]

NAMES = ("identity", "version", "control", "status", "packet", "frames_in", "frames_out", "cycles_low", "cycles_high")
NAMES += ("latency", "interval", "input_frame_bytes", "output_frame_bytes")
OFFSETS = {name: 4 * place for place, name in enumerate(NAMES)}


class Buffer(np.ndarray):
    """The buffer that `pynq.allocate` returns."""

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
    """A DMA engine with the channels that the block design has given it."""

    accelerator: FakeAccelerator
    control: int = 1

    def __getattr__(self, name: str) -> Channel:
        raise AttributeError(f"this DMA has no {name}")

    def read(self, offset: int) -> int:
        assert offset == 0
        return self.control

    def write(self, offset: int, value: int) -> None:
        assert (offset, value) == (0, 4)
        self.control = 4 if self.accelerator.broken == "stuck in reset" else 0

    def go(self) -> None:
        self.accelerator.go()


class FakeAccelerator:
    """The IP: its registers, and frames through an integer model.

    :param model: integers by input → by output.
    """

    def __init__(self, model: Model, manifest: Manifest) -> None:
        self.model, self.broken = model, ""  # silent, dma error, tlast, stuck in reset
        self.inputs, self.outputs = manifest.inputs, manifest.outputs
        self.senders: list[Channel] = []  # in the order of the ports
        self.receivers: list[Channel] = []
        self.transfers: list[int] = []  # frames in each
        self.registers = dict.fromkeys(OFFSETS, 0) | {"identity": 0x444E3246, "version": 1, "packet": 1}
        self.offsets = dict(OFFSETS)
        sizes = [[self.frame_bytes(port) for port in ports] for ports in (self.inputs, self.outputs)]
        self.registers |= {"input_frame_bytes": sum(sizes[0]), "output_frame_bytes": sum(sizes[1])}
        if [len(side) for side in sizes] != [1, 1]:
            self.registers |= {"version": 2, "waits": 0}
            self.offsets["waits"] = 0x34
            for k, size in enumerate([*sizes[0], *sizes[1]]):
                self.registers[f"size {k}"], self.offsets[f"size {k}"] = size, 0x40 + 4 * k

    @staticmethod
    def beat_bytes(port: PortRecord) -> int:
        return next(2**n for n in range(20) if 8 * 2**n >= port.tdata_bits)

    def frame_bytes(self, port: PortRecord) -> int:
        return self.beat_bytes(port) * port.beats

    def read(self, offset: int) -> int:
        name = next(name for name, place in self.offsets.items() if place == offset)
        return self.registers[name]

    def write(self, offset: int, value: int) -> None:
        name = next(name for name, place in self.offsets.items() if place == offset)
        assert name in ("control", "status", "packet")
        if name == "control" and value & 2:
            self.registers |= dict.fromkeys(("frames_in", "frames_out", "cycles_low", "cycles_high", "status"), 0)
            value &= ~2
        self.registers[name] = value

    def go(self) -> None:
        channels = [*self.senders, *self.receivers]
        if self.broken in ("silent", "stuck in reset") or any(channel.buffer is None for channel in channels):
            return
        if self.broken == "dma error":
            self.receivers[-1].error = True
            return
        sent = [np.array(channel.buffer[: channel.nbytes]) for channel in self.senders]
        for channel, answer in zip(self.receivers, self.run(sent), strict=True):
            assert len(answer) == channel.nbytes, "the accelerator would give another number of bytes"
            channel.buffer[: len(answer)] = answer
        self.transfers.append(self.registers["packet"])
        for channel in channels:
            channel.idle, channel.buffer = True, None

    def run(self, data: list[np.ndarray]) -> list[np.ndarray]:
        assert self.registers["control"] & 1, "not running"
        frames, q, complete = self.registers["packet"], {}, True
        for port, sent in zip(self.inputs, data, strict=True):
            complete &= len(sent) == frames * self.frame_bytes(port)  # else tlast comes in the wrong place
            beats = np.resize(sent, frames * self.frame_bytes(port)).reshape(frames, -1, self.beat_bytes(port))
            q[port.name] = self._decode(port, beats)
        results = self.model(q)
        self.registers["frames_in"] += frames
        self.registers["frames_out"] += frames
        self.registers["status"] = 0b000010 | (0b100000 if self.broken == "tlast" or not complete else 0)
        return [self._encode(port, results[port.name]) for port in self.outputs]

    def _decode(self, port: PortRecord, beats: np.ndarray) -> np.ndarray:
        numbers = np.zeros((*beats.shape[:2], port.lanes), np.int64)
        for place in np.ndindex(*beats.shape[:2]):
            word = int.from_bytes(beats[place].tobytes(), "little")
            for lane in range(port.lanes):
                value = word >> lane * port.lane_bits & (1 << port.width) - 1
                numbers[(*place, lane)] = value - (value >> port.width - 1 << port.width if port.signed else 0)
        if port.pixels > 1:
            rows = numbers.reshape(len(beats), port.shape[0], -1, port.shape[2])
            numbers = rows[:, :, : port.shape[1]]  # what is beside the last pixels of a row means nothing
        return numbers.reshape(len(beats), *port.shape).astype(Format(port.signed, port.width).dtype)

    def _encode(self, port: PortRecord, q: np.ndarray) -> np.ndarray:
        pixels = q.reshape(len(q), -1, port.lanes // port.pixels)
        beats = Wire.of(port.shape, port.pixels).pack(pixels)
        size, bits = self.beat_bytes(port), port.lane_bits
        words = [
            sum((int(v) & (1 << bits) - 1) << lane * bits for lane, v in enumerate(beat))
            for beat in beats.reshape(-1, port.lanes)
        ]
        return np.frombuffer(b"".join(word.to_bytes(size, "little") for word in words), np.uint8)


def of_graph(graph: QuantizedGraph) -> Model:
    """The integer model of a graph."""
    return lambda q: by_name(graph.run(q), graph.outputs)


def module(model: Model, manifest: Manifest, without: Sequence[str] = (), swapped: bool = False) -> ModuleType:
    """Return the module that `import pynq` would import; ``module.overlay`` is the one that was loaded last.

    :param without: DMAs that the block design lacks.
    :param swapped: whether the first two DMAs feed each other's inputs.
    """
    fake: Any = ModuleType("pynq")

    class Overlay:
        def __init__(self, bitfile_name: str) -> None:
            self.bitfile_name = bitfile_name
            self.accelerator = device = FakeAccelerator(model, manifest)
            count = max(len(device.inputs), len(device.outputs))
            self.dmas = [Dma(device) for _ in range(count)]
            for k, dma in enumerate(self.dmas):
                if k < len(device.inputs):
                    dma.sendchannel = Channel(dma, True)
                    device.senders.append(dma.sendchannel)
                if k < len(device.outputs):
                    dma.recvchannel = Channel(dma, False)
                    device.receivers.append(dma.recvchannel)
                name = "dma" if count == 1 else f"dma_{k}"
                if name not in without:
                    setattr(self, name, dma)
            if swapped:
                device.senders[:2] = device.senders[1::-1]
            fake.overlay = self

    fake.Overlay, fake.allocate = Overlay, allocate
    return fake
