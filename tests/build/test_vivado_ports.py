"""The Vivado scripts of a network with several inputs and outputs, in the stub; golden logs as in test_vivado.py."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import two_ports

from dnn2fpga.build.boards import load_board
from dnn2fpga.build.vivado.project import VivadoScript, write_vivado
from dnn2fpga.errors import UserError

HERE = Path(__file__).parent
PYNQ = load_board("pynq_z2")
Stub = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return two_ports.write_bundle(tmp_path / "a bundle")


@pytest.fixture
def stub(tclsh: str, bundle: Path, tmp_path: Path) -> Stub:
    def run(script: VivadoScript = VivadoScript.PROJECT) -> subprocess.CompletedProcess[str]:
        words = [tclsh, HERE / "vivado_stub.tcl", tmp_path / "calls.log", bundle.resolve(), bundle / "vivado" / script]
        return subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)

    return run


@pytest.mark.parametrize("script", list(VivadoScript))
@pytest.mark.parametrize("name", ["pynq_z2", "vu9p"])  # with a processor, and without anything
def test_recorded_calls(stub: Stub, bundle: Path, tmp_path: Path, name: str, script: VivadoScript) -> None:
    write_vivado(bundle, load_board(name))
    result = stub(script)
    assert result.returncode == 0, result.stderr
    calls = (tmp_path / "calls.log").read_text()
    golden = HERE / "golden" / f"two_ports.{name}.{script.removesuffix('.tcl')}.log"
    if os.environ.get("DNN2FPGA_UPDATE_GOLDEN"):
        golden.write_text(calls)
    assert calls == golden.read_text(), "the calls of Vivado have changed; move the golden log if that is intended"


@pytest.mark.parametrize(
    ("side", "kept", "open_channel"),
    [("inputs", "image", "c_include_mm2s 0"), ("outputs", "sum", "c_include_s2mm 0")],
)
def test_a_dma_with_one_channel(
    stub: Stub, bundle: Path, tmp_path: Path, side: str, kept: str, open_channel: str
) -> None:
    """A port has no DMA channel of the other direction where there are more inputs than outputs, or fewer."""
    manifest = two_ports.manifest()
    (port,) = (port for port in manifest[side] if port["name"] == kept)
    axis = port["axis"].removesuffix(f"_{kept}")
    manifest[side] = [port | {"axis": axis}]
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    verilog = bundle / "rtl" / "accelerator.v"
    verilog.write_text(verilog.read_text().replace(port["axis"], axis))
    write_vivado(bundle, PYNQ)
    result = stub()
    assert result.returncode == 0, result.stderr
    script = (bundle / "vivado" / "project.tcl").read_text()
    assert script.count("xilinx.com:ip:axi_dma") == 2
    assert script.count(open_channel) == 1
    assert f"accelerator/{axis}\n" in script or f"accelerator/{axis} " in script


def test_dma_k_serves_input_k_and_output_k(bundle: Path) -> None:
    write_vivado(bundle, PYNQ)
    script = (bundle / "vivado" / "project.tcl").read_text()
    for k, (entry, leaving) in enumerate([("image", "sum"), ("bias", "total")]):
        assert f"connect_buses dma_{k}/M_AXIS_MM2S accelerator/s_axis_{entry}\n" in script
        assert f"connect_buses accelerator/m_axis_{leaving} dma_{k}/S_AXIS_S2MM\n" in script


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("package_ip.tcl", "{s_axis_image s_axis_bias", "{s_axis_image", "interface 's_axis_bias' has no clock"),
        ("project.tcl", "add_cell dma_1 xilinx", "list xilinx", "no cell 'dma_1'"),
        (
            "project.tcl",
            "connect_buses dma_1/M_AXIS_MM2S accelerator/s_axis_bias",
            "",
            "accelerator/s_axis_bias is open",
        ),
        ("project.tcl", "dma_1/M_AXIS_MM2S accelerator/s_axis_bias", "dma_1/M_AXIS_MM2S accelerator/s_axis_image",
         "/accelerator/s_axis_image is connected already"),
        ("project.tcl", "memory_bus/S03_AXI", "memory_bus/S02_AXI", "/memory_bus/S02_AXI is connected already"),
        ("project.tcl", "connect_pins dma_1/s2mm_introut interrupts/In3", "", "dma_1/s2mm_introut is open"),
        ("project.tcl", "CONFIG.NUM_SI 4", "CONFIG.NUM_SI 3", "has no 'S03_AXI'"),
        ("project.tcl", "dma_1/m_axi_s2mm_aclk ", "", "dma_1/m_axi_s2mm_aclk is open"),
        ("rtl/accelerator_ip.v", "m_axis_total_tready", "m_axis_total_rdy", "interface m_axis_total: no port"),
    ],
)  # fmt: skip
def test_the_stub_notices(stub: Stub, bundle: Path, file: str, old: str, new: str, message: str) -> None:
    write_vivado(bundle, PYNQ)
    path = bundle / "vivado" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    result = stub()
    assert result.returncode != 0
    assert message in result.stderr


def test_swapped_ports_change_the_calls(stub: Stub, bundle: Path, tmp_path: Path) -> None:
    """Both inputs are equally wide, so that only the log tells."""
    write_vivado(bundle, PYNQ)
    path = bundle / "vivado" / "project.tcl"
    text = path.read_text()
    text = text.replace("MM2S accelerator/s_axis_image", "MM2S accelerator/other")
    text = text.replace("MM2S accelerator/s_axis_bias", "MM2S accelerator/s_axis_image")
    path.write_text(text.replace("MM2S accelerator/other", "MM2S accelerator/s_axis_bias"))
    assert stub().returncode == 0
    golden = HERE / "golden" / "two_ports.pynq_z2.project.log"
    assert (tmp_path / "calls.log").read_text() != golden.read_text()


def test_a_beat_too_wide_for_the_converter_is_named(bundle: Path) -> None:
    manifest = two_ports.manifest()
    manifest["outputs"][1]["tdata_bits"] = 4104
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="a beat of output m_axis_total must have at most 4096 bits"):
        write_vivado(bundle, PYNQ)


def test_more_streams_than_one_bus_serves(bundle: Path) -> None:
    manifest = two_ports.manifest()
    (bias,) = (port for port in manifest["inputs"] if port["name"] == "bias")
    more = [bias | {"name": f"bias_{k}", "axis": f"s_axis_bias_{k}"} for k in range(12)]
    manifest["inputs"] += more
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="SmartConnect serves at most 14 inputs and outputs together, not 16"):
        write_vivado(bundle, PYNQ)


def test_the_driver_is_one_file_and_its_example_names_the_inputs(bundle: Path) -> None:
    write_vivado(bundle, PYNQ)
    folder = bundle / "vivado" / "driver"
    assert {file.name for file in folder.iterdir()} == {"accelerator_pynq.py", "manifest.json"}
    assert "import dnn2fpga" not in (folder / "accelerator_pynq.py").read_text().replace("from", "import")
    assert 'accelerator.predict({"image": x_1, "bias": x_2})' in (bundle / "vivado" / "README.md").read_text()
