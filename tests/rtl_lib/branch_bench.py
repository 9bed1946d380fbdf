"""Drives a component with any number of streams in Amaranth's simulator, with random pauses at each of them, beside its
timing model: both must agree in every cycle.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from amaranth.sim import Simulator

from rtl_lib.core.operator import Operator
from rtl_lib.core.stream import StreamComponent
from rtl_lib.core.timing import NetworkPart

PATIENCE = 100  # cycles in which nothing passes
FRAMES = 3
# Shares of pauses: inputs and outputs get them alternately.
STALLS = [((0.0,), (0.0,)), ((0.6, 0.0), (0.0,)), ((0.0, 0.7, 0.3), (0.3,)), ((0.0,), (0.7, 0.0)), ((0.4,), (0.4,))]


@dataclass
class Run:
    outputs: list[np.ndarray]  # of every output: [beats, lanes]
    input_cycles: list[list[int]]
    output_cycles: list[list[int]]


def run_branching(
    component: StreamComponent,
    inputs: Sequence[np.ndarray],
    *,
    source_pauses: Sequence[float] = (0.0,),
    sink_pauses: Sequence[float] = (0.0,),
    seed: int = 0,
    model: NetworkPart | None = None,
) -> Run:
    """Send ``inputs``, each ``[beats, lanes]``, until nothing passes for long.

    :raises AssertionError: when the timing model (absent: the component's own) says something else of a cycle.
    """
    model = model or component.beat_model()
    rng = random.Random(seed)
    sources, sinks = component.inputs, component.outputs
    results: list[list[list[int]]] = [[] for _ in sinks]
    input_cycles: list[list[int]] = [[] for _ in sources]
    output_cycles: list[list[int]] = [[] for _ in sinks]
    simulator = Simulator(component)
    simulator.add_clock(1e-6)

    async def bench(ctx):  # type: ignore[no-untyped-def]
        offering = [False] * len(sources)
        cycle = last_passage = 0
        while cycle <= last_passage + PATIENCE:
            for k, source in enumerate(sources):
                left = len(input_cycles[k]) < len(inputs[k])
                if not offering[k] and left and rng.random() >= source_pauses[k % len(source_pauses)]:
                    offering[k] = True
                    ctx.set(source.payload, [int(v) for v in inputs[k][len(input_cycles[k])]])
                ctx.set(source.valid, offering[k])
            accepting = tuple(rng.random() >= sink_pauses[k % len(sink_pauses)] for k in range(len(sinks)))
            for sink, ready in zip(sinks, accepting, strict=True):
                ctx.set(sink.ready, ready)
            offered = tuple(offering)
            readys = tuple(bool(ctx.get(source.ready)) for source in sources)
            valids = tuple(bool(ctx.get(sink.valid)) for sink in sinks)
            assert (readys, valids) == (model.readys(offered, accepting), model.valids()), f"cycle {cycle}"
            model.advance(offered, accepting)
            for k in np.flatnonzero(np.logical_and(offered, readys)):
                offering[k] = False
                input_cycles[k].append(cycle)
                last_passage = cycle
            for k in np.flatnonzero(np.logical_and(valids, accepting)):
                lanes = component.output_beats[k].lanes
                results[k].append([int(ctx.get(sinks[k].payload[lane])) for lane in range(lanes)])
                output_cycles[k].append(cycle)
                last_passage = cycle
            await ctx.tick()
            cycle += 1

    simulator.add_testbench(bench)
    simulator.run()
    return Run([np.array(beats, dtype=np.int64) for beats in results], input_cycles, output_cycles)


def random_inputs(operator: Operator, beats: Sequence[int], seed: int) -> list[np.ndarray]:
    """``[frames, beats, lanes]`` of every input, with the extremes of the formats in them."""
    rng = np.random.default_rng(seed)
    found = []
    for beat, count in zip(operator.input_beats, beats, strict=True):
        low, high = beat.format.minimum, beat.format.maximum
        x = rng.integers(low, high, (FRAMES, count, beat.lanes), endpoint=True)
        x[0], x[1, 0], x[1, -1] = rng.choice([low, high], x[0].shape), low, high
        found.append(x)
    return found


def check_join(operator: Operator, beats: Sequence[int], seed: int = 0) -> None:
    """Check that the component produces the integers of ``compute``, under all stalls; at full speed after its declared
    latency.
    """
    x = random_inputs(operator, beats, seed)
    y = operator.compute(*x)
    assert y.shape[2] == operator.output_beat.lanes
    check_streams(operator.create(), x, y, seed)


def check_streams(component: StreamComponent, x: Sequence[np.ndarray], y: np.ndarray, seed: int) -> None:
    for sources, sinks in STALLS:
        run = run_branching(
            component,
            [of_input.reshape(-1, of_input.shape[2]) for of_input in x],
            source_pauses=sources,
            sink_pauses=sinks,
            seed=seed,
        )
        assert run.outputs[0].tolist() == y.reshape(-1, y.shape[2]).tolist(), f"sources {sources}, sinks {sinks}"
        assert [len(cycles) for cycles in run.input_cycles] == [len(of_input) * of_input.shape[1] for of_input in x]
        if sources == sinks == (0.0,):
            (leaving,) = run.output_cycles
            assert leaving == list(range(component.latency, component.latency + len(leaving)))  # type: ignore[attr-defined]
