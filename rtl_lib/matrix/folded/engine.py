"""The folded engine: a matrix product in turns (output folds) of ``PE`` outputs::

input ─▐ sums ▌─▐ finish ▌─ gather
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from rtl_lib.core.features import Features, gatherer_features
from rtl_lib.core.stream import Beat, StreamComponent
from rtl_lib.elementwise.epilogue import Finish, finishes, offsets_merged
from rtl_lib.elementwise.requantize import Requantize
from rtl_lib.matrix.constant_matrix import ConstantMatrix
from rtl_lib.matrix.folded.epilogue import TurnFinish
from rtl_lib.matrix.folded.features import FinishShape, FoldedShape, repack_features
from rtl_lib.matrix.folded.folding import Folding
from rtl_lib.matrix.folded.multipliers import Multiplier
from rtl_lib.matrix.folded.sums import STYLES, FoldedSums, WeightMemory
from rtl_lib.streams.repack import Gatherer


@dataclass(frozen=True, eq=False)
class FoldedEngine:
    """``requantize(matrix(x))`` in hardware: sums, their requantization epilogue, and the gathering of the turns.

    :param input_lanes: numbers in a beat as the vector arrives.
    """

    folding: Folding
    requantize: Requantize
    input_lanes: int
    multiplier: Multiplier
    memory: WeightMemory
    levels_per_register: int

    @property
    def lanes(self) -> int:
        """Numbers in a beat as the sums take it: in parts where that fits, else the whole vector."""
        f = self.folding
        in_parts = self.input_lanes < f.matrix.n_inputs and f.groups == 1 and f.inputs % f.simd == 0
        return f.simd if in_parts else f.matrix.n_inputs

    @cached_property
    def finishes(self) -> list[Finish]:
        return finishes(self.requantize)

    def parts(self) -> list[tuple[str, StreamComponent]]:
        """The components in stream order."""
        f, form = self.folding, self.requantize.output_format
        bias, left = offsets_merged(f.matrix.bias, self.finishes)
        folding = replace(f, matrix=replace(f.matrix, bias=bias))
        sums = FoldedSums(folding, self.lanes, self.multiplier, self.memory, self.levels_per_register)
        parts: list[tuple[str, StreamComponent]] = [
            ("folded", sums.create()),
            ("requantize", TurnFinish(left, f.pe, sums.output_beat.format, form)),
        ]
        return [*parts, ("gather", TurnGatherer(Beat(form, f.pe), f.matrix.n_outputs))] if f.turns > 1 else parts


class TurnGatherer(Gatherer):
    """Gathers the results of all turns in one beat, without those that are only padding."""

    def __init__(self, turn: Beat, outputs: int) -> None:
        self.parts = -(-outputs // turn.lanes)
        StreamComponent.__init__(self, turn, Beat(turn.format, outputs))

    def features(self) -> Features:
        return gatherer_features(self.input_beat.layout.size, self.parts)


def folded_features(
    matrix: ConstantMatrix,
    requantize: Requantize,
    groups: int,
    input_lanes: int,
    pe: np.ndarray,
    simd: np.ndarray,
    multiplier: Multiplier,
    memory: WeightMemory,
    levels_per_register: int,
) -> Features:
    """Return the features of ``FoldedEngine``s of these foldings, with the components that bring them their beats;
    nothing is created.
    """
    bias, left = offsets_merged(matrix.bias, finishes(requantize))
    merged = replace(matrix, bias=bias)
    inputs, outputs, form = matrix.n_inputs // groups, matrix.n_outputs, requantize.output_format
    in_parts = (input_lanes < matrix.n_inputs) & (groups == 1) & (inputs % simd == 0)
    streams = in_parts & (simd < matrix.n_inputs)
    turns = -(-outputs // pe)
    shape = FoldedShape(merged, groups, pe, simd, streams, multiplier, STYLES[memory], levels_per_register)
    lanes = np.where(in_parts, simd, matrix.n_inputs)
    return (
        repack_features(matrix.input_format, input_lanes, lanes)
        + shape.features()
        + FinishShape(left, pe, merged.output_format, form).features()
        + gatherer_features(form.width * pe, turns) * (turns > 1)
    )
