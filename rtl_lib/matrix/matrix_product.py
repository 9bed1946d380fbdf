"""Vector × constant matrix, requantized: what dense layers and convolutions compute, on the engine of your choice.

``parallel``: the whole vector in one beat through an adder graph, a vector per cycle. ``folded``: ``pe`` outputs and
``simd`` inputs per cycle through multipliers, with weights from a memory.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np

from rtl_lib.core.operator import Operator, Wide, in_copies
from rtl_lib.core.stream import Beat, Chain, StreamComponent
from rtl_lib.elementwise.requantize import Requantize
from rtl_lib.matrix.constant_matrix import ConstantMatrix
from rtl_lib.matrix.folded.engine import FoldedEngine
from rtl_lib.matrix.folded.folding import Folding
from rtl_lib.matrix.folded.multipliers import Multiplier
from rtl_lib.matrix.folded.sums import WeightMemory
from rtl_lib.matrix.parallel.engine import ParallelEngine
from rtl_lib.streams.repack import repack


class Engine(enum.Enum):
    """The engine that computes a matrix product."""

    PARALLEL = "parallel"
    FOLDED = "folded"


@dataclass(frozen=True, eq=False)
class MatrixProduct(Operator):
    """The spec: ``requantize(matrix(x))`` for vectors that arrive in beats of ``lanes`` numbers."""

    create_options: ClassVar[tuple[str, ...]] = (
        "engine",
        "pe",
        "simd",
        "multiplier",
        "weight_memory",
        "levels_per_register",
    )

    matrix: ConstantMatrix
    requantize: Requantize
    lanes: int
    groups: int = 1  # of ``Folding``

    def __post_init__(self) -> None:
        if self.matrix.n_inputs % self.lanes:
            raise ValueError(f"lanes must divide the {self.matrix.n_inputs} inputs, not {self.lanes}")
        if self.matrix.output_beat != self.requantize.input_beat:
            raise ValueError(f"requantize must take {self.matrix.output_beat}, not {self.requantize.input_beat}")
        if not self.requantize.read_lanes.changes_nothing:
            raise ValueError("the engines requantize each sum once; hand the sums on to a Requantize")

    @property
    def input_beats(self) -> tuple[Beat, ...]:
        return (Beat(self.matrix.input_format, self.lanes),)

    @property
    def output_beat(self) -> Beat:
        return self.requantize.output_beat

    def compute(self, x: np.ndarray) -> np.ndarray:
        """``[frames, beats, lanes]`` → ``[frames, vectors, outputs]`` in the output format's dtype."""
        return self.requantize.compute(self.matrix.compute(x.reshape(len(x), -1, self.matrix.n_inputs)))

    @cached_property
    def parallel(self) -> ParallelEngine:
        """The parallel engine. Its adder graph is solved at first use: software only needs ``compute``."""
        return ParallelEngine(self.matrix, self.parallel_requantize)

    @cached_property
    def parallel_requantize(self) -> Requantize:
        """The part of the epilogue that the parallel engine does itself: all, or nothing where there are two lines."""
        return Requantize.handing_on(self.matrix.output_beat) if self.requantize.has_two_lines else self.requantize

    def after_parallel(self) -> list[tuple[str, StreamComponent]]:
        """The components after the parallel engine: none, or what requantizes on two lines."""
        return [("requantize", self.requantize.create())] if self.requantize.has_two_lines else []

    @property
    def beatwise(self) -> bool:
        """True if a vector arrives in one beat."""
        return self.lanes == self.matrix.n_inputs

    def widened(self, times: int) -> MatrixProduct | None:
        """The same product for beats of several times as many numbers, where the vector is a whole number of those."""
        lanes = self.lanes * times
        return None if self.matrix.n_inputs % lanes else replace(self, lanes=lanes)

    def for_pixels(self, pixels: int, *, surplus: bool) -> Wide | None:
        if self.beatwise:
            return in_copies(self, pixels)
        # It knows no rows, only the order of the numbers: it may take more of them at a time.
        widened = None if surplus else self.widened(pixels)
        return Wide(widened.create, 1, in_order=True) if widened else None

    @property
    def default_engine(self) -> Engine:
        """Parallel where vectors arrive whole, folded where they arrive in parts anyway."""
        return Engine.PARALLEL if self.beatwise else Engine.FOLDED

    @property
    def luts(self) -> float:
        """Predicted for the default engine."""
        if self.default_engine is Engine.PARALLEL:
            return self.parallel.luts
        return self.matrix.output_beat.layout.size + self.requantize.luts

    def create(
        self,
        engine: Engine | None = None,
        pe: int | None = None,
        simd: int | None = None,
        multiplier: Multiplier = Multiplier.DSP,
        weight_memory: WeightMemory = WeightMemory.AUTO,
        levels_per_register: int = 3,
    ) -> StreamComponent:
        """Create the component on an engine.

        :param engine: default: ``default_engine``.
        :param pe: outputs that a folded engine computes at a time; default: all.
        :param simd: inputs per cycle for each of these outputs; default: those of one beat.
        :param multiplier, weight_memory: of a folded engine.
        :param levels_per_register: adders in a row between two registers.
        """
        if (engine or self.default_engine) is Engine.PARALLEL:
            engine_parts = [("parallel", self.parallel.create(levels_per_register)), *self.after_parallel()]
            return self._chain(self.matrix.n_inputs, engine_parts)
        folding = Folding(self.matrix, pe or self.matrix.n_outputs, simd or self._default_simd, self.groups)
        folded = FoldedEngine(folding, self.requantize, self.lanes, multiplier, weight_memory, levels_per_register)
        return self._chain(folded.lanes, folded.parts())

    @property
    def _default_simd(self) -> int:
        return min(self.lanes, self.matrix.n_inputs // self.groups)

    def _chain(self, lanes: int, parts: list[tuple[str, StreamComponent]]) -> Chain:
        """Return the parts, after whatever brings beats of ``lanes`` numbers."""
        before = [
            (f"repack_{k}", step.create()) for k, step in enumerate(repack(self.matrix.input_format, self.lanes, lanes))
        ]
        return Chain([*before, *parts])
