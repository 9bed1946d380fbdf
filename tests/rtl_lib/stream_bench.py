"""Drives a stream component in Amaranth's simulator with random pauses and collects what comes out, and when."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass

import numpy as np
from amaranth.sim import Simulator

from rtl_lib.core.stream import StreamComponent

PATIENCE = 1500  # cycles; an engine may be busy with one beat for hundreds


@dataclass
class Run:
    outputs: np.ndarray  # [beats, lanes]
    output_cycles: list[int]  # relative to the cycle in which the first input beat was taken
    input_cycles: list[int]


def run_component(
    component: StreamComponent,
    beats: np.ndarray,
    output_beats: int,
    *,
    source_pause: float = 0.0,
    sink_pause: float = 0.0,
    seed: int = 0,
) -> Run:
    """Send ``beats [n, lanes]`` and wait for ``output_beats`` (plus a while, to see surplus ones); give up when nothing
    passes for long.
    """
    random_source, random_sink = random.Random(seed), random.Random(seed + 1)
    taken: list[int] = []
    given: list[int] = []
    results: list[list[int]] = []
    simulator = Simulator(component)
    simulator.add_clock(1e-6)

    async def bench(ctx):
        position = 0
        offering = False
        surplus_until = None
        last_passage = 0
        for cycle in itertools.count():
            if not offering and position < len(beats) and random_source.random() >= source_pause:
                offering = True
                ctx.set(component.i.payload, [int(v) for v in beats[position]])
            ctx.set(component.i.valid, int(offering))
            ctx.set(component.o.ready, int(random_sink.random() >= sink_pause))
            i_passes = offering and ctx.get(component.i.ready)
            o_passes = ctx.get(component.o.valid) and ctx.get(component.o.ready)
            if o_passes:
                results.append([int(ctx.get(component.o.payload[k])) for k in range(component.output_beat.lanes)])
                given.append(cycle)
            if i_passes:
                taken.append(cycle)
                position += 1
                offering = False
            if i_passes or o_passes:
                last_passage = cycle
            if cycle > last_passage + PATIENCE:
                return
            if len(results) >= output_beats and surplus_until is None:
                surplus_until = cycle + 30
            if surplus_until is not None and cycle >= surplus_until:
                return
            await ctx.tick()

    simulator.add_testbench(bench)
    simulator.run()
    start = taken[0] if taken else 0
    return Run(np.array(results, dtype=np.int64), [c - start for c in given], [c - start for c in taken])
