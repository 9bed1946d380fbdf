"""A bad line, to try the protocol on: bytes are changed or lost in both directions."""

from __future__ import annotations

import random

from dnn2fpga.drive.link import Port


class NoisyPort:
    """:param share: of the bytes that are corrupted: half of them lost, half of them replaced by random ones."""

    def __init__(self, port: Port, share: float, seed: int = 0) -> None:
        self._port = port
        self._share = share
        self._random = random.Random(seed)
        self.corrupted = 0  # bytes

    def write(self, data: bytes, /) -> int:
        self._port.write(self._through(data))
        return len(data)

    def read(self, size: int = 1, /) -> bytes:
        return self._through(self._port.read(size))

    @property
    def in_waiting(self) -> int:
        return self._port.in_waiting

    def reset_input_buffer(self) -> None:
        self._port.reset_input_buffer()

    def _through(self, data: bytes) -> bytes:
        result = bytearray()
        for byte in data:
            chance = self._random.random()
            self.corrupted += chance < self._share
            if chance >= self._share:
                result.append(byte)
            elif chance >= self._share / 2:
                result.append(byte ^ self._random.randrange(1, 256))
        return bytes(result)
