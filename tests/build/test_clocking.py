"""PLLs: exact ratios, oscillators within their limits, and the same dividers that Project Trellis' own tool chooses."""

from __future__ import annotations

import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Instance, Signal

from dnn2fpga.build.boards import available_boards, load_board
from dnn2fpga.build.clocking import pll_of
from dnn2fpga.errors import UserError

WITH_PINS = [name for name in available_boards() if load_board(name).platform]


def made(board: str, mhz: float) -> Instance | None:
    pll = pll_of(load_board(board), mhz)
    return pll and pll(Signal(), Signal(), Signal())


def parameters(board: str, mhz: float) -> dict[str, Any]:
    instance = made(board, mhz)
    assert instance is not None
    return dict(instance.parameters)


@pytest.mark.parametrize("name", WITH_PINS)
def test_every_board_reaches_its_clock(name: str) -> None:
    board = load_board(name)
    assert (made(name, board.clock_mhz) is None) == (board.clock_mhz == board.oscillator_mhz)


@pytest.mark.parametrize(
    ("board", "mhz"), [("ulx3s_85f", 50), ("ulx3s_85f", 40), ("ulx3s_85f", 62.5), ("ecp5_5g_evn", 60)]
)
def test_ecp5(board: str, mhz: float) -> None:
    told, source = parameters(board, mhz), load_board(board).oscillator_mhz
    assert Fraction(source) * told["CLKFB_DIV"] / told["CLKI_DIV"] == Fraction(mhz)
    assert 400 <= mhz * told["CLKOP_DIV"] <= 800
    assert source / told["CLKI_DIV"] >= 3.125


@pytest.mark.toolchain
@pytest.mark.parametrize(("board", "mhz"), [("ulx3s_85f", 50), ("ecp5_5g_evn", 60)])
def test_ecp5_as_its_own_tool(board: str, mhz: float, tmp_path: Path) -> None:
    """Dividers, phase and every other parameter, and the attributes of the loop filter."""
    ecppll = Path(sys.executable).parent / "yowasp-ecppll"
    command = [ecppll, "-i", f"{load_board(board).oscillator_mhz:g}", "-o", f"{mhz:g}", "-f", "pll.v"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    text = (tmp_path / "pll.v").read_text()
    instance = made(board, mhz)
    assert instance is not None
    expected = dict(re.findall(r"\.(\w+)\(\"?(\w+)\"?\),?\s*\n", text.split("EHXPLLL #(")[1].split(") pll_i")[0]))
    assert {name: str(value) for name, value in instance.parameters.items()} == expected
    attributes = dict(re.findall(r'\(\* (\w+)="(\d+)" \*\)', text))
    assert attributes.items() <= {name: str(value) for name, value in instance.attrs.items()}.items()


@pytest.mark.parametrize(("board", "mhz"), [("cmod_a7_35t", 100), ("arty_a7_35t", 80), ("arty_a7_100t", 125)])
def test_7_series(board: str, mhz: float) -> None:
    told, source = parameters(board, mhz), load_board(board).oscillator_mhz
    oscillator = Fraction(source) * Fraction(told["CLKFBOUT_MULT_F"])
    assert oscillator / Fraction(told["CLKOUT0_DIVIDE_F"]) == Fraction(mhz)
    assert 600 <= oscillator <= 1200
    assert told["CLKIN1_PERIOD"] == pytest.approx(1000 / source, abs=0.0005)  # Vivado reads three digits


@pytest.mark.parametrize(
    ("board", "mhz"), [("icebreaker", 24), ("tang_nano_9k", 54), ("ulx3s_85f", 33.3), ("cmod_a7_35t", 99.9)]
)
def test_what_no_pll_can_make(board: str, mhz: float) -> None:
    with pytest.raises(UserError, match=rf"{board}: {mhz:g} MHz cannot be made from its .* give another --clock"):
        pll_of(load_board(board), mhz)
