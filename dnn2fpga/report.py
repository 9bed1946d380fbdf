"""What the command line shows: one screen at the end of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from dnn2fpga.atomic import digest
from dnn2fpga.flow import BUNDLE, GENERATION, MANIFEST, QUANTIZATION, VERIFICATION


def show_summary(folder: Path, console: Console, clock_mhz: float | None = None) -> None:
    """Everything that the steps in ``folder`` have found out so far."""
    quantization = _read(folder / QUANTIZATION)
    manifest = _current_manifest(folder)
    verification = _current_reports(folder) if manifest else None
    table = Table(
        title=f"{manifest['model'] if manifest else folder.name}",
        show_header=False,
        title_justify="left",
        box=box.SIMPLE,
    )
    table.add_column(style="bold")
    table.add_column()
    for label, text in [
        *_quantization_rows(quantization, verification),
        *_timing_rows(manifest, verification, clock_mhz),
        *_verification_rows(verification),
        *((("note", note)) for note in (manifest or {}).get("notes", [])),
        ("files", _files(folder)),
    ]:
        table.add_row(label, text)
    console.print(table)
    if manifest:
        console.print(_layer_table(manifest))


def _quantization_rows(
    result: dict[str, Any] | None, verification: list[dict[str, Any]] | None
) -> list[tuple[str, str]]:
    if not result:
        return []
    rows = []
    if result["float_accuracy"] is not None:
        texts = [f"float {result['float_accuracy']:.2%}", f"integer {result['integer_accuracy']:.2%}"]
        streamed = verification[1] if verification and len(verification) > 1 else None
        if streamed and streamed["accuracy"] is not None:
            fewer = f" ({streamed['frames']:,} samples)" if streamed["frames"] != result["test_samples"] else ""
            texts.append(f"RTL {streamed['accuracy']:.2%}{fewer}")
        rows.append((f"accuracy on {result['test_samples']:,} samples", ", ".join(texts)))
    ratio = result["float_megabytes"] / result["integer_megabytes"] if result["integer_megabytes"] else 0
    sizes = (
        f"float {result['float_megabytes']:.4f} MB, integer {result['integer_megabytes']:.4f} MB ({ratio:.1f}× smaller)"
    )
    return [*rows, ("model size", sizes)]


def _timing_rows(
    manifest: dict[str, Any] | None, verification: list[dict[str, Any]] | None, clock_mhz: float | None
) -> list[tuple[str, str]]:
    if not manifest:
        return []
    rows = []
    for key in ("latency", "interval"):
        text = f"predicted {manifest[f'{key}_cycles']:,} cycles"
        measured = verification[0][f"{key}_cycles"].get("measured") if verification else None
        text += f", measured {measured:,}" if measured is not None else ""
        text += f" ({manifest[f'{key}_cycles'] / clock_mhz:.2f} µs at {clock_mhz:g} MHz)" if clock_mhz else ""
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


def _layer_table(manifest: dict[str, Any]) -> Table:
    table = Table(title="layers (cycles from the first input beat)", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("layer", "engine", "shape", "format"):
        table.add_column(heading)
    for heading in ("first", "last", "interval"):
        table.add_column(heading, justify="right")
    for b in manifest["boundaries"]:
        format = f"{'s' if b['signed'] else 'u'}{b['width']}"
        shape = "×".join(map(str, b["shape"]))
        table.add_row(
            b["layer"],
            b["engine"],
            shape,
            format,
            *(f"{b[k]:,}" for k in ("first_cycle", "last_cycle", "interval_cycles")),
        )
    return table


def _files(folder: Path) -> str:
    names = {
        "model.yaml": "integer model",
        f"{BUNDLE}/rtl": "Verilog",
        f"{BUNDLE}/sim": "testbench",
        f"{BUNDLE}/vivado": "Vivado",
    }
    return "\n".join(f"{folder / name} ({what})" for name, what in names.items() if (folder / name).exists())


def _current_manifest(folder: Path) -> Any:
    """The bundle's manifest, if the bundle was generated from the configuration files as they stand now."""
    made = _read(folder / GENERATION)
    stands = made and all(digest(folder / name) == then for name, then in made.items())
    return _read(folder / BUNDLE / MANIFEST) if stands else None


def _current_reports(folder: Path) -> Any:
    """The verification of the bundle that is there now."""
    verdict = _read(folder / VERIFICATION)
    return verdict["reports"] if verdict and verdict.get("manifest") == digest(folder / BUNDLE / MANIFEST) else None


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
