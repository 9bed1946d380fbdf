"""The top of the packaged IP: `accelerator` behind an AXI4-Lite slave that starts, stops, resets and counts it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from amaranth.back import verilog
from amaranth.hdl import Cat, ClockDomain, Const, Instance, Module, Mux, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from dnn2fpga.build.tops.ip_registers import ADDRESS_BITS, IDENTITY, MAP_VERSION, REGISTERS, Control, Status
from dnn2fpga.build.tops.stream_port import StreamPort
from dnn2fpga.generate.verilog import amaranths_yosys, plain_module_names
from rtl_lib.core.formats import Format
from rtl_lib.core.stream import Beat
from rtl_lib.host.axi_control import AxiLiteRegisters, axi_lite_ports
from rtl_lib.host.frame_counters import FrameWatch
from rtl_lib.streams.master_slave_stage import MasterSlaveStage

TOP = "accelerator_ip"
AXI_LITE = "s_axi_control"
_STICKY = (Status.DONE, Status.TLAST_EARLY, Status.TLAST_MISSING)


class AcceleratorIp(wiring.Component):
    """Ports by the AXI naming rules: ``s_axis_*``, ``m_axis_*``, ``s_axi_control_*``, ``aclk``, ``aresetn``,
    ``interrupt``; docs/vivado.md has the registers.

    Streams are padded to a power of two of bytes, as a DMA wants them.
    """

    def __init__(self, entry: StreamPort, exit: StreamPort) -> None:
        self.entry, self.exit = entry, exit
        ports = {
            "aclk": In(1),
            "aresetn": In(1),
            "s_axis_tdata": In(8 * entry.beat_bytes),
            "s_axis_tvalid": In(1),
            "s_axis_tready": Out(1),
            "s_axis_tlast": In(1),
            "m_axis_tdata": Out(8 * exit.beat_bytes),
            "m_axis_tkeep": Out(exit.beat_bytes),
            "m_axis_tvalid": Out(1),
            "m_axis_tready": In(1),
            "m_axis_tlast": Out(1),
            "interrupt": Out(1),
        }
        super().__init__(ports | {f"{AXI_LITE}_{n}": member for n, member in axi_lite_ports(ADDRESS_BITS).items()})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        domain = ClockDomain("sync", local=True)
        m.domains += domain
        m.d.comb += [domain.clk.eq(self.aclk), domain.rst.eq(~self.aresetn)]
        m.submodules.registers = registers = AxiLiteRegisters(REGISTERS, ADDRESS_BITS)
        for name, member in axi_lite_ports(ADDRESS_BITS).items():
            outside, inside = getattr(self, f"{AXI_LITE}_{name}"), getattr(registers, name)
            m.d.comb += inside.eq(outside) if member.flow is In else outside.eq(inside)

        soft_reset = Signal()
        watch = FrameWatch(self.entry.beats)
        m.submodules.watch = ResetInserter(soft_reset)(watch)
        self._streams(m, watch, soft_reset)
        self._control(m, registers, watch, soft_reset)
        self._status(m, registers, watch, soft_reset)
        self._counters(m, registers, watch)
        return m

    def _streams(self, m: Module, watch: FrameWatch, soft_reset: Signal) -> None:
        """The stage cuts the path from the accelerator's ``ready`` to ``s_axis_tready``, which may not depend on
        ``s_axis_tvalid``. Behind it, a frame that has begun may always end.
        """
        bits, width = self.entry.tdata_bits, self.exit.tdata_bits
        stage = MasterSlaveStage(Beat(Format(False, 1), bits + 1))
        m.submodules.input_stage = ResetInserter(soft_reset)(stage)
        resetn, is_open, valid, ready, last = Signal(), Signal(), Signal(), Signal(), Signal()
        waiting, output_data = Signal(bits + 1), Signal(width)
        m.submodules.accelerator = Instance(
            "accelerator",
            i_aclk=self.aclk,
            i_aresetn=resetn,
            i_s_axis_tdata=waiting[:-1],
            i_s_axis_tvalid=valid,
            o_s_axis_tready=ready,
            i_s_axis_tlast=waiting[-1],
            o_m_axis_tdata=output_data,
            o_m_axis_tvalid=self.m_axis_tvalid,
            i_m_axis_tready=self.m_axis_tready,
            o_m_axis_tlast=last,
        )
        m.d.comb += [
            resetn.eq(self.aresetn & ~soft_reset),
            stage.i.payload.as_value().eq(Cat(self.s_axis_tdata[:bits], self.s_axis_tlast)),
            stage.i.valid.eq(self.s_axis_tvalid),
            self.s_axis_tready.eq(stage.i.ready),
            is_open.eq(watch.run | ~watch.between_frames),
            waiting.eq(stage.o.payload.as_value()),
            valid.eq(stage.o.valid & is_open),
            stage.o.ready.eq(ready & is_open),
            self.m_axis_tdata.eq(output_data),
            self.m_axis_tkeep.eq(~0),
            self.m_axis_tlast.eq(last & watch.ends_packet),
            watch.taken.eq(valid & ready),
            watch.taken_tlast.eq(waiting[-1]),
            watch.given.eq(self.m_axis_tvalid & self.m_axis_tready),
            watch.given_last.eq(last),
        ]
        self.input_waits = stage.o.valid & ~(ready & is_open)
        self.output_waits = self.m_axis_tvalid & ~self.m_axis_tready

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

    def _status(self, m: Module, registers: Any, watch: FrameWatch, soft_reset: Signal) -> None:
        status = Signal(len(Status))
        sticky = {bit: Signal(name=bit.name.lower()) for bit in _STICKY}
        happens = {
            Status.DONE: self.m_axis_tvalid & self.m_axis_tready & self.m_axis_tlast,
            Status.TLAST_EARLY: watch.tlast_early,
            Status.TLAST_MISSING: watch.tlast_missing,
        }
        now = {Status.BUSY: watch.busy, Status.INPUT_WAITS: self.input_waits, Status.OUTPUT_WAITS: self.output_waits}
        for bit, flag in sticky.items():
            written = registers.status_write & registers.write_data[bit] & registers.write_mask[bit]
            m.d.sync += flag.eq(~soft_reset & (happens[bit] | (flag & ~written)))
        m.d.comb += [status[bit].eq(value) for bit, value in (now | sticky).items()]
        m.d.comb += registers.status_value.eq(status)
        m.d.sync += self.interrupt.eq(self.interrupt_enable & Cat(sticky.values()).any())

    def _counters(self, m: Module, registers: Any, watch: FrameWatch) -> None:
        cycles_high = Signal(32, reset_less=True)
        with m.If(registers.cycles_low_read):
            m.d.sync += cycles_high.eq(watch.cycles[32:])
        values = {
            "identity": IDENTITY,
            "version": MAP_VERSION,
            "frames_in": watch.frames_in,
            "frames_out": watch.frames_out,
            "cycles_low": watch.cycles[:32],
            "cycles_high": cycles_high,
            "latency": watch.latency,
            "interval": watch.interval,
            "input_frame_bytes": self.entry.frame_bytes,
            "output_frame_bytes": self.exit.frame_bytes,
        }
        m.d.comb += [getattr(registers, f"{name}_value").eq(value) for name, value in values.items()]


@lru_cache(maxsize=16)  # the same ports for every board
def ip_verilog(entry: StreamPort, exit: StreamPort) -> str:
    """Plain Verilog of the IP's top, always the same bytes; ``accelerator`` itself is in the bundle."""
    with amaranths_yosys():
        text = verilog.convert(AcceleratorIp(entry, exit), name=TOP, emit_src=False, strip_internal_attrs=True)
    return plain_module_names(text, TOP)
