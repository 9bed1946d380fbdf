"""The undamaged files that the campaigns begin with: of several structures, in all formats of Keras.

Keras writes them once, in a process of its own; public ones lie beside the data sets (``DNN2FPGA_DATA``), where there
are any.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
PUBLIC = Path(os.environ.get("DNN2FPGA_DATA", ROOT.parent / "shared" / "data")).parent
LARGEST = 200_000  # bytes; larger files only take longer

# Models of tests/model_zoo.py: name, suffix, whether by the functional interface.
STRUCTURES = [
    ("conv_relu", ".keras", False),
    ("conv_same_stride_2", ".h5", False),
    ("conv_conv", ".keras", True),
    ("depthwise_batch_norm", ".keras", False),
    ("depthwise_multiplier", ".h5", True),
    ("separable", ".keras", False),
    ("max_pooling_relu", ".h5", False),
    ("average_pooling_same", ".keras", False),
    ("global_average_keepdims", ".keras", True),
    ("dense_behind_flatten", ".keras", False),
    ("dense_sigmoid", ".h5", False),
    ("dense_tanh", ".keras", True),
    ("reshape_to_image", ".keras", False),
    ("batch_norm_dense", ".h5", True),
    ("rescaling_per_channel", ".keras", False),
    ("softmax_layer", ".h5", False),
    ("dropouts", ".keras", False),
]
MAKER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from model_zoo import Zoo
zoo = Zoo(Path(sys.argv[2]))
for model in sys.argv[3:]:
    name, suffix, functional = model.split(",")
    zoo.save(name, suffix, functional == "True")
"""
CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"  # members of a .keras file


@dataclass(frozen=True)
class Seed:
    """A model file, its suffix and the shape of one sample."""

    name: str
    suffix: str
    content: bytes

    @cached_property
    def config(self) -> Any:
        """The configuration as a tree, new for every caller of ``text``."""
        return json.loads(self.text)

    @cached_property
    def text(self) -> str:
        """The configuration as the file holds it."""
        if self.is_zip:
            return self.members[CONFIG].decode()
        with h5py.File(io.BytesIO(self.content)) as file:
            text = file.attrs["model_config"]
            return text.decode() if isinstance(text, bytes) else str(text)

    @cached_property
    def members(self) -> dict[str, bytes]:
        with zipfile.ZipFile(io.BytesIO(self.content)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    @property
    def is_zip(self) -> bool:
        return self.suffix == ".keras"

    @property
    def hdf5(self) -> bytes:
        """The part of the file that is HDF5."""
        return self.members[WEIGHTS] if self.is_zip else self.content

    @cached_property
    def has_weights(self) -> bool:
        found: list[bool] = []
        with h5py.File(io.BytesIO(self.hdf5)) as file:
            file.visititems(lambda _, item: found.append(isinstance(item, h5py.Dataset) and bool(item.shape)))
        return any(found)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        return next(_shapes(self.config))

    def with_text(self, text: str) -> bytes:
        """The file with another configuration."""
        if self.is_zip:
            return packed({**self.members, CONFIG: text.encode("utf-8", "surrogatepass")})
        buffer = io.BytesIO(self.content)
        with h5py.File(buffer, "r+") as file:
            try:
                file.attrs["model_config"] = text
            except (ValueError, UnicodeEncodeError):  # HDF5 keeps no NUL in a string
                file.attrs["model_config"] = np.void(text.encode("utf-8", "surrogatepass"))
        return buffer.getvalue()

    def with_hdf5(self, content: bytes) -> bytes:
        """The file with other weights."""
        return packed({**self.members, WEIGHTS: content}) if self.is_zip else content


def packed(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return buffer.getvalue()


def bomb(members: dict[str, bytes], name: str, start: bytes, filling: bytes, size: int) -> bytes:
    """A zip with one more member, of ``size`` bytes, nearly all of them the same."""
    buffer, info = io.BytesIO(packed(members)), zipfile.ZipInfo(name)
    info.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(buffer, "a") as archive, archive.open(info, "w", force_zip64=True) as file:
        file.write(start)
        for _ in range(size >> 24):
            file.write(filling * (1 << 24))
    return buffer.getvalue()


def _shapes(tree: Any) -> Iterator[tuple[int, ...]]:
    """The shapes of samples in a configuration, from the first layer on."""
    if isinstance(tree, dict):
        for key in ("batch_shape", "batch_input_shape", "build_input_shape"):
            if isinstance(tree.get(key), list) and len(tree[key]) > 1:
                yield tuple(size or 8 for size in tree[key][1:])
        for value in tree.values():
            yield from _shapes(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _shapes(value)


def seeds(folder: Path) -> list[Seed]:
    """Read all seeds; those of ``STRUCTURES`` are made in ``folder`` if they are not there."""
    folder.mkdir(parents=True, exist_ok=True)
    made = [folder / f"{name}{'_functional' if functional else ''}{suffix}" for name, suffix, functional in STRUCTURES]
    if missing := [",".join(map(str, one)) for one, path in zip(STRUCTURES, made, strict=True) if not path.is_file()]:
        command = [sys.executable, "-c", MAKER, str(ROOT / "tests"), str(folder), *missing]
        subprocess.run(command, check=True, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"})
    public = [p for part in ("cases/models", "models") for p in sorted((PUBLIC / part).rglob("*"))]
    found = [
        Seed(f"{path.parent.name}/{path.name}", path.suffix, path.read_bytes())
        for path in [*made, *public]
        if path.suffix in (".keras", ".h5") and path.stat().st_size < LARGEST
    ]
    return [seed for seed in found if _is_model(seed)]


def _is_model(seed: Seed) -> bool:
    """Return whether the seed holds a configuration; files with weights alone have nothing to change."""
    try:
        return bool(seed.shape)
    except (KeyError, StopIteration):
        return False


def samples(shape: tuple[int, ...], count: int = 8) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (count, *shape)).astype(np.float32)
