"""The registers of the packaged IP; docs/vivado.md is for people, dnn2fpga/drive/pynq.py has the offsets it needs."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Final

from dnn2fpga.build.tops.stream_port import StreamPorts
from dnn2fpga.errors import UserError
from rtl_lib.host.axi_control import Register

IDENTITY = 0x444E3246  # "DN2F"
MAP_VERSION = 1
MAP_VERSION_OF_SEVERAL: Final = 2  # of networks with several inputs or outputs
WAITS, PORT_FRAME_BYTES = 0x34, 0x40  # offsets of what only they have
MOST_PORTS: Final = 16  # inputs, and outputs: bits in ``waits``
ADDRESS_BITS = 12  # the smallest block that Vivado maps is 4 KiB


class Control(IntEnum):
    """Bits of ``control``."""

    RUN = 0
    SOFT_RESET = 1
    INTERRUPT_ENABLE = 2


class Status(IntEnum):
    """Bits of ``status``."""

    BUSY = 0
    DONE = 1
    INPUT_WAITS = 2
    OUTPUT_WAITS = 3
    TLAST_EARLY = 4
    TLAST_MISSING = 5


REGISTERS = (
    Register("identity", 0x00, "0x444E3246, DN2F in ASCII"),
    Register("version", 0x04, "version of this register map"),
    Register("control", 0x08, "bit 0 run, bit 1 soft reset (reads 0), bit 2 interrupt enable", writable=True),
    Register(
        "status",
        0x0C,
        "bit 0 busy, bit 1 done, bit 2 input waits, bit 3 output waits, bit 4 tlast early, bit 5 tlast missing; "
        "bits 1, 4 and 5 stay until 1 is written to them",
        writable=True,
    ),
    Register("packet", 0x10, "frames in a packet, 1 to 65535", writable=True),
    Register("frames_in", 0x14, "whole frames taken"),
    Register("frames_out", 0x18, "whole frames given"),
    Register("cycles_low", 0x1C, "cycles since run was set; reading it keeps cycles_high"),
    Register("cycles_high", 0x20, "the upper half, as it was when cycles_low was read"),
    Register("latency", 0x24, "cycles from the first input beat to the last output beat of a frame"),
    Register("interval", 0x28, "cycles between the last output beats of the last two frames"),
    Register("input_frame_bytes", 0x2C, "bytes of an input frame on the stream"),
    Register("output_frame_bytes", 0x30, "bytes of an output frame on the stream"),
)


def registers_of(ports: StreamPorts) -> Sequence[Register]:
    """The map of a network: of one with several inputs or outputs, what belongs to single ports follows.

    :raises UserError: when there are more ports than ``waits`` has bits for.
    """
    if ports.is_single:
        return REGISTERS
    if (most := max(len(ports.inputs), len(ports.outputs))) > MOST_PORTS:
        raise UserError(
            f"the packaged IP has registers for {MOST_PORTS} inputs and {MOST_PORTS} outputs, not for {most}"
        )
    waits = Register("waits", WAITS, "bit k: a beat waits at input k; bit 16 + k: at output k")
    sizes = [
        Register(f"frame_bytes_{axis}", PORT_FRAME_BYTES + 4 * k, f"bytes of a frame on {axis}")
        for k, axis in enumerate(ports.axes)
    ]
    return [*REGISTERS, waits, *sizes]
