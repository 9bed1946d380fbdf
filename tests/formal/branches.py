"""Forks and joins small enough to prove, and faulty ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from operator import and_, or_

import numpy as np
from amaranth.hdl import Module, Signal, Value
from branch_harness import BranchHarness, ForkInduction, JoinInduction

from rtl_lib.core.formats import Format
from rtl_lib.core.stream import Beat
from rtl_lib.elementwise.aligned import AlignedPipeline
from rtl_lib.elementwise.concatenate import Axis, ConcatenateBeats, ConcatenateChannels, Sequencer
from rtl_lib.elementwise.extremum import Extremum, Order
from rtl_lib.elementwise.product import GatedProduct, GatedProductPipeline
from rtl_lib.elementwise.weighted_sum import WeightedSum
from rtl_lib.streams.fork_stage import ForkStage

U6, S6, S8 = Format(False, 6), Format(True, 6), Format(True, 8)
BEATS = 8


def fork(readers: int, kind: type[ForkStage] = ForkStage) -> ForkInduction:
    return ForkInduction(kind(Beat(S6, 2), readers), np.arange(2 * BEATS).reshape(BEATS, 2))


def column(numbers: Sequence[int] | np.ndarray) -> np.ndarray:
    return np.asarray(numbers).reshape(-1, 1)


NUMBERS = [np.arange(BEATS) * 3 - 9, (np.arange(BEATS) * 5) % 13, np.arange(BEATS) * 2]
IN_STEP = np.arange(BEATS)  # one beat of an input for each output beat
ONE_LANE = {"output_format": S8, "shift": np.array([1]), "low": -128, "high": 127}


def weighted_sum(inputs: int = 2, kind: type[AlignedPipeline] = AlignedPipeline) -> JoinInduction:
    """``x_0 - 2 x_1 [+ 4 x_2]``, halved: two registers."""
    multiplier = np.array([[1], [-2], [4]])[:inputs]
    spec = WeightedSum(input_formats=(S6,) * inputs, multiplier=multiplier, offset=np.array([0]), **ONE_LANE)
    x = [column(numbers) for numbers in NUMBERS[:inputs]]
    total, result = spec.reduced(x)[:, 0], spec.compute(*x)
    assert len({*total}) == BEATS
    stages = [{f"level_{inputs - 2}_0_0": total}, {"result_0": result[:, 0]}]
    return JoinInduction(kind(spec), x, result, [IN_STEP] * inputs, stages, {})


def extremum() -> JoinInduction:
    fields = {"multiplier": np.array([[2], [2]]), "offset": np.array([[0], [2]])}
    spec = Extremum(input_formats=(S6, S6), order=Order.MAXIMUM, **fields, **ONE_LANE)
    x = [column(numbers) for numbers in NUMBERS[:2]]
    result = spec.compute(*x)
    aligned = {f"aligned_0_{k}": of_input[:, 0] + k for k, of_input in enumerate(x)}
    return JoinInduction(
        spec.create(),
        x,
        result,
        [IN_STEP] * 2,
        [aligned, {"level_0_0_0": result[:, 0]}, {"result_0": result[:, 0]}],
        {},
    )


def channels() -> JoinInduction:
    spec = ConcatenateChannels(input_formats=(S6, U6), lanes=(1, 1))
    x = [column(numbers) for numbers in NUMBERS[:2]]
    stages = [{f"input_{k}_0": of_input[:, 0] for k, of_input in enumerate(x)}]
    return JoinInduction(spec.create(), x, spec.compute(*x), [IN_STEP] * 2, stages, {})


def gated(kind: type[GatedProductPipeline] = GatedProductPipeline) -> JoinInduction:
    """Three frames of three beats; two registers."""
    fields = {"zero_point": np.zeros((2, 1), int), "multiplier": np.array([2]), "offset": np.array([0])}
    spec = GatedProduct(input_formats=(S6, U6), size=(1, 3), **fields, **ONE_LANE)
    x = [column(np.arange(9) - 4), column([3, 5, 4])]
    result = spec.compute(x[0].reshape(3, 3, 1), x[1].reshape(3, 1, 1)).reshape(-1)
    place = np.arange(9)
    stages = [{"product_0_0": result}, {"result_0": result}]
    sent, counters = [place, place // 3], {"beat": place % 3}
    return JoinInduction(kind(spec, 3, 1), x, column(result), sent, stages, counters)


def sequencer(kind: type[Sequencer] = Sequencer) -> JoinInduction:
    """Two frames of two, one and two beats."""
    spec = ConcatenateBeats(input_formats=(S6,) * 3, lanes=1, sizes=((2, 1), (1, 1), (2, 1)), axis=Axis.ROWS)
    x = [column([1, 2, 3, 4]), column([-1, -2]), column([11, 12, 13, 14])]
    result = spec.compute(*[of_input.reshape(2, -1, 1) for of_input in x]).reshape(-1)
    turn, beat = np.tile([0, 0, 1, 2, 2], 2), np.tile([0, 1, 0, 0, 1], 2)
    sent = [np.concatenate([[0], np.cumsum(turn == k)[:-1]]) % len(of_input) for k, of_input in enumerate(x)]
    return JoinInduction(kind(spec, 1), x, column(result), sent, [{"result_0": result}], {"turn": turn, "beat": beat})


RIGHT: dict[str, Callable[[], BranchHarness]] = {
    "fork_of_2": lambda: fork(2),
    "fork_of_3": lambda: fork(3),
    "sum_of_2": lambda: weighted_sum(2),
    "sum_of_3": lambda: weighted_sum(3),
    "extremum": extremum,
    "channels": channels,
    "gated_product": gated,
    "sequencer": sequencer,
}


# faults ------------------------------------------------------------------------------------------------------------


class ForgetsWhoTookIt(ForkStage):
    def offer(self, m: Module, full: Signal, free: Signal) -> None:
        super().offer(m, full, free)
        m.d.comb += self.outputs[0].valid.eq(full)  # whether or not the first reader has it already


class LeavesWithTheFirst(ForkStage):
    def offer(self, m: Module, full: Signal, free: Signal) -> None:
        super().offer(m, full, free)
        m.d.comb += free.eq(self.outputs[0].ready | ~full)


class KeepsATakenBit(ForkStage):
    """The bit of the first reader is not cleared when the beat leaves: it misses the next one."""

    def offer(self, m: Module, full: Signal, free: Signal) -> None:
        taken = Signal(self.readers)
        served = [taken[k] | output.ready for k, output in enumerate(self.outputs)]
        m.d.comb += [output.valid.eq(full & ~taken[k]) for k, output in enumerate(self.outputs)]
        m.d.comb += free.eq(reduce(and_, served) | ~full)
        for k, reader in enumerate(served):
            m.d.sync += taken[k].eq((~free & reader) | (taken[0] & ~self.outputs[0].ready if k == 0 else 0))


class TakesWithoutABeat(ForkStage):
    """A ready reader counts as served while there is nothing to take."""

    def offer(self, m: Module, full: Signal, free: Signal) -> None:
        super().offer(m, full, free)
        early = Signal()
        m.d.sync += early.eq(~full & self.outputs[0].ready)
        m.d.comb += self.outputs[0].valid.eq(full & ~early)


class ReadyWithoutTheOther(AlignedPipeline):
    def consumed(self, m: Module, fires: Signal) -> list[Value]:
        ready = Signal()
        m.d.comb += ready.eq(self.o.ready)
        return [ready, fires]


class EntersWithOneOfThem(AlignedPipeline):
    def enters(self, m: Module, advance: Signal) -> Value:
        super().enters(m, advance)
        return reduce(or_, [i.valid for i in self.inputs])


class TakesWhileItWaits(AlignedPipeline):
    def consumed(self, m: Module, fires: Signal) -> list[Value]:
        return [reduce(and_, [i.valid for i in self.inputs])] * 2


class UsesABeatTwice(AlignedPipeline):
    def consumed(self, m: Module, fires: Signal) -> list[Value]:
        second = Signal()
        with m.If(fires):
            m.d.sync += second.eq(~second)
        return [fires & second, fires]


class NeedsNoGate(GatedProductPipeline):
    """A mutant that needs the gate for the first beat of a frame only."""

    def enters(self, m: Module, advance: Signal) -> Value:
        arrived = super().enters(m, advance)
        started = Signal()
        m.d.sync += started.eq(started | (arrived & advance))
        return arrived | (started & self.inputs[0].valid)


class TakesTheGateAtOnce(GatedProductPipeline):
    def consumed(self, m: Module, fires: Signal) -> list[Value]:
        super().consumed(m, fires)
        return [fires, fires]


class GateStaysTooLong(GatedProductPipeline):
    def consumed(self, m: Module, fires: Signal) -> list[Value]:
        self.beats += 1
        return super().consumed(m, fires)


class OneBeatShort(Sequencer):
    def __init__(self, spec: ConcatenateBeats, pixels: int) -> None:
        super().__init__(spec, pixels)
        self.turns = (1, *self.turns[1:])


class EverybodyIsReady(Sequencer):
    def enters(self, m: Module, advance: Signal) -> Value:
        arrived = super().enters(m, advance)
        m.d.comb += self.inputs[1].ready.eq(advance)
        return arrived


FAULTY: dict[str, Callable[[], BranchHarness]] = {
    **{
        kind.__name__: lambda kind=kind: fork(2, kind)
        for kind in (ForgetsWhoTookIt, LeavesWithTheFirst, KeepsATakenBit, TakesWithoutABeat)
    },
    **{
        kind.__name__: lambda kind=kind: weighted_sum(2, kind)
        for kind in (ReadyWithoutTheOther, EntersWithOneOfThem, TakesWhileItWaits, UsesABeatTwice)
    },
    **{kind.__name__: lambda kind=kind: gated(kind) for kind in (NeedsNoGate, TakesTheGateAtOnce, GateStaysTooLong)},
    **{kind.__name__: lambda kind=kind: sequencer(kind) for kind in (OneBeatShort, EverybodyIsReady)},
}
