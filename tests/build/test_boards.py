"""The board files are valid, and what is wrong with one is said in words."""

import re
from pathlib import Path

import pytest

from dnn2fpga.build.boards import Board, Source, Timing, Vendor, available_boards, load_board, read_board
from dnn2fpga.errors import UserError
from dnn2fpga.shipped_files import shipped_folder

GOOD = (shipped_folder("boards") / "arty_a7_100t.yaml").read_text()


@pytest.fixture(params=available_boards())
def board(request: pytest.FixtureRequest) -> Board:
    return load_board(request.param)


def test_contract_of_every_board(board: Board) -> None:
    assert board.vendor is Vendor.XILINX
    assert re.fullmatch(r"xc\w+-[1-3]\w*", board.part)
    assert all(1 <= clock.mhz <= 1000 for clock in board.clocks)
    for signal in (*board.clocks, board.reset):
        if signal.source is Source.PIN:
            assert re.fullmatch(r"[A-Z]{1,2}[0-9]{1,2}", signal.port)
    assert board.resources.ff >= board.resources.lut


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
    text = GOOD.replace("part:", "prat:").replace("dsp:", "dps:").replace("mhz: 100", "mhz: 0")
    assert problems(tmp_path, text) == [
        "the key 'part' is missing",
        "clocks[0].mhz: Input should be greater than 0, not 0",
        "the key 'resources.dsp' is missing",
        "unknown key 'resources.dps'; did you mean 'dsp'?",
        "unknown key 'prat'; did you mean 'part'?",
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("name: arty_a7_100t", "name: arty", "name must be the name of the file, 'arty_a7_100t', not 'arty'"),
        (", io_standard: LVCMOS33, mhz", ", mhz", "clocks[0]: io_standard must be given for a pin"),
        ("source: pin, port: E3", "source: processing_system, port: E3", "io_standard must not be given for a port"),
        ("part: xc7a100tcsg324-1", "part: '[exec rm]'", "part: String should match pattern"),
        ("title: Digilent", "title: 'Digilent\\'", "title: "),
        ("clocks:", "clocks: []\nother:", "clocks: must list at least one clock"),
        ("lut: 63400", "lut: -1", "resources.lut: Input should be greater than 0, not -1"),
    ],
)
def test_a_wrong_value(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in GOOD
    assert any(expected in problem for problem in problems(tmp_path, GOOD.replace(old, new)))


@pytest.mark.parametrize("text", ["", "just text", "[1, 2", "\tname: x"])
def test_not_a_board_file_at_all(tmp_path: Path, text: str) -> None:
    assert problems(tmp_path, text)
