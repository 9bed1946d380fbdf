"""Vector folders: inputs and expected integers at every boundary, in raw files that need no library to read
(docs/bundle.md).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from dnn2fpga.data import inputs_among
from dnn2fpga.errors import UserError
from dnn2fpga.files.arrays import UnreadableArrays, read_arrays
from dnn2fpga.graph.ports import Values, by_name, or_named
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.plan.wire import Wire
from rtl_lib.core.formats import Format


def kept_samples(file: Path, graph: QuantizedGraph) -> Values | None:
    """Return the real inputs that ``quantize`` has kept; None where there are none for this network.

    Raises `UserError` when the file is damaged.
    """
    if not file.exists():
        return None
    try:
        return inputs_among(read_arrays(file), graph)
    except UnreadableArrays as error:
        raise UserError(f"{file}: cannot be read ({error}); delete it to use random test vectors instead") from error


def write_vectors(
    graph: QuantizedGraph,
    pixels: Mapping[str, int],
    q: Values,
    folder: Path,
    source: str,
    batch: int = 32,
) -> Any:
    """Write what must pass every boundary when the design reads ``q``.

    :param pixels: of each tensor that has a boundary, by its name: how many pixels of it are sent in one beat.
    :param q: quantized inputs ``[frames, *shape]``, by name where there are several.
    :param source: where they come from, for people.
    :returns: the expected outputs ``[frames, *shape]``, by name where there are several.
    """
    folder.mkdir(parents=True, exist_ok=True)
    given = by_name(q, graph.inputs)
    frames = len(next(iter(given.values())))
    parts = {name: [np.zeros((0, *of.shape), of.format.dtype)] for name, of in graph.outputs.items()}
    with ExitStack() as stack:
        files = {tensor: stack.enter_context((folder / vector_file(tensor)).open("wb")) for tensor in pixels}
        for start in range(0, frames, batch):
            some = {name: values[start : start + batch] for name, values in given.items()}
            for name, beats in graph.boundaries(some):
                tensor = graph.tensors[name]
                if name in files:
                    sent = Wire.of(tensor.shape, pixels[name]).pack(beats)
                    files[name].write(sent.astype(element_type(tensor.format)).tobytes())
                for output in (output for output, leaving in graph.leaving.items() if leaving == name):
                    parts[output].append(beats.reshape(-1, *tensor.shape))
    (folder / "vectors.json").write_text(json.dumps({"frames": frames, "source": source}) + "\n")
    return or_named({name: np.concatenate(values) for name, values in parts.items()})


def vector_file(tensor: str) -> str:
    """Return the name of the file with the values of a tensor."""
    return f"boundary_{tensor}.bin"


def element_type(format: Format) -> np.dtype:
    """Little-endian; one, two or four bytes."""
    return format.dtype.newbyteorder("<")
