import json
import os
import shutil
from pathlib import Path

import pytest

# The smallest thing that has the ports of docs/bundle.md.
ACCELERATOR = """\
module accelerator(aclk, aresetn, s_axis_tdata, s_axis_tvalid, s_axis_tready, s_axis_tlast,
                   m_axis_tdata, m_axis_tvalid, m_axis_tready, m_axis_tlast);
  input aclk;
  input aresetn;
  input [7:0] s_axis_tdata;
  input s_axis_tvalid;
  output s_axis_tready;
  input s_axis_tlast;
  output [159:0] m_axis_tdata;
  output m_axis_tvalid;
  input m_axis_tready;
  output m_axis_tlast;
endmodule
"""
NUMBERS = {"signed": False, "width": 8, "scale": 1.0, "zero_point": 0, "pixels": 1}
PORTS = {
    "input": {**NUMBERS, "shape": [28, 28, 1], "lanes": 1, "beats": 784, "lane_bits": 8, "tdata_bits": 8},
    "output": {**NUMBERS, "shape": [20], "lanes": 20, "beats": 1, "lane_bits": 8, "tdata_bits": 160},
}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle with just what the Vivado scripts need."""
    folder = tmp_path / "a bundle"  # a space, as users have in their folders
    (folder / "rtl").mkdir(parents=True)
    (folder / "rtl" / "accelerator.v").write_text(ACCELERATOR)
    files = {"rtl/accelerator.v": "0" * 64, "model.yaml": "0" * 64}
    manifest = {"manifest_version": 1, "model": "tiny", "top": "accelerator", "files": files, **PORTS}
    manifest |= {"latency_cycles": 800, "interval_cycles": 784, "steady_frames": 1, "family": "xc7", "estimates": {}}
    manifest["boundaries"] = [_boundary(index, name) for index, name in enumerate(PORTS)]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def _boundary(index: int, port: str) -> dict[str, object]:
    cycles = dict.fromkeys(("first_cycle", "last_cycle", "interval_cycles", "busy_cycles"), 0)
    names = {"layer": f"layer_{index}", "kind": "dense", "engine": "parallel", "folding": ""}
    return {**PORTS[port], **names, **cycles, "index": index, "fifo": 0, "resources": {}}


@pytest.fixture(scope="session")
def tclsh() -> str:
    """The path of tclsh; without it the test is skipped, but fails in CI."""
    path = shutil.which("tclsh")
    if path is None:
        message = "tclsh is not installed (Debian: apt-get install tcl)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return path
