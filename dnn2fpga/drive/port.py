"""The part that all drivers share: numbers of a network to bytes of its streams and back, by the bundle's
manifest.json.

It needs nothing but NumPy, `dnn2fpga.graph.ports` and `dnn2fpga.tensors.conversion`: all become part of the one file
that a board gets.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from dnn2fpga.graph.ports import Values, by_name, only, or_named
from dnn2fpga.tensors.conversion import Conversion

TO_NEAREST = Conversion()
GIVES_NUMBERS = ("regression", "reconstruction")  # kinds of tasks


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
    conversion: Conversion = TO_NEAREST

    @classmethod
    def of(cls, port: Mapping[str, Any]) -> Self:
        """Read an entry of ``inputs`` or ``outputs`` of the manifest."""
        given = {field: port[field] for field in cls.__dataclass_fields__ if field != "conversion"}
        conversion = Conversion(**port.get("conversion", {}))  # an output has none; its ranges may be lists
        return cls(**{**given, "shape": tuple(given["shape"]), "conversion": conversion})

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
        """Real numbers → integers, by the conversion of the manifest.

        :raises AcceleratorError: for NaN, which no integer stands for.
        """
        return self.saturated(self.rounded(x))

    def rounded(self, x: np.ndarray) -> np.ndarray:
        """Real numbers → whole numbers, which need not lie in the format.

        :raises AcceleratorError: for NaN.
        """
        q = self.conversion.levels(np.reshape(x, (-1, self.channels)), self.scale, self.zero_point)
        if unknown := int(np.isnan(q).sum()):
            raise AcceleratorError(f"{unknown} of {q.size} inputs are NaN; no integer stands for them")
        return q.reshape(np.shape(x))

    def saturated(self, q: np.ndarray) -> np.ndarray:
        """Whole numbers → integers of the format."""
        pixels = self.conversion.fitted(q.reshape(-1, self.channels), self.minimum, self.maximum)
        return pixels.astype(self.dtype).reshape(q.shape)

    def clipped(self, q: np.ndarray) -> int:
        """Return how many whole numbers saturate by more than one step, which is a loss that calibration did not
        choose.

        Warns of them.
        """
        if self.conversion.wraps:
            return 0
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
        """Return the pixels of a row, and the places for pixels in its beats."""
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


def decisions(task: dict[str, Any], y: np.ndarray) -> np.ndarray:
    """Real outputs ``[frames, *shape]`` → decisions: whether each output exceeds the threshold of the task, or without
    one the number of the largest channel, at every position.

    :param task: of manifest.json.
    :raises AcceleratorError: when the network decides nothing.
    """
    if task["kind"] in GIVES_NUMBERS:
        raise AcceleratorError(f"a network for {task['kind']} decides nothing; predict() returns its numbers")
    return y.argmax(axis=-1) if task["threshold"] is None else y > task["threshold"]


class Driver(ABC):
    """An accelerator for programs: real numbers in and out, and decisions.

    Arrays are ``[frames, *shape]``; those of several inputs, or outputs, are mappings from their names.

    :param description: what manifest.json holds.
    :param port: how a tensor lies on its stream.
    """

    def __init__(self, description: Mapping[str, Any], port: type[Port] = Port) -> None:
        self.inputs = {entry["name"]: port.of(entry) for entry in description["inputs"]}
        self.outputs = {entry["name"]: port.of(entry) for entry in description["outputs"]}
        self.tasks = {entry["name"]: entry["task"] for entry in description["outputs"]}
        self.clipped_inputs = 0  # values, of all calls of predict()

    @property
    def input(self) -> Port:
        """The only input."""
        return only(self.inputs, "input")

    @property
    def output(self) -> Port:
        """The only output."""
        return only(self.outputs, "output")

    def predict(self, x: Values) -> Any:
        """Real inputs → real outputs, by the scales and zero points of the manifest.

        Warns of inputs that are clipped; ``clipped_inputs`` counts them.

        :raises AcceleratorError: for NaN, for another shape, and for other names.
        """
        q = {}
        for name, values in self._checked(x).items():
            port = self.inputs[name]
            rounded = port.rounded(values)
            self.clipped_inputs += port.clipped(rounded)
            q[name] = port.saturated(rounded)
        results = self._run(q)
        return or_named({name: port.dequantize(results[name]) for name, port in self.outputs.items()})

    def decide(self, x: Values) -> Any:
        """Real inputs → what the network decides about each, by its task at each output: see `decisions`.

        :raises AcceleratorError: when the network has one output, which decides nothing; of several, only those that do
            decide something are returned.
        """
        y = by_name(self.predict(x), self.outputs)
        deciding = [name for name, task in self.tasks.items() if task["kind"] not in GIVES_NUMBERS]
        return or_named({name: decisions(self.tasks[name], y[name]) for name in deciding or y})

    @abstractmethod
    def _run(self, q: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Integers of every input → integers of every output."""

    def _checked(self, values: Values) -> dict[str, np.ndarray]:
        """The arrays of all inputs."""
        try:
            arrays = {name: np.asarray(array) for name, array in by_name(values, self.inputs).items()}
        except ValueError as error:
            raise AcceleratorError(str(error)) from error
        for name, array in arrays.items():
            shape = self.inputs[name].shape
            if array.ndim == 0 or array.shape[1:] != shape:
                which = "inputs" if len(arrays) == 1 else f"input '{name}'"
                wanted = f"(frames, {', '.join(map(str, shape))})"
                raise AcceleratorError(f"{which} must have the shape {wanted}, not {array.shape}")
        if len(counts := {name: len(array) for name, array in arrays.items()}) > 1 and len({*counts.values()}) > 1:
            told = ", ".join(f"{count} of '{name}'" for name, count in counts.items())
            raise AcceleratorError(f"all inputs must have as many frames, not {told}")
        return arrays
