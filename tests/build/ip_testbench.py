"""Runs inside the simulator: the packaged IP between the masters and slaves of cocotbext-axi.

``+setting=FILE``: an .npz with the packed frames of every stream, by the prefix of its signals, and the plan's cycles.
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
    MAP_VERSION_OF_SEVERAL,
    OUTPUT_WAITS,
    PORT_FRAME_BYTES,
    REGISTERS,
    RUN,
    SOFT_RESET,
    TLAST_EARLY,
    TLAST_MISSING,
)

INTERRUPT_ENABLE = 1 << 2
PERIOD_NS = 10
PATIENCE_US = 2000
LITE_HANDSHAKES = (
    ("s_axi_control_bvalid", "s_axi_control_bready", ("s_axi_control_bresp",)),
    ("s_axi_control_rvalid", "s_axi_control_rready", ("s_axi_control_rdata", "s_axi_control_rresp")),
)


def pauses(seed: int, share: float) -> Any:
    """Yield cycle by cycle whether to pause: runs of both kinds, so that everything fills and empties."""
    rng = random.Random(seed)
    while True:
        paused = rng.random() < share
        yield from itertools.repeat(paused, rng.choice((1, 1, 2, 3, 8)))


class Bench:
    """The design with a bus model on each of its interfaces, found by their prefixes."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        data = np.load(cocotb.plusargs["setting"])
        self.sent = {axis: data[axis] for axis in data.files if axis.startswith("s_axis")}
        self.expected = {axis: data[axis] for axis in data.files if axis.startswith("m_axis")}
        self.is_single = len(self.sent) == len(self.expected) == 1
        self.frames = len(next(iter(self.sent.values())))
        self.latency, self.interval, self.steady = (int(data[k]) for k in ("latency", "interval", "steady"))
        cocotb.start_soon(Clock(dut.aclk, PERIOD_NS, unit="ns").start())
        reset = {"reset": dut.aresetn, "reset_active_level": False}
        self.sources = {a: AxiStreamSource(AxiStreamBus.from_prefix(dut, a), dut.aclk, **reset) for a in self.sent}
        self.sinks = {a: AxiStreamSink(AxiStreamBus.from_prefix(dut, a), dut.aclk, **reset) for a in self.expected}
        self.control = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi_control"), dut.aclk, **reset)
        for part in (*self.sources.values(), *self.sinks.values(), self.control.read_if, self.control.write_if):
            part.log.setLevel("WARNING")
        self.cycle = 0
        self.output_ends: list[int] = []  # cycles in which a packet has left by all outputs
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
        """Random pauses on all channels."""
        write, read = self.control.write_if, self.control.read_if
        channels = (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel)
        for number, channel in enumerate((*self.sources.values(), *self.sinks.values(), *channels)):
            channel.set_pause_generator(pauses(10 * seed + number, (0.2, 0.5, 0.8)[(seed + number) % 3]))

    async def read(self, register: str) -> int:
        answer = await with_timeout(self.control.read(REGISTERS[register], 4), PATIENCE_US, "us")
        assert answer.resp == AxiResp.OKAY
        return int.from_bytes(answer.data, "little")

    async def write(self, register: str, value: int) -> None:
        data = value.to_bytes(4, "little")
        answer = await with_timeout(self.control.write(REGISTERS[register], data), PATIENCE_US, "us")
        assert answer.resp == AxiResp.OKAY

    async def send(self, first: int, last: int) -> None:
        """One transfer per input, as a DMA makes it: ``tlast`` at the end of all of it."""
        for axis, frames in self.sent.items():
            await self.sources[axis].send(AxiStreamFrame(frames[first:last].tobytes()))

    async def receive(self, first: int, last: int) -> None:
        """One packet per output, equal to what is expected, with every byte kept."""
        for axis, frames in self.expected.items():
            packet = await with_timeout(self.sinks[axis].recv(compact=False), PATIENCE_US, "us")
            assert all(packet.tkeep or [1])
            np.testing.assert_array_equal(np.frombuffer(bytes(packet.tdata), np.uint8), frames[first:last].reshape(-1))

    async def exchange(self, first: int, last: int) -> None:
        await self.send(first, last)
        await self.receive(first, last)

    async def nothing_comes(self, cycles: int) -> None:
        before = len(self.output_ends)
        await ClockCycles(self.dut.aclk, cycles)
        assert len(self.output_ends) == before
        assert all(sink.empty() for sink in self.sinks.values())

    async def _watch(self) -> None:
        """Samples before every edge. What is valid must stay as it is until it is taken."""
        dut, offered, packets = self.dut, {}, dict.fromkeys(self.expected, 0)
        streams = [(f"{a}_tvalid", f"{a}_tready", [f"{a}_{n}" for n in ("tdata", "tlast", "tkeep")]) for a in packets]
        while True:
            await FallingEdge(dut.aclk)
            await ReadOnly()
            self.cycle += 1
            for valid, ready, payload in (*streams, *LITE_HANDSHAKES):
                now = [int(getattr(dut, name).value) for name in payload] if int(getattr(dut, valid).value) else None
                if self.checks_protocol and offered.get(valid) is not None:
                    assert now == offered[valid], f"{valid}: payload changed or withdrawn before it was taken"
                taken = now is not None and int(getattr(dut, ready).value)
                offered[valid] = None if taken else now
                axis = valid.removesuffix("_tvalid")
                if taken and axis in packets and int(getattr(dut, f"{axis}_tlast").value):
                    slowest = min(packets.values())
                    packets[axis] += 1
                    self.output_ends += [self.cycle] * (min(packets.values()) - slowest)
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
    sizes = [sum(frames.shape[1] for frames in side.values()) for side in (bench.sent, bench.expected)]
    version = MAP_VERSION if bench.is_single else MAP_VERSION_OF_SEVERAL
    assert [await bench.read(name) for name in names] == [IDENTITY, version, *sizes, 1]
    frames = bench.frames

    await bench.write("control", RUN)
    enabled = bench.answers[-1]
    await bench.exchange(0, 1)
    assert await bench.read("latency") == bench.latency
    assert await bench.read("interval") == 0
    for frame in range(1, frames):
        await bench.send(frame, frame + 1)
    for frame in range(1, frames):
        await bench.receive(frame, frame + 1)
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
    frames = bench.frames
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
    frames, size = bench.frames, 1 + seed % 3
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
        await bench.send(first, first + size)
    for first in starts:
        await bench.receive(first, first + size)
    everything_came = True
    await polling
    assert len(bench.output_ends) == len(starts)


@cocotb.test
async def frames_pass_only_while_enabled(dut: Any) -> None:
    """Nothing before `run`; without it, the frame under way ends and the next one waits."""
    bench = Bench(dut)
    await bench.start(control=0)
    patience = 3 * (bench.latency + bench.interval)
    await bench.send(0, 1)
    await bench.send(1, 2)
    await bench.nothing_comes(patience)
    assert [await bench.read("status"), await bench.read("frames_in")] == [INPUT_WAITS, 0]

    await bench.write("control", RUN)
    await bench.write("control", 0)  # a frame needs longer than this
    assert await bench.read("status") & BUSY
    await bench.receive(0, 1)
    await bench.nothing_comes(patience)
    assert [await bench.read("frames_in"), await bench.read("frames_out")] == [1, 1]
    assert await bench.read("status") == DONE | INPUT_WAITS
    await bench.write("control", RUN)
    await bench.receive(1, 2)


@cocotb.test
async def back_pressure(dut: Any) -> None:
    """A sink that never accepts: `valid` comes all the same, the design fills, and nothing is lost."""
    bench = Bench(dut)
    await bench.start()
    for sink in bench.sinks.values():
        sink.pause = True
    for frame in range(bench.frames):
        await bench.send(frame, frame + 1)
    await ClockCycles(dut.aclk, bench.latency + (bench.frames + 2) * bench.interval)
    assert await bench.read("status") & (OUTPUT_WAITS | BUSY) == OUTPUT_WAITS | BUSY
    assert await bench.read("frames_out") == 0
    for sink in bench.sinks.values():
        sink.pause = False
    for frame in range(bench.frames):
        await bench.receive(frame, frame + 1)
    assert not await bench.read("status") & BUSY


@cocotb.test
@cocotb.parametrize(soft=[False, True], moment=[0.3, 0.8, 1.1, 1.7])
async def reset_in_mid_frame(dut: Any, soft: bool, moment: float) -> None:
    """Reset by `aresetn` or by the soft reset, while frames enter or leave: afterwards all is as at the beginning."""
    bench = Bench(dut)
    await bench.start()
    bench.pause(seed=int(10 * moment))
    await bench.write("packet", 2)
    await bench.send(0, bench.frames)
    await ClockCycles(dut.aclk, 1 + int(moment * (bench.latency + bench.interval)))
    if soft:
        bench.checks_protocol = False  # an offered beat may be withdrawn: it is gone
        for source in bench.sources.values():
            source.assert_reset(True)
        await bench.write("control", SOFT_RESET | RUN)
        for source in bench.sources.values():
            source.assert_reset(False)
    for source in bench.sources.values():
        source.clear()
    if not soft:
        await bench.start()
        assert await bench.read("packet") == 1
    for sink in bench.sinks.values():
        sink.assert_reset()
        sink.clear()
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
    await bench.send(1, 2)
    await with_timeout(RisingEdge(dut.interrupt), PATIENCE_US, "us")
    await bench.receive(1, 2)


@cocotb.test
async def a_wrong_tlast_is_noticed(dut: Any) -> None:
    """Too early, or missing; the frames are right all the same, because beats are counted."""
    bench = Bench(dut)
    await bench.start(control=RUN | INTERRUPT_ENABLE)
    axis, *others = bench.sent
    beat = len(getattr(dut, f"{axis}_tdata")) // 8
    stream = bench.sent[axis][0:2].tobytes()
    for part in (stream[:beat], stream[beat:]):
        await bench.sources[axis].send(AxiStreamFrame(part))
    for other in others:
        for frame in bench.sent[other][0:2]:
            await bench.sources[other].send(AxiStreamFrame(frame.tobytes()))
    await bench.receive(0, 1)
    await bench.receive(1, 2)
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
    mapped = set(REGISTERS.values()) - ({REGISTERS["waits"]} if bench.is_single else set())
    if not bench.is_single:
        mapped |= {PORT_FRAME_BYTES + 4 * k for k in range(len(bench.sent) + len(bench.expected))}
    writable = {REGISTERS[name] for name in ("control", "status", "packet")}
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
    """Every input is toggled in turn in the middle of a busy run, between two edges."""
    bench = Bench(dut)
    await bench.start()
    bench.pause(seed=3)
    for frame in range(bench.frames):
        await bench.send(frame, frame + 1)
    lite = [
        getattr(dut, f"s_axi_control_{n}{side}") for n in ("aw", "w", "b", "ar", "r") for side in ("valid", "ready")
    ]
    driven = [f"{axis}_tvalid" for axis in bench.sent] + [f"{axis}_tready" for axis in bench.expected]
    driving = [f"{axis}_tready" for axis in bench.sent] + [f"{axis}_tvalid" for axis in bench.expected]
    inputs = [*lite[0:4:2], lite[5], lite[6], lite[9], *(getattr(dut, name) for name in driven)]
    outputs = [signal for signal in lite if signal not in inputs] + [getattr(dut, name) for name in driving]
    assert len(outputs) == 5 + len(bench.sent) + len(bench.expected)
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


# --- of several inputs or outputs only


@cocotb.test
async def several_each_port_has_its_size(dut: Any) -> None:
    bench = Bench(dut)
    await bench.start(control=0)
    for k, frames in enumerate((*bench.sent.values(), *bench.expected.values())):
        answer = await bench.control.read(PORT_FRAME_BYTES + 4 * k, 4)
        assert int.from_bytes(answer.data, "little") == frames.shape[1]


@cocotb.test
async def several_a_frame_that_began_at_one_input_may_end(dut: Any) -> None:
    """A frame may end that began at one input, also when `run` becomes 0 before the other inputs have begun it; the
    next frame waits at all of them.
    """
    bench = Bench(dut)
    await bench.start()
    first, *others = reversed(bench.sent)  # the last input begins
    await bench.sources[first].send(AxiStreamFrame(bench.sent[first][0].tobytes()))
    await ClockCycles(dut.aclk, 20)
    await bench.write("control", 0)
    assert await bench.read("status") & BUSY
    await bench.sources[first].send(AxiStreamFrame(bench.sent[first][1].tobytes()))
    for axis in others:
        for frame in bench.sent[axis][0:2]:
            await bench.sources[axis].send(AxiStreamFrame(frame.tobytes()))
    await bench.receive(0, 1)
    await bench.nothing_comes(3 * bench.interval)
    assert [await bench.read("frames_in"), await bench.read("frames_out")] == [1, 1]
    assert await bench.read("waits") == (1 << len(bench.sent)) - 1
    await bench.write("control", RUN)
    await bench.receive(1, 2)


@cocotb.test
async def several_one_output_is_not_drained(dut: Any) -> None:
    """`waits` tells which; what the others have given stays right, and a frame is out when all have given it."""
    bench = Bench(dut)
    await bench.start()
    for number, sink in enumerate(bench.sinks.values()):
        sink.pause = True
        await bench.send(number, number + 1)
        await ClockCycles(dut.aclk, bench.latency + 3 * bench.interval)
        assert await bench.read("waits") >> 16 == 1 << number
        assert await bench.read("frames_out") == number
        assert await bench.read("status") & (BUSY | DONE) == BUSY
        sink.pause = False
        await bench.receive(number, number + 1)
        await ClockCycles(dut.aclk, 3)
        assert await bench.read("status") == DONE
        await bench.write("status", DONE)
        assert await bench.read("frames_out") == number + 1
