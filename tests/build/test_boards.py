"""The board files are valid, and what is wrong with one is said in words."""

import importlib
import re
from pathlib import Path

import pytest

from dnn2fpga.build.boards import Board, Interface, Timing, available_boards, load_board, read_board
from dnn2fpga.build.families import Tools
from dnn2fpga.errors import UserError
from dnn2fpga.files.shipped import shipped_folder

GOOD = (shipped_folder("boards") / "arty_a7_100t.yaml").read_text()
PARTS = {
    Tools.VIVADO: r"xc\w+(-\w+)?-[1-3]\w*(-[ei])?",
    Tools.TRELLIS: r"LFE5U(M|M5G)?-(12|25|45|85)F-[6-8]BG\d+C",
    Tools.ICESTORM: r"iCE40\w+-\w+",
    Tools.APICULA: r"GW\w+-\w+/I\d",
}


@pytest.fixture(params=available_boards())
def board(request: pytest.FixtureRequest) -> Board:
    return load_board(request.param)


def test_contract_of_every_board(board: Board) -> None:
    assert re.fullmatch(PARTS[board.architecture.tools], board.part)
    assert board.resources.ff >= 0.75 * board.resources.lut
    assert board.timing.adders_within(board.clock_mhz) >= 2


def test_pins_and_serial_line(board: Board) -> None:
    assert (board.interface is Interface.UART) == (board.platform is not None) == (board.uart is not None)
    if board.platform is None or board.uart is None or board.oscillator_mhz is None:
        return
    module, name = board.platform.rsplit(".", 1)
    platform = getattr(importlib.import_module(module), name)()
    assert platform.default_clk_frequency == board.oscillator_mhz * 1e6
    uart = platform.lookup("uart", 0)
    assert {"rx", "tx"} <= {signal.name for signal in uart.ios}
    for name in board.uart.drive:
        assert platform.lookup(name, 0).ios[0].dir == "o"
    cycles = board.clock_mhz * 1e6 / board.uart.baud
    assert cycles >= 8  # of the clock for a bit
    assert abs(round(cycles) / cycles - 1) < 0.015


def test_a_faster_clock_leaves_room_for_fewer_adders(board: Board) -> None:
    adders = [board.timing.adders_within(mhz) for mhz in (10, 50, 100, 200, 1000)]
    assert adders == sorted(adders, reverse=True)
    assert adders[-1] == 1  # never none


def test_the_adders_in_a_row_fit_the_period() -> None:
    timing = Timing(register_ns=1, adder_ns=2)
    assert [timing.adders_within(mhz) for mhz in (100, 1000 / 5, 1000 / 4.9)] == [4, 2, 1]


def test_there_are_the_first_two_boards() -> None:
    assert {"arty_a7_100t", "pynq_z2"} <= set(available_boards())


def test_a_board_cannot_be_changed(board: Board) -> None:
    with pytest.raises(ValueError, match="frozen"):
        board.part = "other"


@pytest.mark.parametrize(
    ("name", "hint"),
    [("arty_a7_10t", "; did you mean 'arty_a7_100t'?"), ("PYNQ-Z2", "; did you mean 'pynq_z2'?"), ("../../x", "")],
)
def test_unknown_board(name: str, hint: str) -> None:
    with pytest.raises(UserError) as caught:
        load_board(name)
    assert str(caught.value) == f"board must be one of {', '.join(available_boards())}, not '{name}'{hint}"


def problems(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "arty_a7_100t.yaml"
    file.write_text(text)
    with pytest.raises(UserError) as caught:
        read_board(file)
    return [problem.removeprefix(f"{file}: ") for problem in caught.value.problems]


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("part:", "prat:").replace("dsp:", "dps:").replace("clock_mhz: 100", "clock_mhz: 0")
    assert problems(tmp_path, text) == [
        "the key 'part' is missing",
        "clock_mhz: Input should be greater than or equal to 1, not 0",
        "the key 'resources.dsp' is missing",
        "unknown key 'resources.dps'; did you mean 'dsp'?",
        "unknown key 'prat'; did you mean 'part'?",
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("name: arty_a7_100t", "name: arty", "name must be the name of the file, 'arty_a7_100t', not 'arty'"),
        ("family: artix7", "family: artix6", "family: must be one of artix7, "),
        ("oscillator_mhz: 100", "", "interface 'uart' needs oscillator_mhz"),
        ("interface: uart", "interface: none", "oscillator_mhz, platform, uart must not be given for interface 'none'"),
        ("platform: amaranth_boards.", "platform: os.", "platform: String should match pattern"),
        ("part: xc7a100tcsg324-1", "part: '[exec rm]'", "part: String should match pattern"),
        ("title: Digilent Arty A7-100T", "title: 'Digilent\\'", "title: String should match pattern"),
        ("lut: 63400", "lut: -1", "resources.lut: Input should be greater than 0, not -1"),
    ],
)
def test_a_wrong_value(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in GOOD
    assert any(expected in problem for problem in problems(tmp_path, GOOD.replace(old, new)))


@pytest.mark.parametrize("text", ["", "just text", "[1, 2", "\tname: x"])
def test_not_a_board_file_at_all(tmp_path: Path, text: str) -> None:
    assert problems(tmp_path, text)
