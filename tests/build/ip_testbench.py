"""Runs inside the simulator: the packaged IP between the masters and slaves of cocotbext-axi.

``+setting=FILE``: an .npz with packed frames in (``sent``) and out (``expected``), and the plan's cycles.
"""

from __future__ import annotations

import itertools
import random
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, ReadOnly, RisingEdge, Timer, with_timeout
from cocotbext.axi import (
    AxiLiteBus,
    AxiLiteMaster,
    AxiResp,
    AxiStreamBus,
    AxiStreamFrame,
    AxiStreamSink,
    AxiStreamSource,
)

from dnn2fpga.drive.pynq import (
    BUSY,
    DONE,
    IDENTITY,
    INPUT_WAITS,
    MAP_VERSION,
    OUTPUT_WAITS,
    REGISTERS,
    RUN,
    SOFT_RESET,
    TLAST_EARLY,
    TLAST_MISSING,
)

INTERRUPT_ENABLE = 1 << 2
PERIOD_NS = 10
PATIENCE_US = 2000
HANDSHAKES = [("m_axis_tvalid", "m_axis_tready", ("m_axis_tdata", "m_axis_tlast", "m_axis_tkeep"))]
HANDSHAKES += [("s_axi_control_bvalid", "s_axi_control_bready", ("s_axi_control_bresp",))]
HANDSHAKES += [("s_axi_control_rvalid", "s_axi_control_rready", ("s_axi_control_rdata", "s_axi_control_rresp"))]


def pauses(seed: int, share: float) -> Any:
    """Whether to pause, cycle by cycle: runs of both kinds, so that everything fills and empties."""
    rng = random.Random(seed)
    while True:
        paused = rng.random() < share
        yield from itertools.repeat(paused, rng.choice((1, 1, 2, 3, 8)))


class Bench:
    """The design with a bus model on each of its interfaces, found by their prefixes."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        data = np.load(cocotb.plusargs["setting"])
        self.sent, self.expected = data["sent"], data["expected"]
        self.latency, self.interval, self.steady = (int(data[k]) for k in ("latency", "interval", "steady"))
        cocotb.start_soon(Clock(dut.aclk, PERIOD_NS, unit="ns").start())
        reset = {"reset": dut.aresetn, "reset_active_level": False}
        self.source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), dut.aclk, **reset)
        self.sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), dut.aclk, **reset)
        self.control = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi_control"), dut.aclk, **reset)
        for part in (self.source, self.sink, self.control.read_if, self.control.write_if):
            part.log.setLevel("WARNING")
        self.cycle = 0
        self.output_ends: list[int] = []
        self.answers: list[int] = []  # cycles in which a write was answered
        self.checks_protocol = False
        cocotb.start_soon(self._watch())

    async def start(self, control: int = RUN) -> None:
        self.checks_protocol = False
        self.dut.aresetn.value = 0
        await ClockCycles(self.dut.aclk, 3)
        self.dut.aresetn.value = 1
        await ClockCycles(self.dut.aclk, 2)
        self.checks_protocol = True
        await self.write("control", control)

    def pause(self, seed: int) -> None:
        """Random pauses on all seven channels."""
        write, read = self.control.write_if, self.control.read_if
        channels = (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel)
        for number, channel in enumerate((self.source, self.sink, *channels)):
            channel.set_pause_generator(pauses(10 * seed + number, (0.2, 0.5, 0.8)[(seed + number) % 3]))

    async def read(self, register: str) -> int:
        answer = await with_timeout(self.control.read(REGISTERS[register], 4), PATIENCE_US, "us")
        assert answer.resp == AxiResp.OKAY
        return int.from_bytes(answer.data, "little")

    async def write(self, register: str, value: int) -> None:
        data = value.to_bytes(4, "little")
        answer = await with_timeout(self.control.write(REGISTERS[register], data), PATIENCE_US, "us")
        assert answer.resp == AxiResp.OKAY

    async def send(self, frames: np.ndarray) -> None:
        """One transfer, as a DMA makes it: ``tlast`` at the end of all of it."""
        await self.source.send(AxiStreamFrame(frames.tobytes()))

    async def receive(self, frames: np.ndarray) -> None:
        """One packet, equal to ``frames``, with every byte kept."""
        packet = await with_timeout(self.sink.recv(compact=False), PATIENCE_US, "us")
        assert all(packet.tkeep or [1])
        np.testing.assert_array_equal(np.frombuffer(bytes(packet.tdata), np.uint8), frames.reshape(-1))

    async def exchange(self, first: int, last: int) -> None:
        await self.send(self.sent[first:last])
        await self.receive(self.expected[first:last])

    async def nothing_comes(self, cycles: int) -> None:
        before = len(self.output_ends)
        await ClockCycles(self.dut.aclk, cycles)
        assert len(self.output_ends) == before
        assert self.sink.empty()

    async def _watch(self) -> None:
        """Samples before every edge. What is valid must stay as it is until it is taken."""
        dut, offered = self.dut, {}
        while True:
            await FallingEdge(dut.aclk)
            await ReadOnly()
            self.cycle += 1
            for valid, ready, payload in HANDSHAKES:
                now = [int(getattr(dut, name).value) for name in payload] if int(getattr(dut, valid).value) else None
                if self.checks_protocol and offered.get(valid) is not None:
                    assert now == offered[valid], f"{valid}: payload changed or withdrawn before it was taken"
                taken = now is not None and int(getattr(dut, ready).value)
                offered[valid] = None if taken else now
                if taken and valid == "m_axis_tvalid" and int(dut.m_axis_tlast.value):
                    self.output_ends.append(self.cycle)
                if taken and valid == "s_axi_control_bvalid":
                    self.answers.append(self.cycle)
            if not self.checks_protocol:
                offered.clear()


@cocotb.test
async def frames_pass_and_are_counted(dut: Any) -> None:
    """Without pauses: every byte, and every counter exact."""
    bench = Bench(dut)
    await bench.start(control=0)
    names = ("identity", "version", "input_frame_bytes", "output_frame_bytes", "packet")
    expected = [IDENTITY, MAP_VERSION, bench.sent.shape[1], bench.expected.shape[1], 1]
    assert [await bench.read(name) for name in names] == expected
    frames = len(bench.sent)

    await bench.write("control", RUN)
    enabled = bench.answers[-1]
    await bench.exchange(0, 1)
    assert await bench.read("latency") == bench.latency
    assert await bench.read("interval") == 0
    for frame in range(1, frames):
        await bench.send(bench.sent[frame : frame + 1])
    for frame in range(1, frames):
        await bench.receive(bench.expected[frame : frame + 1])
    assert await bench.read("interval") == bench.output_ends[-1] - bench.output_ends[-2]
    assert [await bench.read("frames_in"), await bench.read("frames_out")] == [frames, frames]
    assert await bench.read("status") == DONE

    await bench.write("control", 0)
    cycles = bench.answers[-1] - enabled
    assert await bench.read("cycles_low") | await bench.read("cycles_high") << 32 == cycles
    await bench.write("control", RUN)
    await bench.write("control", 0)
    assert await bench.read("cycles_low") == bench.answers[-1] - bench.answers[-2]


@cocotb.test
async def back_to_back_frames_meet_the_plan(dut: Any) -> None:
    """One packet of all frames, the source always valid and the sink always ready: the interval is the plan's."""
    bench = Bench(dut)
    await bench.start()
    frames = len(bench.sent)
    await bench.write("packet", frames)
    await bench.exchange(0, frames)
    assert await bench.read("latency") >= bench.latency
    assert frames > bench.steady
    assert await bench.read("interval") == bench.interval
    assert await bench.read("status") == DONE


@cocotb.test
@cocotb.parametrize(seed=range(4))
async def random_pauses_on_all_channels(dut: Any, seed: int) -> None:
    """Packets of all sizes, while a host reads registers all the time."""
    bench = Bench(dut)
    await bench.start()
    bench.pause(seed)
    frames, size = len(bench.sent), 1 + seed % 3
    await bench.write("packet", size)

    everything_came = False

    async def poll() -> None:
        while not everything_came:
            given = await bench.read("frames_out")
            assert await bench.read("frames_in") >= given
            assert not await bench.read("status") & (TLAST_EARLY | TLAST_MISSING)

    polling = cocotb.start_soon(poll())
    starts = range(0, frames - frames % size, size)
    for first in starts:
        await bench.send(bench.sent[first : first + size])
    for first in starts:
        await bench.receive(bench.expected[first : first + size])
    everything_came = True
    await polling
    assert len(bench.output_ends) == len(starts)


@cocotb.test
async def frames_pass_only_while_enabled(dut: Any) -> None:
    """Nothing before `run`; without it, the frame under way ends and the next one waits."""
    bench = Bench(dut)
    await bench.start(control=0)
    patience = 3 * (bench.latency + bench.interval)
    await bench.send(bench.sent[0:1])
    await bench.send(bench.sent[1:2])
    await bench.nothing_comes(patience)
    assert [await bench.read("status"), await bench.read("frames_in")] == [INPUT_WAITS, 0]

    await bench.write("control", RUN)
    await bench.write("control", 0)  # a frame takes longer than this
    assert await bench.read("status") & BUSY
    await bench.receive(bench.expected[0:1])
    await bench.nothing_comes(patience)
    assert [await bench.read("frames_in"), await bench.read("frames_out")] == [1, 1]
    assert await bench.read("status") == DONE | INPUT_WAITS
    await bench.write("control", RUN)
    await bench.receive(bench.expected[1:2])


@cocotb.test
async def back_pressure(dut: Any) -> None:
    """A sink that never takes: `valid` comes all the same, the design fills, and nothing is lost."""
    bench = Bench(dut)
    await bench.start()
    bench.sink.pause = True
    for frame in range(len(bench.sent)):
        await bench.send(bench.sent[frame : frame + 1])
    await ClockCycles(dut.aclk, bench.latency + (len(bench.sent) + 2) * bench.interval)
    assert await bench.read("status") & (OUTPUT_WAITS | BUSY) == OUTPUT_WAITS | BUSY
    assert await bench.read("frames_out") == 0
    bench.sink.pause = False
    for frame in range(len(bench.sent)):
        await bench.receive(bench.expected[frame : frame + 1])
    assert not await bench.read("status") & BUSY


@cocotb.test
@cocotb.parametrize(soft=[False, True], moment=[0.3, 0.8, 1.1, 1.7])
async def reset_in_mid_frame(dut: Any, soft: bool, moment: float) -> None:
    """By `aresetn` or by the soft reset, while frames enter or leave: afterwards all is as at the beginning."""
    bench = Bench(dut)
    await bench.start()
    bench.pause(seed=int(10 * moment))
    await bench.write("packet", 2)
    await bench.send(bench.sent)
    await ClockCycles(dut.aclk, 1 + int(moment * (bench.latency + bench.interval)))
    if soft:
        bench.checks_protocol = False  # an offered beat may be withdrawn: it is gone
        bench.source.assert_reset(True)
        await bench.write("control", SOFT_RESET | RUN)
        bench.source.assert_reset(False)
    bench.source.clear()
    if not soft:
        await bench.start()
        assert await bench.read("packet") == 1
    bench.sink.assert_reset()
    bench.sink.clear()
    bench.checks_protocol = True
    assert [await bench.read("frames_in"), await bench.read("frames_out")] == [0, 0]
    assert await bench.read("status") == 0
    assert await bench.read("control") == RUN
    await bench.write("packet", 2)
    await bench.exchange(1, 3)
    await bench.exchange(3, 5)
    assert await bench.read("frames_out") == 4
    assert await bench.read("status") == DONE


@cocotb.test
async def interrupt(dut: Any) -> None:
    """Raised by `done` where it is enabled, lowered by writing 1 to the bit."""
    bench = Bench(dut)
    await bench.start(control=RUN)
    await bench.exchange(0, 1)
    await ClockCycles(dut.aclk, 3)
    assert not int(dut.interrupt.value)
    await bench.write("control", RUN | INTERRUPT_ENABLE)
    await ClockCycles(dut.aclk, 3)
    assert int(dut.interrupt.value)
    await bench.write("status", BUSY | TLAST_EARLY)  # not its bit
    await ClockCycles(dut.aclk, 3)
    assert int(dut.interrupt.value)
    await bench.write("status", DONE)
    await ClockCycles(dut.aclk, 3)
    assert not int(dut.interrupt.value)
    await bench.send(bench.sent[1:2])
    await with_timeout(RisingEdge(dut.interrupt), PATIENCE_US, "us")
    await bench.receive(bench.expected[1:2])


@cocotb.test
async def a_wrong_tlast_is_noticed(dut: Any) -> None:
    """Too early, or missing; the frames are right all the same, because beats are counted."""
    bench = Bench(dut)
    await bench.start(control=RUN | INTERRUPT_ENABLE)
    lanes = len(dut.s_axis_tdata) // 8
    frame = bench.sent[0].tobytes()
    await bench.source.send(AxiStreamFrame(frame[:lanes]))
    await bench.source.send(AxiStreamFrame(frame[lanes:] + bench.sent[1].tobytes()))
    await bench.receive(bench.expected[0:1])
    await bench.receive(bench.expected[1:2])
    assert await bench.read("status") == DONE | TLAST_EARLY | TLAST_MISSING
    await bench.write("status", DONE | TLAST_EARLY)
    assert await bench.read("status") == TLAST_MISSING
    assert int(dut.interrupt.value)
    await bench.write("status", TLAST_MISSING)
    assert await bench.read("status") == 0


@cocotb.test
async def registers_answer_by_the_rules(dut: Any) -> None:
    """SLVERR where there is nothing or nothing to write; single bytes by their strobes; data before their address."""
    bench = Bench(dut)
    await bench.start(control=0)
    mapped, writable = set(REGISTERS.values()), {REGISTERS[name] for name in ("control", "status", "packet")}
    for address in [*range(0, 0x80, 4), 0x200, 0xFFC]:
        answer = await bench.control.read(address, 4)
        assert answer.resp == (AxiResp.OKAY if address in mapped else AxiResp.SLVERR)
        assert address in mapped or not any(answer.data)
        answer = await bench.control.write(address, bytes(4))
        assert answer.resp == (AxiResp.OKAY if address in writable else AxiResp.SLVERR)
    assert await bench.read("identity") == IDENTITY

    packet = REGISTERS["packet"]
    await bench.control.write(packet, b"\x34\x12\xff\xff")
    assert await bench.read("packet") == 0x1234
    await bench.control.write(packet + 1, b"\x56")
    assert await bench.read("packet") == 0x5634
    await bench.write("control", RUN | INTERRUPT_ENABLE)
    await bench.control.write(REGISTERS["control"] + 1, b"\xff\xff\xff")
    assert await bench.read("control") == RUN | INTERRUPT_ENABLE
    for channel in (bench.control.write_if.aw_channel, bench.control.write_if.w_channel):
        channel.pause = True
        writing = cocotb.start_soon(bench.write("packet", 7))
        await ClockCycles(dut.aclk, 20)
        assert not writing.done()
        channel.pause = False
        await writing
        assert await bench.read("packet") == 7
        await bench.write("packet", 1)


@cocotb.test
async def no_output_follows_an_input_within_a_cycle(dut: Any) -> None:
    """In the middle of a busy run, between two edges, every input is turned over in turn."""
    bench = Bench(dut)
    await bench.start()
    bench.pause(seed=3)
    for frame in range(len(bench.sent)):
        await bench.send(bench.sent[frame : frame + 1])
    lite = [
        getattr(dut, f"s_axi_control_{n}{side}") for n in ("aw", "w", "b", "ar", "r") for side in ("valid", "ready")
    ]
    streams = [dut.s_axis_tvalid, dut.s_axis_tready, dut.m_axis_tready, dut.m_axis_tvalid]
    inputs = [*lite[0:4:2], lite[5], lite[6], lite[9], *streams[::2]]
    outputs = [signal for signal in (*lite, *streams) if signal not in inputs]
    assert len(outputs) == 7
    bench.checks_protocol = False

    async def poll() -> None:
        while True:
            await bench.read("status")
            await bench.write("status", 0)

    cocotb.start_soon(poll())
    for _ in range(bench.latency + bench.interval):
        await FallingEdge(dut.aclk)
        await Timer(1, "ns")
        before = [int(signal.value) for signal in outputs]
        for signal in inputs:
            value = int(signal.value)
            signal.value = 1 - value
            await Timer(10, "ps")
            assert [int(s.value) for s in outputs] == before, f"an output follows {signal._name}"
            signal.value = value
            await Timer(10, "ps")
