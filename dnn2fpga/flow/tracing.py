"""Every tensor of a model as its source computes it, beside the integers, on the user's data."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dnn2fpga.data import Data
from dnn2fpga.errors import UserError
from dnn2fpga.files.atomic import added_files
from dnn2fpga.files.records import digests, write_record
from dnn2fpga.flow.models import data_for, read_model
from dnn2fpga.graph import files as config_files
from dnn2fpga.graph.float import Graph
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.passes.to_integers import has_integers, prepared
from dnn2fpga.progress import Progress, silent
from dnn2fpga.read.settings import ReadSettings
from dnn2fpga.report.traces import TensorTrace, plot_trace
from dnn2fpga.work_folder import CONFIGURATION, TRACE, TRACE_PLOT

BATCH = 64  # frames


def trace(
    work: Path | str,
    model: Graph | Path | str,
    data: Data | Path | str,
    *,
    frames: int | None = None,
    reading: ReadSettings | None = None,
    progress: Progress = silent,
) -> list[TensorTrace]:
    """Compare every tensor of the integer model in a work folder with that of the model that it was made of.

    :param work: the folder with ``model.yaml`` and ``weights.npz``.
    :param model: the source, or its file.
    :param data: real inputs ``[samples, *shape]``, or their file.
    :param frames: this many of them, spread over the data; None: all.
    :param reading: answers to what the model's file leaves open; its rule is that of the work folder, if none is given.
    :returns: an entry for each tensor that both have, in the order of the network; in ``trace.json`` too.
    :raises UserError: when files cannot be read, or the work folder was made of another model.
    """
    folder, integers = Path(work), config_files.load(Path(work))
    reading = _by_the_rule_of(integers, reading or ReadSettings())
    source = read_model(model, reading) if isinstance(model, Path | str) else model
    source = prepared(source) if has_integers(source) else source
    if source.origin and integers.origin and source.origin.sha256 != integers.origin.sha256:
        raise UserError(
            f"{folder}: was made of another model: {integers.origin.file} with SHA-256 {integers.origin.sha256[:16]}…, "
            f"not {source.origin.file} with {source.origin.sha256[:16]}…"
        )
    if dict(source.input_shapes) != dict(integers.input_shapes):
        raise UserError(f"{folder}: holds another model than '{source.name}': its inputs differ")
    some = data_for(integers, data).sample(frames)
    seen = _compared(source, integers, some, progress)
    with added_files(folder) as new:
        content = {"source": source.name, "frames": len(some), "tensors": [one.model_dump(mode="json") for one in seen]}
        write_record(new, TRACE, content, digests(folder, CONFIGURATION))
        plot_trace(seen, new / TRACE_PLOT)
    return seen


def _by_the_rule_of(integers: QuantizedGraph, reading: ReadSettings) -> ReadSettings:
    """The source rounds by the rule that the integers follow, unless another one is asked for."""
    rule = integers.origin and integers.origin.rule
    return reading.model_copy(update={"rule": rule}) if rule and "rule" not in reading.model_fields_set else reading


@dataclass
class _Difference:
    """Errors of a tensor that were seen so far."""

    bounds: list[float] = field(default_factory=lambda: [np.inf, -np.inf, np.inf, -np.inf])
    largest: float = 0.0
    total: float = 0.0
    differing: int = 0
    count: int = 0

    def add(self, source: np.ndarray, integers: np.ndarray, step: np.ndarray) -> None:
        """Add a batch.

        :param step: of each number.
        """
        error = np.abs(source - integers)
        low, high, own_low, own_high = self.bounds
        ends = (min(low, source.min()), max(high, source.max()), min(own_low, integers.min()))
        self.bounds = [float(end) for end in (*ends, max(own_high, integers.max()))]
        self.largest, self.total = max(self.largest, float(error.max())), self.total + float(error.sum())
        self.differing, self.count = self.differing + int((error >= step / 2).sum()), self.count + error.size


def _compared(source: Graph, integers: QuantizedGraph, data: Data, progress: Progress) -> list[TensorTrace]:
    kinds = {**dict.fromkeys(integers.inputs, "input"), **{node.name: node.layer.kind for node in integers.nodes}}
    seen = {name: _Difference() for name in integers.tensors if name in source.shapes}
    for number, batch in enumerate(data.batches(BATCH)):
        progress("comparing tensors", number * BATCH, len(data))
        beats = dict(integers.boundaries(integers.quantized(batch.x)))
        for name, values in source.tensors(batch.x):
            if name in seen:
                tensor = integers.tensors[name]
                steps = np.broadcast_to(tensor.scales, beats[name].shape).reshape(values.shape)
                seen[name].add(values, tensor.dequantize(beats[name]).reshape(values.shape), steps)
    progress("comparing tensors", len(data), len(data))
    return [
        TensorTrace(
            name=name,
            kind=kinds[name],
            source_low=of.bounds[0],
            source_high=of.bounds[1],
            low=of.bounds[2],
            high=of.bounds[3],
            largest_error=of.largest,
            mean_error=of.total / of.count,
            step=float(integers.tensors[name].scales.max()),
            differing=of.differing / of.count,
        )
        for name, of in seen.items()
    ]
