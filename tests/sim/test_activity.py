"""Toggles: those that a counter and a few words on paper must have, and what is counted at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from activity import PUBLIC, main, measure_activity, with_public_registers
from errors import BundleError
from simulator import require_simulator

BEATS = 16
# Two layers: a counter that never stops, and a register that keeps what comes in. One name as users may have them.
VERILOG = """
module accelerator__network__layer_1_a__counter(aclk, aresetn);
  input aclk;
  input aresetn;
  reg [3:0] \\count$1  = 4'hd;
  reg [3:0] history [0:15];
  wire larger = (\\count$1  <= 4'd7);
  always @(posedge aclk)
    \\count$1  <= aresetn ? \\count$1  + 4'd1 : 4'd0;
  always @(posedge aclk) begin
    if (larger)
      history[\\count$1 ] <= \\count$1 ;
  end
endmodule

module accelerator__network__layer_2_keep(aclk, d, q);
  input aclk;
  input [69:0] d;
  output [69:0] q;
  reg [69:0] q = 70'h0;
  reg [69:0] next;
  always @* begin
    next = d;
  end
  always @(posedge aclk)
    q <= next;
endmodule

module accelerator__network(aclk, aresetn, d, q);
  input aclk;
  input aresetn;
  input [69:0] d;
  output [69:0] q;
  accelerator__network__layer_1_a__counter layer_1_a__counter (.aclk(aclk), .aresetn(aresetn));
  accelerator__network__layer_2_keep layer_2_keep (.aclk(aclk), .d(d), .q(q));
endmodule

module accelerator(aclk, aresetn, s_axis_tdata, s_axis_tvalid, s_axis_tlast, s_axis_tready,
                   m_axis_tdata, m_axis_tvalid, m_axis_tready, m_axis_tlast);
  input aclk, aresetn, s_axis_tvalid, s_axis_tlast, m_axis_tready;
  input [79:0] s_axis_tdata;
  output s_axis_tready, m_axis_tvalid, m_axis_tlast;
  output [79:0] m_axis_tdata;
  reg valid;
  assign s_axis_tready = 1, m_axis_tvalid = valid;
  assign m_axis_tdata[79:70] = 0, m_axis_tlast = 0;
  accelerator__network network (.aclk(aclk), .aresetn(aresetn), .d(s_axis_tdata[69:0]), .q(m_axis_tdata[69:0]));
  always @(posedge aclk) valid <= s_axis_tvalid;
endmodule
"""


TENSORS = ("input", "a__counter", "keep")


@pytest.fixture
def simulator() -> None:
    require_simulator()


@pytest.fixture
def counters(tmp_path: Path) -> Path:
    """A bundle of the two layers; ten lanes of 8 bits, whose uppermost ten bits go nowhere."""
    lanes = {"shape": [BEATS * 10], "lanes": 10, "beats": BEATS, "pixels": 1, "signed": False, "width": 8, "scale": 1}
    port = {**lanes, "lane_bits": 8, "tdata_bits": 80}
    cycles = {"first_cycle": 0, "last_cycle": BEATS - 1, "interval_cycles": BEATS}
    boundaries = [
        {
            "index": k,
            "tensor": name,
            "inputs": [{"tensor": t, "fifo": 0} for t in TENSORS[max(0, k - 1) : k]],
            "kind": "-",
        }
        for k, name in enumerate(TENSORS)
    ]
    ends = {"fifo": 0, "latency_cycles": BEATS, "interval_cycles": BEATS}
    manifest = {
        "manifest_version": 2,
        "model": "counters",
        "top": "accelerator",
        "files": {},
        "inputs": [{**port, "name": "input", "tensor": "input", "axis": "s_axis"}],
        "outputs": [{**port, "name": "keep", "tensor": "keep", "axis": "m_axis", **ends}],
        "boundaries": [{**b, **lanes, **cycles} for b in boundaries],
        "latency_cycles": BEATS,
        "interval_cycles": BEATS,
        "interval_frames": 1,
        "steady_frames": 2,
    }
    (tmp_path / "rtl").mkdir()
    (tmp_path / "rtl" / "accelerator.v").write_text(VERILOG)
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path


def write_words(bundle: Path, words: list[int]) -> Path:
    folder = bundle / "vectors"
    folder.mkdir(exist_ok=True)
    for tensor in TENSORS:
        (folder / f"boundary_{tensor}.bin").write_bytes(b"".join(word.to_bytes(10, "little") for word in words))
    (folder / "vectors.json").write_text(json.dumps({"frames": len(words) // BEATS}))
    return folder


@pytest.mark.simulation
@pytest.mark.usefixtures("simulator")
@pytest.mark.parametrize(
    ("words", "toggles"),
    [
        ([0] * BEATS, 0),
        ([0, (1 << 80) - 1] * (BEATS // 2), 70),  # every bit, every cycle; ten of the 80 are ignored
        ([1, 3, 3, 3] * (BEATS // 4), 0.5),
        ([1 << 69, 0, 0, 0, 0, 0, 0, 0] * (2 * BEATS // 8), 0.25),  # two frames
    ],
)
def test_toggles_are_those_counted_by_hand(counters: Path, build_dir: Path, words: list[int], toggles: float) -> None:
    found = measure_activity(counters, write_words(counters, words), build_dir=build_dir)
    assert found["cycles"] == len(words)
    assert found["frames"] == len(words) // BEATS
    assert found["layers"] == {
        "input": {"bits": 1, "toggles_per_cycle": 0},  # `valid` stays high
        # A counter of n bits toggles 2 - 2 / 2^n bits per cycle. Its memory does not count.
        "a__counter": {"bits": 4, "toggles_per_cycle": 2 - 2 / 16},
        "keep": {"bits": 70, "toggles_per_cycle": toggles},
    }


@pytest.mark.simulation
@pytest.mark.usefixtures("simulator")
def test_the_command_line(counters: Path, build_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_words(counters, [0] * BEATS)
    results = counters / "activity.json"
    options = ["--bundle", counters, "--vectors", folder, "--build-dir", build_dir, "--results", results]
    assert main([str(option) for option in options]) == 0
    assert "a__counter                      4 bits   46.9% of them toggle in a cycle" in capsys.readouterr().out
    assert json.loads(results.read_text())["layers"]["keep"]["bits"] == 70


@pytest.mark.simulation
@pytest.mark.usefixtures("simulator")
def test_a_design_that_gives_nothing_is_refused(counters: Path, build_dir: Path) -> None:
    rtl = counters / "rtl" / "accelerator.v"
    rtl.write_text(rtl.read_text().replace("valid <= s_axis_tvalid", "valid <= 0"))
    with pytest.raises(BundleError, match=r"the design produces nothing; simulate it with run\.py first"):
        measure_activity(counters, write_words(counters, [0] * BEATS), build_dir=build_dir)


def test_a_missing_design_is_said(counters: Path, tmp_path: Path) -> None:
    (counters / "rtl" / "accelerator.v").unlink()
    with pytest.raises(BundleError, match=r"accelerator\.v: is missing"):
        measure_activity(counters, write_words(counters, [0] * BEATS), build_dir=tmp_path / "build")


def test_what_a_clock_assigns_is_public_and_nothing_else() -> None:
    marked = with_public_registers(VERILOG)
    assert marked.count(PUBLIC) == 3
    for text in (f"\\count$1 {PUBLIC}  = 4'hd;", f"reg [69:0] q {PUBLIC} = 70'h0;", f"reg valid {PUBLIC};"):
        assert text in marked
    assert marked.replace(f" {PUBLIC}", "") == VERILOG


def test_a_name_counts_in_its_own_module() -> None:
    text = "module a;\n  reg x;\n  always @(posedge c) x <= 1;\nendmodule\nmodule b;\n  reg x;\nendmodule\n"
    assert with_public_registers(text) == text.replace("reg x", f"reg x {PUBLIC}", 1)


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("module r(output reg [7:0] data, input en);\n  always @(posedge clk) if (en) data <= words[addr];", "data"),
        ("module r;\n  reg signed [7:0] d0 = 8'd0;\n  always @(posedge clk)\n    d0[3:0] <= 0;", "d0"),
        ("module r;\n  reg a, b;\n  always @(posedge clk) begin b <= 1; end", "b"),
    ],
)
def test_declarations_of_all_kinds(text: str, marked: str) -> None:
    found = with_public_registers(text + "\nendmodule")
    assert found.count(PUBLIC) == 1
    assert f"{marked} {PUBLIC}" in found
