"""The stream primitives, small enough to prove, each with what it promises."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Const, Module, Value
from stream_harness import Expected, Payload, Promise

from rtl_lib.formats import Format
from rtl_lib.frame_reduction import FoldedMatrix, FrameSum
from rtl_lib.pipeline import Pipeline, PipelineBuilder
from rtl_lib.repack import Repack
from rtl_lib.stream import Beat, MasterSlaveStage, StreamComponent
from rtl_lib.windows import Padding, Windows

U2, S2 = Format(False, 2), Format(True, 2)


@dataclass(frozen=True)
class Primitive:
    create: Callable[[], StreamComponent]
    promise: Promise
    depth: int  # cycles of the bounded proof


class Increments(Pipeline):
    """The smallest pipeline: ``lane + 1``, through ``latency`` registers."""

    def __init__(self, latency: int) -> None:
        super().__init__(Beat(U2, 2), Beat(Format(False, 3), 2), latency)

    def datapath(self, m: Module, build: PipelineBuilder, lanes: list[Value]) -> list[Value]:
        values = [lane + 1 for lane in lanes]
        for _ in range(self.latency):
            values = [build.register(value) for value in values]
        return values


def one_for_one(function: Callable[[Payload], Payload]) -> Callable[[list[Payload]], list[Expected]]:
    return lambda beats: [Expected(function(beat), k) for k, beat in enumerate(beats)]


def moved(sources: np.ndarray, input_lanes: int, fill: int) -> Callable[[list[Payload]], list[Expected]]:
    """For operators that only move numbers: ``sources [beats, lanes]`` is the number of each output's input; negative: ``fill``."""

    def expected(beats: list[Payload]) -> list[Expected]:
        flat = [lane for beat in beats for lane in beat] + [Const(fill, beats[0][0].shape())]
        return [Expected([flat[k] for k in row], int(row.max()) // input_lanes) for row in sources]

    return expected


def repack(input_lanes: int, output_lanes: int, depth: int) -> Primitive:
    spec = Repack(S2, input_lanes, output_lanes)
    narrow, wide = sorted((input_lanes, output_lanes))
    numbers = 3 * wide
    sources = np.arange(numbers).reshape(-1, output_lanes)
    return Primitive(
        spec.create,
        Promise(
            input_beats=numbers // input_lanes,
            expected=moved(sources, input_lanes, 0),
            patience=wide // narrow,
            input_streak=1 if input_lanes > output_lanes else 2 * wide // narrow + 1,
            output_streak=2 * wide // narrow + 1 if input_lanes > output_lanes else 1,
        ),
        depth,
    )


def windows(spec: Windows, frames: int, depth: int) -> Primitive:
    """Where each number of a window comes from, ``compute`` tells when it is given the numbers 0, 1, 2, … (its own tests check it)."""
    per_frame = spec.input_beats * spec.channels
    numbers = np.arange(frames * per_frame).reshape(frames, spec.input_beats, spec.channels)
    marked = Windows(spec.height, spec.width, spec.channels, Format(True, 16), spec.kernel, spec.stride, spec.padding, -1)
    sources = marked.compute(numbers).reshape(-1, spec.output_beat.lanes)
    return Primitive(
        spec.create,
        Promise(
            input_beats=frames * spec.input_beats,
            expected=moved(sources, spec.channels, spec.fill),
            # Three registers and, at worst, a row that starts over.
            patience=3 + spec.row_steps + spec.tail,
            input_streak=frames * spec.input_beats,
            output_streak=min(spec.output_size[1], spec.width),
        ),
        depth,
    )


def frame_sum(beats: int, depth: int) -> Primitive:
    def expected(values: list[Payload]) -> Sequence[Expected]:
        frames = [values[k : k + beats] for k in range(0, len(values), beats)]
        return [
            Expected([sum(lane) for lane in zip(*frame, strict=True)], (k + 1) * beats - 1)
            for k, frame in enumerate(frames)
        ]

    promise = Promise(input_beats=2 * beats, expected=expected, patience=1, input_streak=2 * beats + 1, output_streak=1)
    return Primitive(FrameSum(S2, 2, beats).create, promise, depth)


def folded_matrix(depth: int) -> Primitive:
    weights, bias = np.array([[1, -2], [2, 1], [-1, 1], [1, 2]]), np.array([3, -1])
    spec = FoldedMatrix(weights, bias, S2, 2, Format(True, 3))

    def product(vector: list[Value]) -> Payload:
        return [
            sum((int(w) * x for w, x in zip(column, vector, strict=True)), Const(int(b), 8).as_signed())
            for column, b in zip(weights.T, bias, strict=True)
        ]

    def expected(values: list[Payload]) -> Sequence[Expected]:
        return [Expected(product([*values[k], *values[k + 1]]), k + 1) for k in range(0, len(values), 2)]

    promise = Promise(input_beats=4, expected=expected, patience=4, input_streak=5, output_streak=1)
    return Primitive(spec.create, promise, depth)


STAGE = Promise(
    input_beats=6, expected=one_for_one(lambda beat: beat), patience=1, input_streak=6, output_streak=6
)
INCREMENTS = one_for_one(lambda beat: [lane + 1 for lane in beat])

PRIMITIVES: dict[str, Primitive] = {
    "stage": Primitive(lambda: MasterSlaveStage(Beat(S2, 2)), STAGE, 16),
    **{
        f"pipeline_of_{latency}": Primitive(
            lambda latency=latency: Increments(latency),
            Promise(input_beats=6, expected=INCREMENTS, patience=latency, input_streak=6, output_streak=6),
            14,
        )
        for latency in (1, 3)
    },
    "frame_sum_of_3": frame_sum(3, 16),
    "frame_sum_of_1": frame_sum(1, 12),
    "folded_matrix": folded_matrix(16),
    "serializer_by_3": repack(6, 2, 20),
    "serializer_by_2": repack(2, 1, 16),
    "gatherer_by_3": repack(2, 6, 20),
    "gatherer_by_2": repack(1, 2, 16),
    "windows_valid": windows(Windows(3, 3, 1, U2, (2, 2)), 2, 26),
    "windows_same": windows(Windows(2, 3, 1, U2, (3, 3), padding=Padding.same((2, 3), (3, 3), (1, 1))), 2, 24),
    "windows_stride": windows(
        Windows(3, 3, 1, U2, (2, 2), (2, 2), Padding.same((3, 3), (2, 2), (2, 2)), fill=1), 2, 26
    ),
}
