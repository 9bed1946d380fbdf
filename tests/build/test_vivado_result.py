"""Reports of Vivado → numbers. The reports are samples written by hand in Vivado's format, not from a run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dnn2fpga.build.vivado.result import VivadoResult, read_result
from dnn2fpga.errors import UserError

SAMPLES = Path(__file__).parent / "sample_reports"


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(SAMPLES / "artix7", tmp_path / "reports"))


def test_seven_series() -> None:
    result = read_result(SAMPLES / "artix7")
    assert result == VivadoResult(
        lut=9057,
        ff=9716,
        bram18=7,  # 3.5 tiles
        dsp=27,
        clock_mhz=100.0,
        worst_setup_slack_ns=0.412,
        worst_hold_slack_ns=0.052,
        reached_mhz=104.297,
    )
    assert result.timing_met


def test_ultrascale_and_a_missed_clock_behind_another() -> None:
    result = read_result(SAMPLES / "zynquplus")
    assert (result.lut, result.ff, result.bram18, result.dsp) == (12345, 20011, 24, 0)
    assert (result.clock_mhz, result.worst_setup_slack_ns, result.reached_mhz) == (200.0, -0.25, 190.476)
    assert not result.timing_met


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("utilization.rpt", "| Slice LUTs ", "| Other LUTs ", "utilization.rpt: a row 'Slice LUTs' or 'CLB LUTs' with"),
        ("utilization.rpt", "| Slice Registers ", "| Registers ", "a row 'Slice Registers' or 'CLB Registers' with"),
        ("utilization.rpt", "| Block RAM Tile ", "| Tile ", "a row 'Block RAM Tile' with a number is missing"),
        ("utilization.rpt", "| DSPs ", "| DSP ", "a row 'DSPs' with a number is missing; is it a report of Vivado"),
        ("utilization.rpt", " 27 ", " NA ", "a row 'DSPs' with a number is missing"),
        ("timing.rpt", "WNS(ns)", "Slack", "timing.rpt: the row below 'WNS(ns)' is missing"),
        (
            "timing.rpt",
            "0.412",
            "NA",
            "timing.rpt: the row below 'WNS(ns)' must have slacks in columns 1 and 5, not 'NA",
        ),
        ("timing.rpt", "{0.000 5.000}", "", "timing.rpt: a row of 'Clock Summary' is missing"),
    ],
)
def test_what_is_missing_is_no_zero(reports: Path, file: str, old: str, new: str, message: str) -> None:
    text = (reports / file).read_text()
    assert old in text
    (reports / file).write_text(text.replace(old, new))
    with pytest.raises(UserError) as caught:
        read_result(reports)
    assert message in str(caught.value)


def test_a_missing_report(reports: Path) -> None:
    (reports / "timing.rpt").unlink()
    with pytest.raises(UserError, match=r"timing\.rpt: cannot be read: No such file or directory"):
        read_result(reports)
