"""Select: some lanes of every beat, in any order, each as often as it is named::

    y[k] = x[sources[k]]

Wires, and a register. (docs/arithmetic.md)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Module, Value

from rtl_lib.core import arithmetic
from rtl_lib.core.arithmetic import Overflow
from rtl_lib.core.features import Features, Kind, pipeline_features
from rtl_lib.core.formats import Format
from rtl_lib.core.lane_map import LaneMap
from rtl_lib.core.operator import Beatwise
from rtl_lib.core.pipeline import Pipeline, PipelineBuilder
from rtl_lib.core.stream import Beat
from rtl_lib.elementwise.requantize import narrow


@dataclass(frozen=True)
class Select(Beatwise):
    """Hands on lanes of its input; of a number that the output format does not hold, the low bits."""

    input_format: Format
    output_format: Format
    lanes: LaneMap

    @property
    def input_beats(self) -> tuple[Beat, ...]:
        return (Beat(self.input_format, self.lanes.inputs),)

    @property
    def output_beat(self) -> Beat:
        return Beat(self.output_format, len(self.lanes.sources))

    @property
    def luts(self) -> float:
        """Predicted: wires."""
        return 0

    def compute(self, x: np.ndarray) -> np.ndarray:
        """``[..., inputs]`` → ``[..., outputs]`` in the output format's dtype."""
        form, chosen = self.output_format, self.lanes.of(x.astype(np.int64))
        return arithmetic.fit(chosen, form.minimum, form.maximum, Overflow.WRAP).astype(form.dtype)

    def create(self) -> SelectPipeline:
        return SelectPipeline(self)


class SelectPipeline(Pipeline):
    """The hardware of ``Select``."""

    def __init__(self, spec: Select) -> None:
        self.spec = spec
        super().__init__(spec.input_beat, spec.output_beat, latency=1)

    def features(self) -> Features:
        bits = min(beat.format.width for beat in (self.input_beat, self.output_beat))  # a sign is not stored twice
        return pipeline_features(1).add(Kind.REGISTER, bits * len(set(self.spec.lanes.sources)))

    def datapath(self, m: Module, build: PipelineBuilder, lanes: list[Value]) -> list[Value]:
        """A lane that several outputs show is stored once."""
        form = self.output_beat.format
        sources = self.spec.lanes.sources
        held = {k: build.register(narrow(m, lanes[k], form), f"lane_{k}") for k in sorted(set(sources))}
        return [held[k] for k in sources]
