"""An accelerator on a board with a serial line: NumPy in, NumPy out.

::

    from dnn2fpga.drive.serial import SerialAccelerator, open_port

    with open_port("/dev/ttyUSB0", 2_000_000) as port:
        accelerator = SerialAccelerator(port, "work/bundle/manifest.json")
        y = accelerator.predict(x)                    # real numbers [frames, *shape] in and out
        c = accelerator.decide(x)                     # class numbers, or yes and no, as the manifest's task says
        q, cycles = accelerator.run_integers(p)       # integers, and the latency of every frame on the device

Arrays of several inputs, and of several outputs, are mappings from their names.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from dnn2fpga.drive.link import Link, Statistics
from dnn2fpga.drive.link import Port as Line
from dnn2fpga.drive.port import Driver
from dnn2fpga.drive.port import Port as MemoryPort
from dnn2fpga.errors import UserError
from dnn2fpga.files.atomic import digest
from dnn2fpga.generate.manifest import read_manifest
from dnn2fpga.graph.ports import Values, or_named
from dnn2fpga.progress import Progress, silent
from rtl_lib.host.link_protocol import LATENCY_BYTES, Identity

READ_TIMEOUT_S = 0.002
TAKEN = (errno.EWOULDBLOCK, errno.EBUSY)  # a port that another program has, locked or opened for itself

EXCHANGE = "images through the board"  # as an activity


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


class SerialAccelerator(Driver):
    """The accelerator of a bitstream that ``dnn2fpga build`` has made.

    :param manifest: of the bundle that the bitstream was made from; it is asked whether it is this one.
    :raises UserError: when the manifest cannot be read, nobody answers, or the bitstream is of another bundle.
    """

    def __init__(self, port: Line, manifest: Path | str) -> None:
        super().__init__(read_manifest(Path(manifest)).model_dump(mode="json"), LinePort)
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
        """The statistics of the transfers."""
        return self._link.statistics

    def run_integers(self, q: Values, progress: Progress = silent) -> tuple[Any, np.ndarray]:
        """Integers ``[frames, *shape]`` → integers (of several inputs or outputs, mappings from their names), and the
        latency of each frame on the device: cycles from its first beat in to its last beat out.
        """
        results, cycles = self._exchange(self._checked(q), progress)
        return or_named(results), cycles

    def _run(self, q: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return self._exchange(q)[0]

    def _exchange(
        self, q: dict[str, np.ndarray], progress: Progress = silent
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Send frames, input after input; what comes back is the outputs, one after the other, and the latency."""
        sizes = [*(port.frame_bytes for port in self.outputs.values()), LATENCY_BYTES]
        packed = np.concatenate([port.pack(q[name]) for name, port in self.inputs.items()], axis=1)
        frames = [row.tobytes() for row in packed]
        results = []
        for result in self._link.run(frames, sum(sizes)):
            results.append(np.frombuffer(result, np.uint8))
            progress(EXCHANGE, len(results), len(frames))
        table = np.stack(results) if results else np.zeros((0, sum(sizes)), np.uint8)
        *parts, cycles = map(np.ascontiguousarray, np.split(table, np.cumsum(sizes)[:-1], axis=1))
        numbers = {name: port.unpack(part) for (name, port), part in zip(self.outputs.items(), parts, strict=True)}
        return numbers, cycles.view("<u4")[:, 0]
