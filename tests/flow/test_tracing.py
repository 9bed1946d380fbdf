"""The source beside the integers: which model and which rule, on numbers of any type."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dnn2fpga import flow
from dnn2fpga.data import Data
from dnn2fpga.errors import UserError
from dnn2fpga.read.settings import ReadSettings

SAMPLES = Path(__file__).parents[1] / "front_ends" / "samples"
MODEL = SAMPLES / "tflite_mobile" / "model.tflite"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    flow.quantize(MODEL, work=folder, reading=ReadSettings(rule="xnnpack"))
    return folder


def data_of(kind: str) -> Data:
    shape = flow.read_model(MODEL).input_shape
    x = np.random.default_rng(0).integers(-3, 4, (8, *shape))
    return Data(x.astype(kind), None)


def errors(work: Path, kind: str = "float32", **reading: str) -> list[float]:
    settings = ReadSettings(**reading) if reading else None
    seen = flow.trace(work, MODEL, data_of(kind), reading=settings)
    return [one.largest_error for one in seen if one.kind != "input"]


@pytest.mark.parametrize("kind", ["float32", "float64", "int8", "int64"])
def test_integers_follow_the_source_whatever_type_the_numbers_have(work: Path, kind: str) -> None:
    found = errors(work, kind)
    assert len(found) > 5
    assert max(found) < 1e-6


def test_another_rule_computes_something_else(work: Path) -> None:
    assert max(errors(work, rule="tflm")) > 0.001


def test_another_model_is_refused(work: Path) -> None:
    graph = flow.read_model(MODEL)
    assert graph.origin is not None
    other = replace(graph, origin=graph.origin.model_copy(update={"sha256": "0" * 64, "file": "other.tflite"}))
    with pytest.raises(UserError, match=r"was made of another model: model\.tflite with SHA-256 .*, not other\.tflite"):
        flow.trace(work, other, data_of("float32"))
