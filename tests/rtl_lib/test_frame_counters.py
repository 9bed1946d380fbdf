"""The counters of several ports against a model that keeps whole lists, with ports that run apart."""

from __future__ import annotations

import random
from typing import Any

import pytest
from amaranth.sim import Simulator

from rtl_lib.host.frame_counters import FrameWatch
from rtl_lib.host.frame_skew import FrameSkew

CYCLES = 400


@pytest.mark.parametrize("ports", [2, 3, 5])
@pytest.mark.parametrize("seed", range(3))
def test_skew(ports: int, seed: int) -> None:
    skew = FrameSkew(ports)
    simulator = Simulator(skew)
    simulator.add_clock(1e-6)
    rng = random.Random(seed)
    counts = [0] * ports

    async def bench(ctx: Any) -> None:
        busy = 0
        for cycle in range(CYCLES):
            if cycle % 20 == 0:
                busy = rng.randrange(ports)  # one port runs ahead for a while
            events = [rng.random() < (0.9 if k == busy else 0.4) for k in range(ports)]
            ctx.set(skew.events, sum(event << k for k, event in enumerate(events)))
            after = [count + event for count, event in zip(counts, events, strict=True)]
            assert ctx.get(skew.skew) == max(counts) - min(counts)
            assert ctx.get(skew.behind) == sum((count < max(counts)) << k for k, count in enumerate(counts))
            assert ctx.get(skew.first) == max(after) - max(counts)
            assert ctx.get(skew.last) == min(after) - min(counts)
            counts[:] = after
            await ctx.tick()

    simulator.add_testbench(bench)
    simulator.run()
    assert max(counts) - min(counts) > 1


@pytest.mark.parametrize("beats", [(3, 1), (1, 1), (4, 2, 5)])
@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_frames_of_several_ports(beats: tuple[int, ...], outputs: int, seed: int) -> None:
    watch = FrameWatch(beats, outputs)
    simulator = Simulator(watch)
    simulator.add_clock(1e-6)
    rng = random.Random(seed)
    taken = [0] * len(beats)
    given = [0] * outputs
    began: list[int] = []  # cycles, by frame
    ended: list[int] = []
    packet = 2

    def whole() -> list[int]:
        return [count // size for count, size in zip(taken, beats, strict=True)]

    async def bench(ctx: Any) -> None:
        ctx.set(watch.packet, packet)
        latency, timed = 0, None
        for cycle in range(CYCLES):
            assert ctx.get(watch.frames_in) == min(whole())
            assert ctx.get(watch.frames_out) == min(given) == len(ended)
            assert ctx.get(watch.busy) == (any(count % size for count, size in zip(taken, beats, strict=True))
                                           or len({*whole(), *given}) > 1)  # fmt: skip
            assert ctx.get(watch.latency) == latency
            assert ctx.get(watch.interval) == (ended[-1] - ended[-2] if len(ended) > 1 else 0)
            pace = rng.choice((0.2, 0.9))
            for port, size in enumerate(beats):
                idle = taken[port] % size == 0 and whole()[port] == len(began)
                assert bool(ctx.get(watch.inputs[port].between_frames)) == idle
            takes = [rng.random() < pace for _ in beats]
            # A frame leaves when it is in, and not before.
            gives = [given[k] < min(whole()) and rng.random() < 0.3 for k in range(outputs)]
            wrong = rng.random() < 0.1
            for port, (size, take) in enumerate(zip(beats, takes, strict=True)):
                last = (taken[port] + 1) % (packet * size) == 0
                ctx.set(watch.inputs[port].taken, take)
                ctx.set(watch.inputs[port].tlast, last != (wrong and port == 0))
            for k, give in enumerate(gives):
                ctx.set(watch.outputs[k].given, give)
                ctx.set(watch.outputs[k].last, 1)
                assert ctx.get(watch.outputs[k].ends_packet) == (given[k] % packet == packet - 1)
            noticed = ctx.get(watch.tlast_early) + ctx.get(watch.tlast_missing)
            assert noticed == (wrong and takes[0])
            frames = [-(-(count + take) // size) for count, take, size in zip(taken, takes, beats, strict=True)]
            slowest = min(given)
            given[:] = [count + give for count, give in zip(given, gives, strict=True)]
            if min(given) > slowest:
                ended.append(cycle)
                if timed == slowest:
                    latency, timed = cycle - began[timed], None
            if max(frames) > len(began):
                if timed is None:
                    timed = len(began)
                began.append(cycle)
            taken[:] = [count + take for count, take in zip(taken, takes, strict=True)]
            await ctx.tick()

    simulator.add_testbench(bench)
    simulator.run()
    assert len(ended) > 10
