"""Reads Keras models from their configuration and their arrays. Neither Keras nor TensorFlow is imported, so nothing in
a file can run: what is checked is what is read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from dnn2fpga.errors import UserError
from dnn2fpga.graph.float import Graph
from dnn2fpga.read.binary_layers import BINARY
from dnn2fpga.read.builder import GraphBuilder, SymbolicTensor
from dnn2fpga.read.container import ModelFile, open_model
from dnn2fpga.read.hgq_layers import HGQ
from dnn2fpga.read.keras_calls import NO_CALL
from dnn2fpga.read.keras_config import Architecture, LayerEntry, read_architecture
from dnn2fpga.read.keras_config import Path as LayerPath
from dnn2fpga.read.keras_functions import FUNCTIONS_OF_ONE
from dnn2fpga.read.keras_graph import Place, Wiring, wiring_of
from dnn2fpga.read.keras_joins import MERGES
from dnn2fpga.read.keras_layers import LAYERS, OnlyInTraining
from dnn2fpga.read.keras_operators import OPERATORS
from dnn2fpga.read.keras_options import UNKNOWN_KIND, Arrays, KerasOptions, Placement, Shapes, options_of
from dnn2fpga.read.keras_weights import NOWHERE, Stored, read_arrays, stored_arrays
from dnn2fpga.read.larq_layers import LARQ
from dnn2fpga.read.limits import LARGEST_EXTENT
from dnn2fpga.read.qkeras_layers import QKERAS
from dnn2fpga.read.settings import ReadSettings
from dnn2fpga.tensors.basics import Shape, Unsupported

INPUT = "input"  # what the only input tensor of a model is called everywhere
OPERATIONS = OPERATORS | FUNCTIONS_OF_ONE
BY_CLASS: dict[str, type[KerasOptions]] = {**LAYERS, **MERGES, **OPERATIONS, **HGQ, **QKERAS, **LARQ, **BINARY}
LIBRARIES: dict[str, Mapping[str, Any]] = {
    "HGQ2": HGQ,
    "QKeras": QKERAS,
    "larq": LARQ,
    "hls4ml's binary layers": BINARY,
}
_FIXED_SHAPE = TypeAdapter(Annotated[list[Annotated[int, Field(ge=1, le=LARGEST_EXTENT)]], Field(min_length=1)])

Meanings = dict[tuple[LayerPath, int], KerasOptions]  # what each call of each layer means


def read_keras_model(path: Path | str, settings: ReadSettings | None = None) -> Graph:
    """Read a ``.keras`` or ``.h5`` file, or a ``.json`` file and its weights, as a graph of float layers.

    :param settings: of them, ``weights``.
    :raises UserError: with *all* layers that are not supported, and why. No code in the file is ever run.
    """
    path = Path(path)
    with open_model(path, settings.weights if settings else None) as file:
        architecture = read_architecture(file.config, str(path))
        wiring = wiring_of(architecture, str(path))
        meanings, problems = _meanings(architecture)
        if problems := [*problems, *wiring.problems]:
            raise UserError([f"{path}: {problem}" for problem in dict.fromkeys(problems)])
        names = ["/".join(entry.path) for entry in architecture.everything()]
        builder = GraphBuilder(path.stem, str(path), names)
        _build(builder, file, architecture, wiring, meanings)
        return replace(builder.graph(), tool=_tool(architecture))


def _tool(architecture: Architecture) -> str:
    """The library that the model is of."""
    objects = [entry.object for entry in architecture.everything()]
    classes = {key for one in objects for key in one.keys} - LAYERS.keys()
    found = next((library for library, own in LIBRARIES.items() if classes & own.keys()), None)
    return found or ("Keras 2" if any("batch_input_shape" in one.config for one in objects) else "Keras")


def _meanings(architecture: Architecture) -> tuple[Meanings, list[str]]:
    """Return the meaning of every call of every layer, and what is not supported."""
    meanings: Meanings = {}
    problems: list[str] = []
    unknown = False
    for entry in architecture.everything():
        for number, call in enumerate(entry.calls or [NO_CALL]):
            reasons = [f"is called with {option}, which is not supported" for option in call.options]
            if not entry.model and not entry.is_input:
                found, reasons = options_of(entry.object, BY_CLASS, call)
                if found is not None:
                    meanings[entry.path, number] = found
            problems += [f"{entry.label}: {reason}" for reason in reasons]
            unknown = unknown or UNKNOWN_KIND in reasons
    if unknown:
        layers = sorted({*LAYERS, *MERGES} - set(OnlyInTraining.stands_for))
        operations = sorted(name.removeprefix("ops.") for name in OPERATIONS if name.startswith("ops."))
        problems.append(
            f"supported are the layers {', '.join(layers)}, and those that act in training only; and the operations "
            f"{', '.join(operations)}"
        )
    return meanings, problems


def _build(
    builder: GraphBuilder, file: ModelFile, architecture: Architecture, wiring: Wiring, meanings: Meanings
) -> None:
    """Add all inputs, layers and outputs; problems are in the builder."""
    weighted = {path for (path, _), meaning in meanings.items() if meaning.keeps_arrays}
    stored = stored_arrays(file, architecture, weighted)
    tensors: dict[Place, SymbolicTensor | None] = {}  # None where that cannot be told, and has been
    for key, entry in wiring.inputs:
        name = (key or entry.name) if len(wiring.inputs) > 1 else INPUT
        tensors[Place((), entry.name, 0)] = _input(builder, name, entry)
    placements: dict[LayerPath, Placement] = {}
    for place, use in wiring.uses.items():
        entry = use.entry
        load = partial(_load, builder, file, entry, stored.get(entry.path, NOWHERE))
        at = placements.setdefault(entry.path, Placement(builder, "/".join(entry.path), load))
        inputs = [tensors.get(source) for source in use.inputs]
        known = [tensor for tensor in inputs if tensor is not None]
        tensors[place] = None
        if len(known) < len(inputs):
            continue
        try:
            tensors[place] = meanings[entry.path, place.call].add(at, *known)
        except (Unsupported, ValueError) as reason:
            builder.refuse(entry.label, str(reason))
            tensors[place] = _outlined(meanings[entry.path, place.call], known)
    for key, place in wiring.outputs:
        if (tensor := tensors.get(place)) is not None:
            builder.output(tensor, key)


def _outlined(meaning: KerasOptions, inputs: list[SymbolicTensor]) -> SymbolicTensor | None:
    try:
        return meaning.outline(*inputs)
    except (Unsupported, ValueError):
        return None


def _load(
    builder: GraphBuilder, file: ModelFile, entry: LayerEntry, stored: Stored, shapes: Shapes, further: int
) -> Arrays:
    """The arrays of a layer, given their names and shapes."""
    builder.claim(sum(math.prod(shape) for shape in shapes.values() if shape is not None), entry.label)
    arrays = read_arrays(file.arrays, stored, shapes, further)
    for reason in _not_finite(arrays):
        builder.refuse(entry.label, reason)
    return arrays


def _not_finite(arrays: Mapping[str, np.ndarray]) -> list[str]:
    with np.errstate(over="ignore"):
        single = {name: values.astype(np.float32) for name, values in arrays.items()}
    return [
        f"its {name} holds NaN or infinite values (in single precision); train the model again"
        for name, values in single.items()
        if not np.isfinite(values).all()
    ]


def _input(builder: GraphBuilder, name: str, entry: LayerEntry) -> SymbolicTensor | None:
    config = entry.object.config
    shape: Any = config.get("batch_shape", config.get("batch_input_shape"))
    where = f"the input '{entry.name}'" if name != INPUT else ""
    try:
        if shape is None:
            raise Unsupported("the model has never been built; give it a keras.Input(shape=...) and train it")
        return builder.input(name, _fixed(shape))
    except Unsupported as reason:
        builder.refuse(where, str(reason))
        return None


def _fixed(shape: Any) -> Shape:
    try:
        return tuple(_FIXED_SHAPE.validate_python(shape[1:]))
    except (ValidationError, TypeError) as error:
        raise Unsupported(
            f"the input shape must be fixed, and of at most {LARGEST_EXTENT:,} in each direction, not "
            f"{str(shape)[:60]}; build the model with keras.Input(shape=...)"
        ) from error
