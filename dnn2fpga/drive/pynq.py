"""Runs an accelerator on a Zynq board with PYNQ: NumPy in, NumPy out.

This file and the bundle's manifest.json are all that the board needs beside the bitstream::

    from accelerator_pynq import Accelerator

    accelerator = Accelerator("accelerator.bit", "manifest.json")
    y = accelerator.predict(x)          # real numbers [frames, *shape] in and out
    c = accelerator.decide(x)           # class numbers, or yes and no, as the manifest's task says
    q = accelerator.run_integers(p)     # the integers themselves
    print(accelerator.counters())
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

MANIFEST_VERSION = 2
IDENTITY, MAP_VERSION, MAP_VERSION_OF_SEVERAL = 0x444E3246, 1, 2
REGISTERS = {
    "identity": 0x00,
    "version": 0x04,
    "control": 0x08,
    "status": 0x0C,
    "packet": 0x10,
    "frames_in": 0x14,
    "frames_out": 0x18,
    "cycles_low": 0x1C,
    "cycles_high": 0x20,
    "latency": 0x24,
    "interval": 0x28,
    "input_frame_bytes": 0x2C,
    "output_frame_bytes": 0x30,
    "waits": 0x34,  # this one, and what follows, only where there are several inputs or outputs
}
PORT_FRAME_BYTES = 0x40  # of each of them, inputs first
RUN, SOFT_RESET = 1 << 0, 1 << 1
BUSY, DONE, INPUT_WAITS, OUTPUT_WAITS, TLAST_EARLY, TLAST_MISSING = (1 << bit for bit in range(6))
LARGEST_PACKET = 2**16 - 1  # frames
LONGEST_TRANSFER = 2**26 - 1  # bytes, of the DMA's length register
USUAL_BUFFER = 2**22  # bytes; PYNQ has 128 MiB of contiguous memory or less for everything
GIVES_NUMBERS = ("regression", "reconstruction")  # kinds of tasks
DMA_CONTROL, DMA_RESET = 0x00, 1 << 2  # of AXI DMA; resets both channels


class AcceleratorError(RuntimeError):
    """The accelerator or its data are not as they must be."""


@dataclass(frozen=True)
class Port:
    """A tensor on one of the two streams, as manifest.json describes it."""

    shape: tuple[int, ...]
    signed: bool
    width: int
    scale: float | list[float]
    zero_point: int | list[int]
    lanes: int
    beats: int
    pixels: int
    lane_bits: int

    @classmethod
    def of(cls, port: Mapping[str, Any]) -> Self:
        """Read an entry of ``inputs`` or ``outputs`` of the manifest."""
        given = {field: port[field] for field in cls.__dataclass_fields__}
        return cls(**{**given, "shape": tuple(given["shape"])})

    @property
    def channels(self) -> int:
        """Numbers of one pixel."""
        return self.lanes // self.pixels

    @property
    def beat_bytes(self) -> int:
        """A beat fills a power of two of bytes; those above its lanes are 0, and ignored at the input."""
        return 1 << (self.lanes * self.lane_bits // 8 - 1).bit_length()

    @property
    def frame_bytes(self) -> int:
        return self.beats * self.beat_bytes

    @property
    def minimum(self) -> int:
        return -(1 << (self.width - 1)) if self.signed else 0

    @property
    def maximum(self) -> int:
        return (1 << (self.width - self.signed)) - 1

    @property
    def dtype(self) -> np.dtype:
        size = next(size for size in (1, 2, 4) if 8 * size >= self.width)
        return np.dtype(f"{'i' if self.signed else 'u'}{size}")

    def quantize(self, x: np.ndarray) -> np.ndarray:
        """Real numbers → integers: nearest (half up), saturated.

        :raises AcceleratorError: for NaN, which no integer stands for.
        """
        return self.saturated(self.rounded(x))

    def rounded(self, x: np.ndarray) -> np.ndarray:
        """Real numbers → whole numbers, which need not lie in the format.

        :raises AcceleratorError: for NaN.
        """
        pixels = np.asarray(x, np.float64).reshape(-1, self.channels)
        q = np.floor(pixels / np.asarray(self.scale, np.float64) + 0.5) + np.asarray(self.zero_point)
        if unknown := int(np.isnan(q).sum()):
            raise AcceleratorError(f"{unknown} of {q.size} inputs are NaN; no integer stands for them")
        return q.reshape(np.shape(x))

    def saturated(self, q: np.ndarray) -> np.ndarray:
        """Whole numbers → integers of the format."""
        return np.clip(q, self.minimum, self.maximum).astype(self.dtype)

    def clipped(self, q: np.ndarray) -> int:
        """How many whole numbers saturate by more than one step, which is a loss that calibration did not choose.

        Warns of them.
        """
        count = int(((q < self.minimum - 1) | (q > self.maximum + 1)).sum())
        if count:
            told = f"{count} of {q.size} inputs lie outside the range that the network was calibrated for"
            warnings.warn(f"{told}, and were clipped; were they prepared as in training?", stacklevel=3)
        return count

    def dequantize(self, q: np.ndarray) -> np.ndarray:
        """Integers → real numbers."""
        pixels = q.astype(np.float64).reshape(-1, self.channels) - np.asarray(self.zero_point)
        return (pixels * np.asarray(self.scale, np.float64)).reshape(q.shape)

    def pack(self, q: np.ndarray) -> np.ndarray:
        """Integers ``[frames, *shape]`` → bytes ``[frames, frame_bytes]`` as the DMA sends them."""
        beats = self._with_surplus(q.reshape(len(q), -1, self.channels)).reshape(len(q), self.beats, self.lanes)
        lanes = beats.astype("<i8")[..., np.newaxis].view(np.uint8)[..., : self.lane_bits // 8]
        packed = np.zeros((len(q), self.beats, self.beat_bytes), np.uint8)
        packed[..., : self.lanes * self.lane_bits // 8] = lanes.reshape(len(q), self.beats, -1)
        return packed.reshape(len(q), self.frame_bytes)

    def unpack(self, data: np.ndarray) -> np.ndarray:
        """Bytes as the DMA has received them → integers ``[frames, *shape]``."""
        beats = data.reshape(-1, self.beats, self.beat_bytes)[..., : self.lanes * self.lane_bits // 8]
        lanes = np.zeros((*beats.shape[:2], self.lanes, 8), np.uint8)
        lanes[..., : self.lane_bits // 8] = beats.reshape(*lanes.shape[:3], -1)
        raw = lanes.view("<i8")[..., 0] & ((1 << self.width) - 1)
        sign = 1 << (self.width - 1) if self.signed else 0
        pixels = ((raw ^ sign) - sign).astype(self.dtype).reshape(len(lanes), -1, self.channels)
        return self._without_surplus(pixels).reshape(-1, *self.shape)

    def _row(self) -> tuple[int, int]:
        """Pixels of a row, and places for pixels in its beats."""
        width = self.shape[1]
        return width, -(-width // self.pixels) * self.pixels

    def _with_surplus(self, pixels: np.ndarray) -> np.ndarray:
        if self.pixels == 1:
            return pixels
        width, places = self._row()
        rows = pixels.reshape(len(pixels), -1, width, self.channels)
        return np.pad(rows, ((0, 0), (0, 0), (0, places - width), (0, 0)))

    def _without_surplus(self, pixels: np.ndarray) -> np.ndarray:
        if self.pixels == 1:
            return pixels
        width, places = self._row()
        return pixels.reshape(len(pixels), -1, places, self.channels)[:, :, :width]


def _read_manifest(file: Path) -> dict[str, Any]:
    description: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if (version := description.get("manifest_version")) != MANIFEST_VERSION:
        raise AcceleratorError(
            f"{file}: manifest_version must be {MANIFEST_VERSION}, not {version}; use the driver of the same bundle"
        )
    return description


def decisions(task: dict[str, Any], y: np.ndarray) -> np.ndarray:
    """Real outputs ``[frames, *shape]`` → decisions: whether each output exceeds the threshold of the task, or without
    one the number of the largest channel, at every position.

    :param task: of manifest.json.
    :raises AcceleratorError: when the network decides nothing.
    """
    if task["kind"] in GIVES_NUMBERS:
        raise AcceleratorError(f"a network for {task['kind']} decides nothing; predict() returns its numbers")
    return y.argmax(axis=-1) if task["threshold"] is None else y > task["threshold"]


class Accelerator:
    """The accelerator of a bitstream that ``vivado/project.tcl`` has built.

    :param manifest: its bundle's manifest.json; by default the one beside this file.
    :param timeout_s: how long one transfer may take.
    :param frames_per_transfer: frames in one DMA transfer, whose buffers are kept; by default what fits into 4 MiB.
    """

    def __init__(
        self,
        bitstream: str | Path,
        manifest: str | Path | None = None,
        *,
        timeout_s: float = 10.0,
        frames_per_transfer: int | None = None,
    ) -> None:
        import pynq

        file = Path(manifest) if manifest else Path(__file__).with_name("manifest.json")
        description = _read_manifest(file)
        self.input, self.output = Port.of(description["inputs"][0]), Port.of(description["outputs"][0])
        self.task = description["outputs"][0]["task"]
        self.timeout_s = timeout_s
        largest = max(self.input.frame_bytes, self.output.frame_bytes)
        most = min(LARGEST_PACKET, LONGEST_TRANSFER // largest)
        if most < 1:
            raise AcceleratorError(f"a frame must fit into one DMA transfer of {LONGEST_TRANSFER} bytes, not {largest}")
        wanted = frames_per_transfer or max(1, min(most, USUAL_BUFFER // largest))
        if not 1 <= wanted <= most:
            raise AcceleratorError(f"frames_per_transfer must be 1 to {most}, not {wanted}")
        self.frames_per_transfer = wanted
        overlay = pynq.Overlay(str(bitstream))
        self._registers, self._dma = overlay.accelerator, overlay.dma
        self._check_it_is_the_one(file)
        self._sent = pynq.allocate(shape=(wanted * self.input.frame_bytes,), dtype=np.uint8)
        self._received = pynq.allocate(shape=(wanted * self.output.frame_bytes,), dtype=np.uint8)
        self._packet = 0
        self.clipped_inputs = 0  # values, of all calls of predict()
        self._write("control", SOFT_RESET | RUN)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Real inputs ``[frames, *shape]`` → real outputs, by the scales and zero points of the manifest.

        Warns of inputs that are clipped; ``clipped_inputs`` counts them.

        :raises AcceleratorError: for NaN and for another shape.
        """
        x = np.asarray(x)
        self._check_shape(x)
        q = self.input.rounded(x)
        self.clipped_inputs += self.input.clipped(q)
        return self.output.dequantize(self.run_integers(self.input.saturated(q)))

    def decide(self, x: np.ndarray) -> np.ndarray:
        """Real inputs ``[frames, *shape]`` → what the network decides about each: see ``decisions``."""
        return decisions(self.task, self.predict(x))

    def run_integers(self, q: np.ndarray) -> np.ndarray:
        """Integers ``[frames, *shape]`` → integers."""
        q = np.asarray(q)
        self._check_shape(q)
        if q.dtype.kind not in "iu":
            raise AcceleratorError(f"integers are needed, not {q.dtype}; predict() takes real numbers")
        if q.size and not self.input.minimum <= q.min() <= q.max() <= self.input.maximum:
            raise AcceleratorError(f"inputs must be {self.input.minimum} to {self.input.maximum}")
        chunks = [q[k : k + self.frames_per_transfer] for k in range(0, len(q), self.frames_per_transfer)]
        results = [np.zeros((0, *self.output.shape), self.output.dtype), *map(self._run_packet, chunks)]
        return np.concatenate(results)

    def counters(self) -> dict[str, int]:
        """``cycles`` are of the clock of the accelerator; docs/vivado.md says what each of them counts."""
        names = ("frames_in", "frames_out", "latency", "interval")
        cycles = self._read("cycles_low")  # keeps the upper half
        cycles |= self._read("cycles_high") << 32
        return {"cycles": cycles, **{name: self._read(name) for name in names}}

    def reset(self) -> None:
        """Forgets all frames under way, in the accelerator and in the DMA. Counters begin again."""
        self._dma.write(DMA_CONTROL, DMA_RESET)
        if not self._comes_true(lambda: not self._dma.read(DMA_CONTROL) & DMA_RESET):
            raise AcceleratorError(
                f"the DMA did not come out of reset within {self.timeout_s} s; load the overlay again"
            )
        self._write("control", SOFT_RESET | RUN)
        self._packet = 0
        self._dma.sendchannel.start()
        self._dma.recvchannel.start()

    def close(self) -> None:
        """Stops the accelerator and gives its buffers back."""
        self._write("control", 0)
        self._sent.freebuffer()
        self._received.freebuffer()

    def _run_packet(self, q: np.ndarray) -> np.ndarray:
        if len(q) != self._packet:
            self._write("packet", len(q))
            self._packet = len(q)
        sent, received = len(q) * self.input.frame_bytes, len(q) * self.output.frame_bytes
        self._sent[:sent] = self.input.pack(q).reshape(-1)
        send, receive = self._dma.sendchannel, self._dma.recvchannel
        receive.transfer(self._received, nbytes=received)  # first: the accelerator must never wait for room
        send.transfer(self._sent, nbytes=sent)
        if not self._comes_true(lambda: (send.idle and receive.idle) or send.error or receive.error):
            raise self._gone_wrong(f"no answer for {len(q)} frames within {self.timeout_s} s")
        if send.error or receive.error:
            raise self._gone_wrong(f"the DMA reports an error in {'sending' if send.error else 'receiving'}")
        send.wait()  # idle already: they only hand the buffers back to the processor
        receive.wait()
        if self._read("status") & (TLAST_EARLY | TLAST_MISSING):
            raise self._gone_wrong("the transfer and the frames did not end together")
        return self.output.unpack(np.array(self._received[:received]))

    def _gone_wrong(self, what: str) -> AcceleratorError:
        """Says where the frames are, and makes ready for others."""
        status, taken, given = (self._read(name) for name in ("status", "frames_in", "frames_out"))
        waits = [f"{side} waits" for side, bit in (("input", INPUT_WAITS), ("output", OUTPUT_WAITS)) if status & bit]
        self.reset()
        state = ", ".join([f"status 0x{status:02x}", *waits])
        return AcceleratorError(f"{what}: {taken} frames taken, {given} given since the last reset, {state}; was reset")

    def _comes_true(self, condition: Any) -> bool:
        end = time.monotonic() + self.timeout_s
        while time.monotonic() < end:
            if condition():
                return True
        return bool(condition())  # a processor that was busy with something else did not look

    def _check_shape(self, frames: np.ndarray) -> None:
        if frames.shape[1:] != self.input.shape or frames.ndim == 0:
            raise AcceleratorError(
                f"inputs must have the shape (frames, {', '.join(map(str, self.input.shape))}), not {frames.shape}"
            )

    def _check_it_is_the_one(self, file: Path) -> None:
        expected = {
            "identity": IDENTITY,
            "version": MAP_VERSION,
            "input_frame_bytes": self.input.frame_bytes,
            "output_frame_bytes": self.output.frame_bytes,
        }
        for name, value in expected.items():
            if (found := self._read(name)) != value:
                raise AcceleratorError(
                    f"the bitstream does not belong to {file}: register {name} must be {value}, not {found}"
                )

    def _read(self, register: str) -> int:
        return int(self._registers.read(REGISTERS[register]))

    def _write(self, register: str, value: int) -> None:
        self._registers.write(REGISTERS[register], value)
