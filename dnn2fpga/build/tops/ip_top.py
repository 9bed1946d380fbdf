"""The top of the packaged IP: `accelerator` and the AXI4-Lite slave that starts, stops, resets and counts it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from operator import or_
from typing import Any

from amaranth.back import verilog
from amaranth.hdl import Cat, ClockDomain, Const, Instance, Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from dnn2fpga.build.tops.ip_registers import (
    ADDRESS_BITS,
    IDENTITY,
    MAP_VERSION,
    MAP_VERSION_OF_SEVERAL,
    MOST_PORTS,
    Control,
    Status,
    registers_of,
)
from dnn2fpga.build.tops.stream_port import StreamPort, StreamPorts
from dnn2fpga.generate.verilog import amaranths_yosys, plain_module_names
from rtl_lib.core.formats import Format
from rtl_lib.core.stream import Beat
from rtl_lib.host.axi_control import AxiLiteRegisters, axi_lite_ports
from rtl_lib.host.frame_counters import FrameWatch
from rtl_lib.host.frame_skew import FrameSkew
from rtl_lib.streams.master_slave_stage import MasterSlaveStage

TOP = "accelerator_ip"
AXI_LITE = "s_axi_control"
_STICKY = (Status.DONE, Status.TLAST_EARLY, Status.TLAST_MISSING)


@dataclass(frozen=True)
class _Input:
    """A connected input: ``taken``, a beat passes, with ``tlast`` beside it; ``waits``, a beat cannot pass."""

    connections: dict[str, Value]
    taken: Value
    tlast: Value
    waits: Value


@dataclass(frozen=True)
class _Output:
    """A connected output: ``given``, a beat passes, ``last`` of a frame or not; ``waits``, a beat cannot pass."""

    connections: dict[str, Value]
    given: Value
    last: Value
    waits: Value
    ends_packet: Value


class AcceleratorIp(wiring.Component):
    """Ports by the AXI naming rules: ``s_axis_*``, ``m_axis_*`` (of several inputs or outputs: ``s_axis_<name>_*``,
    ``m_axis_<name>_*``), ``s_axi_control_*``, ``aclk``, ``aresetn``, ``interrupt``; docs/vivado.md has the registers.

    Streams are padded to a power of two of bytes, as a DMA wants them.
    """

    def __init__(self, streams: StreamPorts) -> None:
        self.streams = streams
        ports = {"aclk": In(1), "aresetn": In(1)}
        for entry in streams.inputs:
            ports |= {
                f"{entry.axis}_tdata": In(8 * entry.beat_bytes),
                f"{entry.axis}_tvalid": In(1),
                f"{entry.axis}_tready": Out(1),
                f"{entry.axis}_tlast": In(1),
            }
        for exit in streams.outputs:
            ports |= {
                f"{exit.axis}_tdata": Out(8 * exit.beat_bytes),
                f"{exit.axis}_tkeep": Out(exit.beat_bytes),
                f"{exit.axis}_tvalid": Out(1),
                f"{exit.axis}_tready": In(1),
                f"{exit.axis}_tlast": Out(1),
            }
        ports |= {"interrupt": Out(1)}
        super().__init__(ports | {f"{AXI_LITE}_{n}": member for n, member in axi_lite_ports(ADDRESS_BITS).items()})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        domain = ClockDomain("sync", local=True)
        m.domains += domain
        m.d.comb += [domain.clk.eq(self.aclk), domain.rst.eq(~self.aresetn)]
        m.submodules.registers = registers = AxiLiteRegisters(registers_of(self.streams), ADDRESS_BITS)
        for name, member in axi_lite_ports(ADDRESS_BITS).items():
            outside, inside = getattr(self, f"{AXI_LITE}_{name}"), getattr(registers, name)
            m.d.comb += inside.eq(outside) if member.flow is In else outside.eq(inside)

        soft_reset = Signal()
        watch = FrameWatch([entry.beats for entry in self.streams.inputs], len(self.streams.outputs))
        m.submodules.watch = ResetInserter(soft_reset)(watch)
        inputs, outputs = self._streams(m, watch, soft_reset)
        self._control(m, registers, watch, soft_reset)
        self._status(m, registers, watch, inputs, outputs, soft_reset)
        self._counters(m, registers, watch)
        return m

    def _streams(self, m: Module, watch: FrameWatch, soft_reset: Signal) -> tuple[Sequence[_Input], Sequence[_Output]]:
        """Connect the accelerator, and who looks on."""
        resetn, connections = Signal(), dict[str, Value]()
        m.d.comb += resetn.eq(self.aresetn & ~soft_reset)
        inputs = [
            self._input(m, entry, watch.run | ~watched.between_frames, soft_reset)
            for entry, watched in zip(self.streams.inputs, watch.inputs, strict=True)
        ]
        outputs = [
            self._output(m, exit, watched.ends_packet)
            for exit, watched in zip(self.streams.outputs, watch.outputs, strict=True)
        ]
        for input, seen in zip(inputs, watch.inputs, strict=True):
            m.d.comb += [seen.taken.eq(input.taken), seen.tlast.eq(input.tlast)]
            connections |= input.connections
        for output, leaving in zip(outputs, watch.outputs, strict=True):
            m.d.comb += [leaving.given.eq(output.given), leaving.last.eq(output.last)]
            connections |= output.connections
        m.submodules.accelerator = Instance("accelerator", i_aclk=self.aclk, i_aresetn=resetn, **connections)
        return inputs, outputs

    def _input(self, m: Module, entry: StreamPort, may_pass: Value, soft_reset: Signal) -> _Input:
        """Connect an input.

        The stage cuts the path from the accelerator's ``ready`` to ``tready``, which may not depend on ``tvalid``.
        After it, a frame that has begun may always end.
        """
        bits = entry.tdata_bits
        tdata, tvalid, tready, tlast = self._signals(entry, "tdata", "tvalid", "tready", "tlast")
        stage = MasterSlaveStage(Beat(Format(False, 1), bits + 1))
        m.submodules[f"input_stage{entry.suffix}"] = ResetInserter(soft_reset)(stage)
        is_open, valid, ready, waiting = Signal(), Signal(), Signal(), Signal(bits + 1)
        m.d.comb += [
            stage.i.payload.as_value().eq(Cat(tdata[:bits], tlast)),
            stage.i.valid.eq(tvalid),
            tready.eq(stage.i.ready),
            is_open.eq(may_pass),
            waiting.eq(stage.o.payload.as_value()),
            valid.eq(stage.o.valid & is_open),
            stage.o.ready.eq(ready & is_open),
        ]
        connections = {
            f"i_{entry.axis}_tdata": waiting[:-1],
            f"i_{entry.axis}_tvalid": valid,
            f"o_{entry.axis}_tready": ready,
            f"i_{entry.axis}_tlast": waiting[-1],
        }
        return _Input(connections, valid & ready, waiting[-1], stage.o.valid & ~(ready & is_open))

    def _output(self, m: Module, exit: StreamPort, is_last_of_packet: Value) -> _Output:
        tdata, tkeep, tvalid, tready, tlast = self._signals(exit, "tdata", "tkeep", "tvalid", "tready", "tlast")
        last, output_data = Signal(), Signal(exit.tdata_bits)
        m.d.comb += [tdata.eq(output_data), tkeep.eq(~0), tlast.eq(last & is_last_of_packet)]
        connections = {
            f"o_{exit.axis}_tdata": output_data,
            f"o_{exit.axis}_tvalid": tvalid,
            f"i_{exit.axis}_tready": tready,
            f"o_{exit.axis}_tlast": last,
        }
        return _Output(connections, tvalid & tready, last, tvalid & ~tready, tvalid & tready & tlast)

    def _signals(self, port: StreamPort, *names: str) -> list[Signal]:
        return [getattr(self, f"{port.axis}_{name}") for name in names]

    def _control(self, m: Module, registers: Any, watch: FrameWatch, soft_reset: Signal) -> None:
        run, interrupt_enable = Signal(), Signal()
        packet = Signal(len(watch.packet), init=1)
        data, mask = registers.write_data, registers.write_mask
        m.d.sync += soft_reset.eq(0)
        m.d.comb += [
            watch.run.eq(run),
            watch.packet.eq(packet),
            registers.control_value.eq(Cat(run, Const(0, 1), interrupt_enable)),
            registers.packet_value.eq(packet),
            watch.new_packets.eq(registers.packet_write),
        ]
        with m.If(registers.control_write):
            chosen = data & mask
            m.d.sync += [
                run.eq(Mux(mask[Control.RUN], data[Control.RUN], run)),
                soft_reset.eq(chosen[Control.SOFT_RESET]),
                interrupt_enable.eq(
                    Mux(mask[Control.INTERRUPT_ENABLE], data[Control.INTERRUPT_ENABLE], interrupt_enable)
                ),
            ]
            m.d.comb += watch.restart_cycles.eq(chosen[Control.RUN] & ~run)
        with m.If(registers.packet_write):
            m.d.sync += packet.eq((data & mask) | (packet & ~mask))
        self.interrupt_enable = interrupt_enable

    def _status(
        self,
        m: Module,
        registers: Any,
        watch: FrameWatch,
        inputs: Sequence[_Input],
        outputs: Sequence[_Output],
        soft_reset: Signal,
    ) -> None:
        status = Signal(len(Status))
        sticky = {bit: Signal(name=bit.name.lower()) for bit in _STICKY}
        happens = {
            Status.DONE: self._packet_ends(m, [output.ends_packet for output in outputs], soft_reset),
            Status.TLAST_EARLY: watch.tlast_early,
            Status.TLAST_MISSING: watch.tlast_missing,
        }
        now = {
            Status.BUSY: watch.busy,
            Status.INPUT_WAITS: reduce(or_, [input.waits for input in inputs]),
            Status.OUTPUT_WAITS: reduce(or_, [output.waits for output in outputs]),
        }
        if not self.streams.is_single:
            m.d.comb += registers.waits_value[:MOST_PORTS].eq(Cat(input.waits for input in inputs))
            m.d.comb += registers.waits_value[MOST_PORTS:].eq(Cat(output.waits for output in outputs))
        for bit, flag in sticky.items():
            written = registers.status_write & registers.write_data[bit] & registers.write_mask[bit]
            m.d.sync += flag.eq(~soft_reset & (happens[bit] | (flag & ~written)))
        m.d.comb += [status[bit].eq(value) for bit, value in (now | sticky).items()]
        m.d.comb += registers.status_value.eq(status)
        m.d.sync += self.interrupt.eq(self.interrupt_enable & Cat(sticky.values()).any())

    @staticmethod
    def _packet_ends(m: Module, at_outputs: Sequence[Value], soft_reset: Signal) -> Value:
        """Return the signal that a packet has left by the last of the outputs."""
        if len(at_outputs) == 1:
            return at_outputs[0]
        skew = FrameSkew(len(at_outputs))
        m.submodules.packets = ResetInserter(soft_reset)(skew)
        m.d.comb += skew.events.eq(Cat(at_outputs))
        return skew.last

    def _counters(self, m: Module, registers: Any, watch: FrameWatch) -> None:
        cycles_high = Signal(32, reset_less=True)
        with m.If(registers.cycles_low_read):
            m.d.sync += cycles_high.eq(watch.cycles[32:])
        values = {
            "identity": IDENTITY,
            "version": MAP_VERSION if self.streams.is_single else MAP_VERSION_OF_SEVERAL,
            "frames_in": watch.frames_in,
            "frames_out": watch.frames_out,
            "cycles_low": watch.cycles[:32],
            "cycles_high": cycles_high,
            "latency": watch.latency,
            "interval": watch.interval,
            "input_frame_bytes": sum(entry.frame_bytes for entry in self.streams.inputs),
            "output_frame_bytes": sum(exit.frame_bytes for exit in self.streams.outputs),
        }
        if not self.streams.is_single:
            ports = (*self.streams.inputs, *self.streams.outputs)
            values |= {f"frame_bytes_{port.axis}": port.frame_bytes for port in ports}
        m.d.comb += [getattr(registers, f"{name}_value").eq(value) for name, value in values.items()]


@lru_cache(maxsize=16)  # the same ports for every board
def ip_verilog(streams: StreamPorts) -> str:
    """Plain Verilog of the IP's top, always the same bytes; ``accelerator`` itself is in the bundle."""
    with amaranths_yosys():
        text = verilog.convert(AcceleratorIp(streams), name=TOP, emit_src=False, strip_internal_attrs=True)
    return plain_module_names(text, TOP)
