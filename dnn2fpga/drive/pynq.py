"""Runs an accelerator on a Zynq board with PYNQ: NumPy in, NumPy out.

This file and the bundle's manifest.json are all that the board needs beside the bitstream::

    from accelerator_pynq import Accelerator

    accelerator = Accelerator("accelerator.bit", "manifest.json")
    y = accelerator.predict(x)          # real numbers [frames, *shape] in and out
    c = accelerator.decide(x)           # class numbers, or yes and no, as the manifest's task says
    q = accelerator.run_integers(p)     # the integers themselves
    print(accelerator.counters())

Arrays of several inputs, and of several outputs, are mappings from their names.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dnn2fpga.drive.port import AcceleratorError, Driver, Port
from dnn2fpga.graph.ports import Values, or_named

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
DMA_CONTROL, DMA_RESET = 0x00, 1 << 2  # of AXI DMA; resets both channels


@dataclass(frozen=True)
class Stream:
    """An input or output, its channel of a DMA, and its buffer."""

    what: str
    port: Port
    channel: Any
    buffer: Any

    def transfer(self, frames: int) -> None:
        """Begin to send or receive."""
        self.channel.transfer(self.buffer, nbytes=frames * self.port.frame_bytes)

    def send(self, q: np.ndarray) -> None:
        """Begin to send integers ``[frames, *shape]``."""
        self.buffer[: len(q) * self.port.frame_bytes] = self.port.pack(q).reshape(-1)
        self.transfer(len(q))

    def received(self, frames: int) -> np.ndarray:
        """The integers that have come."""
        return self.port.unpack(np.array(self.buffer[: frames * self.port.frame_bytes]))


class Accelerator(Driver):
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
        super().__init__(_read_manifest(file))
        self.timeout_s = timeout_s
        self.frames_per_transfer = self._frames_per_transfer(frames_per_transfer)
        overlay = pynq.Overlay(str(bitstream))
        self._registers = overlay.accelerator
        self._check_it_is_the_one(file)
        count = max(len(self.inputs), len(self.outputs))
        names = ["dma"] if count == 1 else [f"dma_{k}" for k in range(count)]
        self._dmas = [_part(overlay, name, file) for name in names]  # DMA k serves input k and output k
        sending = [_part(dma, "sendchannel", file) for dma in self._dmas[: len(self.inputs)]]
        receiving = [_part(dma, "recvchannel", file) for dma in self._dmas[: len(self.outputs)]]
        self._sent = self._streams("input", self.inputs, sending, pynq.allocate)
        self._received = self._streams("output", self.outputs, receiving, pynq.allocate)
        self._packet = 0
        self._write("control", SOFT_RESET | RUN)

    def _frames_per_transfer(self, wanted: int | None) -> int:
        largest = max(port.frame_bytes for port in (*self.inputs.values(), *self.outputs.values()))
        most = min(LARGEST_PACKET, LONGEST_TRANSFER // largest)
        if most < 1:
            raise AcceleratorError(f"a frame must fit into one DMA transfer of {LONGEST_TRANSFER} bytes, not {largest}")
        chosen = wanted or max(1, min(most, USUAL_BUFFER // largest))
        if not 1 <= chosen <= most:
            raise AcceleratorError(f"frames_per_transfer must be 1 to {most}, not {chosen}")
        return chosen

    def _streams(
        self, side: str, ports: dict[str, Port], channels: list[Any], allocate: Callable[..., Any]
    ) -> dict[str, Stream]:
        """Return the streams of one side by the name of the port."""
        return {
            name: Stream(
                side if len(ports) == 1 else f"{side} '{name}'",
                port,
                channel,
                allocate(shape=(self.frames_per_transfer * port.frame_bytes,), dtype=np.uint8),
            )
            for (name, port), channel in zip(ports.items(), channels, strict=True)
        }

    def run_integers(self, q: Values) -> Any:
        """Integers ``[frames, *shape]`` → integers; of several inputs or outputs, mappings from their names."""
        given = self._checked(q)
        for name, values in given.items():
            port, which = self.inputs[name], "inputs" if len(given) == 1 else f"input '{name}'"
            if values.dtype.kind not in "iu":
                raise AcceleratorError(f"integers are needed, not {values.dtype}; predict() takes real numbers")
            if values.size and not port.minimum <= values.min() <= values.max() <= port.maximum:
                raise AcceleratorError(f"{which} must be {port.minimum} to {port.maximum}")
        return or_named(self._run(given))

    def counters(self) -> dict[str, int]:
        """``cycles`` are of the clock of the accelerator; docs/vivado.md says what each of them counts."""
        names = ("frames_in", "frames_out", "latency", "interval")
        cycles = self._read("cycles_low")  # keeps the upper half
        cycles |= self._read("cycles_high") << 32
        return {"cycles": cycles, **{name: self._read(name) for name in names}}

    def reset(self) -> None:
        """Forget all frames under way, in the accelerator and in the DMA. Counters begin again."""
        for dma in self._dmas:
            dma.write(DMA_CONTROL, DMA_RESET)
        if not self._comes_true(lambda: not any(dma.read(DMA_CONTROL) & DMA_RESET for dma in self._dmas)):
            raise AcceleratorError(
                f"the DMA did not come out of reset within {self.timeout_s} s; load the overlay again"
            )
        self._write("control", SOFT_RESET | RUN)
        self._packet = 0
        for stream in self._all:
            stream.channel.start()

    def close(self) -> None:
        """Stop the accelerator and release its buffers."""
        self._write("control", 0)
        for stream in self._all:
            stream.buffer.freebuffer()

    @property
    def _all(self) -> list[Stream]:
        return [*self._sent.values(), *self._received.values()]

    def _run(self, q: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        parts = {name: [np.zeros((0, *port.shape), port.dtype)] for name, port in self.outputs.items()}
        for start in range(0, len(next(iter(q.values()))), self.frames_per_transfer):
            packet = {name: values[start : start + self.frames_per_transfer] for name, values in q.items()}
            for name, result in self._run_packet(packet).items():
                parts[name].append(result)
        return {name: np.concatenate(results) for name, results in parts.items()}

    def _run_packet(self, q: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        frames = len(next(iter(q.values())))
        if frames != self._packet:
            self._write("packet", frames)
            self._packet = frames
        for stream in self._received.values():  # first: the accelerator must never wait for room
            stream.transfer(frames)
        for name, stream in self._sent.items():
            stream.send(q[name])
        channels = [stream.channel for stream in self._all]
        if not self._comes_true(lambda: all(c.idle for c in channels) or any(c.error for c in channels)):
            raise self._gone_wrong(f"no answer for {frames} frames within {self.timeout_s} s")
        if any(channel.error for channel in channels):
            sides = {"sending": self._sent, "receiving": self._received}
            wrong = [side for side, streams in sides.items() if any(s.channel.error for s in streams.values())]
            raise self._gone_wrong(f"the DMA reports an error in {wrong[0]}")
        for channel in channels:
            channel.wait()  # idle already: this only hands the buffer back to the processor
        if self._read("status") & (TLAST_EARLY | TLAST_MISSING):
            raise self._gone_wrong("the transfer and the frames did not end together")
        return {name: stream.received(frames) for name, stream in self._received.items()}

    def _gone_wrong(self, what: str) -> AcceleratorError:
        """Return an error that says where the frames are, and make ready for others."""
        status, taken, given = (self._read(name) for name in ("status", "frames_in", "frames_out"))
        waits = [f"{side} waits" for side in self._waiting(status)]
        self.reset()
        state = ", ".join([f"status 0x{status:02x}", *waits])
        return AcceleratorError(f"{what}: {taken} frames taken, {given} given since the last reset, {state}; was reset")

    def _waiting(self, status: int) -> list[str]:
        """The inputs and outputs at which a beat waits."""
        if self._is_single:
            return [side for side, bit in (("input", INPUT_WAITS), ("output", OUTPUT_WAITS)) if status & bit]
        bits = self._read("waits")
        places = [*range(len(self._sent)), *range(16, 16 + len(self._received))]
        return [stream.what for stream, place in zip(self._all, places, strict=True) if bits >> place & 1]

    @property
    def _is_single(self) -> bool:
        return len(self.inputs) == len(self.outputs) == 1

    def _comes_true(self, condition: Callable[[], bool]) -> bool:
        end = time.monotonic() + self.timeout_s
        while time.monotonic() < end:
            if condition():
                return True
        return bool(condition())  # a processor that was busy with something else did not look

    def _check_it_is_the_one(self, file: Path) -> None:
        inputs, outputs = ([port.frame_bytes for port in side.values()] for side in (self.inputs, self.outputs))
        expected = {
            "identity": IDENTITY,
            "version": MAP_VERSION if self._is_single else MAP_VERSION_OF_SEVERAL,
            "input_frame_bytes": sum(inputs),
            "output_frame_bytes": sum(outputs),
        }
        checks = [(name, REGISTERS[name], value) for name, value in expected.items()]
        if not self._is_single:
            names = [f"frame_bytes of '{name}'" for name in (*self.inputs, *self.outputs)]
            offsets = range(PORT_FRAME_BYTES, PORT_FRAME_BYTES + 4 * len(names), 4)
            checks += zip(names, offsets, [*inputs, *outputs], strict=True)
        for name, offset, value in checks:
            if (found := int(self._registers.read(offset))) != value:
                raise AcceleratorError(
                    f"the bitstream does not belong to {file}: register {name} must be {value}, not {found}"
                )

    def _read(self, register: str) -> int:
        return int(self._registers.read(REGISTERS[register]))

    def _write(self, register: str, value: int) -> None:
        self._registers.write(REGISTERS[register], value)


def _read_manifest(file: Path) -> dict[str, Any]:
    description: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if (version := description.get("manifest_version")) != MANIFEST_VERSION:
        raise AcceleratorError(
            f"{file}: manifest_version must be {MANIFEST_VERSION}, not {version}; use the driver of the same bundle"
        )
    return description


def _part(owner: Any, name: str, file: Path) -> Any:
    try:
        return getattr(owner, name)
    except AttributeError as error:
        raise AcceleratorError(f"the bitstream does not belong to {file}: it has no {name}") from error
