"""Finds the arrays of a Keras layer in a model file.

``.keras`` keeps them by class and number, ``layers/dense_1/vars/0`` (Keras 2.12 and 2.13 wrote another first word);
``.h5`` by the layer's name, ``model_weights/<layer>``, with a list of paths. In both they lie in Keras' order.
"""

from __future__ import annotations

import re

import numpy as np

from dnn2fpga.read.container import Layout, ModelFile
from dnn2fpga.read.hdf5 import Hdf5
from dnn2fpga.read.keras_config import LayerEntry
from dnn2fpga.tensors.basics import Shape, Unsupported

_CONTAINERS = ("layers", "_layer_checkpoint_dependencies")


def paths_of_arrays(file: ModelFile, layers: list[LayerEntry]) -> dict[str, list[tuple[str, ...]]]:
    """The paths of each layer's arrays in Keras' order, by the name of the layer.

    :param layers: those that have arrays, in the order of the file.
    """
    if file.layout is Layout.H5:
        return {layer.name: _named(file.arrays, layer.name) for layer in layers}
    container = next((name for name in _CONTAINERS if name in (file.arrays.members() or ())), _CONTAINERS[0])
    counts = {
        name: len(file.arrays.members(container, name, "vars") or ()) for name in file.arrays.members(container) or ()
    }
    groups = [name for name, count in counts.items() if count]
    paths: dict[str, list[tuple[str, ...]]] = {}
    for class_name in {layer.class_name for layer in layers}:
        of_class = [layer.name for layer in layers if layer.class_name == class_name]
        for name, group in zip(of_class, _numbered(groups, snake_case(class_name)), strict=False):
            paths[name] = [(container, group, "vars", str(k)) for k in range(counts[group])]
    return {layer.name: paths.get(layer.name, []) for layer in layers}


def read_arrays(file: Hdf5, paths: list[tuple[str, ...]], shapes: dict[str, Shape]) -> dict[str, np.ndarray]:
    """The arrays of one layer by name.

    :raises Unsupported: when they are not those that ``shapes`` declares; the message begins with a verb.
    """
    if len(paths) != len(shapes):
        raise Unsupported(
            f"has {len(paths)} arrays in the file; its configuration declares {len(shapes)} ({', '.join(shapes)})"
        )
    arrays = {}
    for path, (name, shape) in zip(paths, shapes.items(), strict=True):
        try:
            arrays[name] = file.array(shape, *path)
        except Unsupported as reason:
            raise Unsupported(f"its {name} {reason}") from reason
    return arrays


def _named(arrays: Hdf5, layer: str) -> list[tuple[str, ...]]:
    group = ("model_weights", *layer.split("/"))
    return [(*group, *name.split("/")) for name in arrays.texts("weight_names", *group) or ()]


def _numbered(groups: list[str], stem: str) -> list[str]:
    """``dense``, ``dense_1``, ``dense_2``, … by their numbers."""
    found = ((re.fullmatch(rf"{stem}(?:_(\d{{1,9}}))?", group), group) for group in groups)
    return [group for _, group in sorted((int(match[1] or 0), group) for match, group in found if match)]


def snake_case(class_name: str) -> str:
    """What Keras makes of a class's name in paths: ``SeparableConv2D`` → ``separable_conv2d``."""
    split = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", class_name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", split).lower()
