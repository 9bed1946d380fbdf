"""Finished stages on disk: ``<folder>/<stage>/`` holds the stage's attempts and its best model. A stage counts only for
the very model, data and settings with which it was finished.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dnn2fpga.data import Data
from dnn2fpga.files.atomic import replaced_folder
from dnn2fpga.graph import files as config_files
from dnn2fpga.graph.float import Graph
from dnn2fpga.optimize.post_training import Quantization
from dnn2fpga.optimize.problem import Candidate, Try

STAGE_FILE, ARRAYS_FILE = "stage.json", "arrays.npz"
ROWS = 4096  # of a data set that its digest looks at, evenly spread


class Checkpoints:
    """:param key: what the stages depend on (``key_of``)."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key = folder, key

    def load(self, stage: str, further: str = "") -> tuple[Candidate, tuple[Try, ...]] | None:
        """Return the best candidate of a finished stage, and all its attempts."""
        record = self._record(stage, further)
        if record is None:
            return None
        tries = tuple(Try.model_validate(one) for one in record["tries"])
        model = config_files.load(self.folder / stage)
        return Candidate(model, tries[record["best"]], Quantization.model_validate(record["settings"])), tries

    def save(self, stage: str, best: Candidate, tries: Iterable[Try], further: str = "") -> None:
        tries = list(tries)
        record = {
            "key": self.key + further,
            "best": tries.index(best.result),
            "tries": [one.model_dump(mode="json") for one in tries],
            "settings": best.settings.model_dump(mode="json", exclude_none=True),
        }
        with replaced_folder(self.folder / stage) as new:
            config_files.save(best.model, new)
            (new / STAGE_FILE).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

    def load_arrays(self, stage: str, graph: Graph) -> tuple[Graph, dict[str, np.ndarray]] | None:
        """A graph of the same layers with the numbers that were saved, and the other arrays."""
        record = self._record(stage, "")
        if record is None:
            return None
        with np.load(self.folder / stage / ARRAYS_FILE, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        # A layer in several nodes stays one.
        layers = {id(node.layer): _with_arrays(node.layer, f"layers/{node.name}", arrays) for node in graph.nodes}
        rest = {name.removeprefix("masks/"): array for name, array in arrays.items() if name.startswith("masks/")}
        return graph.mapped(lambda node: layers[id(node.layer)], notes=tuple(record["notes"])), rest

    def save_arrays(self, stage: str, graph: Graph, masks: dict[str, np.ndarray]) -> None:
        arrays = {f"masks/{name}": np.asarray(mask) for name, mask in masks.items()}
        for node in graph.nodes:
            arrays |= _arrays_of(node.layer, f"layers/{node.name}")
        with replaced_folder(self.folder / stage) as new:
            np.savez_compressed(new / ARRAYS_FILE, **arrays)  # type: ignore[arg-type]
            (new / STAGE_FILE).write_text(json.dumps({"key": self.key, "notes": graph.notes}) + "\n", encoding="utf-8")

    def _record(self, stage: str, further: str) -> Any:
        try:
            record = json.loads((self.folder / stage / STAGE_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return record if isinstance(record, dict) and record.get("key") == self.key + further else None


def key_of(graph: Graph, data: Iterable[Data | None], settings: Iterable[str]) -> str:
    """A digest of everything that a result depends on."""
    sum = hashlib.sha256()
    for text in (*settings, repr(_outside(graph))):
        sum.update(text.encode())
    for node in graph.nodes:
        sum.update(repr([node.name, node.inputs, node.layer.kind, _described(node.layer)]).encode())
        for name, array in _arrays_of(node.layer, "").items():
            sum.update(name.encode() + np.ascontiguousarray(array).tobytes())
    for one in data:
        for what, arrays in (("x", one.inputs(graph.inputs)), ("y", one.labels(graph.outputs))) if one else ():
            for name, array in arrays.items():
                rows = np.linspace(0, len(array) - 1, min(len(array), ROWS)).astype(np.int64)
                sum.update(f"{what} {name} {array.shape}".encode() + np.ascontiguousarray(array[rows]).tobytes())
    return sum.hexdigest()


def _outside(graph: Graph) -> list[Any]:
    """Everything about a graph but its layers."""
    return [graph.name, graph.inputs, graph.outputs, graph.tasks, graph.notes, graph.float_parameters]


def _arrays_of(value: Any, path: str) -> dict[str, np.ndarray]:
    """All arrays in a layer, also in the parts that are dataclasses themselves, by path."""
    arrays: dict[str, np.ndarray] = {}
    for field in fields(value):
        part, name = getattr(value, field.name), f"{path}/{field.name}"
        if isinstance(part, np.ndarray):
            arrays[name] = part
        elif is_dataclass(part):
            arrays |= _arrays_of(part, name)
    return arrays


def _described(value: Any) -> list[Any]:
    """Return the fields of a layer, without the numbers in its arrays: of an array type and shape."""
    described: list[Any] = []
    for field in fields(value):
        part = getattr(value, field.name)
        if isinstance(part, np.ndarray):
            described.append((field.name, part.dtype.str, part.shape))
        else:
            described.append((field.name, _described(part) if is_dataclass(part) else part))
    return described


def _with_arrays(value: Any, path: str, arrays: dict[str, np.ndarray]) -> Any:
    changes: dict[str, Any] = {}
    for field in fields(value):
        part, name = getattr(value, field.name), f"{path}/{field.name}"
        if isinstance(part, np.ndarray):
            changes[field.name] = arrays[name]
        elif is_dataclass(part):
            changes[field.name] = _with_arrays(part, name, arrays)
    return replace(value, **changes)
