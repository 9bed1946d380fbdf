"""Vector folders: the numbers that must pass every boundary, read with the standard library only."""

from __future__ import annotations

import sys
from array import array
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from bundle import Boundary, Manifest, Port, read_json
from errors import BundleError


@dataclass(frozen=True, eq=False)  # compared by identity, so that what is computed from it can be cached
class Vectors:
    """Frames `first .. first + frames - 1` of a vector folder."""

    folder: Path
    manifest: Manifest
    first: int
    frames: int

    def path(self, boundary: Boundary) -> Path:
        """The file of one boundary."""
        return self.folder / f"boundary_{boundary.tensor}.bin"

    @cached_property
    def _arrays(self) -> dict[str, array[int]]:
        return {}

    def lanes(self, boundary: Boundary, frame: int, beat: int) -> list[int]:
        """The numbers of one beat; `frame` counts within this selection and wraps around at its end."""
        if boundary.tensor not in self._arrays:
            self._arrays[boundary.tensor] = self._load(boundary)
        start = ((frame % self.frames) * boundary.beats + beat) * boundary.lanes
        return self._arrays[boundary.tensor][start : start + boundary.lanes].tolist()

    def _load(self, b: Boundary) -> array[int]:
        """Read the selected frames of one boundary and demand that every number fits its format."""
        numbers = array(b.typecode)
        with self.path(b).open("rb") as file:
            file.seek(self.first * b.beats * b.beat_bytes)
            numbers.frombytes(file.read(self.frames * b.beats * b.beat_bytes))
        if sys.byteorder == "big":
            numbers.byteswap()
        low, high = b.limits()
        if min(numbers) < low or max(numbers) > high:
            raise BundleError(
                f"{self.path(b)}: numbers must lie in {low} .. {high}, not {min(numbers)} .. {max(numbers)}"
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
        file = vectors.path(b)
        if not file.is_file():
            raise BundleError(f"{file}: is missing")
        expected = total * b.beats * b.beat_bytes
        if file.stat().st_size != expected:
            raise BundleError(f"{file}: must be {expected} bytes ({total} frames), not {file.stat().st_size}")
    return vectors


@lru_cache(maxsize=1024)
def payloads(vectors: Vectors, tensor: str) -> list[int]:
    """Return the payloads that must pass a boundary, all selected frames in a row."""
    b = vectors.manifest.boundary(tensor)
    return [b.pack(vectors.lanes(b, f, n)) for f in range(vectors.frames) for n in range(b.beats)]


@lru_cache(maxsize=64)
def words(vectors: Vectors, port: Port) -> list[int]:
    """Return the data words of an AXI4-Stream port, all selected frames in a row."""
    b = vectors.manifest.boundary(port.tensor)
    return [b.pack(vectors.lanes(b, f, n), port.lane_bits) for f in range(vectors.frames) for n in range(b.beats)]
