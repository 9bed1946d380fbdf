"""A bundle written by hand: three tiny layers that can be followed on paper, and faults that a plusarg plants.

    input     (2, 3, 2), unsigned 8 bits      one pixel per beat, two channels per pixel
    affine    2 x + 1, unsigned 9 bits
    center    y - 200, signed 10 bits
    row_sum   (2, 1, 2), signed 12 bits       the sum of every row of three pixels

Every layer is registered once, and its stage once more.
"""

from __future__ import annotations

import hashlib
import json
import random
from array import array
from pathlib import Path
from typing import Any

SIM = Path(__file__).resolve().parents[2] / "sim"
FRAMES = 5
TENSORS = ("input", "affine", "center", "row_sum")
HEIGHT, COLUMNS, CHANNELS = 2, 3, 2

FAULTS = {
    "none": 0,
    "constant": 1,  # center subtracts 199
    "swapped": 2,  # affine swaps its lanes
    "dropped": 3,  # center loses its ninth beat
    "duplicated": 4,  # affine sends its ninth beat twice
    "tlast": 5,  # high on every beat
    "unstable": 6,  # m_axis_tdata changes while it waits
    "stuck": 7,  # row_sum accepts nothing any more after its seventh beat
    "no_reset": 8,  # row_sum keeps its sum over a reset
    "slow": 9,  # affine accepts a beat only every other cycle
    "tvalid": 10,  # m_axis_tvalid falls while it waits
}

STAGE = """
module stage #(parameter WIDTH = 8) (input aclk, input aresetn,
  input [WIDTH-1:0] i_payload, input i_valid, output i_ready,
  output [WIDTH-1:0] o_payload, output o_valid, input o_ready);
  reg [WIDTH-1:0] front, back;
  reg front_valid, back_valid;
  assign i_ready = !back_valid;
  assign o_valid = front_valid;
  assign o_payload = front;
  always @(posedge aclk) begin
    if (o_ready || !front_valid) begin
      front <= back_valid ? back : i_payload;
      front_valid <= back_valid || i_valid;
      back_valid <= 0;
    end else if (i_valid && i_ready) begin
      back <= i_payload;
      back_valid <= 1;
    end
    if (!aresetn) begin front_valid <= 0; back_valid <= 0; end
  end
endmodule
"""

VERILOG = (
    STAGE
    + """
module network (input aclk, input aresetn, input [15:0] i_payload, input i_valid, output i_ready,
  output [23:0] o_payload, output o_valid, input o_ready);
  integer fault;
  initial if (!$value$plusargs("FAULT=%d", fault)) fault = 0;

  wire [15:0] boundary_input_payload = i_payload;
  wire boundary_input_valid = i_valid, boundary_input_ready;
  wire [17:0] boundary_affine_payload; wire boundary_affine_valid, boundary_affine_ready;
  wire [19:0] boundary_center_payload; wire boundary_center_valid, boundary_center_ready;
  wire [23:0] boundary_row_sum_payload; wire boundary_row_sum_valid, boundary_row_sum_ready;
  assign i_ready = boundary_input_ready;
  assign o_payload = boundary_row_sum_payload;
  assign o_valid = boundary_row_sum_valid;
  assign boundary_row_sum_ready = o_ready;

  // affine
  reg [17:0] affine; reg affine_valid; wire affine_ready; reg [7:0] affine_beats; reg repeated; reg turn;
  wire [8:0] low = 2 * boundary_input_payload[7:0] + 1, high = 2 * boundary_input_payload[15:8] + 1;
  wire again = fault == 4 && affine_beats == 9 && !repeated;
  assign boundary_input_ready = (affine_ready && !again || !affine_valid) && !(fault == 9 && turn);
  always @(posedge aclk) begin
    turn <= !turn;
    if (affine_ready && again) repeated <= 1;
    else if (boundary_input_ready || affine_ready) affine_valid <= boundary_input_valid && boundary_input_ready;
    if (boundary_input_valid && boundary_input_ready) begin
      affine <= fault == 2 ? {low, high} : {high, low};
      affine_beats <= affine_beats + 1;
    end
    if (!aresetn) begin affine_valid <= 0; affine_beats <= 0; repeated <= 0; turn <= 0; end
  end
  stage #(18) stage_1 (aclk, aresetn, affine, affine_valid, affine_ready,
    boundary_affine_payload, boundary_affine_valid, boundary_affine_ready);

  // center
  reg [19:0] center; reg center_valid; wire center_ready; reg [7:0] center_beats;
  wire [9:0] offset = fault == 1 ? 199 : 200;
  wire drop = fault == 3 && center_beats == 8;
  assign boundary_affine_ready = center_ready || !center_valid;
  always @(posedge aclk) begin
    if (boundary_affine_ready) begin
      center_valid <= boundary_affine_valid && !drop;
      center <= {{1'b0, boundary_affine_payload[17:9]} - offset, {1'b0, boundary_affine_payload[8:0]} - offset};
      if (boundary_affine_valid) center_beats <= center_beats + 1;
    end
    if (!aresetn) begin center_valid <= 0; center_beats <= 0; end
  end
  stage #(20) stage_2 (aclk, aresetn, center, center_valid, center_ready,
    boundary_center_payload, boundary_center_valid, boundary_center_ready);

  // row_sum
  reg signed [11:0] sum_0, sum_1; reg [1:0] column; reg sum_valid; wire sum_ready; reg [7:0] sum_beats;
  initial begin sum_0 = 0; sum_1 = 0; column = 0; end
  wire signed [11:0] term_0 = $signed(boundary_center_payload[9:0]), term_1 = $signed(boundary_center_payload[19:10]);
  assign boundary_center_ready = (sum_ready || !sum_valid) && !(fault == 7 && sum_beats == 7);
  always @(posedge aclk) begin
    if (boundary_center_ready) sum_valid <= boundary_center_valid && column == 2;
    if (boundary_center_valid && boundary_center_ready) begin
      sum_0 <= column == 0 ? term_0 : sum_0 + term_0;
      sum_1 <= column == 0 ? term_1 : sum_1 + term_1;
      column <= column == 2 ? 0 : column + 1;
      sum_beats <= sum_beats + 1;
    end
    if (!aresetn) begin sum_valid <= 0; sum_beats <= 0; if (fault != 8) column <= 0; end
  end
  stage #(24) stage_3 (aclk, aresetn, {sum_1, sum_0}, sum_valid, sum_ready,
    boundary_row_sum_payload, boundary_row_sum_valid, boundary_row_sum_ready);
endmodule

module accelerator (input aclk, input aresetn,
  input [15:0] s_axis_tdata, input s_axis_tvalid, output s_axis_tready, input s_axis_tlast,
  output [31:0] m_axis_tdata, output m_axis_tvalid, input m_axis_tready, output m_axis_tlast);
  wire [23:0] result; wire valid, ready;
  network network (aclk, aresetn, s_axis_tdata, s_axis_tvalid, s_axis_tready, result, valid, ready);
  reg beat, waited;
  assign ready = m_axis_tready;
  assign m_axis_tvalid = valid && !(network.fault == 10 && waited);
  assign m_axis_tlast = beat || network.fault == 5;
  assign m_axis_tdata = {{4{result[23]}}, result[23:12], {4{result[11]}}, result[11:0]}
    ^ (network.fault == 6 && waited);
  always @(posedge aclk) begin
    waited <= valid && !m_axis_tready && !waited;
    if (m_axis_tvalid && m_axis_tready) beat <= !beat;
    if (!aresetn) begin beat <= 0; waited <= 0; end
  end
endmodule
"""
)


def frame_values(rng: random.Random) -> list[list[int]]:
    """One frame at every boundary, in the order of the vector files."""
    pixels = [rng.randrange(256) for _ in range(HEIGHT * COLUMNS * CHANNELS)]
    affine = [2 * x + 1 for x in pixels]
    center = [y - 200 for y in affine]
    row = COLUMNS * CHANNELS
    sums = [sum(center[r * row + c : (r + 1) * row : CHANNELS]) for r in range(HEIGHT) for c in range(CHANNELS)]
    return [pixels, affine, center, sums]


def write_vectors(folder: Path, *, frames: int = FRAMES, seed: int = 1) -> None:
    """A vector folder of random frames."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    data = [array(code) for code in "BHhh"]
    for _ in range(frames):
        for numbers, values in zip(data, frame_values(rng), strict=True):
            numbers.extend(values)
    for k, numbers in enumerate(data):
        (folder / f"boundary_{TENSORS[k]}.bin").write_bytes(numbers.tobytes())
    (folder / "vectors.json").write_text(json.dumps({"frames": frames, "source": "reference_bundle.py"}))


def manifest() -> dict[str, Any]:
    """The manifest of the reference design."""
    image, sums = (
        {"shape": [HEIGHT, COLUMNS, CHANNELS], "lanes": 2, "beats": 6, "pixels": 1},
        {"shape": [2, 1, 2], "lanes": 2, "beats": 2, "pixels": 1},
    )
    unsigned_8 = {"signed": False, "width": 8, "scale": 1.0}
    signed_12 = {"signed": True, "width": 12, "scale": 1.0}
    boundaries = [
        {"kind": "input", **image, **unsigned_8, "first_cycle": 0, "last_cycle": 5},
        {"kind": "dense", **image, "signed": False, "width": 9, "first_cycle": 2, "last_cycle": 7},
        {"kind": "offset", **image, "signed": True, "width": 10, "first_cycle": 4, "last_cycle": 9},
        {"kind": "pool", **sums, **signed_12, "first_cycle": 8, "last_cycle": 11},
    ]
    return {
        "manifest_version": 2,
        "generator": "by hand",
        "model": "reference",
        "top": "accelerator",
        "files": {"rtl/accelerator.v": hashlib.sha256(VERILOG.encode()).hexdigest()},
        "inputs": [{**port("input", "s_axis"), **image, **unsigned_8, "lane_bits": 8, "tdata_bits": 16}],
        "outputs": [
            {**port("row_sum", "m_axis"), **sums, **signed_12, "lane_bits": 16, "tdata_bits": 32}
            | {"fifo": 0, "latency_cycles": 11, "interval_cycles": 6}
        ],
        "boundaries": [
            {
                "index": k,
                "tensor": TENSORS[k],
                "inputs": [{"tensor": name, "fifo": 0} for name in TENSORS[max(0, k - 1) : k]],
            }
            | {"scale": 1.0, "interval_cycles": 6}
            | b
            for k, b in enumerate(boundaries)
        ],
        "latency_cycles": 11,
        "interval_cycles": 6,
        "interval_frames": 4,
        "steady_frames": 5,
    }


def port(tensor: str, axis: str) -> dict[str, str]:
    """Return the name, tensor and AXI4-Stream of a port."""
    return {"name": tensor, "tensor": tensor, "axis": axis}


def write_bundle(root: Path) -> Path:
    """The whole bundle, without the sim/ scripts."""
    (root / "rtl").mkdir(parents=True)
    (root / "rtl" / "accelerator.v").write_text(VERILOG)
    write_manifest(root, manifest())
    write_vectors(root / "sim" / "vectors")
    return root


def write_manifest(root: Path, data: dict[str, Any]) -> None:
    """Replace the manifest of a bundle."""
    (root / "manifest.json").write_text(json.dumps(data, indent=1))
