"""The smallest bundle that the build steps accept: ports, and nothing that computes."""

from __future__ import annotations

from typing import Any

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
TASK = {"kind": "regression", "ending": "linear", "threshold": None, "labels": None, "class_1_above": None}
NUMBERS = {"signed": False, "width": 8, "scale": 1.0, "zero_point": 0, "pixels": 1}
IMAGE = {**NUMBERS, "shape": [28, 28, 1], "lanes": 1, "beats": 784}
VECTOR = {**NUMBERS, "shape": [20], "lanes": 20, "beats": 1}
PORTS: dict[str, list[dict[str, Any]]] = {
    "inputs": [{"name": "image", "tensor": "image", "axis": "s_axis", **IMAGE, "lane_bits": 8, "tdata_bits": 8}],
    "outputs": [
        {"name": "scores", "tensor": "scores", "axis": "m_axis", **VECTOR, "lane_bits": 8, "tdata_bits": 160}
        | {"task": TASK, "fifo": 0, "latency_cycles": 800, "interval_cycles": 784}
    ],
}
CYCLES = dict.fromkeys(("first_cycle", "last_cycle", "interval_cycles", "busy_cycles"), 0)
BOUNDARIES = [
    {"index": 0, "tensor": "image", "kind": "input", "inputs": [], **IMAGE},
    {"index": 1, "tensor": "scores", "kind": "dense", "inputs": [{"tensor": "image", "fifo": 0}], **VECTOR},
]
MANIFEST: dict[str, Any] = {
    "manifest_version": 2,
    "generator": "by hand",
    "model": "tiny",
    "notes": [],
    "top": "accelerator",
    "files": {"rtl/accelerator.v": "0" * 64, "model.yaml": "0" * 64},
    **PORTS,
    "boundaries": [{**b, **CYCLES, "engine": "parallel", "folding": "", "resources": {}} for b in BOUNDARIES],
    "latency_cycles": 800,
    "interval_cycles": 784,
    "interval_frames": 1,
    "steady_frames": 1,
    "family": "xc7",
    "estimates": {},
}
