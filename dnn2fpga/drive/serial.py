"""An accelerator on a board with a serial line: NumPy in, NumPy out.

::

    from dnn2fpga.drive.serial import SerialAccelerator, open_port

    with open_port("/dev/ttyUSB0", 2_000_000) as port:
        accelerator = SerialAccelerator(port, "work/bundle/manifest.json")
        y = accelerator.predict(x)                    # real numbers [frames, *shape] in and out
        c = accelerator.decide(x)                     # class numbers, or yes and no, as the manifest's task says
        q, cycles = accelerator.run_integers(p)       # integers, and the latency of every frame on the device
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from dnn2fpga.drive.link import Link, Statistics
from dnn2fpga.drive.link import Port as Line
from dnn2fpga.drive.pynq import Port as MemoryPort
from dnn2fpga.drive.pynq import decisions
from dnn2fpga.errors import UserError
from dnn2fpga.files.atomic import digest
from dnn2fpga.generate.manifest import read_manifest
from rtl_lib.host.link_protocol import LATENCY_BYTES, Identity

READ_TIMEOUT_S = 0.002
TAKEN = (errno.EWOULDBLOCK, errno.EBUSY)  # a port that another program has, locked or opened for itself

Progress = Callable[[int, int], None]  # frames done, frames in all


class LinePort(MemoryPort):
    """A tensor on the line: beats of whole bytes, as they stand in ``tdata``."""

    @property
    def beat_bytes(self) -> int:
        return self.lanes * self.lane_bits // 8


@contextmanager
def open_port(name: str, baud: int) -> Iterator[Line]:
    """A serial port of this machine, or anything else whose name pyserial knows (``socket://…``), for us alone.

    :raises UserError: when it cannot be opened, or another program has it.
    """
    import serial

    try:
        port = serial.serial_for_url(name, baudrate=baud, timeout=READ_TIMEOUT_S, exclusive=True)
    except (ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno in TAKEN:
            raise UserError(f"{name}: another program uses it; end that first") from error
        raise UserError(f"{name}: cannot be opened: {error}") from error
    with port:
        try:
            yield port
        except (serial.SerialException, OSError) as error:
            raise UserError(f"{name}: the connection was lost: {error}") from error


class SerialAccelerator:
    """The accelerator of a bitstream that ``dnn2fpga build`` has made.

    :param manifest: of the bundle that the bitstream was made from; it is asked whether it is this one.
    :raises UserError: when the manifest cannot be read, nobody answers, or the bitstream is of another bundle.
    """

    def __init__(self, port: Line, manifest: Path | str) -> None:
        description = read_manifest(Path(manifest))
        given, told = description.inputs[0], description.outputs[0]
        self.input, self.output = LinePort.of(given.model_dump()), LinePort.of(told.model_dump())
        self.clipped_inputs = 0  # values, of all calls of predict()
        self.task = told.task.model_dump(mode="json")
        self._link = Link(port)
        self.identity: Identity = self._link.open()
        expected = bytes.fromhex(digest(Path(manifest)))[: len(self.identity.design)]
        if self.identity.design != expected:
            raise UserError(
                f"the board holds the design {self.identity.design.hex()}, not {expected.hex()} of {manifest}; "
                "configure it with the bitstream of this bundle"
            )

    @property
    def statistics(self) -> Statistics:
        """What the transfers took."""
        return self._link.statistics

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Real inputs ``[frames, *shape]`` → real outputs, by the scales and zero points of the manifest.

        Warns of inputs that are clipped; ``clipped_inputs`` counts them.

        :raises AcceleratorError: for NaN.
        """
        q = self.input.rounded(np.asarray(x))
        self.clipped_inputs += self.input.clipped(q)
        return self.output.dequantize(self.run_integers(self.input.saturated(q))[0])

    def decide(self, x: np.ndarray) -> np.ndarray:
        """Real inputs ``[frames, *shape]`` → what the network decides about each: see ``pynq.decisions``."""
        return decisions(self.task, self.predict(x))

    def run_integers(self, q: np.ndarray, progress: Progress | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Integers ``[frames, *shape]`` → integers, and the latency of each frame on the device: cycles from its first
        beat in to its last beat out.
        """
        size = self.output.frame_bytes + LATENCY_BYTES
        frames = [row.tobytes() for row in self.input.pack(np.asarray(q))]
        results = []
        for result in self._link.run(frames, size):
            results.append(np.frombuffer(result, np.uint8))
            if progress is not None:
                progress(len(results), len(frames))
        table = np.stack(results) if results else np.zeros((0, size), np.uint8)
        cycles = np.ascontiguousarray(table[:, -LATENCY_BYTES:]).view("<u4")[:, 0]
        return self.output.unpack(np.ascontiguousarray(table[:, :-LATENCY_BYTES])), cycles
