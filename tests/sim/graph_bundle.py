"""A second bundle written by hand: two inputs, a fork with three readers, two joins, two outputs, and planted faults.

    left, right  (2, 3, 2), unsigned 8 bits     one pixel per beat, two channels per pixel
    twice        2 left + 1, unsigned 9 bits    read by mirror, by total through a FIFO, and by an output port
    mirror       every row of twice backwards   a row must be in before its first beat comes out
    total        mirror + twice, unsigned 10 bits
    diff         total - right, signed 11 bits

Mirror accepts nothing while it sends a row, so that a frame needs twelve cycles. Until it sends its first beat, the
FIFO must hold the two beats of twice before the one that it waits for: with room for one the design hangs.
"""

from __future__ import annotations

import hashlib
import json
import random
from array import array
from pathlib import Path
from typing import Any

from reference_bundle import STAGE, port, write_manifest

FRAMES = 5
SHAPE = (2, 3, 2)
ROWS, COLUMNS, CHANNELS = SHAPE
BEATS = ROWS * COLUMNS
FIFO = 2

FAULTS = {
    "none": 0,
    "dropped": 1,  # mirror loses the ninth beat of the fork, and the FIFO has room enough to continue
    "short": 2,  # the FIFO has room for one beat
    "swapped": 3,  # diff subtracts the other way round
    "scale": 4,  # total adds the half of mirror
    "tlast": 5,  # of the output twice: high on every beat
    "unstable": 6,  # the output diff changes while it waits
    "stuck": 7,  # diff accepts nothing any more after its seventh beat
    "early": 8,  # twice sends a wrong ninth beat, and total accepts nothing from then on: it never passes as a whole
    "repeated": 9,  # the fork sends its ninth beat to the output port once more
    "no_reset": 10,  # mirror resumes with the row that it was at
    "slow": 11,  # total accepts a beat only every other cycle
    "half_reset": 12,  # the output port twice stays valid in reset
    "lost": 13,  # mirror loses the ninth beat of the fork
    "extra": 14,  # twice sends a beat more than it should, which total never accepts
}

VERILOG = (
    STAGE
    + """
// As the generator makes it: a stage whose beat stays until each of its readers has taken it.
module fork3 #(parameter WIDTH = 8) (input aclk, input aresetn,
  input [WIDTH-1:0] i_payload, input i_valid, output i_ready,
  output [WIDTH-1:0] o_payload, output full, output free, output reg [2:0] taken, input [2:0] ready);
  wire [2:0] served = taken | ready;
  assign free = &served;
  stage #(WIDTH) stage (aclk, aresetn, i_payload, i_valid, i_ready, o_payload, full, free);
  always @(posedge aclk) taken <= aresetn && full && !free ? served : 0;
endmodule

module fifo #(parameter WIDTH = 8) (input aclk, input aresetn, input [3:0] room,
  input [WIDTH-1:0] i_payload, input i_valid, output i_ready,
  output [WIDTH-1:0] o_payload, output o_valid, input o_ready);
  reg [WIDTH-1:0] beats [0:15]; reg [3:0] first, level;
  assign i_ready = level < room;
  assign o_valid = level != 0;
  assign o_payload = beats[first];
  always @(posedge aclk) begin
    if (i_valid && i_ready) beats[first + level] <= i_payload;
    if (o_valid && o_ready) first <= first + 1;
    level <= level + (i_valid && i_ready) - (o_valid && o_ready);
    if (!aresetn) begin first <= 0; level <= 0; end
  end
endmodule

module network (input aclk, input aresetn,
  input [15:0] left_payload, input left_valid, output left_ready,
  input [15:0] right_payload, input right_valid, output right_ready,
  output [17:0] twice_payload, output twice_valid, input twice_ready,
  output [21:0] diff_payload, output diff_valid, input diff_ready);
  integer fault;
  initial if (!$value$plusargs("FAULT=%d", fault)) fault = 0;

  wire [15:0] boundary_left_payload = left_payload, boundary_right_payload = right_payload;
  wire boundary_left_valid = left_valid, boundary_right_valid = right_valid;
  wire boundary_left_ready, boundary_right_ready;
  assign left_ready = boundary_left_ready, right_ready = boundary_right_ready;
  wire [17:0] boundary_twice_payload; wire boundary_twice_valid, boundary_twice_ready; wire [2:0] boundary_twice_taken;
  wire [17:0] boundary_mirror_payload; wire boundary_mirror_valid, boundary_mirror_ready;
  wire [19:0] boundary_total_payload; wire boundary_total_valid, boundary_total_ready;
  wire [21:0] boundary_diff_payload; wire boundary_diff_valid, boundary_diff_ready;

  // twice, and the fork after it
  reg [17:0] twice; reg some; wire some_ready; reg [7:0] sent;
  wire [8:0] low = 2 * boundary_left_payload[7:0] + 1, high = 2 * boundary_left_payload[15:8] + 1;
  assign boundary_left_ready = some_ready || !some;
  always @(posedge aclk) begin
    if (boundary_left_ready) some <= boundary_left_valid || fault == 14 && sent == 30;
    if (boundary_left_valid && boundary_left_ready) begin
      twice <= {high, low} ^ (fault == 8 && sent == 8);
      sent <= sent + 1;
    end
    if (!aresetn) begin some <= 0; sent <= 0; end
  end
  wire mirror_takes, total_takes; reg [7:0] forked; reg again;
  wire repeats = fault == 9 && forked == 8 && !again;
  fork3 #(18) fork_twice (aclk, aresetn, twice, some, some_ready, boundary_twice_payload, boundary_twice_valid,
    boundary_twice_ready, boundary_twice_taken, {twice_ready && !repeats, total_takes, mirror_takes});
  wire [2:0] offered = {3{boundary_twice_valid}} & ~boundary_twice_taken;
  assign twice_payload = boundary_twice_payload, twice_valid = offered[2];
  always @(posedge aclk) begin
    if (twice_valid && twice_ready && repeats) again <= 1;
    if (boundary_twice_valid && boundary_twice_ready) begin forked <= forked + 1; end
    if (!aresetn) begin forked <= 0; again <= 0; end
  end

  // mirror: takes a row, then gives it
  reg [17:0] row [0:2]; reg [1:0] column; reg gives; wire mirrored_ready;
  initial begin column = 0; gives = 0; end
  wire lost = (fault == 1 || fault == 13) && forked == 8;
  assign mirror_takes = !gives;
  always @(posedge aclk) begin
    if (!gives && offered[0] && !lost) row[column] <= boundary_twice_payload;
    if (gives ? mirrored_ready : offered[0] && !lost) begin
      column <= column == 2 ? 0 : column + 1;
      if (column == 2) gives <= !gives;
    end
    if (!aresetn && fault != 10) begin column <= 0; gives <= 0; end
    if (!aresetn && fault == 10) gives <= 0;
  end
  stage #(18) stage_mirror (aclk, aresetn, row[2 - column], gives, mirrored_ready,
    boundary_mirror_payload, boundary_mirror_valid, boundary_mirror_ready);

  // total: a beat of each input in the same cycle
  wire [17:0] skip; wire skip_valid, skip_ready, queue_ready;
  wire refuses = fault == 8 && forked == 8 || fault == 14 && forked == 30;
  assign total_takes = queue_ready && !refuses;
  fifo #(18) fifo_twice (aclk, aresetn, fault == 1 ? 4'd15 : fault == 2 ? 4'd1 : 4'd2, boundary_twice_payload,
    offered[1] && !refuses, queue_ready, skip, skip_valid, skip_ready);
  reg [19:0] total; reg summed; wire summed_ready; reg turn;
  wire both = boundary_mirror_valid && skip_valid && (summed_ready || !summed) && !(fault == 11 && turn);
  assign boundary_mirror_ready = both, skip_ready = both;
  wire [8:0] m0 = boundary_mirror_payload[8:0] >> (fault == 4), m1 = boundary_mirror_payload[17:9] >> (fault == 4);
  always @(posedge aclk) begin
    turn <= !turn;
    if (both) total <= {{1'b0, m1} + {1'b0, skip[17:9]}, {1'b0, m0} + {1'b0, skip[8:0]}};
    if (summed_ready || !summed) summed <= both;
    if (!aresetn) begin summed <= 0; turn <= 0; end
  end
  stage #(20) stage_total (aclk, aresetn, total, summed, summed_ready,
    boundary_total_payload, boundary_total_valid, boundary_total_ready);

  // diff
  reg [21:0] diff; reg done; wire done_ready; reg [7:0] diffs;
  wire pair = boundary_total_valid && boundary_right_valid && (done_ready || !done) && !(fault == 7 && diffs == 7);
  assign boundary_total_ready = pair, boundary_right_ready = pair;
  wire [10:0] d0 = {1'b0, boundary_total_payload[9:0]} - {3'b0, boundary_right_payload[7:0]};
  wire [10:0] d1 = {1'b0, boundary_total_payload[19:10]} - {3'b0, boundary_right_payload[15:8]};
  always @(posedge aclk) begin
    if (pair) begin diff <= fault == 3 ? {-d1, -d0} : {d1, d0}; diffs <= diffs + 1; end
    if (done_ready || !done) done <= pair;
    if (!aresetn) begin done <= 0; diffs <= 0; end
  end
  stage #(22) stage_diff (aclk, aresetn, diff, done, done_ready,
    boundary_diff_payload, boundary_diff_valid, boundary_diff_ready);
  assign diff_payload = boundary_diff_payload, diff_valid = boundary_diff_valid, boundary_diff_ready = diff_ready;
endmodule

module accelerator (input aclk, input aresetn,
  input [15:0] s_axis_left_tdata, input s_axis_left_tvalid, output s_axis_left_tready, input s_axis_left_tlast,
  input [15:0] s_axis_right_tdata, input s_axis_right_tvalid, output s_axis_right_tready, input s_axis_right_tlast,
  output [31:0] m_axis_twice_tdata, output m_axis_twice_tvalid, input m_axis_twice_tready, output m_axis_twice_tlast,
  output [31:0] m_axis_diff_tdata, output m_axis_diff_tvalid, input m_axis_diff_tready, output m_axis_diff_tlast);
  wire [17:0] twice; wire [21:0] diff; wire twice_valid;
  network network (aclk, aresetn, s_axis_left_tdata, s_axis_left_tvalid, s_axis_left_tready,
    s_axis_right_tdata, s_axis_right_tvalid, s_axis_right_tready,
    twice, twice_valid, m_axis_twice_tready, diff, m_axis_diff_tvalid, m_axis_diff_tready);
  reg [2:0] twices, diffs; reg waited;
  assign m_axis_twice_tvalid = twice_valid || network.fault == 12 && !aresetn;
  assign m_axis_twice_tdata = {7'b0, twice[17:9], 7'b0, twice[8:0]};
  assign m_axis_diff_tdata = {{5{diff[21]}}, diff[21:11], {5{diff[10]}}, diff[10:0]} ^ (network.fault == 6 && waited);
  assign m_axis_twice_tlast = twices == 5 || network.fault == 5, m_axis_diff_tlast = diffs == 5;
  always @(posedge aclk) begin
    waited <= m_axis_diff_tvalid && !m_axis_diff_tready && !waited;
    if (m_axis_twice_tvalid && m_axis_twice_tready) twices <= twices == 5 ? 0 : twices + 1;
    if (m_axis_diff_tvalid && m_axis_diff_tready) diffs <= diffs == 5 ? 0 : diffs + 1;
    if (!aresetn) begin twices <= 0; diffs <= 0; waited <= 0; end
  end
endmodule
"""
)

# tensor: width, is signed, what its layer reads, first cycle, last cycle
TENSORS: dict[str, tuple[int, bool, dict[str, int], int, int]] = {
    "left": (8, False, {}, 0, 8),
    "right": (8, False, {}, 8, 16),
    "twice": (9, False, {"left": 0}, 2, 13),
    "mirror": (9, False, {"twice": 0}, 6, 14),
    "total": (10, False, {"mirror": 0, "twice": FIFO}, 8, 16),
    "diff": (11, True, {"total": 0, "right": 0}, 10, 18),
}
OUTPUTS = {"twice": 10, "diff": 18}  # latency
INTERVAL = 12


def frame_values(rng: random.Random) -> dict[str, list[int]]:
    """One frame of every tensor."""
    left, right = ([rng.randrange(256) for _ in range(BEATS * CHANNELS)] for _ in range(2))
    twice = [2 * x + 1 for x in left]
    pixels = [twice[CHANNELS * n : CHANNELS * (n + 1)] for n in range(BEATS)]
    mirror = [x for r in range(ROWS) for pixel in reversed(pixels[COLUMNS * r : COLUMNS * (r + 1)]) for x in pixel]
    total = [m + t for m, t in zip(mirror, twice, strict=True)]
    diff = [t - r for t, r in zip(total, right, strict=True)]
    return {"left": left, "right": right, "twice": twice, "mirror": mirror, "total": total, "diff": diff}


def write_vectors(folder: Path, *, frames: int = FRAMES, seed: int = 1) -> None:
    """A vector folder of random frames."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    data = {name: array("h" if width > 8 else "B") for name, (width, *_) in TENSORS.items()}
    for _ in range(frames):
        for name, values in frame_values(rng).items():
            data[name].extend(values)
    for name, numbers in data.items():
        (folder / f"boundary_{name}.bin").write_bytes(numbers.tobytes())
    (folder / "vectors.json").write_text(json.dumps({"frames": frames, "source": "graph_bundle.py"}))


def manifest() -> dict[str, Any]:
    """The manifest of the design."""
    image = {"shape": list(SHAPE), "lanes": CHANNELS, "beats": BEATS, "pixels": 1, "scale": 1.0}

    def stream(name: str) -> dict[str, Any]:
        return {**image, "width": TENSORS[name][0], "signed": TENSORS[name][1]}

    def axis(name: str, prefix: str) -> dict[str, Any]:
        bits = (TENSORS[name][0] + 7) // 8 * 8
        return {**port(name, f"{prefix}_{name}"), **stream(name), "lane_bits": bits, "tdata_bits": CHANNELS * bits}

    return {
        "manifest_version": 2,
        "generator": "by hand",
        "model": "graph",
        "top": "accelerator",
        "files": {"rtl/accelerator.v": hashlib.sha256(VERILOG.encode()).hexdigest()},
        "inputs": [axis(name, "s_axis") for name in ("left", "right")],
        "outputs": [
            {**axis(name, "m_axis"), "fifo": 0, "latency_cycles": latency, "interval_cycles": INTERVAL}
            for name, latency in OUTPUTS.items()
        ],
        "boundaries": [
            {"index": k, "tensor": name, "kind": "layer" if reads else "input", **stream(name)}
            | {"inputs": [{"tensor": source, "fifo": fifo} for source, fifo in reads.items()]}
            | {"first_cycle": first, "last_cycle": last, "interval_cycles": INTERVAL}
            for k, (name, (_, _, reads, first, last)) in enumerate(TENSORS.items())
        ],
        "latency_cycles": max(OUTPUTS.values()),
        "interval_cycles": INTERVAL,
        "interval_frames": 4,
        "steady_frames": 5,
    }


def write_bundle(root: Path) -> Path:
    """The whole bundle, without the sim/ scripts."""
    (root / "rtl").mkdir(parents=True)
    (root / "rtl" / "accelerator.v").write_text(VERILOG)
    write_manifest(root, manifest())
    write_vectors(root / "sim" / "vectors")
    return root
