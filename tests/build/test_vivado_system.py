"""The block design of boards with a processor, in the stub: what fits together, and that misfits are noticed."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from bare_bundle import MANIFEST, PORTS

from dnn2fpga.build.boards import load_board
from dnn2fpga.build.tops.stream_port import StreamPorts
from dnn2fpga.build.vivado.project import VivadoScript, write_vivado
from dnn2fpga.build.vivado.system import system_values
from dnn2fpga.errors import UserError
from dnn2fpga.generate.manifest import Manifest

HERE = Path(__file__).parent
PYNQ = load_board("pynq_z2")
Stub = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def stub(tclsh: str, bundle: Path, tmp_path: Path) -> Stub:
    def run(script: VivadoScript = VivadoScript.PROJECT, **environment: str) -> subprocess.CompletedProcess[str]:
        words = [tclsh, HERE / "vivado_stub.tcl", tmp_path / "calls.log", bundle.resolve(), bundle / "vivado" / script]
        return subprocess.run(
            words, env=os.environ | environment, capture_output=True, text=True, timeout=600, check=False
        )

    return run


def with_widths(bundle: Path, input_bits: int, output_bits: int) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    for side, bits in (("inputs", input_bits), ("outputs", output_bits)):
        manifest[side] = [{**PORTS[side][0], "tdata_bits": bits}]
    (bundle / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("name", ["pynq_z2", "zcu104"])
@pytest.mark.parametrize("bits", [(8, 8), (24, 48), (64, 128), (512, 64), (1024, 4096)])
def test_every_width_fits(stub: Stub, bundle: Path, name: str, bits: tuple[int, int]) -> None:
    with_widths(bundle, *bits)
    write_vivado(bundle, load_board(name))
    result = stub()
    assert result.returncode == 0, result.stderr
    assert {file.name for file in (bundle / "vivado" / "driver").iterdir()} == {
        "accelerator.bit",
        "accelerator.hwh",
        "accelerator_pynq.py",
        "manifest.json",
    }
    assert (bundle / "vivado" / "driver" / "manifest.json").read_text() == (bundle / "manifest.json").read_text()
    script = (bundle / "vivado" / "project.tcl").read_text()
    widest = 64 if name == "pynq_z2" else 128
    assert ("add_cell input_width" in script) == (bits[0] > widest)
    assert ("add_cell output_width" in script) == (bits[1] > widest)


@pytest.mark.parametrize("name", ["pynq_z2", "zcu104"])
def test_with_the_board_files_installed(stub: Stub, bundle: Path, tmp_path: Path, name: str) -> None:
    write_vivado(bundle, load_board(name))
    assert "not installed; the processor keeps Vivado's defaults" in stub().stdout
    result = stub(STUB_BOARD_FILES="1")
    assert result.returncode == 0, result.stderr
    assert "not installed" not in result.stdout
    calls = (tmp_path / "calls.log").read_text()
    assert "set_property board_part board_part project" in calls
    assert "apply_board_preset 1}" in calls


def test_a_beat_too_wide_for_the_converter(bundle: Path) -> None:
    with_widths(bundle, 8, 4104)
    with pytest.raises(UserError, match=r"a beat of the output must have at most 4096 bits .*, not 8192; choose fewer"):
        write_vivado(bundle, PYNQ)
    assert not (bundle / "vivado").exists()


def test_a_family_without_a_processor() -> None:
    streams = StreamPorts.of(Manifest.model_validate_json(json.dumps(MANIFEST)))
    board = load_board("vu9p")
    with pytest.raises(UserError, match="board 'vu9p': family must be one of zynq7000, zynquplus, not 'virtexuplus'"):
        system_values(board, "200", streams)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("package_ip.tcl", "-busif $interface", "-bus $interface", "unknown option '-bus'"),
        ("package_ip.tcl", "{s_axis m_axis", "{s_axis", "interface 'm_axis' has no clock"),
        ("package_ip.tcl", "-reset aresetn", "-reset resetn", "no interface 'resetn'"),
        ("package_ip.tcl", "aresetn reset", "aresetn rst", "unknown type 'xilinx.com:signal:rst_rtl:1.0'"),
        ("package_ip.tcl", "interrupt interrupt}", "interrupt clock}", "interrupt is no clock"),
        (
            "package_ip.tcl",
            "set_property size 32",
            "set_property width 32",
            "a register of an IP has no property 'width'",
        ),
        ("package_ip.tcl", "0x0c", "0x0d", "address_offset must be a multiple of 4"),
        ("package_ip.tcl", "0x0c", "0x08", "two registers at 8"),
        ("package_ip.tcl", "version 0.", "version 0.0.", "the version of an IP must be two numbers"),
        ("package_ip.tcl", "ipx::save_core", "ipx::write_core", 'invalid command name "ipx::write_core"'),
        ("package_ip.tcl", "ipx::save_core", "# ipx::save_core", "update_ip_catalog: no IP in"),
        ("package_ip.tcl", "close_project", "", "create_project: a project is open"),
        ("rtl/accelerator_ip.v", "s_axis_tready", "s_axis_rdy", "interface s_axis: no port s_axis_tready"),
        ("rtl/accelerator_ip.v", "s_axi_control_wstrb", "s_axi_control_strb", "interface s_axi_control: no port"),
        ("project.tcl", "update_ip_catalog", "", "create_bd_cell: no IP 'dnn2fpga:dnn2fpga:accelerator_ip:"),
        ("project.tcl", "xilinx.com:ip:axi_dma", "xilinx.com:ip:dma", "create_bd_cell: no IP 'xilinx.com:ip:dma'"),
        ("project.tcl", "c_include_sg", "c_include_s", "has no parameter 'c_include_s'"),
        ("project.tcl", "c_sg_length_width 26", "c_sg_length_width 27", "c_sg_length_width cannot be '27'"),
        ("project.tcl", "tdata_width 8", "tdata_width 16", "/dma/M_AXIS_MM2S has 16 bits, /accelerator/s_axis has 8"),
        ("project.tcl", "M_TDATA_NUM_BYTES 8", "M_TDATA_NUM_BYTES 4", "has 32 bits, /dma/S_AXIS_S2MM has 64"),
        ("project.tcl", "s2mm_data_width 64", "s2mm_data_width 32", "above 32 bits"),
        ("project.tcl", "connect_buses dma/M_AXIS_MM2S accelerator/s_axis", "", "accelerator/s_axis is open"),
        ("project.tcl", "dma/M_AXI_MM2S memory", "dma/M_AXIS_MM2S memory", "is axis, /memory_bus/S00_AXI is aximm"),
        (
            "project.tcl",
            "connect_buses memory_bus/M00_AXI ps/S_AXI_HP0",
            "connect_buses ps/S_AXI_HP0 memory_bus/M00_AXI",
            "/ps/S_AXI_HP0 is a slave",
        ),
        ("project.tcl", "PCW_USE_S_AXI_HP0 1", "PCW_USE_S_AXI_HP0 0", "has no 'S_AXI_HP0'"),
        ("project.tcl", "ps/S_AXI_HP0_ACLK ", "", "ps/S_AXI_HP0_ACLK is open"),
        ("project.tcl", "interrupts/In1", "interrupts/In0", "/interrupts/In0 is connected already"),
        (
            "project.tcl",
            "connect_pins interrupts/dout",
            "connect_pins interrupts/In2",
            "/interrupts/In2 does not drive",
        ),
        ("project.tcl", "assign_bd_address", "", "no addresses have been assigned"),
        ("project.tcl", "generate_target all $design", "", "there is no system.hwh"),
        ("project.tcl", " -to_step write_bitstream", "", "system_wrapper.bit"),
        ("project.tcl", "make_wrapper -top", "make_wrapper -wrap", "unknown option '-wrap'"),
        ("project.tcl", "bd_rule:processing_system7", "bd_rule:axi4", "-rule does not fit"),
    ],
)
def test_the_stub_notices(stub: Stub, bundle: Path, file: str, old: str, new: str, message: str) -> None:
    write_vivado(bundle, PYNQ)
    path = bundle / "vivado" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    result = stub()
    assert result.returncode != 0
    assert message in result.stderr
