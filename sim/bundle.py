"""The bundle as the testbench sees it: `manifest.json`, read with the standard library only and validated."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from errors import BundleError
from formats import NumberFormat

MANIFEST_VERSION = 2
TOP = "accelerator"
RTL_FILE = "rtl/accelerator.v"


@dataclass(frozen=True, kw_only=True)
class Port(NumberFormat):
    """An AXI4-Stream port of the accelerator, whose signals begin with `axis`, and the boundary at it."""

    name: str
    tensor: str
    axis: str
    lane_bits: int
    tdata_bits: int


@dataclass(frozen=True, kw_only=True)
class OutputPort(Port):
    """An output, and the cycles that the plan says of it."""

    fifo: int
    latency_cycles: int
    interval_cycles: int


@dataclass(frozen=True, kw_only=True)
class Edge:
    """A tensor that a layer reads, and how many beats a FIFO between the two holds."""

    tensor: str
    fifo: int


@dataclass(frozen=True, kw_only=True)
class Boundary(NumberFormat):
    """The stream of one tensor, what its layer reads, and the cycles in which the plan says that its beats pass."""

    index: int
    tensor: str
    kind: str
    inputs: tuple[Edge, ...]
    first_cycle: int
    last_cycle: int
    interval_cycles: int

    def __str__(self) -> str:
        return f"layer '{self.tensor}' ({self.kind})" if self.inputs else f"input '{self.tensor}'"

    def signal(self, name: str) -> str:
        """The name of one of its signals in the module of the network."""
        return f"boundary_{self.tensor}_{name}"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The contents of `manifest.json`, validated; `root` is the folder of the bundle."""

    root: Path
    model: str
    top: str
    files: dict[str, str]
    inputs: tuple[Port, ...]
    outputs: tuple[OutputPort, ...]
    boundaries: tuple[Boundary, ...]  # in topological order
    latency_cycles: int
    interval_cycles: int
    interval_frames: int  # of whose distances the interval is the mean
    steady_frames: int  # that must have left before the interval can be measured

    @property
    def frames_to_measure(self) -> int:
        """The frames that must leave before the interval can be seen."""
        return max(self.steady_frames, self.interval_frames + 1)

    @property
    def rtl(self) -> Path:
        """The Verilog of the design."""
        return self.root / RTL_FILE

    def boundary(self, tensor: str) -> Boundary:
        """The boundary of a tensor."""
        return next(b for b in self.boundaries if b.tensor == tensor)

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
    files = data.get("files", {})
    if not isinstance(files, dict):
        raise BundleError(f"{path}: files must be an object of digests, not {files!r}")
    manifest = Manifest(
        root=root.resolve(),
        model=_value(data, "model", str, f"{path}"),
        top=_value(data, "top", str, f"{path}"),
        files=files,
        inputs=_records(Port, data, "inputs", f"{path}: "),
        outputs=_records(OutputPort, data, "outputs", f"{path}: "),
        boundaries=_records(Boundary, data, "boundaries", f"{path}: "),
        latency_cycles=_value(data, "latency_cycles", int, f"{path}"),
        interval_cycles=_value(data, "interval_cycles", int, f"{path}"),
        interval_frames=_value(data, "interval_frames", int, f"{path}"),
        steady_frames=_value(data, "steady_frames", int, f"{path}"),
    )
    if problem := _contradiction(manifest):
        raise BundleError(f"{path}: {problem}")
    return manifest


def _value(data: dict[str, Any], key: str, kind: type, where: str) -> Any:
    value = data.get(key)
    # bool is an int to Python, and not to us
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise BundleError(f"{where}: {key} must be {kind.__name__}, not {value!r}")
    return value


def _records(kind: type, data: dict[str, Any], key: str, where: str, *, least: int = 1) -> tuple[Any, ...]:
    """Build dataclasses of a kind from a list of JSON objects."""
    items = data.get(key)
    if not isinstance(items, list) or len(items) < least:
        raise BundleError(f"{where}{key} must be a list{' that is not empty' if least else ''}, not {items!r}")
    return tuple(_record(kind, item, f"{where}{key}[{i}]") for i, item in enumerate(items))


def _record(kind: type, data: Any, where: str) -> Any:
    """Build a dataclass of a kind from a JSON object; keys that only other tools need are ignored."""
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
        elif field.name == "inputs":
            values["inputs"] = _records(Edge, data, "inputs", f"{where}: ", least=0)
        else:
            values[field.name] = _value(data, field.name, types[str(field.type)], where)
    for key in values.keys() & {"width", "lanes", "beats", "pixels"}:
        if values[key] < 1:
            raise BundleError(f"{where}: {key} must be at least 1, not {values[key]}")
    for key in values.keys() & {"name", "tensor", "axis"}:
        if not re.fullmatch(r"[A-Za-z_]\w*", values[key], re.ASCII):
            raise BundleError(f"{where}: {key} must be letters, digits and _, not {values[key]!r}")
    if values.get("width", 1) > 32:
        raise BundleError(f"{where}: width must be at most 32, not {values['width']}")
    return kind(**values)


def _contradiction(manifest: Manifest) -> str | None:
    """Return where parts of the manifest contradict each other, if they do."""
    if manifest.top != TOP:
        return f"top must be {TOP!r}, not {manifest.top!r}"
    return (
        _wrong_network(manifest)
        or next(filter(None, (_wrong_port(port, manifest) for port in (*manifest.inputs, *manifest.outputs))), None)
        or next(filter(None, (_wrong_size(item) for item in (*manifest.boundaries, *manifest.inputs))), None)
    )


def _wrong_network(manifest: Manifest) -> str | None:
    """A boundary that cannot be at its place."""
    before: set[str] = set()
    for index, b in enumerate(manifest.boundaries):
        where = f"boundaries[{index}]"
        if b.index != index:
            return f"{where}: index must be {index}, not {b.index}"
        if b.tensor in before:
            return f"{where}: there must be one boundary of tensor {b.tensor!r}, not several"
        for edge in b.inputs:
            if edge.tensor not in before:
                return f"{where}: inputs must be tensors of boundaries before it, not {edge.tensor!r}"
        before.add(b.tensor)
    read = {edge.tensor for b in manifest.boundaries for edge in b.inputs} | {p.tensor for p in manifest.outputs}
    if unread := [b.tensor for b in manifest.boundaries if b.tensor not in read]:
        return f"tensor {unread[0]!r} must be read by a layer or an output port"
    entries, ports = [b.tensor for b in manifest.boundaries if not b.inputs], [p.tensor for p in manifest.inputs]
    if sorted(entries) != sorted(ports):
        return f"inputs must be one port for each of the tensors {entries}, which no layer produces, not {ports}"
    axes = [port.axis for port in (*manifest.inputs, *manifest.outputs)]
    return f"axis must be another name for each port, not {axes}" if len(set(axes)) < len(axes) else None


def _wrong_port(port: Port, manifest: Manifest) -> str | None:
    """Return what is wrong with a port, alone or beside its boundary."""
    where = f"port {port.axis}"
    if port.tensor not in (b.tensor for b in manifest.boundaries):
        return f"{where}: tensor must be that of a boundary, not {port.tensor!r}"
    boundary = manifest.boundary(port.tensor)
    for key in ("signed", "width", "lanes", "beats", "pixels"):
        if getattr(port, key) != getattr(boundary, key):
            return f"{where}: {key} must be that of boundary {port.tensor!r}, not {getattr(port, key)!r}"
    if port.lane_bits != (port.width + 7) // 8 * 8:
        return f"{where}: lane_bits must be width rounded up to a multiple of 8, not {port.lane_bits}"
    if port.tdata_bits != port.lanes * port.lane_bits:
        return f"{where}: tdata_bits must be lanes * lane_bits, not {port.tdata_bits}"
    return None


def _wrong_size(item: NumberFormat) -> str | None:
    """Beats that do not make up the shape."""
    if item.numbers == item.lanes * item.beats:
        return None
    return (
        f"lanes * beats must be the {item.numbers} numbers of shape {list(item.shape)}, not {item.lanes} * {item.beats}"
    )
