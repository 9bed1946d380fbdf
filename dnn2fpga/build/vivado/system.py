"""Processors of Zynq devices as Vivado's block designs know them, and how wide the DMA beside them is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dnn2fpga.build.boards import Board
from dnn2fpga.build.tops.stream_port import StreamPort, StreamPorts
from dnn2fpga.errors import UserError

WIDEST_BYTES = 512  # of a stream, for axis_dwidth_converter
MOST_CHANNELS = 14  # masters of one SmartConnect, which has 16 ports, and so has the one to the control ports
NARROWEST_MEMORY_BITS = 32  # of the DMA's side towards the memory


@dataclass(frozen=True, kw_only=True)
class ProcessingSystem:
    """One family's processor: its IP, the names of what is connected, and the width of its port to the memory."""

    ip: str
    automation: str
    config: dict[str, str]
    clock_mhz: str  # the parameter that sets it
    clock: str
    reset: str
    control: str
    memory: str
    clocked: tuple[str, ...]
    interrupt: str
    memory_bits: int
    address_bits: int


PROCESSORS = {
    "zynq7000": ProcessingSystem(
        ip="processing_system7",
        automation='make_external "FIXED_IO, DDR" Master Disable Slave Disable',
        config={
            "PCW_USE_M_AXI_GP0": "1",
            "PCW_USE_S_AXI_HP0": "1",
            "PCW_S_AXI_HP0_DATA_WIDTH": "64",
            "PCW_USE_FABRIC_INTERRUPT": "1",
            "PCW_IRQ_F2P_INTR": "1",
            "PCW_EN_CLK0_PORT": "1",
            "PCW_EN_RST0_PORT": "1",
        },
        clock_mhz="PCW_FPGA0_PERIPHERAL_FREQMHZ",
        clock="FCLK_CLK0",
        reset="FCLK_RESET0_N",
        control="M_AXI_GP0",
        memory="S_AXI_HP0",
        clocked=("M_AXI_GP0_ACLK", "S_AXI_HP0_ACLK"),
        interrupt="IRQ_F2P",
        memory_bits=64,
        address_bits=32,
    ),
    "zynquplus": ProcessingSystem(
        ip="zynq_ultra_ps_e",
        automation="",
        config={
            "PSU__USE__M_AXI_GP0": "1",
            "PSU__USE__M_AXI_GP1": "0",
            "PSU__USE__M_AXI_GP2": "0",
            "PSU__USE__S_AXI_GP2": "1",
            "PSU__SAXIGP2__DATA_WIDTH": "128",
            "PSU__USE__IRQ0": "1",
            "PSU__FPGA_PL0_ENABLE": "1",
        },
        clock_mhz="PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ",
        clock="pl_clk0",
        reset="pl_resetn0",
        control="M_AXI_HPM0_FPD",
        memory="S_AXI_HP0_FPD",
        clocked=("maxihpm0_fpd_aclk", "saxihp0_fpd_aclk"),
        interrupt="pl_ps_irq0",
        memory_bits=128,
        address_bits=40,
    ),
}


@dataclass(frozen=True)
class BoardFiles:
    """Vivado's name of a board, and what the processor of this one must be told when its files are not installed."""

    name: str
    config: dict[str, str] = field(default_factory=dict)


BOARD_FILES = {
    "pynq_z2": BoardFiles("tul.com.tw:pynq-z2:*", {"PCW_CRYSTAL_PERIPHERAL_FREQMHZ": "50"}),
    "zcu104": BoardFiles("xilinx.com:zcu104:*"),
}


@dataclass(frozen=True, kw_only=True)
class Channel:
    """One direction of a DMA: what is between the memory and a stream of the accelerator.

    A DMA that is wider than the port to the memory would be larger and no faster: wider beats are converted.
    """

    dma: str  # the cell
    way: str  # the direction, as AXI DMA calls it
    axis: str
    beat_bytes: int
    dma_bits: int
    width: str  # the cell of the width converter
    place: int  # among all channels: the port of the bus to the memory, and the interrupt

    @property
    def memory_bits(self) -> int:
        """Bits of the DMA's side towards the memory."""
        return max(self.dma_bits, NARROWEST_MEMORY_BITS)

    @property
    def dma_bytes(self) -> int:
        return self.dma_bits // 8

    @property
    def is_converted(self) -> bool:
        return self.dma_bytes < self.beat_bytes


@dataclass(frozen=True, kw_only=True)
class Dma:
    """An AXI DMA; where there are more inputs than outputs, or fewer, some have one channel only."""

    name: str
    input: Channel | None
    output: Channel | None

    @property
    def channels(self) -> list[Channel]:
        return [channel for channel in (self.input, self.output) if channel]


def system_values(board: Board, mhz: str, streams: StreamPorts) -> dict[str, Any]:
    """Return the values that project_system.tcl.j2 needs.

    :raises UserError: when the board has no processor that is known here, there are too many streams, or a beat is too
        wide.
    """
    processor = PROCESSORS.get(board.family)
    if processor is None:
        raise UserError(f"board '{board.name}': family must be one of {', '.join(PROCESSORS)}, not '{board.family}'")
    files = BOARD_FILES.get(board.name, BoardFiles(f"*:{board.name}:*"))
    ps = vars(processor) | {
        "config": {**processor.config, **files.config, processor.clock_mhz: mhz},
        "board_part": files.name,
    }
    dmas = _dmas(streams, processor.memory_bits)
    channels = [channel for dma in dmas for channel in dma.channels]
    clocked = [f"ps/{pin}" for pin in processor.clocked]
    for dma in dmas:
        clocked += [f"{dma.name}/s_axi_lite_aclk", *(f"{dma.name}/m_axi_{c.way}_aclk" for c in dma.channels)]
    clocked += ["accelerator/aclk", "interrupt_controller/s_axi_aclk", "control_bus/aclk", "memory_bus/aclk"]
    clocked += ["system_reset/slowest_sync_clk"]
    clocked += [f"{channel.width}/aclk" for channel in channels if channel.is_converted]
    return {"ps": ps, "dmas": dmas, "channels": channels, "clocked": clocked}


def _dmas(streams: StreamPorts, widest_bits: int) -> list[Dma]:
    """DMA k serves input k and output k.

    :param widest_bits: of the port to the memory.
    """
    count = len(streams.axes)
    if count > MOST_CHANNELS:
        raise UserError(
            f"Vivado's SmartConnect serves at most {MOST_CHANNELS} inputs and outputs together, not {count}; "
            "use package_ip.tcl and a block design of your own"
        )
    sides = {"input": streams.inputs, "output": streams.outputs}
    pairs = max(map(len, sides.values()))
    places, dmas = iter(range(count)), []
    for k in range(pairs):
        name = "dma" if pairs == 1 else f"dma_{k}"
        channels = {
            side: _channel(name, side, ports[k], widest_bits, next(places)) if k < len(ports) else None
            for side, ports in sides.items()
        }
        dmas.append(Dma(name=name, **channels))
    return dmas


def _channel(dma: str, side: str, port: StreamPort, widest_bits: int, place: int) -> Channel:
    if port.beat_bytes > WIDEST_BYTES:
        named = f"the {side}" if dma == "dma" else f"{side} {port.axis}"
        raise UserError(
            f"a beat of {named} must have at most {8 * WIDEST_BYTES} bits for Vivado's width converter, "
            f"not {8 * port.beat_bytes}; choose fewer pixels per beat, or use package_ip.tcl and a DMA of your own"
        )
    return Channel(
        dma=dma,
        way={"input": "mm2s", "output": "s2mm"}[side],
        axis=port.axis,
        beat_bytes=port.beat_bytes,
        dma_bits=min(8 * port.beat_bytes, widest_bits),
        width=f"{side}_width{dma.removeprefix('dma')}",
        place=place,
    )
