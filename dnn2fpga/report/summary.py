"""The command line's summary: one screen at the end of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dnn2fpga.config import DEFAULT_FILE
from dnn2fpga.generate.manifest import MANIFEST, Manifest, read_manifest
from dnn2fpga.report.source import origin_rows, source_rows
from dnn2fpga.report.streams import reads, why_fifos
from dnn2fpga.task import Measure, Score
from dnn2fpga.work_folder import (
    BUNDLE,
    GENERATION,
    PLAN_PLOT,
    PLOT,
    QUANTIZATION,
    SEARCH,
    SEARCH_PLOT,
    SEARCHES,
    SOURCE,
    SYNTHESIS,
    VERIFICATION,
    WorkFolder,
)

if TYPE_CHECKING:
    from dnn2fpga.build.build_result import BuildResult

RESOURCES = {"lut": "LUT", "ff": "FF", "dsp": "DSP", "bram18": "BRAM18"}
STAGE_NAMES = {
    "ptq": "post-training",
    "partial": "partial quantization",
    "qat": "quantization-aware training",
    "search": "search over widths",
}


def show_summary(folder: Path, console: Console, clock_mhz: float | None = None) -> None:
    """Everything that the steps in ``folder`` have found out so far, as far as it still stands; of a result that does
    not, only the reason.
    """
    from dnn2fpga.build.build_result import current_results

    work = WorkFolder(folder)
    quantization = work.standing(QUANTIZATION)
    manifest = read_manifest(work.bundle / MANIFEST) if work.standing(GENERATION) is not None else None
    verdict = work.standing(VERIFICATION)
    verification = verdict["reports"] if verdict else None
    table = Table(
        title=manifest.model if manifest else escape(folder.name),
        show_header=False,
        title_justify="left",
        box=box.SIMPLE,
    )
    table.add_column(style="bold")
    table.add_column()
    for label, text in [
        *source_rows(work.standing(SOURCE)),
        *_quantization_rows(quantization, verification),
        *_timing_rows(manifest, verification, clock_mhz),
        *_verification_rows(verification),
        *((("note", note)) for note in (manifest.notes if manifest else ())),
        *(("out of date", escape(reason)) for reason in work.out_of_date()),
        ("files", escape(_files(folder))),
    ]:
        table.add_row(label, text)
    console.print(table)
    searched = work.standing(SEARCH)
    if searched and quantization and quantization["stage"] == "search":
        console.print(_front_table(searched))
    elif quantization and quantization["target"] != "none":
        console.print(_tries_table(quantization))
    if manifest:
        console.print(_layer_table(manifest))
        for line in why_fifos(manifest):
            console.print(escape(line))
        console.print(_resource_table(manifest, work.standing(SYNTHESIS)))
        for result in current_results(folder):
            show_build(result, console)


def _quantization_rows(
    result: dict[str, Any] | None, verification: list[dict[str, Any]] | None
) -> list[tuple[str, str]]:
    if not result:
        return []
    rows = [("task", result["task"])] if "task" in result else []
    if result["measure"] is not None:
        rows += _score_rows(result, verification[1] if verification and len(verification) > 1 else {})
    if result["target"] != "none":
        rows.append(("target", f"{result['target']}: " + _verdict(result)))
    ratio = result["float_megabytes"] / result["integer_megabytes"] if result["integer_megabytes"] else 0
    sizes = (
        f"float {result['float_megabytes']:.4f} MB, integer {result['integer_megabytes']:.4f} MB ({ratio:.1f}× smaller)"
    )
    return [*rows, *origin_rows(result.get("origin")), ("model size", sizes), *_findings(result)]


def _score_rows(result: dict[str, Any], streamed: dict[str, Any]) -> list[tuple[str, str]]:
    """The score of the network and, where there are several, of each output.

    :param streamed: the report of the test data that went through the design, if any did.
    """
    fewer = f" ({streamed['frames']:,} samples)" if streamed and streamed["frames"] != result["test_samples"] else ""
    of_design, outputs = streamed.get("scores", {}), result.get("outputs", {})

    def compared(one: dict[str, Any], design: dict[str, Any] | None) -> str:
        measure = one["measure"]
        texts = [f"{who} {shown_score(measure, one[f'{who}_score'])}" for who in ("float", "integer")]
        if design and design["measure"] == measure:
            texts.append(f"RTL {shown_score(measure, design['value'])}{fewer}")
        return ", ".join(texts)

    only = next(iter(of_design.values()), None) if len(outputs) <= 1 else None
    rows = [(f"{result['measure']} on {result['test_samples']:,} samples", compared(result, only))]
    if len(outputs) > 1:
        rows += [(f"{one['measure']} of '{name}'", compared(one, of_design.get(name))) for name, one in outputs.items()]
    return rows


def _findings(result: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the lines of the diagnosis."""
    findings = result.get("diagnosis", {}).get("findings", ())
    return [("look at", f"{one['text']} → {one['help']}") for one in findings if one["matters"]]


def _verdict(result: dict[str, Any]) -> str:
    if result["met"]:
        return f"[green]reached by {STAGE_NAMES[result['stage']]}[/]"
    return f"[red]not reached[/]; kept is the best, from {STAGE_NAMES[result['stage']]}"


def shown_score(measure: str, value: float) -> str:
    return str(Score(Measure(measure), value))


def _tries_table(result: dict[str, Any]) -> Table:
    table = Table(title="what the optimizer tried", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("stage", "what"):
        table.add_column(heading)
    for heading in ("weight bits", result["measure"], "MB", "target"):
        table.add_column(heading, justify="right")
    for one in result["tries"]:
        widths = ", ".join(map(str, one["weight_bits"]))
        reached = shown_score(one["measure"], one["score"])
        verdict = "[green]reached[/]" if one["met"] else "missed"
        table.add_row(STAGE_NAMES[one["stage"]], one["what"], widths, reached, f"{one['megabytes']:.4f}", verdict)
    return table


def _front_table(result: dict[str, Any]) -> Table:
    """The front of a width search, cheapest first, and the chosen point."""
    from dnn2fpga.optimize.cost import UNITS

    title = f"the front of {len(result['points'])} trials: no trial is better in both"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for heading in (UNITS[result["cost"]], result["measure"]):
        table.add_column(heading, justify="right")
    table.add_column("bits of weights/activations")
    table.add_column("")
    for number in result["front"]:
        point = result["points"][number]
        widths = ", ".join(f"{name} {_widths(own)}" for name, own in point["widths"].items())
        reached = shown_score(result["measure"], point["score_on_all"])
        verdict = "[green]chosen[/]" if number == result["chosen"] else ""
        shown = f"all {point['uniform']}" if point["uniform"] else widths
        table.add_row(f"{point['cost']:,.0f}", reached, shown, verdict)
    return table


def _widths(own: dict[str, int]) -> str:
    return "/".join(str(own.get(key, "-")) for key in ("weight_bits", "activation_bits"))


def _timing_rows(
    manifest: Manifest | None, verification: list[dict[str, Any]] | None, clock_mhz: float | None
) -> list[tuple[str, str]]:
    if not manifest:
        return []
    rows = []
    for key, predicted in (("latency", manifest.latency_cycles), ("interval", manifest.interval_cycles)):
        text = f"predicted {predicted:,} cycles"
        measured = verification[0][f"{key}_cycles"].get("measured") if verification else None
        text += f", measured {measured:,}" if measured is not None else ""
        text += f" ({predicted / clock_mhz:.2f} µs at {clock_mhz:g} MHz)" if clock_mhz else ""
        rows.append((key, text))
    return rows


def _verification_rows(verification: list[dict[str, Any]] | None) -> list[tuple[str, str]]:
    if not verification:
        return []
    rows = []
    for title, report in zip(("stalls and timing", "test data"), verification, strict=False):
        verdict = "[green]every boundary equal[/]" if report["passed"] else "[red]NOT EQUAL[/]"
        frames = f"{report['frames']:,} frames, " if report["frames"] else f"{len(report['tests'])} tests, "
        rows.append((f"RTL, {title}", f"{verdict}: {frames}{report['beats_compared']:,} beats"))
    return rows


def _layer_table(manifest: Manifest) -> Table:
    title = "layers: cycles from the first input beat; busy: part of the interval"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("layer", "reads [FIFO]", "shape", "format"):
        table.add_column(escape(heading))
    for heading in ("first", "last", "busy"):
        table.add_column(heading, justify="right")
    for b in manifest.boundaries:
        format = f"{'s' if b.signed else 'u'}{b.width}"
        shape = "×".join(map(str, b.shape)) + (f" by {b.pixels}" if b.pixels > 1 else "")
        busy = f"{b.busy_cycles / manifest.interval_cycles:.0%}"
        table.add_row(b.tensor, escape(reads(b)), shape, format, f"{b.first_cycle:,}", f"{b.last_cycle:,}", busy)
    return table


def _resource_table(manifest: Manifest, synthesis: dict[str, Any] | None) -> Table:
    title = f"resources: {synthesis['tool']} (estimated)" if synthesis else "resources, estimated"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("layer", "engine", "PE × SIMD"):
        table.add_column(heading)
    for heading in RESOURCES.values():
        table.add_column(heading, justify="right")
    found = synthesis["layers"] if synthesis else None

    def cells(estimated: dict[str, float], counted: dict[str, int] | None) -> list[str]:
        texts = {key: f"{estimated[key]:,.0f}" for key in RESOURCES}
        return [f"{counted[key]:,} ({text})" if counted else text for key, text in texts.items()]

    for b in manifest.layers:
        table.add_row(b.tensor, b.engine, b.folding, *cells(b.resources, found and found[b.tensor]))
    totals = {key: sum(b.resources[key] for b in manifest.boundaries) for key in RESOURCES}
    all_found = found and {key: sum(layer[key] for layer in found.values()) for key in RESOURCES}
    table.add_section()
    table.add_row("all", "", "", *cells(totals, all_found))
    return table


def show_build(result: BuildResult, console: Console) -> None:
    """Print the result of a board's tools."""
    verdict = "[green]met[/]" if result.met else "[red]MISSED[/]"
    tried = f", the best of {len(result.placements)} placements" if len(result.placements) > 1 else ""
    console.print(
        f"{result.title}: {result.target_mhz:g} MHz {verdict}, {result.reached_mhz:.1f} MHz after routing{tried}; "
        f"{result.frames_per_second:,.0f} frames/s at {result.target_mhz:g} MHz"
    )
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("resource")
    for heading in ("used", "available", "", "planned, without host link"):
        table.add_column(heading, justify="right")
    for name, used in result.used.items():
        has = result.available[name]
        share = f"{used / has:.0%}" if has else ""
        table.add_row(result.names[name], f"{used:,}", f"{has:,}", share, f"{result.planned[name]:,.0f}")
    console.print(table)


def _files(folder: Path) -> str:
    names = {
        "model.yaml": "integer model",
        PLOT: "what was tried",
        PLAN_PLOT: "cycles and resources of the layers",
        SEARCH_PLOT: "what the search tried",
        f"{SEARCHES}/{DEFAULT_FILE}": "settings that the search found",
        f"{BUNDLE}/rtl": "Verilog",
        f"{BUNDLE}/sim": "testbench",
        f"{BUNDLE}/vivado": "Vivado",
    }
    return "\n".join(f"{folder / name} ({what})" for name, what in names.items() if (folder / name).exists())
