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
PORTS = {"input": {"tdata_bits": 8, "beats": 784}, "output": {"tdata_bits": 160, "beats": 1}}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle with just what the Vivado scripts need."""
    folder = tmp_path / "a bundle"  # a space, as users have in their folders
    (folder / "rtl").mkdir(parents=True)
    (folder / "rtl" / "accelerator.v").write_text(ACCELERATOR)
    files = {"rtl/accelerator.v": "0" * 64, "model.yaml": "0" * 64}
    manifest = {"manifest_version": 1, "model": "tiny", "top": "accelerator", "files": files, **PORTS}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


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
