"""The bundle as the testbench sees it: `manifest.json` and the vector folders, read with the standard library only.

A *beat* is handled as one integer, its payload: lane `c` of a boundary occupies bits `[c*width +: width]`; in the
AXI4-Stream data words it occupies `[c*lane_bits +: lane_bits]`, extended from `width` to `lane_bits`.
"""

from __future__ import annotations

import hashlib
import json
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from errors import BundleError

MANIFEST_VERSION = 1
TOP = "accelerator"
RTL_FILE = "rtl/accelerator.v"


@dataclass(frozen=True, kw_only=True)
class NumberFormat:
    """How a tensor travels: its shape, the format of its numbers, its numbers a beat (lanes), its beats a frame."""

    shape: tuple[int, ...]
    signed: bool
    width: int
    lanes: int
    beats: int
    pixels: int  # of an image in one beat

    @property
    def element_bytes(self) -> int:
        """Bytes of one number in a vector file."""
        return 1 if self.width <= 8 else 2 if self.width <= 16 else 4

    @property
    def beat_bytes(self) -> int:
        """Bytes of one beat in a vector file."""
        return self.lanes * self.element_bytes

    @property
    def typecode(self) -> str:
        """The `array` typecode of the elements of a vector file."""
        for code in "bhil":
            if array(code).itemsize == self.element_bytes:
                return code if self.signed else code.upper()
        raise BundleError(f"this Python has no array type of {self.element_bytes} bytes")

    def pack(self, lanes: Sequence[int], lane_bits: int | None = None) -> int:
        """One beat as an integer: the payload of a boundary, or with `lane_bits` an AXI4-Stream data word."""
        bits = lane_bits or self.width
        mask = (1 << bits) - 1
        payload = 0
        for lane, number in enumerate(lanes):
            payload |= (number & mask) << (lane * bits)
        return payload

    def unpack(self, payload: int, lane_bits: int | None = None) -> list[int]:
        """The numbers of one beat: the inverse of `pack`, sign included."""
        bits = lane_bits or self.width
        mask, half = (1 << bits) - 1, 1 << (bits - 1)
        numbers = [(payload >> (lane * bits)) & mask for lane in range(self.lanes)]
        return [n - (mask + 1) if self.signed and n >= half else n for n in numbers]

    def limits(self) -> tuple[int, int]:
        """The smallest and the largest number of the format."""
        return (-(1 << (self.width - 1)), (1 << (self.width - 1)) - 1) if self.signed else (0, (1 << self.width) - 1)

    def position(self, beat: int, lane: int) -> dict[str, int]:
        """Where a number lies in its tensor: row, column and channel of an image, else the index of the element."""
        if len(self.shape) == 3 and self.shape[2] * self.pixels == self.lanes:
            row, place = divmod(beat, -(-self.shape[1] // self.pixels))
            column, channel = divmod(lane, self.shape[2])
            return {"row": row, "column": place * self.pixels + column, "channel": channel}
        return {"element": beat * self.lanes + lane}


@dataclass(frozen=True, kw_only=True)
class Port(NumberFormat):
    """An AXI4-Stream port of the accelerator."""

    lane_bits: int
    tdata_bits: int


@dataclass(frozen=True, kw_only=True)
class Boundary(NumberFormat):
    """The stream after one layer, and the cycles in which the plan says that its beats pass."""

    index: int
    layer: str
    kind: str
    first_cycle: int
    last_cycle: int
    interval_cycles: int

    def __str__(self) -> str:
        return f"layer '{self.layer}' ({self.kind}), boundary {self.index}"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What `manifest.json` says, validated; `root` is the folder of the bundle."""

    root: Path
    model: str
    top: str
    files: dict[str, str]
    input: Port
    output: Port
    boundaries: tuple[Boundary, ...]
    latency_cycles: int
    interval_cycles: int
    steady_frames: int  # that must have left before the interval can be measured

    @property
    def rtl(self) -> Path:
        """The Verilog of the design."""
        return self.root / RTL_FILE

    def changed_files(self) -> list[str]:
        """The listed files, and the Verilog, whose content is not known to be what was generated."""

        def digest(path: Path) -> str | None:
            return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None

        listed = {RTL_FILE: ""} | self.files  # the Verilog counts as changed when nothing is said of it
        return [name for name, expected in sorted(listed.items()) if digest(self.root / name) != expected]


def read_json(path: Path) -> Any:
    """Parse a JSON file; every failure is a `BundleError` that names the file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise BundleError(f"{path}: is not valid JSON ({error})") from error


def load_manifest(root: Path) -> Manifest:
    """Read and validate `manifest.json` of the bundle in folder `root`."""
    path = root / "manifest.json"
    data = read_json(path)
    if not isinstance(data, dict):
        raise BundleError(f"{path}: must hold a JSON object, not {type(data).__name__}")
    version = data.get("manifest_version")
    if version != MANIFEST_VERSION:
        raise BundleError(
            f"{path}: manifest_version must be {MANIFEST_VERSION}, not {version!r}; use the sim/ of the same bundle"
        )
    boundaries = data.get("boundaries")
    if not isinstance(boundaries, list) or not boundaries:
        raise BundleError(f"{path}: boundaries must be a list that is not empty, not {boundaries!r}")
    files = data.get("files", {})
    if not isinstance(files, dict):
        raise BundleError(f"{path}: files must be an object of digests, not {files!r}")
    manifest = Manifest(
        root=root.resolve(),
        model=_value(data, "model", str, f"{path}"),
        top=_value(data, "top", str, f"{path}"),
        files=files,
        input=_record(Port, data.get("input"), f"{path}: input"),
        output=_record(Port, data.get("output"), f"{path}: output"),
        boundaries=tuple(_record(Boundary, b, f"{path}: boundaries[{i}]") for i, b in enumerate(boundaries)),
        latency_cycles=_value(data, "latency_cycles", int, f"{path}"),
        interval_cycles=_value(data, "interval_cycles", int, f"{path}"),
        steady_frames=_value(data, "steady_frames", int, f"{path}"),
    )
    _validate(manifest, path)
    return manifest


def _value(data: dict[str, Any], key: str, kind: type, where: str) -> Any:
    value = data.get(key)
    # bool is an int to Python, and not to us
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise BundleError(f"{where}: {key} must be {kind.__name__}, not {value!r}")
    return value


def _record(kind: type, data: Any, where: str) -> Any:
    """Build one of the dataclasses above from a JSON object; keys that only other tools need are ignored."""
    if not isinstance(data, dict):
        raise BundleError(f"{where}: must be an object, not {data!r}")
    types = {"int": int, "str": str, "bool": bool}
    values: dict[str, Any] = {}
    for field in fields(kind):
        if field.name == "shape":
            shape = _value(data, "shape", list, where)
            if not shape or not all(isinstance(n, int) and n > 0 for n in shape):
                raise BundleError(f"{where}: shape must be a list of positive numbers, not {shape!r}")
            values["shape"] = tuple(shape)
        else:
            values[field.name] = _value(data, field.name, types[str(field.type)], where)
    for key in ("width", "lanes", "beats"):
        if values[key] < 1:
            raise BundleError(f"{where}: {key} must be at least 1, not {values[key]}")
    if values["width"] > 32:
        raise BundleError(f"{where}: width must be at most 32, not {values['width']}")
    return kind(**values)


def _validate(manifest: Manifest, path: Path) -> None:
    """Demand that the parts of the manifest agree with each other."""
    if manifest.top != TOP:
        raise BundleError(f"{path}: top must be {TOP!r}, not {manifest.top!r}")
    for index, boundary in enumerate(manifest.boundaries):
        if boundary.index != index:
            raise BundleError(f"{path}: boundaries[{index}]: index must be {index}, not {boundary.index}")
    ends = (("input", manifest.input, manifest.boundaries[0]), ("output", manifest.output, manifest.boundaries[-1]))
    for name, port, boundary in ends:
        for key in ("signed", "width", "lanes", "beats"):
            if getattr(port, key) != getattr(boundary, key):
                raise BundleError(
                    f"{path}: {name}.{key} must be that of boundary {boundary.index}, not {getattr(port, key)!r}"
                )
        if port.lane_bits != (port.width + 7) // 8 * 8:
            raise BundleError(
                f"{path}: {name}.lane_bits must be width rounded up to a multiple of 8, not {port.lane_bits}"
            )
        if port.tdata_bits != port.lanes * port.lane_bits:
            raise BundleError(f"{path}: {name}.tdata_bits must be lanes * lane_bits, not {port.tdata_bits}")
    for item in (*manifest.boundaries, manifest.input, manifest.output):
        numbers = 1
        for size in item.shape:
            numbers *= size
        # Rows of an image that travels in beats of several pixels end with numbers that are always 0.
        surplus = -item.shape[1] % item.pixels * item.shape[0] * item.shape[2] if item.pixels > 1 else 0
        if numbers + surplus != item.lanes * item.beats:
            raise BundleError(
                f"{path}: lanes * beats must be the {numbers + surplus} numbers of shape {list(item.shape)}, "
                f"not {item.lanes} * {item.beats}"
            )


@dataclass(frozen=True, eq=False)  # compared by identity, so that what is computed from it can be cached
class Vectors:
    """Frames `first .. first + frames - 1` of a vector folder."""

    folder: Path
    manifest: Manifest
    first: int
    frames: int

    def path(self, boundary: int) -> Path:
        """The file of one boundary."""
        return self.folder / f"boundary_{boundary}.bin"

    @cached_property
    def _arrays(self) -> dict[int, array[int]]:
        return {}

    def lanes(self, boundary: int, frame: int, beat: int) -> list[int]:
        """The numbers of one beat; `frame` counts within this selection and wraps around at its end."""
        b = self.manifest.boundaries[boundary]
        if boundary not in self._arrays:
            self._arrays[boundary] = self._load(b)
        start = ((frame % self.frames) * b.beats + beat) * b.lanes
        return self._arrays[boundary][start : start + b.lanes].tolist()

    def _load(self, b: Boundary) -> array[int]:
        """Read the selected frames of one boundary and demand that every number fits its format."""
        numbers = array(b.typecode)
        with self.path(b.index).open("rb") as file:
            file.seek(self.first * b.beats * b.beat_bytes)
            numbers.frombytes(file.read(self.frames * b.beats * b.beat_bytes))
        if sys.byteorder == "big":
            numbers.byteswap()
        low, high = b.limits()
        if min(numbers) < low or max(numbers) > high:
            raise BundleError(
                f"{self.path(b.index)}: numbers must lie in {low} .. {high}, not {min(numbers)} .. {max(numbers)}"
            )
        return numbers


def open_vectors(folder: Path, manifest: Manifest, *, first: int = 0, frames: int | None = None) -> Vectors:
    """Select frames of a vector folder (all of them when `frames` is None) and check the size of every file."""
    path = folder / "vectors.json"
    data = read_json(path)
    total = data.get("frames") if isinstance(data, dict) else None
    if not isinstance(total, int) or isinstance(total, bool) or total < 1:
        raise BundleError(f"{path}: frames must be a number of at least 1, not {total!r}")
    if not 0 <= first < total:
        raise BundleError(f"the first frame must be in 0 .. {total - 1} ({folder} has {total} frames), not {first}")
    if frames is not None and frames < 1:
        raise BundleError(f"the number of frames must be at least 1, not {frames}")
    vectors = Vectors(folder.resolve(), manifest, first, min(frames or total, total - first))
    for b in manifest.boundaries:
        file = vectors.path(b.index)
        if not file.is_file():
            raise BundleError(f"{file}: is missing")
        expected = total * b.beats * b.beat_bytes
        if file.stat().st_size != expected:
            raise BundleError(f"{file}: must be {expected} bytes ({total} frames), not {file.stat().st_size}")
    return vectors
