"""Host program → serial line → pins → network → and back, with the whole design of a board in Verilator."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import two_inputs
import two_ports
from command_line import Outcome
from tiny import quantized_graph, samples

from dnn2fpga.build.boards import available_boards, load_board
from dnn2fpga.build.tops.board_top import write_board_top
from dnn2fpga.data import Data
from dnn2fpga.drive import link as link_module
from dnn2fpga.drive.noise import NoisyPort
from dnn2fpga.drive.port import AcceleratorError
from dnn2fpga.drive.run import SIMULATED, run_on_board, simulated
from dnn2fpga.drive.serial import SerialAccelerator, open_port
from dnn2fpga.errors import UserError
from dnn2fpga.files.shipped import shipped_folder
from dnn2fpga.flow import generate
from dnn2fpga.graph import files as config_files
from dnn2fpga.optimize.calibration import calibrate
from dnn2fpga.optimize.post_training import Quantization, quantize
from dnn2fpga.task import Measure
from dnn2fpga.task_reading import with_task
from dnn2fpga.work_folder import BOARD_RUN, WorkFolder

sys.path.insert(0, str(shipped_folder("sim")))
from toolchain import find_toolchain

pytestmark = [pytest.mark.simulation, pytest.mark.xdist_group("simulated_board")]

WITH_PINS = [name for name in available_boards() if load_board(name).platform]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder with a bundle."""
    folder = tmp_path_factory.mktemp("work")
    config_files.save(quantized_graph(), folder)
    generate(folder)
    return folder


def test_pins_of_another_family(work: Path) -> None:
    run = run_on_board(work, Data(samples(5), None), "icebreaker", SIMULATED)
    assert run.passed
    assert run.clock_hz == 12_000_000


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_every_number_as_in_software(work: Path, noise: float) -> None:
    x = samples(40)
    y = np.zeros(40, np.int64)
    run = run_on_board(work, Data(x, y), "ulx3s_85f", SIMULATED, noise=noise)
    assert run.passed
    assert run.equal == run.frames == 40
    (output,) = run.outputs.values()
    assert output.equal == 40
    assert output.score == output.software_score
    assert run.latency_cycles == (run.planned_latency_cycles,) * 2
    assert run.clock_hz == 50_000_000
    assert (run.statistics["corrupted_bytes"] > 0) == (noise > 0)
    assert WorkFolder(work).standing(BOARD_RUN) == run.model_dump(mode="json")


def test_the_command(dnn2fpga: Callable[..., Outcome], work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "MOST_SILENCE_S", 600.0)
    images = samples(5)
    images[:, 0, 0] = 7
    np.savez("images.npz", x=images, y=np.zeros(5, np.int64))
    done = dnn2fpga("run", work, "images.npz", "--port", "simulation", "--board", "ulx3s_85f", "--frames", 4)
    assert done.code == 0, done.err
    assert "4 of 4 equal to the integer model in every number" in done.out
    assert "corrupted bytes" not in done.out  # a busy machine may time out, but damages nothing
    assert "damaged answers" not in done.out
    assert "4 values lie outside the calibrated range and were clipped" in done.out
    assert dnn2fpga("run", work, "images.npz", "--port", "simulation").code == 2
    no_netlist = dnn2fpga("run", work, "images.npz", "--port", "netlist", "--board", "icebreaker")
    assert no_netlist.code == 2
    assert "there is no netlist of this bundle; run 'dnn2fpga build" in no_netlist.err


def test_a_wrong_number_is_noticed(
    dnn2fpga: Callable[..., Outcome], work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = SerialAccelerator.run_integers

    def lying(self: SerialAccelerator, *given: Any) -> Any:
        results, cycles = honest(self, *given)
        results = results.copy()
        results[1] += 1
        return results, cycles

    monkeypatch.setattr(SerialAccelerator, "run_integers", lying)
    np.savez("images.npz", x=samples(3))
    done = dnn2fpga("run", work, "images.npz", "--port", "simulation", "--board", "ulx3s_85f")
    assert done.code == 1
    assert "2 of 3 equal" in done.out


def test_predictions_and_a_host_that_comes_back(work: Path) -> None:
    graph = config_files.load(work)
    board = load_board("ulx3s_85f")
    x = samples(3)
    expected = graph.output.dequantize(graph.run(graph.input.quantize(x)))
    with simulated(work / "simulation", work / "bundle", board, board.clock_mhz) as name:
        for _ in range(2):  # another program, the same device
            with open_port(name, 1_000_000) as port:
                accelerator = SerialAccelerator(port, work / "bundle" / "manifest.json")
                for _ in range(2):
                    assert (accelerator.predict(x) == expected.reshape(accelerator.predict(x).shape)).all()
                assert accelerator.clipped_inputs == 0
                with pytest.warns(UserWarning, match="1 of 36 inputs lie outside the range"):
                    accelerator.predict(np.where(np.arange(36).reshape(1, 6, 6, 1) == 5, 9.0, x[:1]))
                assert accelerator.clipped_inputs == 1
                with pytest.raises(AcceleratorError, match="NaN"):
                    accelerator.predict(np.full_like(x, np.nan))


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_two_inputs_and_two_outputs(tmp_path: Path, noise: float) -> None:
    """An input that is consumed before another, an output that blocks the other; with corrupted bytes, too."""
    bundle = two_ports.write_bundle(tmp_path / "bundle")
    q = two_ports.random_inputs(30)
    board = load_board("ulx3s_85f")
    with (
        simulated(tmp_path / "simulation", bundle, board, board.clock_mhz) as name,
        open_port(name, board.pins.uart.baud) as line,
    ):
        port = NoisyPort(line, noise)
        accelerator = SerialAccelerator(port, bundle / "manifest.json")
        results, cycles = accelerator.run_integers(q)
        real = accelerator.predict({name: values[:3] * 0.5 for name, values in q.items()})
    assert list(results) == ["sum", "total"]
    for name, values in two_ports.integer_model(q).items():
        np.testing.assert_array_equal(results[name], values)
        np.testing.assert_array_equal(real[name], values[:3] * 0.5)
    assert set(cycles) == {two_ports.LATENCY}
    assert (port.corrupted > 0) == (noise > 0)


@pytest.fixture(scope="module")
def two_inputs_work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder with a generated network of two inputs and two outputs, classes and numbers."""
    folder = tmp_path_factory.mktemp("two inputs")
    data = two_inputs.data()
    graph = with_task(two_inputs.GRAPH, [data])
    config_files.save(quantize(graph, calibrate(graph, data.x), Quantization()), folder)
    generate(folder)
    return folder


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_a_generated_network_with_two_inputs_and_two_outputs(two_inputs_work: Path, noise: float) -> None:
    run = run_on_board(two_inputs_work, two_inputs.data(30), "ulx3s_85f", SIMULATED, noise=noise)
    assert run.passed
    assert run.latency_cycles == (run.planned_latency_cycles,) * 2
    assert {name: (output.equal, output.measure) for name, output in run.outputs.items()} == {
        "kind": (30, Measure.ACCURACY),
        "angle": (30, Measure.R2),
    }
    assert all(output.labelled and output.score == output.software_score for output in run.outputs.values())
    assert (run.statistics["corrupted_bytes"] > 0) == (noise > 0)


def test_the_command_for_several_ports(dnn2fpga: Callable[..., Outcome], two_inputs_work: Path) -> None:
    data = two_inputs.data(4)
    np.savez("data.npz", **{f"x_{name}": x for name, x in data.x.items()}, y_kind=data.y["kind"])
    done = dnn2fpga("run", two_inputs_work, "data.npz", "--port", "simulation", "--board", "ulx3s_85f")
    assert done.code == 0, done.err
    assert "4 of 4 equal to the integer model in every number" in done.out
    assert "kind: board 1" in done.out
    assert "angle: board 1" in done.out


def swapped(text: str, one: str, other: str) -> str:
    """The text with two words in place of each other."""
    return text.replace(one, "\0").replace(other, one).replace("\0", other)


def test_swapped_outputs_on_a_board_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their frames have other lengths, so that no result is ever complete."""
    bundle = two_ports.write_bundle(tmp_path / "bundle")
    board = load_board("ulx3s_85f")
    verilog = bundle / "rtl" / "accelerator.v"
    verilog.write_text(swapped(verilog.read_text(), "m_axis_sum", "m_axis_total"))
    monkeypatch.setattr(link_module, "RESULTS_SILENCE_S", 2.0)
    with (
        simulated(tmp_path / "simulation", bundle, board, board.clock_mhz) as name,
        open_port(name, board.pins.uart.baud) as line,
        pytest.raises(UserError, match="the board answers, but has given no result"),
    ):
        SerialAccelerator(line, bundle / "manifest.json").run_integers(two_ports.random_inputs(1))


def test_the_bitstream_of_another_bundle(work: Path, tmp_path: Path) -> None:
    board = load_board("ulx3s_85f")
    manifest = tmp_path / "manifest.json"
    manifest.write_text((work / "bundle" / "manifest.json").read_text() + "\n")
    with (
        simulated(work / "simulation", work / "bundle", board, board.clock_mhz) as name,
        open_port(name, 1_000_000) as port,
        pytest.raises(UserError, match="configure it with the bitstream of this bundle"),
    ):
        SerialAccelerator(port, manifest)


@pytest.mark.parametrize("name", WITH_PINS)
def test_the_pins_of_every_board(work: Path, tmp_path: Path, name: str) -> None:
    """Verilator and our models of pins and clocks know everything that the design of a board consists of."""
    board = load_board(name)
    design = write_board_top(work / "bundle", board, tmp_path, board.clock_mhz)
    assert design.constraints.stat().st_size > 0
    toolchain = find_toolchain()
    command = [str(toolchain.verilator), "--lint-only", "-Wno-lint", "--top-module", design.top]
    files = [*design.verilog, shipped_folder("sim") / "primitives.v"]
    with toolchain.environment():
        done = subprocess.run([*command, *map(str, files)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_same_input_same_bytes(work: Path, tmp_path: Path) -> None:
    board = load_board("ulx3s_85f")
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
        write_board_top(work / "bundle", board, folder, board.clock_mhz)
    first, second = ({file.name: file.read_bytes() for file in folder.iterdir()} for folder in folders)
    assert first == second
    assert not any(b"/tmp/" in content for content in first.values())


@pytest.mark.parametrize(
    ("name", "clock", "message"),
    [
        ("icebreaker", 24, "24 MHz cannot be made from its 12 MHz oscillator"),
        ("ulx3s_85f", 33.3, "33.3 MHz"),
        ("ulx3s_85f", 10, "10 MHz do not give 2,000,000 baud"),
        ("pynq_z2", 100, "has no serial line and no pins of its own"),
    ],
)
def test_what_a_board_cannot_do(work: Path, tmp_path: Path, name: str, clock: float, message: str) -> None:
    with pytest.raises(UserError, match=message):
        write_board_top(work / "bundle", load_board(name), tmp_path, clock)
    assert not list(tmp_path.iterdir())


def test_no_such_port(work: Path) -> None:
    with pytest.raises(UserError, match="/dev/no_such_port: cannot be opened"):
        run_on_board(work, Data(samples(1), None), "ulx3s_85f", "/dev/no_such_port")


def test_a_board_without_a_serial_line(work: Path) -> None:
    with pytest.raises(UserError, match=r"pynq_z2: has no serial line .* dnn2fpga\.drive\.pynq"):
        run_on_board(work, Data(samples(1), None), "pynq_z2", SIMULATED)
