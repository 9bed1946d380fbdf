"""A network with two inputs and two outputs, written by hand: its Verilog, its integer model and its manifest.

``sum`` is ``image`` plus ``bias``, which must be there before a pixel can pass and is read once per frame; ``total`` is
``image`` summed over all pixels, and leaves when the frame has ended. So an input is consumed before another one, both
inputs and both outputs have frames of different lengths, and an output that is not drained stops the other one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

ROWS, WIDTH, CHANNELS = 4, 3, 3
PIXELS: Final = ROWS * WIDTH
LATENCY, INTERVAL = 2 * PIXELS, 2 * PIXELS  # a pixel every other cycle, after the cycle in which the bias is taken

ACCELERATOR: Final = """\
// sum = image + bias; total = image summed over the pixels of a frame
module accelerator(
  aclk, aresetn, s_axis_image_tdata, s_axis_image_tvalid, s_axis_image_tready, s_axis_image_tlast,
  s_axis_bias_tdata, s_axis_bias_tvalid, s_axis_bias_tready, s_axis_bias_tlast,
  m_axis_sum_tdata, m_axis_sum_tvalid, m_axis_sum_tready, m_axis_sum_tlast,
  m_axis_total_tdata, m_axis_total_tvalid, m_axis_total_tready, m_axis_total_tlast);
  input aclk;
  input aresetn;
  input [23:0] s_axis_image_tdata;
  input s_axis_image_tvalid;
  output s_axis_image_tready;
  input s_axis_image_tlast;
  input [23:0] s_axis_bias_tdata;
  input s_axis_bias_tvalid;
  output s_axis_bias_tready;
  input s_axis_bias_tlast;
  output [47:0] m_axis_sum_tdata;
  output m_axis_sum_tvalid;
  input m_axis_sum_tready;
  output m_axis_sum_tlast;
  output [47:0] m_axis_total_tdata;
  output m_axis_total_tvalid;
  input m_axis_total_tready;
  output m_axis_total_tlast;

  reg [23:0] bias;
  reg has_bias, has_sum, sum_is_last, has_total;
  reg [3:0] pixel;
  reg [15:0] sum_0, sum_1, sum_2, running_0, running_1, running_2, total_0, total_1, total_2;
  wire is_last = pixel == 11;
  wire taken = s_axis_image_tvalid & s_axis_image_tready;
  wire [15:0] image_0 = {8'd0, s_axis_image_tdata[7:0]};
  wire [15:0] image_1 = {8'd0, s_axis_image_tdata[15:8]};
  wire [15:0] image_2 = {8'd0, s_axis_image_tdata[23:16]};

  assign s_axis_bias_tready = ~has_bias;
  assign s_axis_image_tready = has_bias & ~has_sum & ~(is_last & has_total);
  assign m_axis_sum_tdata = {sum_2, sum_1, sum_0};
  assign m_axis_sum_tvalid = has_sum;
  assign m_axis_sum_tlast = sum_is_last;
  assign m_axis_total_tdata = {total_2, total_1, total_0};
  assign m_axis_total_tvalid = has_total;
  assign m_axis_total_tlast = 1'b1;

  always @(posedge aclk) begin
    if (m_axis_sum_tready) has_sum <= 0;
    if (m_axis_total_tready) has_total <= 0;
    if (s_axis_bias_tvalid & ~has_bias) begin
      bias <= s_axis_bias_tdata;
      has_bias <= 1;
    end
    if (taken) begin
      has_sum <= 1;
      sum_is_last <= is_last;
      sum_0 <= image_0 + {{8{bias[7]}}, bias[7:0]};
      sum_1 <= image_1 + {{8{bias[15]}}, bias[15:8]};
      sum_2 <= image_2 + {{8{bias[23]}}, bias[23:16]};
      running_0 <= is_last ? 16'd0 : running_0 + image_0;
      running_1 <= is_last ? 16'd0 : running_1 + image_1;
      running_2 <= is_last ? 16'd0 : running_2 + image_2;
      pixel <= is_last ? 4'd0 : pixel + 4'd1;
      if (is_last) begin
        has_total <= 1;
        total_0 <= running_0 + image_0;
        total_1 <= running_1 + image_1;
        total_2 <= running_2 + image_2;
        has_bias <= 0;
      end
    end
    if (~aresetn) begin
      has_bias <= 0;
      has_sum <= 0;
      has_total <= 0;
      pixel <= 0;
      running_0 <= 0;
      running_1 <= 0;
      running_2 <= 0;
    end
  end
endmodule
"""

IMAGE: Final = {"shape": [ROWS, WIDTH, CHANNELS], "lanes": CHANNELS, "beats": PIXELS, "pixels": 1}
VECTOR: Final = {"shape": [CHANNELS], "lanes": CHANNELS, "beats": 1, "pixels": 1}
STREAMS: Final[dict[str, dict[str, Any]]] = {
    "image": {**IMAGE, "signed": False, "width": 8, "scale": 0.5, "zero_point": 0},
    "bias": {**VECTOR, "signed": True, "width": 8, "scale": 0.5, "zero_point": 0},
    "sum": {**IMAGE, "signed": True, "width": 10, "scale": 0.5, "zero_point": 0},
    "total": {**VECTOR, "signed": False, "width": 12, "scale": 0.5, "zero_point": 0},
}
NUMBERS: Final = {"kind": "regression", "ending": "linear", "threshold": None, "labels": None, "class_1_above": None}
CLASSES: Final = {**NUMBERS, "kind": "classes"}


def integer_model(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Integers ``[frames, *shape]`` by input → by output."""
    image, bias = (np.asarray(inputs[name], np.int64) for name in ("image", "bias"))
    return {"sum": (image + bias[:, None, None]).astype(np.int16), "total": image.sum((1, 2)).astype(np.uint16)}


def random_inputs(frames: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Integers ``[frames, *shape]`` by input."""
    rng = np.random.default_rng(seed)
    return {
        "image": rng.integers(0, 256, (frames, ROWS, WIDTH, CHANNELS)).astype(np.uint8),
        "bias": rng.integers(-128, 128, (frames, CHANNELS)).astype(np.int8),
    }


def manifest() -> dict[str, Any]:
    """Return the contents of ``manifest.json``."""
    cycles = {"first_cycle": 0, "last_cycle": 0, "interval_cycles": INTERVAL, "busy_cycles": INTERVAL}
    cycles |= {"engine": "parallel", "folding": "", "resources": dict.fromkeys(("lut", "ff", "dsp", "bram18"), 0.0)}
    edges = {"image": [], "bias": [], "sum": ["image", "bias"], "total": ["image"]}
    kinds = {"image": "input", "bias": "input", "sum": "sum", "total": "global_average_pooling"}
    leaving = {"fifo": 0, "latency_cycles": LATENCY, "interval_cycles": INTERVAL}
    return {
        "manifest_version": 2,
        "generator": "by hand",
        "model": "two_ports",
        "notes": [],
        "top": "accelerator",
        "files": {"rtl/accelerator.v": hashlib.sha256(ACCELERATOR.encode()).hexdigest()},
        "inputs": [_port(name, "s_axis") for name in ("image", "bias")],
        "outputs": [
            _port("sum", "m_axis") | leaving | {"task": NUMBERS},
            _port("total", "m_axis") | leaving | {"task": CLASSES},
        ],
        "boundaries": [
            {"index": k, "tensor": name, "kind": kinds[name], **STREAMS[name], **cycles}
            | {"inputs": [{"tensor": tensor, "fifo": 0} for tensor in edges[name]]}
            for k, name in enumerate(STREAMS)
        ],
        "latency_cycles": LATENCY,
        "interval_cycles": INTERVAL,
        "interval_frames": 4,
        "steady_frames": 5,
        "family": "xc7",
        "estimates": {},
    }


def write_bundle(folder: Path) -> Path:
    """Write what the build steps and the drivers need; returns the folder."""
    (folder / "rtl").mkdir(parents=True)
    (folder / "rtl" / "accelerator.v").write_text(ACCELERATOR)
    (folder / "manifest.json").write_text(json.dumps(manifest()))
    return folder


def _port(name: str, side: str) -> dict[str, Any]:
    bits = 8 * -(-STREAMS[name]["width"] // 8)
    names = {"name": name, "tensor": name, "axis": f"{side}_{name}"}
    return {**names, **STREAMS[name], "lane_bits": bits, "tdata_bits": bits * CHANNELS}
