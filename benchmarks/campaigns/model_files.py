"""Thousands of damaged and hostile model files, each read by ``dnn2fpga quantize``."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import h5py
import numpy as np

from . import damage, model_containers, model_settings, model_weights
from .seeds import Seed, samples
from .trial import Trial

Made = tuple[bytes, str]  # content and suffix
Change = Callable[[Seed, Random], Made]


def _changed_text(change: model_settings.Change) -> Change:
    return lambda seed, random: (seed.with_text(change(seed.text, random)), seed.suffix)


def _changed_weights(change: model_weights.Change) -> Change:
    return lambda seed, random: (seed.with_hdf5(model_weights.changed(seed.hdf5, change, random)), seed.suffix)


def _damaged(change: Callable[[bytes, Random], bytes]) -> Change:
    return lambda seed, random: (change(seed.content, random), seed.suffix)


def _unchanged(seed: Seed, random: Random) -> Made:
    return seed.content, seed.suffix


UNCHANGED = "unchanged"
CHANGES: dict[str, Change] = {
    UNCHANGED: _unchanged,
    **{kind: _changed_text(change) for kind, change in model_settings.CHANGES.items()},
    **{kind: _changed_weights(change) for kind, change in model_weights.CHANGES.items()},
    **model_containers.CHANGES,
    **{f"bytes: {kind}": _damaged(change) for kind, change in damage.DAMAGE.items()},
}
DAMAGED = {kind: change for kind, change in CHANGES.items() if kind != UNCHANGED}


def trials(seeds: list[Seed], count: int, seed: int) -> Iterator[Trial]:
    """Yield at least ``count`` trials, as many of every kind; and the unchanged files, which are not among them."""
    for number, model in enumerate(seeds[:count]):
        yield trial(UNCHANGED, model, f"{UNCHANGED} {number}")
    for number in range(-(-count // len(DAMAGED))):
        for kind in DAMAGED:
            name = f"{kind} {seed}.{number}"
            yield trial(kind, Random(name).choice(seeds), name)


def trial(kind: str, model: Seed, name: str) -> Trial:
    content, suffix = CHANGES[kind](model, Random(name))
    file = f"model{suffix}"

    def make(folder: Path) -> None:
        (folder / file).write_bytes(content)
        np.savez(folder / "data.npz", x=samples(model.shape))

    return Trial(
        kind=kind,
        name=name,
        arguments=("quantize", file, "--data", "data.npz", "-o", "out"),
        make=make,
        opens=opens(content),
    )


def opens(content: bytes) -> bool:
    """Return whether the content opens as a zip or as HDF5; asked in another process, for it may take this one down."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        os.write(write, b"y" if _opens(content) else b"n")
        os._exit(0)
    os.close(write)
    answer = os.read(read, 1)
    os.close(read)
    os.waitpid(pid, 0)
    return answer == b"y"


def _opens(content: bytes) -> bool:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return bool(archive.namelist())
    except Exception:
        pass
    try:
        with h5py.File(io.BytesIO(content)) as file:
            return len(file) >= 0
    except Exception:
        return False
