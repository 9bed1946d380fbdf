"""The buffers between the host link and an accelerator with several inputs and outputs, against plain bytes."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from typing import Any

import pytest
from amaranth.hdl import Cat, Module
from amaranth.sim import Simulator

from rtl_lib.host import link_ports
from rtl_lib.host.link_ports import FrameMerger, FrameSplitter, LinkPort

PORTS = (
    LinkPort(beat_bytes=3, beats=4),
    LinkPort(beat_bytes=1, beats=1),
    LinkPort(beat_bytes=1, beats=5),
    LinkPort(beat_bytes=2, beats=1),
)
FRAME_BYTES = sum(port.frame_bytes for port in PORTS)
PATIENCE = 1500  # cycles
SHARES = (0.0, 0.3, 0.8)  # of the cycles in which a side pauses


def frames(count: int, seed: int = 0) -> list[bytes]:
    rng = random.Random(seed)
    return [rng.randbytes(FRAME_BYTES) for _ in range(count)]


def beats_of(frame: bytes) -> list[list[int]]:
    """Return by port the beats as numbers."""
    found = []
    for port in PORTS:
        own, frame = frame[: port.frame_bytes], frame[port.frame_bytes :]
        beats = [own[k : k + port.beat_bytes] for k in range(0, len(own), port.beat_bytes)]
        found.append([int.from_bytes(beat, "little") for beat in beats])
    return found


def split(sent: list[bytes], share: float, seed: int) -> tuple[list[list[list[int]]], list[int], list[list[int]]]:
    """Return by frame and port the beats that come out; the cycles in which a frame begins; by port, those of its
    beats.
    """
    splitter = FrameSplitter(PORTS)
    simulator = Simulator(splitter)
    simulator.add_clock(1e-6)
    rng = random.Random(seed)
    came: list[list[tuple[int, int, bool]]] = [[] for _ in PORTS]  # cycle, beat, last
    began: list[int] = []

    async def bench(ctx: Any) -> None:
        left = list(b"".join(sent))
        for cycle in range(PATIENCE):
            offered = bool(left) and rng.random() >= share
            ctx.set(splitter.i_tvalid, offered)
            ctx.set(splitter.i_tdata, left[0] if offered else rng.randrange(256))
            readys = [rng.random() >= share for _ in PORTS]
            for k, ready in enumerate(readys):
                ctx.set(getattr(splitter, f"tready_{k}"), ready)
            for k, ready in enumerate(readys):
                if ready and ctx.get(getattr(splitter, f"tvalid_{k}")):
                    beat = ctx.get(getattr(splitter, f"tdata_{k}"))
                    came[k].append((cycle, beat, bool(ctx.get(getattr(splitter, f"tlast_{k}")))))
            if ctx.get(splitter.began):
                began.append(cycle)
            if offered and ctx.get(splitter.i_tready):
                left.pop(0)
            await ctx.tick()

    simulator.add_testbench(bench)
    simulator.run()
    for port, beats in zip(PORTS, came, strict=True):
        assert [last for _, _, last in beats] == [k % port.beats == port.beats - 1 for k in range(len(beats))]
    found = [
        [[beat for _, beat, _ in beats[n * p.beats : (n + 1) * p.beats]] for p, beats in zip(PORTS, came, strict=True)]
        for n in range(len(sent))
    ]
    return found, began, [[cycle for cycle, _, _ in beats] for beats in came]


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("seed", range(3))
def test_every_input_gets_its_beats(share: float, seed: int) -> None:
    sent = frames(6, seed)
    found, began, cycles = split(sent, share, seed)
    assert found == [beats_of(frame) for frame in sent]
    firsts = [min(own[n * port.beats] for own, port in zip(cycles, PORTS, strict=True)) for n in range(len(sent))]
    assert began == firsts


def test_inputs_are_fed_at_the_same_time_at_a_beat_per_cycle() -> None:
    _, began, cycles = split(frames(3), 0.0, 0)
    for n, start in enumerate(began):
        for own, port in zip(cycles, PORTS, strict=True):
            assert own[n * port.beats : (n + 1) * port.beats] == list(range(start, start + port.beats))


@pytest.mark.parametrize("first", range(len(PORTS)))
def test_any_input_may_be_consumed_before_the_others(first: int) -> None:
    """One port after the other, in each order that begins with ``first``."""
    splitter = FrameSplitter(PORTS)
    simulator = Simulator(splitter)
    simulator.add_clock(1e-6)
    (frame,) = frames(1)
    found: list[list[int]] = [[] for _ in PORTS]

    async def bench(ctx: Any) -> None:
        for byte in frame:
            ctx.set(splitter.i_tvalid, 1)
            ctx.set(splitter.i_tdata, byte)
            assert ctx.get(splitter.i_tready)
            await ctx.tick()
        ctx.set(splitter.i_tvalid, 0)
        await ctx.tick().repeat(2)
        for k in [first, *(k for k in reversed(range(len(PORTS))) if k != first)]:
            ctx.set(getattr(splitter, f"tready_{k}"), 1)
            for _ in range(PORTS[k].beats):
                assert ctx.get(getattr(splitter, f"tvalid_{k}"))
                found[k].append(ctx.get(getattr(splitter, f"tdata_{k}")))
                await ctx.tick()
            assert not ctx.get(getattr(splitter, f"tvalid_{k}"))

    simulator.add_testbench(bench)
    simulator.run()
    assert found == beats_of(frame)


def merge(results: list[bytes], share: float, seed: int, order: Sequence[int] | None = None) -> list[bytes]:
    """Return the merged results; with ``order``, an output sends nothing before those that stand before it have sent
    all.
    """
    merger = FrameMerger(PORTS)
    simulator = Simulator(merger)
    simulator.add_clock(1e-6)
    rng = random.Random(seed)
    came: list[bytes] = []

    async def bench(ctx: Any) -> None:
        to_give = [beats_of(result) for result in results]
        current, part = (to_give.pop(0) if to_give else []), b""
        for _ in range(PATIENCE):
            if to_give and not any(current) and len(came) == len(results) - len(to_give):
                current = to_give.pop(0)
            offered = []
            for k, beats in enumerate(current):
                waits = order is not None and any(current[other] for other in order[: order.index(k)])
                offered.append(bool(beats) and not waits and rng.random() >= share)
                ctx.set(getattr(merger, f"tvalid_{k}"), offered[k])
                ctx.set(getattr(merger, f"tdata_{k}"), beats[0] if offered[k] else 0)
            ready = rng.random() >= share
            ctx.set(merger.o_tready, ready)
            taken = [offer and ctx.get(getattr(merger, f"tready_{k}")) for k, offer in enumerate(offered)]
            if any(taken):
                assert bool(ctx.get(merger.waits)) == (sum(map(len, current)) > sum(map(bool, taken)))
            for beats, is_taken in zip(current, taken, strict=True):
                if is_taken:
                    beats.pop(0)
            if ready and ctx.get(merger.o_tvalid):
                part += bytes([ctx.get(merger.o_tdata)])
                if ctx.get(merger.o_tlast):
                    came.append(part)
                    part = b""
            await ctx.tick()

    simulator.add_testbench(bench)
    simulator.run()
    return came


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("seed", range(3))
def test_a_result_is_the_outputs_one_after_the_other(share: float, seed: int) -> None:
    results = frames(6, seed)
    assert merge(results, share, seed) == results


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_outputs_may_come_in_any_order(order: tuple[int, ...]) -> None:
    results = frames(4)
    assert merge(results, 0.3, 1, order) == results


def test_one_port_on_a_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """A side may have one port, of a network with several outputs and one input, or the other way round."""
    monkeypatch.setattr(sys.modules[__name__], "PORTS", PORTS[:1])
    monkeypatch.setattr(sys.modules[__name__], "FRAME_BYTES", PORTS[0].frame_bytes)
    sent = frames(4)
    assert split(sent, 0.3, 0)[0] == [beats_of(frame) for frame in sent]
    assert merge(sent, 0.3, 0) == sent


class HoldsOneBeat(link_ports.OutputBuffer):
    """Gives way only while its own bytes are sent: the outputs must come in order."""

    def elaborate(self, platform: Any) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.tready.eq(self.send)
        return m


class BytesReversed(link_ports.InputBuffer):
    """A mutant with the bytes of each beat reversed."""

    def elaborate(self, platform: Any) -> Module:
        m = super().elaborate(platform)
        data = m.submodules.memory.read_ports[0].data
        m.d.comb += self.tdata.eq(Cat(data[k : k + 8] for k in reversed(range(0, len(data), 8))))
        return m


def test_planted_faults_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_ports, "OutputBuffer", HoldsOneBeat)
    with pytest.raises(AssertionError):
        assert merge(frames(2), 0.0, 0, (3, 2, 1, 0)) == frames(2)
    monkeypatch.setattr(link_ports, "InputBuffer", BytesReversed)
    found, _, _ = split(frames(2), 0.3, 0)
    assert found != [beats_of(frame) for frame in frames(2)]
