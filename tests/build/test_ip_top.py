"""The packaged IP as text: plain Verilog, always the same, that synthesizes; simulated in test_ip_simulation.py."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from dnn2fpga.build.open.yosys import tool
from dnn2fpga.build.tops.ip_registers import (
    ADDRESS_BITS,
    PORT_FRAME_BYTES,
    REGISTERS,
    Control,
    Status,
    registers_of,
)
from dnn2fpga.build.tops.ip_top import AXI_LITE, ip_verilog
from dnn2fpga.build.tops.stream_port import StreamPort, StreamPorts
from dnn2fpga.errors import UserError
from dnn2fpga.plan.estimate.cell_counts import counted
from rtl_lib.host.axi_control import AxiLiteRegisters, Register, axi_lite_ports

ENTRY = StreamPort(axis="s_axis", tdata_bits=24, beats=36)
STREAMS = StreamPorts((ENTRY,), (StreamPort(axis="m_axis", tdata_bits=160, beats=1),))
SEVERAL = StreamPorts(
    (StreamPort(axis="s_axis_image", tdata_bits=24, beats=12), StreamPort(axis="s_axis_bias", tdata_bits=24, beats=1)),
    (StreamPort(axis="m_axis_sum", tdata_bits=48, beats=12), StreamPort(axis="m_axis_total", tdata_bits=48, beats=1)),
)


def black_box(streams: StreamPorts) -> str:
    """The accelerator's ports, for synthesis."""
    ports = ["input aclk", "input aresetn"]
    for side, (data, ready) in {"inputs": ("input", "output"), "outputs": ("output", "input")}.items():
        for port in getattr(streams, side):
            ports += [f"{data} [{port.tdata_bits - 1}:0] {port.axis}_tdata", f"{data} {port.axis}_tvalid"]
            ports += [f"{ready} {port.axis}_tready", f"{data} {port.axis}_tlast"]
    return f"(* blackbox *)\nmodule accelerator({', '.join(ports)});\nendmodule\n"


def test_ports_follow_the_naming_rules() -> None:
    text = ip_verilog(STREAMS)
    top = text[text.index("module accelerator_ip(") : text.index("endmodule")]
    ports = {name: width or "" for width, name in re.findall(r"^  (?:input|output) (?:(\[\S+\]) )?(\w+);", top, re.M)}
    streams = {"s_axis_tdata": "[31:0]", "m_axis_tdata": "[255:0]", "m_axis_tkeep": "[31:0]"}
    streams |= {f"{side}_axis_{name}": "" for side in "sm" for name in ("tvalid", "tready", "tlast")}
    lite = {f"{AXI_LITE}_{name}" for name in axi_lite_ports(ADDRESS_BITS)}
    assert ports.keys() == {"aclk", "aresetn", "interrupt", *streams, *lite}
    assert {name: ports[name] for name in streams} == streams


def test_ports_of_several_streams() -> None:
    text = ip_verilog(SEVERAL)
    top = text[text.index("module accelerator_ip(") : text.index("endmodule")]
    widths = {"s_axis_image": 32, "s_axis_bias": 32, "m_axis_sum": 64, "m_axis_total": 64}
    for axis, width in widths.items():
        assert f"[{width - 1}:0] {axis}_tdata;" in top
        assert f".{axis}_tlast(" in text


def test_more_ports_than_the_registers_have_bits_for() -> None:
    inputs = tuple(StreamPort(axis=f"s_axis_{k}", tdata_bits=8, beats=1) for k in range(17))
    with pytest.raises(UserError, match="registers for 16 inputs and 16 outputs, not for 17"):
        registers_of(StreamPorts(inputs, STREAMS.outputs))


@pytest.mark.parametrize(
    ("bits", "beat_bytes"), [(8, 1), (16, 2), (24, 4), (32, 4), (40, 8), (160, 32), (256, 32), (264, 64), (1, 1)]
)
def test_beats_fill_a_power_of_two(bits: int, beat_bytes: int) -> None:
    port = StreamPort(axis="s_axis", tdata_bits=bits, beats=5)
    assert (port.beat_bytes, port.frame_bytes) == (beat_bytes, 5 * beat_bytes)


def test_same_ports_same_bytes_in_another_process() -> None:
    program = (
        "from dnn2fpga.build.tops.ip_top import *; import sys;"
        "entry = StreamPort(axis='s_axis', tdata_bits=24, beats=36);"
        "exit = StreamPort(axis='m_axis', tdata_bits=160, beats=1);"
        "sys.stdout.write(ip_verilog(StreamPorts((entry,), (exit,))))"
    )
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    text = ip_verilog(STREAMS)
    assert done.stdout == text
    assert "/work/" not in text
    assert "(* src" not in text
    assert not re.search(r"module \\", text)


def test_registers_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="the offset of 'a' must be a multiple of 4, not 2"):
        Register("a", 2, "")
    with pytest.raises(ValueError, match="every register must have an offset of its own"):
        AxiLiteRegisters([Register("a", 0, ""), Register("b", 0, "")], 4)
    with pytest.raises(ValueError, match="offsets must be below 16, not 16"):
        AxiLiteRegisters([Register("a", 16, "")], 4)


def test_the_documented_map_is_the_real_one() -> None:
    text = (Path(__file__).parents[2] / "docs" / "vivado.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `0x([0-9A-F]{2})` \| `(\w+)` \| (r|rw) \|", text, re.M)
    documented = [r for r in registers_of(SEVERAL) if r.offset < PORT_FRAME_BYTES]
    assert [*REGISTERS] == documented[:-1]
    assert rows == [(f"{r.offset:02X}", r.name, "rw" if r.writable else "r") for r in documented]
    assert f"`0x{PORT_FRAME_BYTES:02X}` + 4 · k" in text
    for bits in (Control, Status):
        for name, bit in bits.__members__.items():
            assert f"{bit} `{name.lower()}`" in text


@pytest.mark.toolchain
@pytest.mark.parametrize(("streams", "most_luts", "most_registers"), [(STREAMS, 550, 600), (SEVERAL, 1100, 900)])
def test_it_synthesizes_without_latches(
    tmp_path: Path, streams: StreamPorts, most_luts: int, most_registers: int
) -> None:
    (tmp_path / "ip.v").write_text(ip_verilog(streams))
    (tmp_path / "black_box.v").write_text(black_box(streams))
    script = (
        "read_verilog black_box.v ip.v; hierarchy -check -top accelerator_ip; proc; select -assert-none t:$*latch*; "
    )
    script += "design -reset; read_verilog black_box.v ip.v; synth_xilinx -family xc7 -flatten -noiopad -noclkbuf "
    script += "-top accelerator_ip; check -assert; write_json cells.json"
    done = subprocess.run([*tool(), "-q", "-p", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    design = json.loads((tmp_path / "cells.json").read_text())["modules"]["accelerator_ip"]
    cells = counted("xc7", Counter(cell["type"] for cell in design["cells"].values()))
    assert cells["dsp"] == cells["bram18"] == 0
    assert cells["lut"] < most_luts
    assert cells["ff"] < most_registers
