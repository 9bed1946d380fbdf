"""Reads Keras models from their configuration and their arrays. Neither Keras nor TensorFlow is imported, so nothing in
a file can run: what is checked is what is read.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from dnn2fpga.errors import UserError
from dnn2fpga.graph.float import Graph
from dnn2fpga.layers.base import Layer
from dnn2fpga.read.container import ModelFile, open_model
from dnn2fpga.read.keras_config import Architecture, LayerEntry, Use, chain_of, read_architecture
from dnn2fpga.read.keras_layers import BY_CLASS, OnlyInTraining
from dnn2fpga.read.keras_options import UNKNOWN_KIND, KerasOptions, options_of
from dnn2fpga.read.keras_weights import paths_of_arrays, read_arrays
from dnn2fpga.read.limits import LARGEST_EXTENT, MOST_NUMBERS, MOST_PARAMETERS
from dnn2fpga.tensors.basics import Shape, Unsupported

INPUT = "input"  # what the input tensor is called everywhere
_FIXED_SHAPE = TypeAdapter(Annotated[list[Annotated[int, Field(ge=1, le=LARGEST_EXTENT)]], Field(min_length=1)])


def read_keras_model(path: Path | str) -> Graph:
    """A ``.keras`` or ``.h5`` file as a graph of float layers.

    :raises UserError: with *all* layers that are not supported, and why. No code in the file is ever run.
    """
    path = Path(path)
    with open_model(path) as file:
        architecture = read_architecture(file.config, str(path))
        uses, problems = chain_of(architecture)
        options, unsupported = _options_of_all(architecture)
        if problems := [*unsupported, *problems, *_shared_weights(uses, options)]:
            raise UserError([f"{path}: {problem}" for problem in problems])
        shape = _input_shape(architecture, str(path))
        layers = _layers(file, architecture, uses, options, shape, str(path))
    parameters = sum(layer.parameter_count for layer in layers)
    return Graph.chain(identifier(path.stem), INPUT, shape, layers, float_parameters=parameters)


def identifier(name: str) -> str:
    """A name that Verilog, YAML and file systems all accept."""
    cleaned = re.sub(r"\W", "_", name, flags=re.ASCII)
    return cleaned if re.match(r"[A-Za-z_]", cleaned) else f"_{cleaned}"


def _options_of_all(architecture: Architecture) -> tuple[dict[str, KerasOptions], list[str]]:
    """What every layer means, by name, and what is not supported."""
    options: dict[str, KerasOptions] = {}
    problems: list[str] = []
    unknown = False
    for entry in architecture.layers:
        if entry.is_input:
            continue
        found, reasons = options_of(entry.object, BY_CLASS)
        problems += [f"{entry.label}: {reason}" for reason in reasons]
        unknown = unknown or UNKNOWN_KIND in reasons
        if found is not None:
            options[entry.name] = found
    if unknown:
        names = sorted(set(BY_CLASS) - set(OnlyInTraining.stands_for))
        problems.append(f"supported are the layers {', '.join(names)}, and those that act in training only")
    return options, problems


def _shared_weights(uses: list[Use], options: Mapping[str, KerasOptions]) -> list[str]:
    counts = Counter(use.layer.name for use in uses)
    shared = {use.layer.name: use.layer for use in uses if counts[use.layer.name] > 1}
    return [
        f"{entry.label}: is used {counts[name]} times; only chains are supported, in which weights are used once"
        for name, entry in shared.items()
        if name in options and options[name].keeps_arrays
    ]


def _layers(
    file: ModelFile,
    architecture: Architecture,
    uses: list[Use],
    options: Mapping[str, KerasOptions],
    shape: Shape,
    where: str,
) -> list[Layer]:
    """Our layers for every use, in order; raises ``UserError`` with the problems of all of them."""
    paths = paths_of_arrays(file, [e for e in architecture.layers if not e.is_input and options[e.name].keeps_arrays])
    layers: list[Layer] = []
    problems: list[str] = []
    parameters = 0
    for use in uses:
        entry, meaning = use.layer, options[use.layer.name]
        label = f"{where}: {entry.label}"
        try:
            meaning.check_input(shape)
            shapes = meaning.arrays(shape)
            parameters += sum(map(math.prod, shapes.values()))
            if parameters > MOST_PARAMETERS:
                raise UserError(
                    f"{label}: with it the model has {parameters:,} parameters; at most {MOST_PARAMETERS:,}"
                )
            arrays = read_arrays(file.arrays, paths.get(entry.name, []), shapes)
            problems += [f"{label}: {reason}" for reason in _not_finite(arrays)]
            with np.errstate(over="ignore"):  # told already
                found = meaning.layers(identifier(use.name), shape, arrays)
            for layer in found:
                shape = layer.output_shape(shape)
            if math.prod(shape) > MOST_NUMBERS:
                raise Unsupported(f"its output has {math.prod(shape):,} numbers; at most {MOST_NUMBERS:,}")
        except (Unsupported, ValueError) as reason:
            raise UserError([*problems, f"{label}: {reason}"]) from reason
        layers += found
    if len(shape) == 2:
        problems.append(f"{where}: the output must be a vector or an image (rows, columns, channels), not {shape}")
    names = Counter(layer.name for layer in layers) + Counter({INPUT: 1})
    problems += [
        f"{where}: the name '{name}' is taken twice (letters, digits and _ remain of a name); rename it"
        for name in sorted(name for name, uses_of_it in names.items() if uses_of_it > 1)
    ]
    if problems:
        raise UserError(problems)
    return layers


def _not_finite(arrays: Mapping[str, np.ndarray]) -> list[str]:
    with np.errstate(over="ignore"):
        single = {name: values.astype(np.float32) for name, values in arrays.items()}
    return [
        f"its {name} holds NaN or infinite values (in single precision); train the model again"
        for name, values in single.items()
        if not np.isfinite(values).all()
    ]


def _input_shape(architecture: Architecture, where: str) -> Shape:
    """Without the batch; the input layer says it, the first layer (Keras 2), or the model."""
    shape = _declared_shape(next((entry for entry in architecture.layers if entry.is_input), architecture.layers[0]))
    shape = architecture.built_for if shape is None else shape
    if shape is None:
        raise UserError(f"{where}: the model has never been built; give it a keras.Input(shape=...) and train it")
    try:
        extents = tuple(_FIXED_SHAPE.validate_python(shape[1:]))
    except (ValidationError, TypeError) as error:
        raise UserError(
            f"{where}: the input shape must be fixed, and of at most {LARGEST_EXTENT:,} in each direction, not "
            f"{str(shape)[:60]}; build the model with keras.Input(shape=...)"
        ) from error
    if len(extents) > 3 or math.prod(extents) > MOST_NUMBERS:
        raise UserError(f"{where}: the input must be a vector or an image (rows, columns, channels), not {extents}")
    return extents


def _declared_shape(entry: LayerEntry) -> Any:
    config = entry.object.config
    return config.get("batch_shape", config.get("batch_input_shape"))
