"""The command line's view of a design on its board: a run beside the software model, and power."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from dnn2fpga.build.power import PowerEstimate
from dnn2fpga.drive.run import BoardRun, OutputRun
from dnn2fpga.task import Score


def show_power(power: PowerEstimate, console: Console) -> None:
    """An estimate, with what it rests on."""
    table = Table(
        title=f"{power.board} at {power.clock_mhz:g} MHz, estimated", title_justify="left", box=box.SIMPLE_HEAD
    )
    table.add_column("layer")
    for heading in ("toggle rate", *power.dynamic_mw_by_kind, "mW"):
        table.add_column(heading, justify="right")
    for layer in power.layers:
        by_kind = [f"{layer.milliwatts[kind]:,.1f}" for kind in power.dynamic_mw_by_kind]
        table.add_row(layer.layer, f"{layer.toggle_rate:.1%}", *by_kind, f"{layer.dynamic_mw:,.1f}")
    console.print(table)
    parts = f"{power.static_mw:,.1f} mW static + {power.dynamic_mw:,.1f} mW dynamic"
    energy = f"{power.energy_per_frame_uj:,.2f} µJ a frame, {power.dynamic_energy_per_frame_uj:,.2f} of them dynamic"
    console.print(f"{parts} at {power.frames_per_second:,.0f} frames/s: {energy}")
    for assumption in power.assumptions:
        console.print(f"assumed: {assumption}", markup=False)


def show_board_run(run: BoardRun, console: Console) -> None:
    """The board beside the software model."""
    table = Table(title=f"{run.board} through {run.port}", show_header=False, title_justify="left", box=box.SIMPLE)
    table.add_column(style="bold")
    table.add_column()
    for label, text in _board_run_rows(run):
        table.add_row(label, text)
    console.print(table)


def _output_text(output: OutputRun, prefix: str) -> str:
    board, software = Score(output.measure, output.score), Score(output.measure, output.software_score)
    against = f", software {software}" if output.labelled else " against the software"
    return f"{prefix}board {board}{against}"


def _board_run_rows(run: BoardRun) -> list[tuple[str, str]]:
    rows = [("results", f"{run.equal:,} of {run.frames:,} equal to the integer model in every number")]
    for name, output in run.outputs.items():
        rows.append((output.measure.value, _output_text(output, f"{name}: " if len(run.outputs) > 1 else "")))
    if run.clipped_inputs:
        outside = f"{run.clipped_inputs:,} values lie outside the calibrated range and were clipped"
        rows.append(("inputs", f"[yellow]{outside}: was the data prepared as in training?[/]"))
    shortest, longest = run.latency_cycles
    measured = f"{shortest:,}" if shortest == longest else f"{shortest:,} to {longest:,}"
    micro = longest / run.clock_hz * 1e6
    latency = f"{measured} cycles on the board, {run.planned_latency_cycles:,} planned; {micro:,.1f} µs at "
    rows.append(("latency", f"{latency}{run.clock_hz / 1e6:g} MHz"))
    line = f"{run.frames / run.seconds:,.1f} frames/s, link and all" if run.seconds else ""
    counted = ("corrupted_bytes", "damaged_answers", "refused_frames", "timeouts", "resets")
    trouble = {name: run.statistics[name] for name in counted}
    noticed = ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in trouble.items() if n)
    rows.append(("link", f"{line}; {noticed or 'no byte lost or damaged'}"))
    return rows
