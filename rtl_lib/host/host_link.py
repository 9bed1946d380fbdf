"""The host link: the accelerator connected to a serial line, and what the device does with requests
(rtl_lib.host.link_protocol).

Bytes of the input stream are written into a buffer as they come, but count only when the frame they came in is good and
continues where the stream ends. A frame of the network goes into the accelerator when all of it is there, so that it
runs at full speed. Results wait in a second buffer until the host says that it has them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Module, Mux, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from rtl_lib.host.link_model import RESULT_BYTES, HostLinkModel, LinkSizes
from rtl_lib.host.link_protocol import Kind
from rtl_lib.host.link_receiver import LinkReceiver
from rtl_lib.host.link_streams import FrameFeeder, ResultCollector
from rtl_lib.host.link_transmitter import LinkTransmitter
from rtl_lib.host.uart import UartReceiver, UartTransmitter

RESET_CYCLES = 16


@dataclass(frozen=True, kw_only=True)
class HostLinkSpec(LinkSizes):
    """The parameters of the device's side, and of its model."""

    def create(self) -> HostLink:
        return HostLink(self)

    def model(self, network: Callable[[bytes], bytes]) -> HostLinkModel:
        """``network``: bytes of a frame → bytes of its result with the latency."""
        return HostLinkModel(self, network)


class HostLink(wiring.Component):
    """Between the pins of a serial line and the accelerator's ports."""

    def __init__(self, spec: HostLinkSpec) -> None:
        self.spec = spec
        super().__init__(
            ({"began": In(1), "timing": In(1)} if spec.timed_outside else {})
            | {
                "rx": In(1, init=1),
                "tx": Out(1, init=1),
                "aresetn": Out(1),
                "s_axis_tdata": Out(8 * spec.input_beat_bytes),
                "s_axis_tvalid": Out(1),
                "s_axis_tready": In(1),
                "s_axis_tlast": Out(1),
                "m_axis_tdata": In(8 * spec.output_beat_bytes),
                "m_axis_tvalid": In(1),
                "m_axis_tready": Out(1),
                "m_axis_tlast": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec = self.spec
        m.submodules.uart_receiver = uart_in = UartReceiver(spec.cycles_per_bit)
        m.submodules.uart_transmitter = uart_out = UartTransmitter(spec.cycles_per_bit)
        m.submodules.receiver = receiver = LinkReceiver()
        m.submodules.transmitter = transmitter = LinkTransmitter(spec.identity)
        feeder = FrameFeeder(spec.input_beat_bytes, spec.input_beats)
        collector = ResultCollector(spec.output_beat_bytes, spec.timed_outside)
        clear = Signal()
        m.submodules.feeder = ResetInserter(clear)(feeder)
        m.submodules.collector = ResetInserter(clear)(collector)
        m.d.comb += [
            uart_in.line.eq(self.rx),
            self.tx.eq(uart_out.line),
            receiver.byte.eq(uart_in.data),
            receiver.strobe.eq(uart_in.strobe),
            uart_out.data.eq(transmitter.byte),
            uart_out.valid.eq(transmitter.valid),
            transmitter.ready.eq(uart_out.ready),
        ]
        expected, released, taken, results_end = (Signal(16, name=n) for n in ("expected", "released", "taken", "end"))
        overflow = Signal()  # a byte of the frame that is coming found no room
        self._judge(m, receiver, transmitter, clear, overflow, (expected, released, taken, results_end))
        self._input(m, receiver, feeder, overflow, expected, released)
        self._output(m, collector, transmitter, taken, results_end)
        self._accelerator(m, feeder, collector, clear, expected, released)
        return m

    def _judge(
        self,
        m: Module,
        receiver: Any,
        transmitter: Any,
        clear: Signal,
        overflow: Signal,
        positions: tuple[Signal, ...],
    ) -> None:
        """Decide what becomes of a frame, and when the device answers."""
        expected, released, taken, results_end = positions
        header = receiver.header
        session, tag = Signal(8), Signal(8)
        kind = Signal(8, init=Kind.BAD_FRAME)
        pending = Signal()
        resetting = Signal(range(RESET_CYCLES + 1))
        available = Signal(range(self.spec.output_buffer + 1))
        judged = Signal()
        m.d.comb += [clear.eq(resetting != 0), self.aresetn.eq(~clear)]
        # An answer begins two cycles after its frame, when `available` is what belongs to the new `taken`.
        m.d.sync += [available.eq(results_end - taken), judged.eq(receiver.ended)]
        with m.If(clear):
            m.d.sync += [resetting.eq(resetting - 1), released.eq(0), results_end.eq(0)]
        with m.If(transmitter.accepted):
            m.d.sync += pending.eq(0)
        with m.If(judged):
            m.d.sync += pending.eq(1)
        with m.If(receiver.ended):
            m.d.sync += kind.eq(Kind.BAD_FRAME)
            with m.If(receiver.good & ((header.kind == Kind.OPEN) | (header.kind == Kind.DATA))):
                m.d.sync += tag.eq(header.tag)
                with m.If(header.kind == Kind.OPEN):
                    m.d.sync += [session.eq(header.session), expected.eq(0), taken.eq(0)]
                    m.d.sync += [resetting.eq(RESET_CYCLES), kind.eq(Kind.OPENED)]
                with m.Elif((header.session != session) | (session == 0)):
                    m.d.sync += kind.eq(Kind.NO_SESSION)
                with m.Else():
                    with m.If((header.taken - taken)[:16] <= available):
                        m.d.sync += taken.eq(header.taken)
                    m.d.sync += kind.eq(Kind.WRONG_POSITION)
                    with m.If((header.position == expected) & ~overflow):
                        m.d.sync += [expected.eq(expected + header.length), kind.eq(Kind.ACCEPTED)]
        identity_bytes = self.spec.identity.LAYOUT.size
        results = Mux(available > RESULT_BYTES, RESULT_BYTES, available)
        m.d.comb += [
            transmitter.send.eq(pending & ~judged & ~clear),
            transmitter.header.kind.eq(kind),
            transmitter.header.session.eq(session),
            transmitter.header.tag.eq(tag),
            transmitter.header.expected.eq(expected),
            transmitter.header.released.eq(released),
            transmitter.header.position.eq(taken),
            transmitter.header.length.eq(Mux(kind == Kind.OPENED, identity_bytes, results)),
        ]

    def _input(
        self, m: Module, receiver: Any, feeder: FrameFeeder, overflow: Signal, expected: Signal, released: Signal
    ) -> None:
        """The buffer of the input stream. What comes beyond its room is not written, even if there is room again before
        the frame ends; so the frame must be refused.
        """
        depth = self.spec.input_buffer
        m.submodules.input_buffer = memory = Memory(shape=8, depth=depth, init=[])
        write, read = memory.write_port(), memory.read_port()
        held = Signal(range(depth + 1))
        m.d.sync += held.eq(expected - released)
        m.d.comb += [
            write.addr.eq(expected + receiver.payload_index),
            write.data.eq(receiver.payload),
            write.en.eq(receiver.payload_valid & (held + receiver.payload_index < depth)),
            read.addr.eq(released + feeder.take),
            feeder.byte.eq(read.data),
            feeder.available.eq(released != expected),
        ]
        with m.If(feeder.take):
            m.d.sync += released.eq(released + 1)
        with m.If(receiver.ended):
            m.d.sync += overflow.eq(0)
        with m.Elif(receiver.payload_valid & ~write.en):
            m.d.sync += overflow.eq(1)

    def _output(self, m: Module, collector: ResultCollector, transmitter: Any, taken: Signal, end: Signal) -> None:
        """The buffer of the results that the host does not have yet."""
        depth = self.spec.output_buffer
        m.submodules.output_buffer = memory = Memory(shape=8, depth=depth, init=[])
        write, read = memory.write_port(), memory.read_port()
        m.d.comb += [
            collector.ready.eq((end - taken)[:16] != depth),
            write.addr.eq(end),
            write.data.eq(collector.byte),
            write.en.eq(collector.valid & collector.ready),
            read.addr.eq(transmitter.payload_address),
            transmitter.payload.eq(read.data),
        ]
        with m.If(write.en):
            m.d.sync += end.eq(end + 1)

    def _accelerator(
        self, m: Module, feeder: Any, collector: Any, clear: Signal, expected: Signal, released: Signal
    ) -> None:
        """One frame at a time: the line is slower than any network, and so its latency is its own."""
        running = Signal()
        enough = Signal()
        m.d.comb += [
            enough.eq((expected - released)[:16] >= self.spec.awaited_bytes),
            feeder.start.eq(enough & ~running & ~clear),
            self.s_axis_tdata.eq(feeder.tdata),
            self.s_axis_tvalid.eq(feeder.tvalid),
            feeder.tready.eq(self.s_axis_tready),
            self.s_axis_tlast.eq(feeder.tlast),
            collector.tdata.eq(self.m_axis_tdata),
            collector.tvalid.eq(self.m_axis_tvalid),
            self.m_axis_tready.eq(collector.tready),
            collector.tlast.eq(self.m_axis_tlast),
            collector.began.eq(self.began if self.spec.timed_outside else feeder.began),
        ]
        if self.spec.timed_outside:
            m.d.comb += collector.timing.eq(self.timing)
        with m.If(feeder.start):
            m.d.sync += running.eq(1)
        with m.If(collector.done | clear):
            m.d.sync += running.eq(0)
