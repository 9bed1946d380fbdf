"""Blocks with one FIFO whose depths are known."""

from __future__ import annotations

from functools import partial

from random_blocks import Block, Edge, Tensor

from rtl_lib.core.branch_timing import GatedJoinModel, JoinPipelineModel
from rtl_lib.core.timing import NetworkPart, PipelineModel, ReduceModel
from rtl_lib.image.window_schedule import Padding, WindowSchedule, WindowsModel

IMAGE = (12, 12)


def convolution(shape: tuple[int, int], kernel: int, stride: int) -> list[NetworkPart]:
    size, steps = (kernel, kernel), (stride, stride)
    schedule = WindowSchedule(*shape, size, steps, Padding.same(shape, size, steps))
    return [WindowsModel(schedule), PipelineModel(6), PipelineModel(2)]


def block(*tensors: Tensor) -> Block:
    return Block({tensor.name: tensor for tensor in tensors}, [tensors[-1].name])


def add(*inputs: str, shape: tuple[int, int] = IMAGE) -> Tensor:
    return Tensor("sum", "sum", inputs, shape, lambda: [JoinPipelineModel(2, len(inputs))])


X = Tensor("x", "input", (), IMAGE, list)
A = Tensor("a", "conv", ("x",), IMAGE, partial(convolution, IMAGE, 3, 1))
B = Tensor("b", "conv", ("a",), IMAGE, partial(convolution, IMAGE, 3, 1))
HALF = Tensor("half", "conv", ("x",), (6, 6), partial(convolution, IMAGE, 3, 2))
LONG = Tensor("long", "conv", ("half",), (6, 6), partial(convolution, (6, 6), 3, 1))
SHORT = Tensor("short", "conv", ("x",), (6, 6), partial(convolution, IMAGE, 1, 2))
MEAN = Tensor("mean", "mean", ("x",), (1, 1), lambda: [ReduceModel(3, 144), PipelineModel(4)])
GATED = Tensor("gated", "scale", ("x", "mean"), IMAGE, lambda: [GatedJoinModel(2, 144)])

# block, the edge of its one FIFO, the depth that is proved, and the depth that is enough while nothing pauses
CASES: dict[str, tuple[Block, Edge, int, int]] = {
    "two convolutions": (block(X, A, B, add("b", "x")), ("x", "sum"), 25, 25),
    "stride, after the shortcut": (
        block(X, HALF, LONG, SHORT, add("long", "short", shape=(6, 6))),
        ("short", "sum"),
        8,
        6,
    ),
    "stride, before the shortcut": (
        block(X, HALF, LONG, SHORT, add("long", "short", shape=(6, 6))),
        ("x", "short"),
        30,
        13,
    ),
    "squeeze and excite": (block(X, MEAN, GATED), ("x", "gated"), 142, 142),
}
