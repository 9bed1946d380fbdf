"""Where a model comes from, and what became of its integers: rows of the summary."""

from __future__ import annotations

from typing import Any

from dnn2fpga.task import Measure, Score


def source_rows(result: dict[str, Any] | None) -> list[tuple[str, str]]:
    """Return label and text of every row.

    :param result: the record ``source.json``, if there is one.
    """
    if not result:
        return []
    rows = [("task", result["task"]), *origin_rows(result["origin"])]
    if result["measure"] is not None:
        measure = Measure(result["measure"])
        texts = [f"{who} {Score(measure, result[f'{who}_score'])}" for who in ("source", "integer")]
        rows.append((f"{result['measure']} on {result['test_samples']:,} samples", ", ".join(texts)))
    rows.append(("layers", _counted(result["layers"])))
    rows.append(("requantizers", f"{_counted(result['requantizers'])} (lanes)"))
    if result["margin"] is not None:
        rows.append(("nearest tie", f"{result['margin']:.2g} of a code away from the nearest sum that can occur"))
    return [*rows, ("model size", f"integer {result['integer_megabytes']:.4f} MB")]


def origin_rows(origin: dict[str, Any] | None) -> list[tuple[str, str]]:
    """Return the row that names the model's file."""
    if not origin:
        return []
    rule = f", rounds by the rule '{origin['rule']}'" if origin["rule"] else ""
    return [("source", f"{origin['reader']}, {origin['file']}{rule}, SHA-256 {origin['sha256'][:16]}…")]


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} × {name}" for name, count in counts.items())
