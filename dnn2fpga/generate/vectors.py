"""Vector folders: inputs and expected integers at every boundary, in raw files that need no library to read
(docs/bundle.md).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from dnn2fpga.errors import UserError
from dnn2fpga.files.arrays import UnreadableArrays, read_arrays
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.plan.layout import Wire
from rtl_lib.core.formats import Format


def kept_samples(file: Path, graph: QuantizedGraph) -> np.ndarray | None:
    """Return the real inputs that ``quantize`` has kept; None where there are none for this network.

    Raises `UserError` when the file is damaged.
    """
    if not file.exists():
        return None
    try:
        samples = read_arrays(file).get("x")
    except UnreadableArrays as error:
        raise UserError(f"{file}: cannot be read ({error}); delete it to use random test vectors instead") from error
    return samples if samples is not None and samples.shape[1:] == graph.input.shape else None


def write_vectors(
    graph: QuantizedGraph,
    boundaries: Mapping[str, tuple[int, int]],
    q: np.ndarray,
    folder: Path,
    source: str,
    batch: int = 32,
) -> np.ndarray:
    """``boundaries``: number of the boundary behind each layer that has hardware (and of ``input``), and how many
    pixels travel there in one beat.

    :param q: quantized inputs ``[frames, *shape]``.
    :param source: where they come from, for people.
    :returns: the expected outputs ``[frames, *shape]``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    outputs = [np.zeros((0, *graph.output.shape), graph.output.format.dtype)]
    with ExitStack() as stack:
        files = {
            layer: stack.enter_context((folder / f"boundary_{index}.bin").open("wb"))
            for layer, (index, _) in boundaries.items()
        }
        tensors = graph.tensors
        for start in range(0, len(q), batch):
            for layer, beats in graph.boundaries(q[start : start + batch]):
                if layer in files:
                    beats_there = Wire.of(tensors[layer].shape, boundaries[layer][1]).pack(beats)
                    files[layer].write(beats_there.astype(element_type(tensors[layer].format)).tobytes())
            outputs.append(beats.reshape(-1, *graph.output.shape))
    (folder / "vectors.json").write_text(json.dumps({"frames": len(q), "source": source}) + "\n")
    return np.concatenate(outputs)


def element_type(format: Format) -> np.dtype:
    """Little-endian; one, two or four bytes."""
    return format.dtype.newbyteorder("<")
