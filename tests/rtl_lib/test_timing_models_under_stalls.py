"""The timing models know every cycle's ``valid`` and ``ready``, whatever the source and the sink do: not only at full
speed.
"""

from __future__ import annotations

import random

import numpy as np
import pytest
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st

from rtl_lib.core.formats import Format
from rtl_lib.core.stream import Beat, StreamComponent
from rtl_lib.core.timing import BeatModel, PipelineModel
from rtl_lib.elementwise.lookup_table import LookupTable
from rtl_lib.elementwise.requantize import Requantize
from rtl_lib.image.border_average import BorderAverage
from rtl_lib.image.frame_reduction import FrameSum
from rtl_lib.image.reduction import Reduction, WindowReduction
from rtl_lib.image.windows import Padding, Windows
from rtl_lib.matrix.constant_matrix import ConstantMatrix
from rtl_lib.matrix.folded.folding import Folding
from rtl_lib.matrix.folded.multipliers import Multiplier
from rtl_lib.matrix.folded.sums import FoldedSums, FoldedSumsComponent, WeightMemory
from rtl_lib.matrix.parallel.engine import ParallelEngine
from rtl_lib.streams.master_slave_stage import MasterSlaveStage
from rtl_lib.streams.repack import Repack

S5 = Format(True, 5)
ONE = np.ones(2, np.int64)
MATRIX = ConstantMatrix(np.arange(12).reshape(4, 3) - 5, np.arange(3), S5)
ONES = np.ones(3, np.int64)
PARALLEL = ParallelEngine(MATRIX, Requantize(MATRIX.output_format, S5, 3 * ONES, ONES, ONES, -16, 15))


def folded(pe: int, simd: int, lanes: int) -> FoldedSumsComponent:
    """Return the folded sums of the 4 inputs and 3 outputs of ``MATRIX``."""
    return FoldedSums(Folding(MATRIX, pe, simd), lanes, Multiplier.DSP, WeightMemory.AUTO, 2).create()


PATTERNS = [(0.0, 0.0), (0.7, 0.0), (0.0, 0.7), (0.5, 0.5), (0.1, 0.1)]  # how often source and sink pause

CREATE = {
    "stage": lambda: MasterSlaveStage(Beat(S5, 2)),
    "requantize, one register": Requantize(S5, S5, 2 * ONE, ONE, ONE, -16, 15).create,
    "requantize, two registers": Requantize(S5, S5, 3 * ONE, ONE, ONE, -16, 15).create,
    "parallel engine, one register": lambda: PARALLEL.create(levels_per_register=16),
    "parallel engine, many registers": lambda: PARALLEL.create(levels_per_register=1),
    "folded, held": lambda: folded(2, 3, 4),
    "folded, held, one number at a time": lambda: folded(1, 1, 4),
    "folded, one slot": lambda: folded(3, 4, 4),
    "folded, streamed, one turn": lambda: folded(3, 2, 2),
    "folded, streamed, two turns": lambda: folded(2, 2, 2),
    "folded, streamed, three turns": lambda: folded(1, 1, 1),
    "frame sum": FrameSum(S5, 2, 3).create,
    "frame sum of one": FrameSum(S5, 2, 1).create,
    "window reduction": WindowReduction(S5, 2, 5, Reduction.MAXIMUM).create,
    "lookup table": LookupTable(S5, S5, np.arange(-16, 16), 2).create,
    "border average": BorderAverage(S5, S5, 2, np.array([[5, 4], [3, 2]]), 4).create,
    "serializer": Repack(S5, 6, 2).create,
    "gatherer": Repack(S5, 2, 6).create,
}


def first_difference(
    component: StreamComponent, model: BeatModel, cycles: int, source: float, sink: float
) -> str | None:
    """Run both in lockstep; return where they differ first, if they do."""
    rng = random.Random(cycles)
    differences: list[str] = []

    async def bench(ctx):  # type: ignore[no-untyped-def]
        offering = False
        for cycle in range(cycles):
            offering = offering or rng.random() >= source
            accepting = rng.random() >= sink
            ctx.set(component.i.valid, offering)
            ctx.set(component.o.ready, accepting)
            found = bool(ctx.get(component.i.ready)), bool(ctx.get(component.o.valid))
            said = model.ready(accepting), model.valid()
            if found != said:
                differences.append(f"cycle {cycle}: i.ready, o.valid are {found}, the model says {said}")
                return
            model.tick(offering, accepting)
            offering = offering and not found[0]
            await ctx.tick()

    simulator = Simulator(component)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return differences[0] if differences else None


@pytest.mark.parametrize("name", CREATE)
def test_every_cycle_of_every_operator(name):
    for source, sink in PATTERNS:
        component = CREATE[name]()
        assert first_difference(component, component.beat_model(), 150, source, sink) is None


@st.composite
def windows(draw):
    size = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    same = draw(st.booleans())
    kernel = tuple(draw(st.integers(1, 4 if same else min(4, extent))) for extent in size)
    padding = Padding.same(size, kernel, stride) if same else Padding()
    return Windows(*size, 1, Format(False, 2), kernel, stride, padding)


@given(windows(), st.sampled_from(PATTERNS))
@settings(max_examples=60)
def test_every_cycle_of_windows(spec, pattern):
    component = spec.create()
    assert first_difference(component, component.beat_model(), 40 + 5 * spec.input_pixels, *pattern) is None


def test_a_wrong_twin_is_found():
    component = CREATE["requantize, one register"]()
    assert first_difference(component, PipelineModel(2), 50, 0, 0) == (
        "cycle 1: i.ready, o.valid are (True, True), the model says (True, False)"
    )
