"""The stream primitives, small enough to prove, each with what it promises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Module, Value
from stream_harness import Promise

from rtl_lib.core.formats import Format
from rtl_lib.core.pipeline import Pipeline, PipelineBuilder
from rtl_lib.core.stream import Beat, StreamComponent
from rtl_lib.image.frame_reduction import FrameSum
from rtl_lib.image.windows import Padding, Windows
from rtl_lib.matrix.constant_matrix import ConstantMatrix
from rtl_lib.matrix.folded.folding import Folding
from rtl_lib.matrix.folded.multipliers import Multiplier
from rtl_lib.matrix.folded.sums import FoldedSums, WeightMemory
from rtl_lib.streams.fifo import Fifo
from rtl_lib.streams.master_slave_stage import MasterSlaveStage
from rtl_lib.streams.repack import Repack

NUMBERS = Format(True, 6)
# The frames of windows are longer than what can be searched with all pauses (each further cycle doubles the time).
PAUSES_DEPTH = 16


@dataclass(frozen=True)
class Primitive:
    create: Callable[[], StreamComponent]
    promise: Promise
    depth: int  # cycles of the bounded proof, and in which all that can happen must be shown to happen
    deep: bool = False  # for long frames: `depth` with pauses on one side only, PAUSES_DEPTH with both


class Increments(Pipeline):
    """The smallest pipeline: ``lane + 1``, through ``latency`` registers."""

    def __init__(self, latency: int) -> None:
        super().__init__(Beat(NUMBERS, 2), Beat(NUMBERS, 2), latency)

    def datapath(self, m: Module, build: PipelineBuilder, lanes: list[Value]) -> list[Value]:
        values = [lane + 1 for lane in lanes]
        for _ in range(self.latency):
            values = [build.register(value) for value in values]
        return values


def distinct(beats: int, lanes: int) -> np.ndarray:
    return np.arange(beats * lanes).reshape(beats, lanes)


STAGE = Promise(
    inputs=distinct(8, 2),
    outputs=distinct(8, 2),
    due_after=np.arange(8),
    patience=1,
    input_streak=10,
    output_streak=10,
)


def pipeline(latency: int, depth: int) -> Primitive:
    promise = Promise(
        inputs=distinct(8, 2),
        outputs=distinct(8, 2) + 1,
        due_after=np.arange(8),
        patience=latency,
        input_streak=10,
        output_streak=10,
    )
    return Primitive(lambda: Increments(latency), promise, depth)


def fifo(depth: int, cycles: int) -> Primitive:
    """Return a FIFO, for the checks of the stage: nothing changes, and one cycle in memory is all that a beat or the
    source may wait for.
    """
    return Primitive(lambda: Fifo(Beat(NUMBERS, 2), depth), STAGE, cycles)


def repack(input_lanes: int, output_lanes: int, depth: int) -> Primitive:
    factor = max(input_lanes, output_lanes) // min(input_lanes, output_lanes)
    numbers = distinct(3 * max(input_lanes, output_lanes), 1)
    outputs = numbers.reshape(-1, output_lanes)
    promise = Promise(
        inputs=numbers.reshape(-1, input_lanes),
        outputs=outputs,
        due_after=outputs.max(axis=1) // input_lanes,
        patience=factor,
        # The narrow side passes a beat in every cycle.
        input_streak=1 if input_lanes > output_lanes else 2 * factor + 1,
        output_streak=1 if input_lanes < output_lanes else 2 * factor + 1,
    )
    return Primitive(Repack(NUMBERS, input_lanes, output_lanes).create, promise, depth)


def windows(
    size: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int], same: bool, frames: int, depth: int
) -> Primitive:
    """The right windows come from ``compute``; it has tests of its own."""
    padding = Padding.same(size, kernel, stride) if same else Padding()
    spec = Windows(*size, 1, NUMBERS, kernel, stride, padding)
    inputs = 1 + distinct(frames * spec.input_pixels, 1)  # 0 is padding
    outputs = spec.compute(inputs.reshape(frames, -1, 1)).reshape(-1, spec.output_beat.lanes)
    promise = Promise(
        inputs=inputs,
        outputs=outputs,
        # A window is due with its last pixel, and not before the preceding windows.
        due_after=np.maximum.accumulate(outputs.max(axis=1) - 1),
        # Three registers, and a row that starts over while all others are waiting for it.
        patience=3 + 2 * spec.schedule.row_steps,
        input_streak=frames * spec.input_pixels,
        output_streak=spec.output_size[1] if stride[1] == 1 else 1,
    )
    return Primitive(spec.create, promise, depth, deep=True)


def frame_sum(beats: int, depth: int) -> Primitive:
    inputs = (distinct(3 * beats, 2) * 7) % 13 - 5  # no two neighbours, and no two frames, are alike
    promise = Promise(
        inputs=inputs,
        outputs=inputs.reshape(3, beats, 2).sum(axis=1),
        due_after=np.arange(1, 4) * beats - 1,
        patience=1,
        input_streak=3 * beats,
        output_streak=1 if beats > 1 else 4,
    )
    return Primitive(FrameSum(NUMBERS, 2, beats).create, promise, depth)


def folded(pe: int, simd: int, lanes: int, depth: int, input_streak: int, output_streak: int) -> Primitive:
    """Return two sums of four numbers, three vectors: ``turns`` beats of ``pe`` sums for each."""
    weights, bias = np.array([[1, -2], [2, 1], [-1, 1], [1, 2]]), np.array([3, -1])
    spec = FoldedSums(
        Folding(ConstantMatrix(weights, bias, NUMBERS), pe, simd), lanes, Multiplier.DSP, WeightMemory.AUTO, 3
    )
    inputs = (distinct(12 // lanes, lanes) * 7) % 13 - 5
    beats, turns, slots = 4 // lanes, spec.folding.turns, spec.folding.slots
    promise = Promise(
        inputs=inputs,
        outputs=(inputs.reshape(3, 4) @ weights + bias).reshape(-1, pe),
        due_after=np.repeat(np.arange(1, 4) * beats - 1, turns),
        # A vector that is held is looked at for all its slots before it is consumed; one in parts waits for the replay.
        patience=max(slots, 3 + (turns - 1) * spec.folding.chunks),
        input_streak=input_streak,
        output_streak=output_streak,
    )
    return Primitive(spec.create, promise, depth)


PRIMITIVES: dict[str, Primitive] = {
    "stage": Primitive(lambda: MasterSlaveStage(Beat(NUMBERS, 2)), STAGE, 16),
    "fifo_of_2": fifo(2, 16),
    "fifo_of_3": fifo(3, 16),
    "pipeline_of_1": pipeline(1, 14),
    "pipeline_of_3": pipeline(3, 15),
    "frame_sum_of_1": frame_sum(1, 12),
    "frame_sum_of_3": frame_sum(3, 18),
    "folded_one_slot": folded(2, 4, lanes=4, depth=14, input_streak=7, output_streak=7),
    "folded_held": folded(1, 2, lanes=4, depth=16, input_streak=1, output_streak=1),
    "folded_held_two_sums_in_a_row": folded(1, 4, lanes=4, depth=15, input_streak=1, output_streak=7),
    "folded_streamed": folded(2, 2, lanes=2, depth=16, input_streak=7, output_streak=1),
    "folded_replayed": folded(1, 2, lanes=2, depth=16, input_streak=2, output_streak=1),
    "serializer_by_2": repack(2, 1, 14),
    "serializer_by_3": repack(6, 2, 16),
    "gatherer_by_2": repack(1, 2, 14),
    "gatherer_by_3": repack(2, 6, 18),
    "windows_valid": windows((3, 3), (2, 2), (1, 1), False, 2, 21),
    "windows_same": windows((2, 3), (3, 3), (1, 1), True, 2, 20),
    "windows_stride": windows((3, 3), (2, 2), (2, 2), True, 2, 21),
}
