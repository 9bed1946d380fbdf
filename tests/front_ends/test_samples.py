"""Every sample beside its own tool, from the file to the integers: what `benchmarks/front_ends.py` reports."""

from __future__ import annotations

import numpy as np
import pytest
from front_end_samples import Sample, samples
from integer_model import Comparison, IntegerModel, compare

# What is left to be said is which part of the samples is compared how; that nothing differs is in tests/read.
EXAMPLES = ("tflite_mean, reference", "qkeras_residual/model.keras", "hgq2_bn_add/model.keras", "qonnx_thresholds")


def of(sample: Sample) -> tuple[IntegerModel, dict[str, np.ndarray]]:
    graph = sample.read()
    recorded = sample.recorded(graph)
    return IntegerModel(graph, recorded.x.astype(np.float32), sample.settings), dict(recorded.tensors)


@pytest.fixture(params=EXAMPLES)
def example(request: pytest.FixtureRequest) -> tuple[IntegerModel, dict[str, np.ndarray]]:
    return of(next(sample for sample in samples() if sample.name.startswith(request.param)))


def test_names_are_unique() -> None:
    names = [sample.name for sample in samples()]
    assert len(names) == len(set(names)) >= 50


def test_no_number_differs(example: tuple[IntegerModel, dict[str, np.ndarray]]) -> None:
    found = compare(*example)
    assert len(found.differing) >= 3
    assert set(found.differing.values()) == {0}
    assert found.numbers == sum(example[1][name].size for name in found.differing)
    assert found.deviation == {}


def test_one_other_code_is_counted(example: tuple[IntegerModel, dict[str, np.ndarray]]) -> None:
    model, recorded = example
    name = next(iter(compare(model, recorded).differing))
    tensor = model.integers.graph.tensors[model.integers.tensors[name]]
    recorded[name] = recorded[name].copy()
    recorded[name].reshape(-1)[0] += tensor.scales.reshape(-1)[0]
    found = compare(model, recorded)
    assert {tensor: count for tensor, count in found.differing.items() if count} == {name: 1}


def test_numbers_between_codes_are_compared_as_floats(example: tuple[IntegerModel, dict[str, np.ndarray]]) -> None:
    model, recorded = example
    name = next(iter(compare(model, recorded).differing))
    tensor = model.integers.graph.tensors[model.integers.tensors[name]]
    shifted = recorded[name] + tensor.scales.reshape(-1)[0] / 2
    found: Comparison = compare(model, {name: shifted})
    assert found.differing == {}
    assert found.deviation[name] > 0
