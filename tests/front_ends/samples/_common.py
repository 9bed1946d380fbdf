"""What every `make.py` beside it uses: seeded pictures, and one way to write `io.npz` and `README`."""

from importlib.metadata import version
from pathlib import Path
from platform import python_version
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np

FRAMES = 32  # frames that a sample records, unless it says otherwise


def pictures(count: int, height: int, width: int, channels: int = 1, *, classes: int = 4, seed: int = 0):
    """Pictures in k/256, black and white parts included, and their labels.

    Each class is a sum of a few blobs, shifted by up to one pixel, with noise.
    """
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0 : height + 2, 0 : width + 2]
    templates = np.zeros((classes, height + 2, width + 2, channels))
    for template in templates:
        for channel in range(channels):
            for _ in range(3):
                row, column = rng.uniform(0, height + 1), rng.uniform(0, width + 1)
                spread = rng.uniform(1, 6)
                blob = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / spread)
                template[..., channel] += rng.uniform(0.4, 1.2) * blob
    labels = rng.integers(0, classes, count)
    frames = np.empty((count, height, width, channels))
    for frame, label in zip(frames, labels, strict=True):
        top, left = rng.integers(0, 3, 2)
        frame[:] = templates[label, top : top + height, left : left + width]
    frames += rng.normal(0, 0.08, frames.shape)
    return (np.clip(np.floor(frames * 256), 0, 255) / 256).astype(np.float32), labels


def vectors(count: int, features: int, *, classes: int = 4, seed: int = 0):
    """Vectors of both signs in k/256, about -3 to 3, and their labels."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(0, 1, (classes, features))
    labels = rng.integers(0, classes, count)
    values = centres[labels] + rng.normal(0, 0.5, (count, features))
    return (np.round(values * 256) / 256).astype(np.float32), labels


def deflate(archive: str) -> None:
    """Compress the members of a zip file that a tool stored, in place: what a sample may weigh is limited."""
    with ZipFile(archive) as stored:
        members = {name: stored.read(name) for name in stored.namelist()}
    with ZipFile(archive, "w", ZIP_DEFLATED) as deflated:
        for name, content in members.items():
            deflated.writestr(name, content)


def versions(*packages: str) -> str:
    """Packages with their versions, for a `README`."""
    return ", ".join([*(f"{package} {version(package)}" for package in packages), f"Python {python_version()}"])


def finish(about: str | None, packages: tuple[str, ...], arrays: dict[str, np.ndarray]) -> None:
    """Write `io.npz`, and the `README` from what the script says about itself, the versions, and the arrays."""
    assert about is not None
    np.savez_compressed("io.npz", **arrays)
    lines = [about.strip(), "", f"Made by make.py with {versions(*packages)}.", "", "io.npz:"]
    for name, array in arrays.items():
        spread = f", {array.min():.6g} to {array.max():.6g}" if array.size and array.dtype.kind in "iuf" else ""
        lines.append(f"- {name}: {array.dtype} {tuple(array.shape)}{spread}")
    Path("README").write_text("\n".join(lines) + "\n")
    total = sum(file.stat().st_size for file in Path().rglob("*") if file.is_file())
    print(f"{Path().resolve().name}: {total} bytes in all")
    for name, array in arrays.items():
        if array.dtype.kind in "iuf" and array.size > 1 and array.min() == array.max():
            print(f"  {name} is constant: {array.flat[0]}")
