"""Looks into a Keras model file without running anything in it: a model file is data from a stranger.

Keras may only load the file after every class named in it is known to be one of its own.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dnn2fpga.errors import UserError


@dataclass(frozen=True)
class LayerEntry:
    """One layer as the file describes it."""

    class_name: str
    name: str
    config: dict[str, Any]
    inputs: tuple[str, ...]  # names of the layers it reads
    foreign: tuple[str, ...]  # classes in it that are not Keras' own


def read_architecture(path: Path) -> list[LayerEntry]:
    """The layers of a ``.keras`` or ``.h5`` model in file order; raises ``UserError``."""
    if not path.is_file():
        raise UserError(f"{path}: there is no such file; give the path of a model saved by Keras (.keras or .h5)")
    config = _model_config(path)
    kind, body = config.get("class_name"), config.get("config")
    layers = body if isinstance(body, list) else (body or {}).get("layers")  # Keras 1 kept a bare list
    if kind not in ("Sequential", "Functional", "Model") or not isinstance(layers, list):
        raise UserError(f"{path}: a Sequential or Functional model is needed, not {kind!r}")
    entries: list[LayerEntry] = []
    for item in layers:
        config = item.get("config") or {}
        name = str(config.get("name") or item.get("name"))
        previous = (entries[-1].name,) if kind == "Sequential" and entries else ()
        inputs = previous if kind == "Sequential" else tuple(_history(item.get("inbound_nodes") or []))
        entries.append(LayerEntry(str(item.get("class_name")), name, config, inputs, tuple(foreign_objects(item))))
    return entries


def _model_config(path: Path) -> dict[str, Any]:
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                text: Any = archive.read("config.json")
        else:
            import h5py

            with h5py.File(path) as file:
                text = file.attrs["model_config"]
        config = json.loads(text)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path}: not a Keras model that can be read ({type(error).__name__}); "
            "save it with model.save('name.keras'), and check that the file is complete"
        ) from error
    if not isinstance(config, dict):
        raise UserError(f"{path}: its configuration describes no model")
    return config


def foreign_objects(config: Any) -> list[str]:
    """Objects whose loading would import or run somebody's code: ``module.class`` of each that is not Keras' own."""
    return [
        f"{item['module']}.{item['class_name']}"
        for item in _objects(config)
        if str(item.get("module") or "keras").split(".")[0] not in ("keras", "builtins")
    ]


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every serialized object in a configuration."""
    if isinstance(value, dict):
        if "class_name" in value:
            yield value
        for item in value.values():
            yield from _objects(item)
    elif isinstance(value, list):
        for item in value:
            yield from _objects(item)


def _history(value: Any) -> Iterator[str]:
    """Names of the layers that inbound nodes refer to, in the notation of Keras 3 (``keras_history``) or Keras 2 (bare lists)."""
    if isinstance(value, dict):
        if "keras_history" in value:
            yield str(value["keras_history"][0])
        else:
            for item in value.values():
                yield from _history(item)
    elif isinstance(value, list):
        if len(value) >= 3 and isinstance(value[0], str) and all(isinstance(n, int) for n in value[1:3]):
            yield value[0]
        else:
            for item in value:
                yield from _history(item)
