"""Reads Keras models: the only place (with training) that imports Keras."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

import dnn2fpga.layers  # noqa: F401 - registers the layer kinds
from dnn2fpga.errors import UserError
from dnn2fpga.graph import Graph, KerasLayer, Layer, Shape, Unsupported
from dnn2fpga.layers.registry import by_keras_class
from dnn2fpga.parse.keras_file import Architecture, LayerEntry, read_architecture

INPUT_CLASSES = ("InputLayer",)
INPUT = "input"  # what the input tensor is called everywhere


def read_keras_model(path: Path | str) -> Graph:
    """A ``.keras`` or ``.h5`` file as a graph of float layers.

    :raises UserError: listing *all* layers that cannot be built, and why. No code in the file is ever run.
    """
    path = Path(path)
    architecture = read_architecture(path)
    if problems := [*_refused_layers(architecture), *_not_a_chain(architecture)]:
        raise UserError([f"{path}: {problem}" for problem in problems])
    model = _load(path)
    return convert(model, path.stem, {entry.name: entry for entry in architecture.layers}, str(path))


def convert(model: Any, name: str, entries: dict[str, LayerEntry], where: str) -> Graph:
    """A loaded chain of supported Keras layers as a graph."""
    if not model.built:
        raise UserError(f"{where}: the model has never been built; give it a keras.Input(shape=...) and train it")
    input_shape = _fixed_shape(model.input_shape, where)
    layers: list[Layer] = []
    problems: list[str] = []
    for keras_layer in model.layers:
        entry = entries[keras_layer.name]
        if entry.class_name in INPUT_CLASSES:
            continue
        source = KerasLayer(
            class_name=entry.class_name,
            name=identifier(entry.name),
            config=keras_layer.get_config(),
            weights={w.name.split("/")[-1].split(":")[0]: w.numpy() for w in keras_layer.weights},
            input_shape=tuple(keras_layer.input.shape[1:]),
            output_shape=tuple(keras_layer.output.shape[1:]),
        )
        label = f"{where}: layer '{entry.name}' ({entry.class_name})"
        for weight, value in source.weights.items():
            if not np.isfinite(value).all():
                problems.append(f"{label}: its {weight} holds NaN or infinite values; train the model again")
        try:
            layers += by_keras_class[entry.class_name].from_keras(source)
        except Unsupported as reason:
            problems.append(f"{label}: {reason}")
    names = [layer.name for layer in layers]
    for layer_name in sorted({name for name in names if names.count(name) > 1 or name == INPUT}):
        problems.append(
            f"{where}: the name '{layer_name}' is taken twice (letters, digits and _ remain of a name); rename it"
        )
    if problems:
        raise UserError(problems)
    parameters = sum(layer.parameter_count for layer in layers)
    return Graph.chain(identifier(name), INPUT, input_shape, layers, float_parameters=parameters)


def identifier(name: str) -> str:
    """A name that Verilog, YAML and file systems all take."""
    cleaned = re.sub(r"\W", "_", name, flags=re.ASCII)
    return cleaned if re.match(r"[A-Za-z_]", cleaned) else f"_{cleaned}"


def _refused_layers(architecture: Architecture) -> list[str]:
    problems = [
        f"the model: {found} is not one of Keras' own classes and is never loaded" for found in architecture.foreign
    ]
    unknown = False
    for entry in architecture.layers:
        label = f"layer '{entry.name}' ({entry.class_name})"
        kind = by_keras_class.get(entry.class_name)
        if entry.class_name == "Lambda":
            problems.append(f"{label}: holds Python code, which is never run; express it with built-in layers")
        elif entry.foreign:
            problems.append(f"{label}: {', '.join(entry.foreign)} is not one of Keras' own classes and is never loaded")
        elif kind is not None:
            problems += [f"{label}: {reason}" for reason in kind.refused_options(entry.config)]
        elif entry.class_name not in INPUT_CLASSES:
            problems.append(f"{label}: this kind of layer is not built")
            unknown = True
    if unknown:
        problems.append(f"built are the layers {', '.join(sorted(by_keras_class))}")
    return problems


def _not_a_chain(architecture: Architecture) -> list[str]:
    """Every layer must read one tensor, and be read by at most one layer."""
    problems = []
    readers: dict[str, list[str]] = {}
    for entry in architecture.layers:
        for source in entry.inputs:
            readers.setdefault(source, []).append(entry.name)
        if len(entry.inputs) > 1:
            problems.append(
                f"layer '{entry.name}' ({entry.class_name}): reads {len(entry.inputs)} tensors; only chains are built"
            )
    for source, names in readers.items():
        if len(names) > 1:
            problems.append(f"layer '{source}': is read by {', '.join(names)}; only chains are built")
    if sum(entry.class_name in INPUT_CLASSES for entry in architecture.layers) > 1:
        problems.append("the model has more than one input; only chains are built")
    if architecture.outputs > 1:
        problems.append(f"the model has {architecture.outputs} outputs; only chains are built")
    if all(entry.class_name in INPUT_CLASSES for entry in architecture.layers):
        problems.append("the model has no layers")
    return problems


def _load(path: Path) -> Any:
    from dnn2fpga.keras_import import keras

    try:
        # compile=False: losses and metrics are not needed, and might be somebody's own code.
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever its parts raise; none of it may reach the user as a traceback
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{path}: Keras cannot load it: {first_line}") from error


def _fixed_shape(shape: Any, where: str) -> Shape:
    if shape is None or any(not isinstance(extent, int) for extent in shape[1:]):
        raise UserError(
            f"{where}: the input shape must be fixed, not {shape}; build the model with keras.Input(shape=...)"
        )
    if len(shape) not in (2, 4):
        raise UserError(
            f"{where}: the input must be a vector or an image (rows, columns, channels), not {tuple(shape[1:])}"
        )
    return tuple(shape[1:])
