"""Exact tables: an activation such as tanh is defined by its values for every quantized input.

``y = table[x - minimum(input_format)]``. The table *is* the definition; the hardware is one read-only memory per lane.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from amaranth.hdl import Module, Value
from amaranth.lib.memory import Memory

from rtl_lib.core.features import Features, Kind, pipeline_features
from rtl_lib.core.formats import Format
from rtl_lib.core.operator import Beatwise
from rtl_lib.core.pipeline import Pipeline, PipelineBuilder
from rtl_lib.core.stream import Beat


@dataclass(frozen=True, eq=False)
class LookupTable(Beatwise):
    """Looks every number up.

    :param table: int64 ``[2**input_format.width]`` in the order of rising input, or ``[lanes, …]``: one for each lane.
    """

    input_format: Format
    output_format: Format
    table: np.ndarray
    lanes: int

    def __post_init__(self) -> None:
        entries = 1 << self.input_format.width
        if self.table.shape not in ((entries,), (self.lanes, entries)):
            raise ValueError(
                f"a table for {self.input_format} must have {entries} entries, for all lanes or for each of the "
                f"{self.lanes}, not shape {list(self.table.shape)}"
            )
        if not self.output_format.contains(int(self.table.min()), int(self.table.max())):
            raise ValueError(f"the table's values must lie in the output format {self.output_format}")

    @property
    def input_beats(self) -> tuple[Beat, ...]:
        return (Beat(self.input_format, self.lanes),)

    @property
    def output_beat(self) -> Beat:
        return Beat(self.output_format, self.lanes)

    @property
    def tables(self) -> np.ndarray:
        """``[lanes, entries]``"""
        return np.broadcast_to(self.table, (self.lanes, self.table.shape[-1]))

    @property
    def luts(self) -> float:
        """Predicted: a LUT holds 64 bits of a table."""
        return self.output_beat.layout.size * max(1.0, self.table.shape[-1] / 64)

    def compute(self, x: np.ndarray) -> np.ndarray:
        """``[..., lanes]`` → the same shape in the output format's dtype."""
        tables = self.tables.astype(self.output_format.dtype)
        return tables[np.arange(self.lanes), x.astype(np.int64) - self.input_format.minimum]

    def create(self) -> Pipeline:
        return _LookupTable(self)


class _LookupTable(Pipeline):
    def __init__(self, spec: LookupTable) -> None:
        self.spec = spec
        super().__init__(spec.input_beat, spec.output_beat, latency=1)

    def features(self) -> Features:
        spec = self.spec
        width, depth = spec.output_format.width, spec.table.shape[-1]
        one_for_all = spec.table.ndim == 1
        bill = pipeline_features(1)
        for table in np.atleast_2d(spec.table):
            bill.add(Kind.ROM, spec.lanes if one_for_all else 1, depth, width, different_share(table, width))
        return bill

    def datapath(self, m: Module, build: PipelineBuilder, lanes: list[Value]) -> list[Value]:
        spec = self.spec
        results = []
        for k, (lane, table) in enumerate(zip(lanes, spec.tables, strict=True)):
            # The address is the input's bit pattern: negative inputs are the upper half.
            rows: list[Any] = [int(v) for v in np.roll(table, spec.input_format.minimum)]
            memory = m.submodules[f"table_{k}"] = Memory(shape=spec.output_format.shape, depth=len(rows), init=rows)
            read = memory.read_port()
            m.d.comb += [read.addr.eq(lane), read.en.eq(build.advance)]
            results.append(read.data)
        return results


def different_share(table: np.ndarray, width: int) -> float:
    """The share of the LUTs of 64 entries, were a table made of them, that are neither constant nor like another one.

    :param width: of an entry.
    """
    bits = table[:, np.newaxis] >> np.arange(width) & 1
    blocks = np.pad(bits, ((0, -len(bits) % 64), (0, 0)), mode="edge").reshape(-1, 64, bits.shape[1])
    columns = blocks.transpose(0, 2, 1).reshape(-1, 64)
    kept = {bytes(column.astype(np.uint8)) for column in columns if 0 < column.sum() < 64}
    return len(kept) / len(columns)
