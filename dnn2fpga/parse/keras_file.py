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

CODE = ("__lambda__", "function")  # what Keras calls code of the user's in a configuration


@dataclass(frozen=True)
class LayerEntry:
    """One layer as the file describes it."""

    class_name: str
    name: str
    config: dict[str, Any]
    inputs: tuple[str, ...]  # names of the layers it reads
    foreign: tuple[str, ...]  # classes in it that are not Keras' own


@dataclass(frozen=True)
class Architecture:
    """A model as the file describes it; layers in file order."""

    layers: tuple[LayerEntry, ...]
    outputs: int
    foreign: tuple[str, ...]  # classes outside the layers that are not Keras' own


def read_architecture(path: Path) -> Architecture:
    """The architecture in a ``.keras`` or ``.h5`` file; raises ``UserError``."""
    if not path.is_file():
        raise UserError(f"{path}: there is no such file; give the path of a model saved by Keras (.keras or .h5)")
    config = _model_config(path)
    kind, body = config.get("class_name"), config.get("config")
    layers = body.get("layers") if isinstance(body, dict) else body  # Keras 1 kept a bare list
    if kind not in ("Sequential", "Functional", "Model") or not isinstance(layers, list):
        raise UserError(f"{path}: a Sequential or Functional model is needed, not {kind!r}")
    if not all(isinstance(item, dict) and isinstance(item.get("config"), dict) for item in layers):
        raise UserError(f"{path}: its configuration describes no layers that can be read")
    around = dict(body, layers=[]) if isinstance(body, dict) else {}
    entries: list[LayerEntry] = []
    for item in layers:
        name = str(item["config"].get("name") or item.get("name"))
        previous = (entries[-1].name,) if kind == "Sequential" and entries else ()
        inputs = previous if kind == "Sequential" else tuple(_history(item.get("inbound_nodes") or []))
        entries.append(
            LayerEntry(str(item.get("class_name")), name, item["config"], inputs, tuple(foreign_objects(item)))
        )
    return Architecture(
        layers=tuple(entries),
        outputs=1 if kind == "Sequential" else len(list(_tensors(around.get("output_layers")))),
        foreign=tuple(foreign_objects({**config, "config": around})),
    )


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
    except Exception as error:  # a damaged file makes the readers of its format raise whatever they stumble over
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
        ".".join(filter(None, (str(item.get("module") or ""), str(item["class_name"]))))
        for item in _objects(config)
        if _is_foreign(item)
    ]


def _is_foreign(item: dict[str, Any]) -> bool:
    name, module = str(item["class_name"]), str(item.get("module") or "keras")
    registered_by_a_user = ">" in name  # package>class
    return name in CODE or registered_by_a_user or module.split(".")[0] not in ("keras", "builtins")


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
    """Names of the layers that inbound nodes refer to, in the notation of Keras 3 (``keras_history``) or Keras 2
    (bare lists).
    """
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


def _tensors(value: Any) -> Iterator[str]:
    """The layers in a model's list of inputs or outputs: one ``[layer, node, tensor]`` (Keras 3), or any nest of
    them.
    """
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        return
    if len(value) == 3 and isinstance(value[0], str):
        yield value[0]
    else:
        for item in value:
            yield from _tensors(item)
