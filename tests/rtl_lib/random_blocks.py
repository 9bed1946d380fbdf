"""Random networks of timing models with every way in which streams part and meet, for trials of the schedule.

A block is drawn once as a list of tensors, and built as often as needed, with other queues each time.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rtl_lib.core.branch_timing import ForkStageModel, GatedJoinModel, JoinPipelineModel, SequencerModel
from rtl_lib.core.rules import FOREVER, State, helper
from rtl_lib.core.timing import BeatModel, NetworkPart, PipelineModel, ReduceModel, StageModel
from rtl_lib.core.timing_network import Stream, TimingNetwork
from rtl_lib.core.trace import Deadlock, Run, trace
from rtl_lib.image.block_reduction import BlockReductionModel, Stretch
from rtl_lib.image.window_schedule import Padding, WindowSchedule, WindowsModel
from rtl_lib.matrix.folded.timing import FoldedModel

Edge = tuple[str, str]  # a tensor and who reads it
Shape = tuple[int, int]  # rows and columns; a vector is (1, 1)


@dataclass(frozen=True)
class Tensor:
    """Produced from ``inputs`` by ``parts``, fresh models in a row of which the first may join."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    shape: Shape
    parts: Callable[[], list[NetworkPart]]

    @property
    def beats(self) -> int:
        return self.shape[0] * self.shape[1]


@dataclass
class Block:
    tensors: dict[str, Tensor] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)

    def readers(self, name: str) -> list[str]:
        read = [tensor.name for tensor in self.tensors.values() for given in tensor.inputs if given == name]
        return read + ["output"] * (name in self.outputs)

    @property
    def edges(self) -> list[Edge]:
        return [(name, reader) for name in self.tensors for reader in self.readers(name) if reader != "output"]

    def build(
        self,
        queues: Mapping[Edge, BeatModel],
        period: int = 0,
        pauses: Callable[[], BeatModel] | None = None,
    ) -> TimingNetwork:
        """
        :param queues: by edge; elsewhere a stage, or the slave of the fork.
        :param pauses: makes what stands after every source and before every sink.
        """
        network = TimingNetwork()
        streams: dict[Edge, Stream] = {}
        for name, tensor in self.tensors.items():
            if tensor.inputs:
                first, *others = tensor.parts()
                stream = network.add(first, *(streams[given, name] for given in tensor.inputs), name=name)
                for part in others:
                    stream = network.add(part, stream)
            else:
                stream = network.source(tensor.beats, period)
                stream = network.add(pauses(), stream) if pauses else stream
            readers = self.readers(name)
            if len(readers) > 1:
                branches = network.add(ForkStageModel(len(readers)), stream)
            else:
                between = queues.get((name, readers[0]), StageModel())
                branches = (network.add(between, stream, name=f"{name}→{readers[0]}"),)
            network.watch(name, branches, tensor.beats)
            for reader, branch in zip(readers, branches, strict=True):
                queue = queues.get((name, reader)) if len(readers) > 1 else None
                streams[name, reader] = network.add(queue, branch, name=f"{name}→{reader}") if queue else branch
            if name in self.outputs:
                end = streams[name, "output"]
                if pauses:
                    end = network.add(pauses(), end)
                    network.watch(f"end of {name}", end, tensor.beats)
                network.sink(end)
        return network


HOLDS, LEFT, SEED, CHANCE, LONGEST = range(5)


@helper
def random_number(s: State) -> int:
    s[SEED] = (s[SEED] * 1103515245 + 12345) & 0x7FFFFFFF
    return s[SEED] >> 8


class PausingModel(BeatModel):
    """A source or sink that pauses: it holds every beat for some cycles.

    :param chance: of a pause after a beat.
    :param longest: cycles of a pause, at most.
    """

    def __init__(self, rng: random.Random, chance: float, longest: int) -> None:
        self.state = [0, 0, rng.randrange(1 << 31), int(chance * 1000), longest]

    @staticmethod
    def offers(s: State) -> int:
        return s[HOLDS] if s[LEFT] == 0 else 0

    @staticmethod
    def accepts(s: State, valids: int, readys: int) -> int:
        return 1 if not s[HOLDS] or (readys and s[LEFT] == 0) else 0

    @staticmethod
    def moves(s: State, valids: int, readys: int, cycles: int) -> int:
        if s[HOLDS] and s[LEFT]:
            s[LEFT] -= cycles
        elif readys or not s[HOLDS]:
            s[HOLDS] = valids
            if valids and random_number(s) % 1000 < s[CHANCE]:
                s[LEFT] = 1 + random_number(s) % s[LONGEST]
        return s[LEFT] - 1 if s[LEFT] > 0 else FOREVER


def pauses(seed: int) -> Callable[[], BeatModel]:
    """A pattern: every source and sink pauses in its own way."""
    rng = random.Random(seed)
    return lambda: PausingModel(rng, rng.choice([0, 0.05, 0.3, 0.9]), rng.choice([1, 5, 40, 400]))


def hangs(block: Block, queues: Mapping[Edge, BeatModel], pattern: int, frames: int = 2) -> bool:
    network = block.build(queues, pauses=pauses(pattern))
    try:
        for group in network.groups():
            Run(network, group).until(frames)
    except Deadlock:
        return True
    return False


def runs_without_pauses(block: Block, queues: Mapping[Edge, BeatModel]) -> bool:
    try:
        trace(block.build(queues))
    except Deadlock:
        return False
    return True


class Drawing:
    """Draws a block.

    :param side: the greatest height and width of an image.
    :param nested: how deep forks stand in the branches of forks.
    """

    def __init__(self, seed: int, side: int = 10, nested: int = 3) -> None:
        self.rng = random.Random(seed)
        self.block = Block()
        shape = self.rng.randint(3, side), self.rng.randint(2, side)
        inputs = [self._tensor("input", (), shape, list) for _ in range(self.rng.choice([1, 1, 1, 2]))]
        paths = [self._path(tensor, nested) for tensor in inputs]
        end = paths[0] if len(paths) == 1 else self._joined(paths)
        self.block.outputs.append(self._path(end, nested - 1).name if self.rng.random() < 0.5 else end.name)
        loose = [name for name in self.block.tensors if not self.block.readers(name)]
        self.block.outputs += loose
        if self.rng.random() < 0.2:  # some tensor on the way is an output too
            others = [t.name for t in self.block.tensors.values() if t.inputs and t.name not in self.block.outputs]
            self.block.outputs += others and [self.rng.choice(others)]

    def _tensor(
        self, kind: str, inputs: tuple[Tensor, ...], shape: Shape, parts: Callable[[], list[NetworkPart]]
    ) -> Tensor:
        name = f"{kind}_{len(self.block.tensors)}"
        tensor = Tensor(name, kind, tuple(given.name for given in inputs), shape, parts)
        self.block.tensors[name] = tensor
        return tensor

    def _product(self) -> Callable[[], list[NetworkPart]]:
        """An engine that multiplies one beat, and its requantization."""
        latency, cycles, end = self.rng.randint(1, 8), self.rng.choice([1, 1, 2, 3, 4, 9]), self.rng.randint(1, 2)
        if cycles == 1:
            return lambda: [PipelineModel(latency), PipelineModel(end)]
        return lambda: [FoldedModel(latency, 1, cycles, False), PipelineModel(end)]

    def _convolution(self, x: Tensor, stride: int, kernel: int) -> Tensor:
        size, steps = (kernel, kernel), (stride, stride)
        schedule = WindowSchedule(*x.shape, size, steps, Padding.same(x.shape, size, steps))
        product = self._product()
        return self._tensor("conv", (x,), schedule.output_size, lambda: [WindowsModel(schedule), *product()])

    def _layer(self, x: Tensor) -> Tensor:
        kind = self.rng.choice(["conv", "conv", "conv", "dense", "pool"])
        if kind == "pool" and min(x.shape) >= 4:
            rows, columns = (Stretch(size, size // 2, 2) for size in x.shape)
            latency = self.rng.randint(1, 3)
            return self._tensor(
                "pool", (x,), (rows.blocks, columns.blocks), lambda: [BlockReductionModel(latency, rows, columns)]
            )
        if kind == "conv" and x.beats > 1:
            return self._convolution(x, self.rng.choice([1, 1, 1, 2]), self.rng.choice([1, 2, 3, 3, 3, 5]))
        return self._tensor("dense", (x,), x.shape, self._product())

    def _path(self, x: Tensor, depth: int) -> Tensor:
        """Append a path of layers to a tensor."""
        kinds = [self._layer]
        if depth:
            nested = [self._residual, self._residual, self._inception, self._excited, self._rows]
            kinds += [lambda x: self._path(self._path(x, depth - 1), depth - 1)]
            kinds += [lambda x, kind=kind: kind(x, depth - 1) for kind in nested]
        return self.rng.choice(kinds)(x)

    def _residual(self, x: Tensor, depth: int) -> Tensor:
        main = x
        for _ in range(self.rng.randint(1, 3)):
            main = self._path(main, depth) if self.rng.random() < 0.3 else self._layer(main)
        if main.shape == x.shape:
            return self._joined([main, x])
        stride = round(x.shape[0] / main.shape[0]) or 1
        return self._joined([main, self._convolution(x, stride, self.rng.choice([1, 1, 2]))])

    def _inception(self, x: Tensor, depth: int) -> Tensor:
        return self._joined([self._path(x, depth) for _ in range(self.rng.randint(2, 4))])

    def _excited(self, x: Tensor, depth: int) -> Tensor:
        """A gate for every channel, from the whole frame."""
        latency = self.rng.randint(1, 4)
        mean = self._tensor("mean", (x,), (1, 1), lambda: [ReduceModel(latency, x.beats)])
        gate = self._tensor("gate", (mean,), (1, 1), self._product())
        return self._gated(self._path(x, depth) if self.rng.random() < 0.3 else x, gate)

    def _gated(self, x: Tensor, gate: Tensor) -> Tensor:
        latency, first = self.rng.randint(1, 4), self.rng.random() < 0.3
        inputs = (gate, x) if first else (x, gate)
        return self._tensor("scale", inputs, x.shape, lambda: [GatedJoinModel(latency, x.beats, 0 if first else 1)])

    def _rows(self, x: Tensor, depth: int) -> Tensor:
        """Below or beside each other."""
        return self._sequence([self._path(x, depth), self.rng.choice([x, self._layer(x)])])

    def _sequence(self, given: list[Tensor]) -> Tensor:
        latency = self.rng.randint(1, 3)
        heights, widths = ([tensor.shape[k] for tensor in given] for k in (0, 1))
        if len(set(heights)) == 1 and self.rng.random() < 0.5:
            beats, shape = widths, (heights[0], sum(widths))
        elif len(set(widths)) == 1:
            beats, shape = [tensor.beats for tensor in given], (sum(heights), widths[0])
        else:
            beats = [tensor.beats for tensor in given]
            shape = (1, sum(beats))
        return self._tensor("rows", tuple(given), shape, lambda: [SequencerModel(latency, beats)])

    def _joined(self, given: list[Tensor]) -> Tensor:
        """Append a join that fits the shapes of the tensors."""
        shapes = {tensor.shape for tensor in given}
        if len(shapes) > 1 or self.rng.random() < 0.15:
            vectors = [tensor for tensor in given if tensor.beats == 1]
            images = [tensor for tensor in given if tensor.beats > 1]
            if len(vectors) == len(images) == 1:
                return self._gated(images[0], vectors[0])
            return self._sequence(given)
        latency = self.rng.randint(1, 4)
        kind = self.rng.choice(["sum", "product", "channels"])
        return self._tensor(kind, tuple(given), given[0].shape, lambda: [JoinPipelineModel(latency, len(given))])
