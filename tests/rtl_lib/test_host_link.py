"""The hardware of the serial link against its functional model, in cycles and through its pins."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from amaranth.hdl import Cat, Module, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from rtl_lib.host.host_link import HostLinkSpec
from rtl_lib.host.link_protocol import ESCAPE, FLAG, Answer, Deframer, Identity, Kind, Request
from rtl_lib.host.uart import UartReceiver, UartTransmitter

CYCLES_PER_BIT = 4
SPEC = HostLinkSpec(
    input_beat_bytes=1,
    input_beats=24,
    output_beat_bytes=3,
    output_beats=2,
    clock_hz=12_345_678,
    cycles_per_bit=CYCLES_PER_BIT,
    design=b"\x7e\x7d\x00\xff1234",
)
WIDE = HostLinkSpec(
    input_beat_bytes=5,
    input_beats=4,
    output_beat_bytes=1,
    output_beats=1,
    clock_hz=1_000_000,
    cycles_per_bit=CYCLES_PER_BIT,
    design=b"wide one",
)
LATENCY = 9  # latency of the stand-in for a network, after the last beat


class Network(wiring.Component):
    """A stand-in that accepts a frame, not in every cycle, and sends the sum of its bytes as many times as the result
    has bytes.
    """

    def __init__(self, spec: HostLinkSpec) -> None:
        self.spec = spec
        super().__init__(
            {
                "s_tdata": In(8 * spec.input_beat_bytes),
                "s_tvalid": In(1),
                "s_tready": Out(1),
                "s_tlast": In(1),
                "m_tdata": Out(8 * spec.output_beat_bytes),
                "m_tvalid": Out(1),
                "m_tready": In(1),
                "m_tlast": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        total, wait, beat = Signal(8), Signal(range(LATENCY + 1)), Signal(8)
        value = Signal(8)
        parts = [self.s_tdata[8 * k : 8 * k + 8] for k in range(self.spec.input_beat_bytes)]
        m.d.comb += [
            self.m_tdata.eq(Cat(*[value] * self.spec.output_beat_bytes)),
            self.m_tlast.eq(beat == self.spec.output_beats - 1),
        ]
        with m.FSM():
            with m.State("TAKE"):
                m.d.comb += self.s_tready.eq(1)
                with m.If(self.s_tvalid):
                    m.d.sync += total.eq(total + sum(parts[1:], parts[0]))
                    with m.If(self.s_tlast):
                        m.d.sync += wait.eq(LATENCY - 2)
                        m.next = "WAIT"
            with m.State("WAIT"):
                m.d.sync += [wait.eq(wait - 1), value.eq(total)]
                with m.If(wait == 0):
                    m.next = "GIVE"
            with m.State("GIVE"):
                m.d.comb += self.m_tvalid.eq(1)
                with m.If(self.m_tready):
                    m.d.sync += beat.eq(beat + 1)
                    with m.If(self.m_tlast):
                        m.d.sync += [beat.eq(0), total.eq(0)]
                        m.next = "TAKE"
        return m


def network(spec: HostLinkSpec, frame: bytes, latency: int) -> bytes:
    """The functional model of ``Network``."""
    return bytes([sum(frame) % 256]) * (spec.output_beat_bytes * spec.output_beats) + latency.to_bytes(4, "little")


class Device(wiring.Component):
    """The link with a network connected to it."""

    rx: In(1, init=1)
    tx: Out(1, init=1)

    def __init__(self, spec: HostLinkSpec) -> None:
        self.spec = spec
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.link = link = self.spec.create()
        inner = Network(self.spec)
        m.submodules.network = ResetInserter(~link.aresetn)(inner)
        m.d.comb += [
            link.rx.eq(self.rx),
            self.tx.eq(link.tx),
            inner.s_tdata.eq(link.s_axis_tdata),
            inner.s_tvalid.eq(link.s_axis_tvalid),
            inner.s_tlast.eq(link.s_axis_tlast),
            link.s_axis_tready.eq(inner.s_tready),
            link.m_axis_tdata.eq(inner.m_tdata),
            link.m_axis_tvalid.eq(inner.m_tvalid),
            link.m_axis_tlast.eq(inner.m_tlast),
            inner.m_tready.eq(link.m_axis_tready),
        ]
        return m


def levels(data: bytes, cycles_per_bit: float = CYCLES_PER_BIT) -> Iterator[int]:
    """Yield the levels of a line that sends ``data``, cycle by cycle."""
    sent = 0.0
    cycle = 0
    for byte in data:
        for bit in [0, *((byte >> k) & 1 for k in range(8)), 1]:
            sent += cycles_per_bit
            while cycle < round(sent):
                cycle += 1
                yield bit


class Listener:
    """A line → bytes."""

    def __init__(self, cycles_per_bit: int = CYCLES_PER_BIT) -> None:
        self.cycles_per_bit = cycles_per_bit
        self.data = bytearray()
        self._left, self._bits = 0, []  # type: ignore[var-annotated]

    def see(self, level: int) -> None:
        if self._left == 0:
            if level == 0:
                self._left, self._bits = 10 * self.cycles_per_bit, []
            else:
                return
        self._bits.append(level)
        self._left -= 1
        if self._left == 0:
            middle = self._bits[self.cycles_per_bit // 2 :: self.cycles_per_bit]
            assert middle[0] == 0
            assert middle[9] == 1
            self.data.append(sum(bit << k for k, bit in enumerate(middle[1:9])))


def conversation(spec: HostLinkSpec, lines: list[bytes], quiet: int = 300) -> list[bytes]:
    """Return the answers of the hardware to each of ``lines``, which are sent one after the other with time to
    answer.
    """
    device = Device(spec)
    simulator = Simulator(device)
    simulator.add_clock(1e-6)
    answers = []

    async def bench(ctx):
        for line in lines:
            listener = Listener()
            silent = 0
            for level in levels(line):
                ctx.set(device.rx, level)
                await ctx.tick()
                listener.see(ctx.get(device.tx))
            while silent < quiet:
                await ctx.tick()
                listener.see(ctx.get(device.tx))
                silent = 0 if not ctx.get(device.tx) else silent + 1
            answers.append(bytes(listener.data))

    simulator.add_testbench(bench)
    simulator.run()
    return answers


def decoded(line: bytes) -> list[Answer | None]:
    return [content and Answer.decode(content) for content in Deframer().feed(line)]


@pytest.mark.parametrize("cycles_per_bit", [4, 5, 8, 13])
@pytest.mark.parametrize("off", [-0.03, 0.0, 0.03])  # of the other side's clock
def test_uart(cycles_per_bit: int, off: float) -> None:
    data = bytes([0, 255, 0x55, 0xAA, *random.Random(1).randbytes(20)])
    receiver = UartReceiver(cycles_per_bit)
    simulator = Simulator(receiver)
    simulator.add_clock(1e-6)
    found = []

    async def bench(ctx):
        for level in [1] * 5 + list(levels(data, cycles_per_bit * (1 + off))) + [1] * 20:
            ctx.set(receiver.line, level)
            await ctx.tick()
            if ctx.get(receiver.strobe):
                found.append(ctx.get(receiver.data))

    simulator.add_testbench(bench)
    simulator.run()
    assert bytes(found) == data


@pytest.mark.parametrize("cycles_per_bit", [4, 7])
def test_transmitter_sends_back_to_back(cycles_per_bit: int) -> None:
    data = bytes([0, 255, 0x55, *random.Random(2).randbytes(10)])
    transmitter = UartTransmitter(cycles_per_bit)
    simulator = Simulator(transmitter)
    simulator.add_clock(1e-6)
    seen = []

    async def bench(ctx):
        left = list(data)
        ctx.set(transmitter.valid, 1)
        for _ in range(len(data) * (10 * cycles_per_bit + 1) + 20):
            ctx.set(transmitter.data, left[0] if left else 0)
            ctx.set(transmitter.valid, bool(left))
            taken = left and ctx.get(transmitter.ready)
            await ctx.tick()
            seen.append(ctx.get(transmitter.line))
            if taken:
                left.pop(0)

    simulator.add_testbench(bench)
    simulator.run()
    expected = []
    for byte in data:
        expected += [*levels(bytes([byte]), cycles_per_bit), 1]  # a cycle to take the next byte
    assert seen[: len(expected)] == expected
    assert set(seen[len(expected) :]) == {1}


def test_too_few_cycles_for_a_bit() -> None:
    with pytest.raises(ValueError, match="at least 4 cycles, not 3"):
        UartReceiver(3)


def session(spec: HostLinkSpec, seed: int, steps: int) -> list[bytes]:
    """Requests of a host that does all that it should, and much that it should not."""
    rng = random.Random(seed)
    tag, position, taken = 0, 0, 0
    lines = [Request(Kind.DATA, 5, tag).encode(), Request(Kind.OPEN, 5, 1).encode()]
    model = spec.model(lambda frame: network(spec, frame, 0))
    for line in lines:
        model.feed(line)
    for _ in range(steps):
        tag = (tag + 1) % 256
        payload = bytes(rng.choice([FLAG, ESCAPE, 0, rng.randrange(256)]) for _ in range(rng.choice([0, 1, 7, 40])))
        request = Request(Kind.DATA, 5, tag, position, taken, payload)
        line = request.encode()
        match rng.randrange(9):
            case 0:
                line = Request(
                    Kind.DATA, 5, tag, (position + rng.choice([1, -1, 300])) % 65536, taken, payload
                ).encode()
            case 1:
                line = Request(Kind.DATA, 6, tag, position, taken, payload).encode()
            case 2:
                damaged = bytearray(line)
                damaged[rng.randrange(1, len(damaged) - 1)] ^= rng.choice([1, 0x40, 0x80])
                line = bytes(damaged)
            case 3:
                line = line[: rng.randrange(2, len(line) - 1)] + bytes([FLAG])
            case 4:
                line = rng.randbytes(5) + bytes([FLAG]) + line
            case 5:
                line = Request(rng.choice([0, 3, 0x80, 0x84]), 5, tag, position, taken, payload).encode()
        lines.append(line)
        model.feed(line)
        lines.append(Request(Kind.DATA, 5, 255, model.expected, taken).encode())  # all is quiet: what is the state?
        model.feed(lines[-1])
        position = model.expected
        if rng.random() < 0.7:
            taken = (model.taken + rng.randrange(len(model.results) + 1)) % 65536
        elif rng.random() < 0.2:
            taken = (taken + 1000) % 65536  # nonsense: so much was never given
            lines.append(Request(Kind.DATA, 5, 254, position, taken).encode())
            model.feed(lines[-1])
            taken = model.taken
    return lines


@pytest.mark.parametrize(
    ("spec", "latency"),
    [
        (SPEC, 23 + LATENCY + 3),  # the second beat of the result comes when the three bytes of the first are gone
        (WIDE, 3 * 5 + LATENCY),  # five bytes are gathered for a beat
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_hardware_says_what_its_model_says(spec: HostLinkSpec, latency: int, seed: int) -> None:
    lines = session(spec, seed, 12)
    said = conversation(spec, lines)
    model = spec.model(lambda frame: network(spec, frame, latency))
    for line, heard in zip(lines, said, strict=True):
        expected, got = decoded(model.feed(line)), decoded(heard)
        assert None not in got
        # Frames that follow each other at once may be answered together, and results may come with a later answer.
        last, wanted = got[-1], expected[-1]
        assert last is not None
        assert wanted is not None
        state = (last.kind, last.session, last.tag, last.expected, last.position)
        assert state == (wanted.kind, wanted.session, wanted.tag, wanted.expected, wanted.position)
        assert wanted.payload.startswith(last.payload)
        if Request(Kind.DATA, 5, 255).encode()[:4] == line[:4]:
            assert (last.released, last.payload) == (wanted.released, wanted.payload)


def test_opening_says_what_the_device_is() -> None:
    (line,) = conversation(SPEC, [Request(Kind.OPEN, 77, 3).encode()])
    (answer,) = decoded(line)
    assert answer is not None
    assert (answer.kind, answer.session, answer.tag, answer.expected) == (Kind.OPENED, 77, 3, 0)
    assert Identity.decode(answer.payload) == Identity(512, 12_345_678, SPEC.design)


def test_opening_again_in_the_middle_of_a_frame_forgets_it() -> None:
    frame = bytes(range(24))
    part = Request(Kind.DATA, 1, 1, 0, 0, frame[:10])
    whole = Request(Kind.DATA, 2, 3, 0, 0, frame)
    lines = [Request(Kind.OPEN, 1, 0), part, Request(Kind.OPEN, 2, 2), whole, Request(Kind.DATA, 2, 4, 24)]
    last = decoded(conversation(SPEC, [line.encode() for line in lines])[-1])[-1]
    assert last is not None
    assert last.payload == network(SPEC, frame, 23 + LATENCY + 3)


def test_a_frame_that_finds_no_room_is_refused() -> None:
    """Results that nobody reads fill the device, until it accepts no more."""
    spec = HostLinkSpec(
        input_beat_bytes=1,
        input_beats=1,
        output_beat_bytes=250,
        output_beats=1,
        clock_hz=1_000_000,
        cycles_per_bit=CYCLES_PER_BIT,
        design=b"greedy x",
    )
    assert (spec.input_buffer, spec.output_buffer) == (512, 512)
    sizes = [255, 255, 7]  # two results fill one buffer, the third is stuck; 507 bytes fill the other
    lines = [Request(Kind.OPEN, 1, 0).encode()]
    for tag, size in enumerate(sizes):
        lines.append(Request(Kind.DATA, 1, tag, sum(sizes[:tag]), 0, bytes(size)).encode())
    kinds = [decoded(line)[-1] for line in conversation(spec, lines)]
    assert [answer and answer.kind for answer in kinds] == [
        Kind.OPENED,
        Kind.ACCEPTED,
        Kind.ACCEPTED,
        Kind.WRONG_POSITION,
    ]
    assert kinds[-1] is not None
    assert (kinds[-1].expected, kinds[-1].released) == (510, 3)
