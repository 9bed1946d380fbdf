"""Keras files with another configuration or other arrays, for tests of what a reader refuses."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py

CONFIG, WEIGHTS = "config.json", "model.weights.h5"


def unchanged(_: Any) -> None:
    """Leave it as it is."""


def changed(
    source: Path,
    target: Path,
    config: Callable[[dict[str, Any]], None] = unchanged,
    weights: Callable[[h5py.File], None] = unchanged,
) -> Path:
    """Write a ``.keras`` file like ``source``.

    :param config: changes what the configuration says of its layers, by name, in place.
    :param weights: changes its arrays in place.
    """
    with zipfile.ZipFile(source) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    model = json.loads(members[CONFIG])
    config({layer["config"]["name"]: layer for layer in model["config"]["layers"]})
    buffer = io.BytesIO(members[WEIGHTS])
    with h5py.File(buffer, "r+") as file:
        weights(file)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**members, CONFIG: json.dumps(model), WEIGHTS: buffer.getvalue()}.items():
            archive.writestr(name, content)
    return target
