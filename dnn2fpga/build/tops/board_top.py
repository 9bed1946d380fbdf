"""The design of a whole board: pins, clock, reset, host link, and the bundle's accelerator as it is."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amaranth.hdl import ClockDomain, ClockSignal, Elaboratable, Instance, Module, ResetInserter, Signal, Value
from amaranth.lib import io
from amaranth.lib.cdc import FFSynchronizer

from dnn2fpga.build.boards import Board
from dnn2fpga.build.clocking import add_clock, pll_of
from dnn2fpga.build.tops.stream_port import StreamPort, StreamPorts
from dnn2fpga.errors import UserError
from dnn2fpga.files.atomic import digest
from dnn2fpga.generate.manifest import MANIFEST, read_manifest
from dnn2fpga.generate.verilog import amaranths_yosys, plain_module_names
from rtl_lib.host.host_link import HostLink, HostLinkSpec
from rtl_lib.host.link_ports import FrameMerger, FrameSplitter, LinkPort

TOP = "board_top"
CONSTRAINTS = (".lpf", ".pcf", ".cst", ".xdc")
LEAST_CYCLES, BAUD_ERROR = 8, 0.015  # of the clock for a bit; of the line's speed
RESET_BITS = 10  # 2^10 cycles after configuration; block RAM of some families is not readable in the first microseconds


@dataclass(frozen=True)
class BoardDesign:
    """The files that the tools of the family need, in one folder."""

    top: str
    verilog: tuple[Path, ...]
    constraints: Path
    clock_mhz: float


class BoardTop(Elaboratable):
    """The top of a board's design, which is elaborated with the board's platform."""

    def __init__(self, board: Board, clock_mhz: float, spec: HostLinkSpec, streams: StreamPorts) -> None:
        self.board = board
        self.pll = pll_of(board, clock_mhz)  # refuses before anything is made
        self.spec = spec
        self.streams = streams

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.clock_pin = clock_pin = io.Buffer("i", platform.request(platform.default_clk, 0, dir="-"))
        clock, locked = add_clock(m, self.board, self.pll, clock_pin.i)
        self._domains(m, clock, locked)
        m.submodules.link = link = HostLink(self.spec)
        uart = platform.request("uart", 0, dir="-")
        m.submodules.rx_pin = rx_pin = io.Buffer("i", uart.rx)
        m.submodules.tx_pin = tx_pin = io.Buffer("o", uart.tx)
        m.d.comb += [link.rx.eq(rx_pin.i), tx_pin.o.eq(link.tx)]
        for name, level in self.board.pins.uart.drive.items():
            m.submodules[f"{name}_pin"] = held = io.Buffer("o", platform.request(name, 0, dir="-"))
            m.d.comb += held.o.eq(level)
        self._accelerator(m, link)
        return m

    def _domains(self, m: Module, clock: Signal, locked: Signal) -> None:
        """Reset for a while after configuration, counted by registers that every FPGA of these initializes."""
        power_on = ClockDomain("power_on", reset_less=True, local=True)
        sync = ClockDomain("sync")
        m.domains += [power_on, sync]
        count = Signal(RESET_BITS)
        steady = Signal()
        m.submodules.steady = FFSynchronizer(locked, steady, o_domain="power_on")
        m.d.comb += [power_on.clk.eq(clock), sync.clk.eq(clock), sync.rst.eq(~count.all())]
        with m.If(~steady):
            m.d.power_on += count.eq(0)
        with m.Elif(~count.all()):
            m.d.power_on += count.eq(count + 1)

    def _accelerator(self, m: Module, link: HostLink) -> None:
        aresetn = Signal()
        m.d.sync += aresetn.eq(link.aresetn)  # of all registers of the network: a register of its own for the long way
        streams = _one_stream(link) if self.streams.is_single else self._several_streams(m, link)
        m.submodules.accelerator = Instance("accelerator", i_aclk=ClockSignal(), i_aresetn=aresetn, **streams)

    def _several_streams(self, m: Module, link: HostLink) -> dict[str, Value]:
        """Connect the accelerator's ports through buffers to the link's two streams; return its connections."""
        splitter, merger = (FrameSplitter(_on_line(self.streams.inputs)), FrameMerger(_on_line(self.streams.outputs)))
        m.submodules.splitter = ResetInserter(~link.aresetn)(splitter)
        m.submodules.merger = ResetInserter(~link.aresetn)(merger)
        m.d.comb += [
            splitter.i_tdata.eq(link.s_axis_tdata),
            splitter.i_tvalid.eq(link.s_axis_tvalid),
            link.s_axis_tready.eq(splitter.i_tready),
            link.m_axis_tdata.eq(merger.o_tdata),
            link.m_axis_tvalid.eq(merger.o_tvalid),
            link.m_axis_tlast.eq(merger.o_tlast),
            merger.o_tready.eq(link.m_axis_tready),
            link.began.eq(splitter.began),
            link.timing.eq(merger.waits),
        ]
        connections: dict[str, Value] = {}
        for k, port in enumerate(self.streams.inputs):
            connections |= {f"i_{port.axis}_{n}": getattr(splitter, f"{n}_{k}") for n in ("tdata", "tvalid", "tlast")}
            connections |= {f"o_{port.axis}_tready": getattr(splitter, f"tready_{k}")}
        for k, port in enumerate(self.streams.outputs):
            connections |= {f"o_{port.axis}_{n}": getattr(merger, f"{n}_{k}") for n in ("tdata", "tvalid")}
            connections |= {f"o_{port.axis}_tlast": Signal(), f"i_{port.axis}_tready": getattr(merger, f"tready_{k}")}
        return connections


def _one_stream(link: HostLink) -> dict[str, Value]:
    """Return the connections of an accelerator with one input and one output: the link itself."""
    given = ("s_axis_tdata", "s_axis_tvalid", "s_axis_tlast", "m_axis_tready")
    told = ("s_axis_tready", "m_axis_tdata", "m_axis_tvalid", "m_axis_tlast")
    return {f"i_{name}": getattr(link, name) for name in given} | {f"o_{name}": getattr(link, name) for name in told}


def _on_line(ports: Sequence[StreamPort]) -> list[LinkPort]:
    """Beats on the line are whole bytes, as they stand in ``tdata``."""
    return [LinkPort(beat_bytes=port.tdata_bits // 8, beats=port.beats) for port in ports]


def link_spec(bundle: Path, board: Board, clock_mhz: float) -> HostLinkSpec:
    """The host link that fits the bundle's streams and the board's serial line.

    :raises UserError: when the clock is too slow for the line.
    """
    manifest = read_manifest(bundle / MANIFEST)
    baud = board.pins.uart.baud
    cycles = round(clock_mhz * 1e6 / baud)
    if cycles < LEAST_CYCLES or abs(clock_mhz * 1e6 / baud / cycles - 1) > BAUD_ERROR:
        raise UserError(
            f"{board.name}: {clock_mhz:g} MHz do not give {baud:,} baud within {BAUD_ERROR:.1%}; "
            f"give another --clock, {board.clock_mhz:g} for example"
        )
    streams = StreamPorts.of(manifest)
    inputs, outputs = _on_line(streams.inputs), _on_line(streams.outputs)
    if streams.is_single:
        (given,), (told,) = inputs, outputs
    else:  # bytes, which are gathered to beats elsewhere
        given, told = (
            LinkPort(beat_bytes=1, beats=sum(port.frame_bytes for port in side)) for side in (inputs, outputs)
        )
    return HostLinkSpec(
        input_beat_bytes=given.beat_bytes,
        input_beats=given.beats,
        output_beat_bytes=told.beat_bytes,
        output_beats=told.beats,
        clock_hz=round(clock_mhz * 1e6),
        cycles_per_bit=cycles,
        design=bytes.fromhex(digest(bundle / MANIFEST)),
        timed_outside=not streams.is_single,
    )


def write_board_top(bundle: Path, board: Board, folder: Path, clock_mhz: float) -> BoardDesign:
    """Write ``board_top.v``, the bundle's Verilog and the constraint file into ``folder``.

    :raises UserError: when the board has no serial line, or the clock cannot be made.
    """
    streams = StreamPorts.of(read_manifest(bundle / MANIFEST))
    top = BoardTop(board, clock_mhz, link_spec(bundle, board, clock_mhz), streams)
    verilog, suffix, constraints = _prepared(board.pins.platform(), top)
    written = folder / f"{TOP}.v"
    written.write_text(verilog, encoding="utf-8")
    placed = folder / f"{TOP}{suffix}"
    placed.write_text(constraints, encoding="utf-8")
    sources = sorted((bundle / "rtl").glob("*.v"))
    for source in sources:
        shutil.copy(source, folder)
    return BoardDesign(TOP, (written, *(folder / source.name for source in sources)), placed, clock_mhz)


def _prepared(platform: Any, top: BoardTop) -> tuple[str, str, str]:
    """Verilog, and the constraint file's suffix and text, as ``amaranth.build`` writes them."""
    with amaranths_yosys():
        files = platform.prepare(top, name=TOP, emit_src=False, debug_verilog=True).files
    texts = {name: text if isinstance(text, str) else text.decode() for name, text in files.items()}
    verilog = texts.get(f"{TOP}.v") or texts[f"{TOP}.debug.v"]
    (constraints,) = (name for name in texts if name.endswith(CONSTRAINTS))
    return plain_module_names(verilog, TOP), Path(constraints).suffix, texts[constraints]
