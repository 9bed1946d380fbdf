"""The configuration files: ``model.yaml`` (structure, formats, scales) and ``weights.npz`` (integers)."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from pydantic import Field, ValidationError

import dnn2fpga.layers  # noqa: F401 - registers the layer kinds
from dnn2fpga.errors import UserError
from dnn2fpga.files.arrays import UnreadableArrays, read_arrays
from dnn2fpga.files.described import Described
from dnn2fpga.files.validation import CountOrNone, problems_of
from dnn2fpga.files.yaml_files import read_yaml
from dnn2fpga.graph.quantized import FORMAT_VERSION, QuantizedGraph
from dnn2fpga.layers.quantized import QuantizedLayer
from dnn2fpga.layers.registry import quantized_kinds
from dnn2fpga.task import Ending, Task, kind_problem, unlabelled_task
from dnn2fpga.tensors.tensor import Arithmetic, Tensor

MODEL_FILE, WEIGHTS_FILE = "model.yaml", "weights.npz"


class _ModelFile(Described):
    format_version: int
    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    float_parameters: CountOrNone
    task: Task | None = None
    decision: Literal["argmax"] | None = Field(
        default=None, exclude=True
    )  # in files older than tasks: a softmax was last
    notes: tuple[str, ...]
    input: Tensor
    layers: tuple[dict[str, Any], ...]


def save(graph: QuantizedGraph, folder: Path) -> None:
    """Writes both files into an existing folder; the same graph gives the same bytes."""
    described = _ModelFile(
        format_version=FORMAT_VERSION,
        name=graph.name,
        float_parameters=graph.float_parameters,
        task=graph.task,
        notes=graph.notes,
        input=graph.input,
        layers=tuple(_describe(layer) for layer in graph.layers),
    )
    text = yaml.dump(described.model_dump(mode="json"), Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
    header = "# Configuration of a dnn2fpga accelerator (docs/arithmetic.md). The integers are in weights.npz.\n"
    (folder / MODEL_FILE).write_text(header + text, encoding="utf-8")
    arrays = {
        f"{layer.name}/{field}": getattr(layer, field) for layer in graph.layers for field in layer.array_fields()
    }
    _save_arrays(folder / WEIGHTS_FILE, arrays)


def _describe(layer: QuantizedLayer) -> dict[str, Any]:
    fields = layer.model_dump(mode="json", exclude=set(layer.array_fields()))
    return {"name": fields.pop("name"), "kind": layer.kind, **fields}


class _Dumper(yaml.SafeDumper):
    """Short lists and tensors on one line, as a person would write them."""

    def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> yaml.SequenceNode:
        plain = all(isinstance(item, int | float) for item in sequence)
        return super().represent_sequence(tag, sequence, flow_style=True if plain else flow_style)

    def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> yaml.MappingNode:
        short = "lanes" in mapping or "rounding" in mapping
        return super().represent_mapping(tag, mapping, flow_style=True if short else flow_style)


def _save_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """An ``.npz`` without time stamps (``numpy.savez`` would write the current time into the archive)."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(arrays):
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, _narrowed(arrays[name]), version=(1, 0), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, buffer.getvalue())


def _narrowed(array: np.ndarray) -> np.ndarray:
    """Integers in the narrowest type that holds them."""
    if array.dtype == np.float32:
        return array
    low, high = int(array.min(initial=0)), int(array.max(initial=0))
    types = (np.int8, np.int16, np.int32, np.int64)
    return array.astype(next(t for t in types if np.iinfo(t).min <= low and high <= np.iinfo(t).max))


def load(folder: Path) -> QuantizedGraph:
    """Reads and validates both files; raises ``UserError`` with all problems found."""
    path = folder / MODEL_FILE
    if not path.is_file():
        raise UserError(f"{path}: there is no such file; 'dnn2fpga quantize' writes it")
    raw = read_yaml(path)
    try:
        described = _ModelFile.model_validate(raw)
    except ValidationError as error:
        raise UserError(
            problems_of(
                error, path, {"": _ModelFile.model_fields, "input": Tensor.model_fields, "task": Task.model_fields}
            )
        ) from error
    if described.format_version != FORMAT_VERSION:
        raise UserError(f"{path}: format_version must be {FORMAT_VERSION}, not {described.format_version}")
    arrays = _load_arrays(folder / WEIGHTS_FILE)
    problems: list[str] = []
    layers = [_layer(path, k, fields, arrays, problems) for k, fields in enumerate(described.layers)]
    if problems:
        raise UserError(problems)
    graph = QuantizedGraph(
        name=described.name,
        input_name="input",
        input=described.input,
        layers=tuple(layer for layer in layers if layer is not None),
        decided=described.task,
        notes=described.notes,
        float_parameters=described.float_parameters,
    )
    _check_chain(path, graph)
    return _with_checked_task(path, graph, described)


def _with_checked_task(path: Path, graph: QuantizedGraph, described: _ModelFile) -> QuantizedGraph:
    if described.task is None and described.decision is not None:
        interface = replace(graph.interface, ending=Ending.SOFTMAX)
        return replace(graph, decided=unlabelled_task(interface))
    if problem := kind_problem(graph.interface, graph.task.kind):
        raise UserError(f"{path}: task.kind: {problem}")
    return graph


def _layer(
    path: Path, index: int, fields: dict[str, Any], arrays: dict[str, np.ndarray], problems: list[str]
) -> QuantizedLayer | None:
    fields = dict(fields)
    name, kind = fields.get("name", f"number {index}"), fields.pop("kind", None)
    cls = quantized_kinds.get(kind) if isinstance(kind, str) else None
    if cls is None:
        problems.append(
            f"{path}: layer '{name}': kind must be one of {', '.join(sorted(quantized_kinds))}, not {kind!r}"
        )
        return None
    missing = [field for field in cls.array_fields() if f"{name}/{field}" not in arrays]
    if missing:
        problems += [f"{path.parent / WEIGHTS_FILE}: the array '{name}/{field}' is missing" for field in missing]
        return None
    try:
        return cls.model_validate(fields | {field: arrays[f"{name}/{field}"] for field in cls.array_fields()})
    except ValidationError as error:
        problems += problems_of(error, Path(f"{path}: layer '{name}'"), _known_keys(cls))
        return None


def _known_keys(kind: type[QuantizedLayer]) -> dict[str, Iterable[str]]:
    return {"": [*kind.model_fields, "kind"], "output": Tensor.model_fields, "arithmetic": Arithmetic.model_fields}


def _check_chain(path: Path, graph: QuantizedGraph) -> None:
    problems = [] if graph.layers else [f"{path}: there must be at least one layer"]
    previous, names = graph.input_name, {graph.input_name}
    for index, layer in enumerate(graph.layers):
        label = f"{path}: layer '{layer.name}' ({layer.kind})"
        if layer.name in names:
            problems.append(f"{label}: the name is used twice")
        if layer.input != previous:
            problems.append(f"{label}: input must be '{previous}', the layer before it, not '{layer.input}'")
        try:
            operators = layer.operators(graph.input_of(index))
            given = operators[-1].output_beat if operators else None
            if given and (given.format, given.lanes) != (layer.output.format, layer.output.lanes):
                problems.append(f"{label}: output must have {given.lanes} lanes of {given.format}")
            shape = layer.output_shape(graph.input_of(index))
            if layer.output.shape != shape:
                problems.append(f"{label}: output.shape must be {list(shape)}, not {list(layer.output.shape)}")
        except (ValueError, OverflowError) as reason:
            problems.append(f"{label}: {reason}")
        previous = layer.name
        names.add(layer.name)
    if problems:
        raise UserError(problems)


def _load_arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        return read_arrays(path)
    except UnreadableArrays as error:
        raise UserError(f"{path}: cannot be read as an .npz of integers: {error}") from error
