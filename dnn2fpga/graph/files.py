"""The configuration files: ``model.yaml`` (structure, formats, scales) and ``weights.npz`` (integers)."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import yaml
from pydantic import Field, ValidationError

import dnn2fpga.layers  # noqa: F401 - registers the layer kinds
from dnn2fpga.errors import UserError
from dnn2fpga.files.arrays import UnreadableArrays, read_arrays
from dnn2fpga.files.described import Described
from dnn2fpga.files.validation import CountOrNone, problems_of
from dnn2fpga.files.yaml_files import read_yaml
from dnn2fpga.graph.dag import Dag, Node
from dnn2fpga.graph.origin import Origin
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.layers.quantized import QuantizedLayer
from dnn2fpga.layers.registry import quantized_kinds
from dnn2fpga.task import Ending, Task, kind_problem, unlabelled_task
from dnn2fpga.tensors.basics import Unsupported
from dnn2fpga.tensors.conversion import Conversion
from dnn2fpga.tensors.tensor import Arithmetic, Tensor

MODEL_FILE, WEIGHTS_FILE = "model.yaml", "weights.npz"
FORMAT_VERSION = 3
OLDER = 2  # the previous version, which described chains; it is still read


class _Output(Described):
    """The outside name of an output, the tensor that leaves there, and its task."""

    name: str
    tensor: str
    task: Task | None = None


class _ModelFile(Described):
    format_version: int
    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    float_parameters: CountOrNone
    notes: tuple[str, ...]
    origin: Origin | None = None
    inputs: dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], Tensor] = Field(min_length=1)
    conversions: dict[str, Conversion] | None = None
    outputs: tuple[_Output, ...] = Field(min_length=1)
    layers: tuple[dict[str, Any], ...]


def save(graph: QuantizedGraph, folder: Path) -> None:
    """Write both files into an existing folder; the same graph produces the same bytes.

    :param graph: the integer model.
    :param folder: where ``model.yaml`` and ``weights.npz`` are written.
    """
    tasks = graph.tasks
    described = _ModelFile(
        format_version=FORMAT_VERSION,
        name=graph.name,
        float_parameters=graph.float_parameters,
        notes=graph.notes,
        origin=graph.origin,
        inputs=dict(graph.inputs),
        conversions=dict(graph.conversions) or None,
        outputs=tuple(_Output(name=name, tensor=tensor, task=tasks[name]) for name, tensor in graph.leaving.items()),
        layers=tuple(_describe(node) for node in graph.nodes),
    )
    fields = {key: value for key, value in described.model_dump(mode="json").items() if value is not None}
    text = yaml.dump(fields, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
    header = "# Configuration of a dnn2fpga accelerator (docs/arithmetic.md). The integers are in weights.npz.\n"
    (folder / MODEL_FILE).write_text(header + text, encoding="utf-8")
    arrays = {f"{layer.name}/{field}": array for layer in graph.layers for field, array in layer.arrays.items()}
    _save_arrays(folder / WEIGHTS_FILE, arrays)


def _describe(node: Node[QuantizedLayer]) -> dict[str, Any]:
    fields = node.layer.model_dump(mode="json", exclude=set(node.layer.array_fields()))
    return {"name": fields.pop("name"), "kind": node.layer.kind, "inputs": list(node.inputs), **fields}


class _Dumper(yaml.SafeDumper):
    """Short lists and tensors on one line, as a person would write them."""

    def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> yaml.SequenceNode:
        plain = all(isinstance(item, int | float) or str(item).isidentifier() for item in sequence)
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
    """Read and validate both files.

    :param folder: with ``model.yaml`` and ``weights.npz``.
    :returns: the integer model.
    :raises UserError: with all problems found in them.
    """
    path = folder / MODEL_FILE
    if not path.is_file():
        raise UserError(f"{path}: there is no such file; 'dnn2fpga quantize' writes it")
    raw, is_argmax = _brought_up_to_date(read_yaml(path))
    try:
        described = _ModelFile.model_validate(raw)
    except ValidationError as error:
        raise UserError(problems_of(error, path, _keys_of_file(raw))) from error
    if described.format_version != FORMAT_VERSION:
        raise UserError(f"{path}: format_version must be {FORMAT_VERSION} or {OLDER}, not {described.format_version}")
    arrays = _load_arrays(folder / WEIGHTS_FILE)
    problems = [] if described.layers else [f"{path}: there must be at least one layer"]
    strays = sorted(set(described.conversions or ()) - set(described.inputs))
    problems += [f"{path}: conversions.{name}: there is no such input" for name in strays]
    for name in sorted(set(described.conversions or ()) & set(described.inputs)):
        of, conversion = described.inputs[name], (described.conversions or {})[name]
        if wrong := conversion.problem(of.lanes, of.format.minimum, of.format.maximum):
            problems.append(f"{path}: conversions.{name}: {wrong}")
    nodes = [_node(path, k, fields, arrays, problems) for k, fields in enumerate(described.layers)]
    if problems:
        raise UserError(problems)
    graph = QuantizedGraph(
        name=described.name,
        inputs=described.inputs,
        dag=_dag(path, described, [node for node in nodes if node is not None]),
        output_names=tuple(output.name for output in described.outputs),
        decided={output.name: output.task for output in described.outputs if output.task is not None},
        conversions=described.conversions or {},
        notes=described.notes,
        float_parameters=described.float_parameters,
        origin=described.origin,
    )
    _check(path, graph)
    if is_argmax:
        return graph.decided_as(unlabelled_task(replace(graph.interface, ending=Ending.SOFTMAX)))
    problems = [
        f"{path}: outputs.{name}.task.kind: {problem}"
        for name, interface in graph.interfaces.items()
        if (problem := kind_problem(interface, graph.tasks[name].kind))
    ]
    if problems:
        raise UserError(problems)
    return graph


def _brought_up_to_date(raw: Any) -> tuple[Any, bool]:
    """Convert a file of format version 2, which has one chain of layers, one input and one output, to version 3. Also
    return whether the file is older than tasks and says that a softmax was last.
    """
    if not isinstance(raw, dict) or raw.get("format_version") != OLDER:
        return raw, False
    old = dict(raw)
    layers = [
        {**layer, "inputs": [layer["input"]]} if isinstance(layer, dict) and "input" in layer else layer
        for layer in old.get("layers") or ()
    ]
    for layer in layers:
        if isinstance(layer, dict):
            layer.pop("input", None)
    last = layers[-1].get("name") if layers and isinstance(layers[-1], dict) else "input"
    output = {"name": last, "tensor": last, "task": old.pop("task", None)}
    is_argmax = old.pop("decision", None) == "argmax" and output["task"] is None
    new = {**old, "format_version": FORMAT_VERSION, "layers": layers, "outputs": [output]}
    if "input" in new:
        new["inputs"] = {"input": new.pop("input")}
    return new, is_argmax


def _keys_of_file(raw: Any) -> dict[str, Iterable[str]]:
    """The keys that may stand in each part of the file."""
    inputs = raw.get("inputs") if isinstance(raw, dict) else None
    return {
        **dict.fromkeys(inputs if isinstance(inputs, dict) else (), Tensor.model_fields),
        "": _ModelFile.model_fields,
        "outputs": _Output.model_fields,
        "task": Task.model_fields,
    }


def _dag(path: Path, described: _ModelFile, nodes: list[Node[QuantizedLayer]]) -> Dag[QuantizedLayer]:
    try:
        return Dag(tuple(described.inputs), tuple(nodes), tuple(output.tensor for output in described.outputs))
    except ValueError as reason:
        raise UserError([f"{path}: {problem}" for problem in str(reason).split("; ")]) from reason


def _node(
    path: Path, index: int, fields: dict[str, Any], arrays: dict[str, np.ndarray], problems: list[str]
) -> Node[QuantizedLayer] | None:
    fields = dict(fields)
    name, kind, inputs = fields.get("name", f"number {index}"), fields.pop("kind", None), fields.pop("inputs", None)
    cls = quantized_kinds.get(kind) if isinstance(kind, str) else None
    if cls is None:
        problems.append(
            f"{path}: layer '{name}': kind must be one of {', '.join(sorted(quantized_kinds))}, not {kind!r}"
        )
        return None
    if not isinstance(inputs, list) or not inputs or not all(isinstance(one, str) for one in inputs):
        problems.append(f"{path}: layer '{name}': inputs must be a list of the tensors that it reads, not {inputs!r}")
        return None
    missing = [field for field in cls.required_arrays() if f"{name}/{field}" not in arrays]
    if missing:
        problems += [f"{path.parent / WEIGHTS_FILE}: the array '{name}/{field}' is missing" for field in missing]
        return None
    try:
        own = {field: arrays[f"{name}/{field}"] for field in cls.array_fields() if f"{name}/{field}" in arrays}
        layer = cls.model_validate(fields | own)
    except ValidationError as error:
        problems += problems_of(error, Path(f"{path}: layer '{name}'"), _known_keys(cls))
        return None
    return Node(layer.name, layer, tuple(inputs))


def _known_keys(kind: type[QuantizedLayer]) -> dict[str, Iterable[str]]:
    return {
        "": [*kind.model_fields, "kind", "inputs"],
        "output": Tensor.model_fields,
        "arithmetic": Arithmetic.model_fields,
    }


def _check(path: Path, graph: QuantizedGraph) -> None:
    """Raise `UserError` with everything in which layers and the tensors that they read do not match."""
    problems = []
    for node in graph.nodes:
        layer, inputs = node.layer, graph.inputs_of(node)
        label = f"{path}: layer '{layer.name}' ({layer.kind})"
        if len(inputs) != 1 and not layer.reads_several:
            problems.append(f"{label}: must read one tensor, not {len(inputs)}")
            continue
        try:
            operators = layer.operators(*inputs)
            made = operators[-1].output_beat if operators else None
            if made and (made.format, made.lanes) != (layer.output.format, layer.output.lanes):
                problems.append(f"{label}: output must have {made.lanes} lanes of {made.format}")
            shape = layer.output_shape(*inputs)
            if layer.output.shape != shape:
                problems.append(f"{label}: output.shape must be {list(shape)}, not {list(layer.output.shape)}")
        except (Unsupported, ValueError, OverflowError) as reason:
            problems.append(f"{label}: {reason}")
    if problems:
        raise UserError(problems)


def _load_arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        return read_arrays(path)
    except UnreadableArrays as error:
        raise UserError(f"{path}: cannot be read as an .npz of integers: {error}") from error
