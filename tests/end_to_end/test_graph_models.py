"""Keras models that are no chains, from the file to the simulated Verilog."""

from __future__ import annotations

from pathlib import Path

import graph_models
import numpy as np
import pytest

from dnn2fpga import flow
from dnn2fpga.config import Verification
from dnn2fpga.data import Data
from dnn2fpga.graph.ports import or_named
from dnn2fpga.optimize.post_training import Quantization

FRAMES = 12


@pytest.mark.simulation
@pytest.mark.xdist_group("graph_models")
@pytest.mark.usefixtures("simulator")
@pytest.mark.parametrize("name", graph_models.MODELS)
def test_every_boundary_is_equal(name: str, tmp_path: Path) -> None:
    model = graph_models.built(name)
    model.save(tmp_path / "model.keras")
    x = graph_models.samples(model, FRAMES)
    expected = model(x if len(x) > 1 else next(iter(x.values())), training=False)
    expected = expected if isinstance(expected, list) else [expected]

    graph = flow.read_model(tmp_path / "model.keras")
    found = graph.run(or_named(x))
    found = list(found.values()) if isinstance(found, dict) else [found]
    for one, other, tensor in zip(found, expected, graph.outputs, strict=True):
        if tensor not in graph.left_out:  # a softmax
            np.testing.assert_allclose(one, other, atol=1e-5)

    work = tmp_path / "work"
    flow.quantize(graph, Data(or_named(x)), work=work, quantization=Quantization(weight_bits=6, activation_bits=7))
    manifest = flow.generate(work)
    protocol, bulk = flow.verify(work, Data(or_named(x)), verification=Verification(jobs=1))
    assert protocol.messages == bulk.messages == ()
    assert protocol.passed
    assert bulk.passed
    beats = sum(boundary.beats for boundary in manifest.boundaries)
    leaving = sum(port.beats for port in manifest.outputs)
    assert bulk.beats_compared == FRAMES * (beats + leaving)
