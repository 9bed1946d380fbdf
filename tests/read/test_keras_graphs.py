"""Networks that are no chains compute what Keras computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graph_zoo import CALLED_BY_NAME, GRAPHS, random_graph
from model_zoo import with_weights

from dnn2fpga.graph.float import Graph
from dnn2fpga.passes.simplify import simplify
from dnn2fpga.read.front_ends import read_model
from dnn2fpga.read.keras import OPERATIONS
from dnn2fpga.read.keras_joins import MERGES

FRAMES = 4


def require_same_function(model: Any, graph: Graph, by_name: bool = False) -> None:
    """Compare all outputs, by their names or in Keras' order.

    :param by_name: whether Keras' model is called with a dictionary.
    """
    rng = np.random.default_rng(1)
    assert list(graph.inputs.values()) == [tuple(tensor.shape[1:]) for tensor in model.inputs]
    x = {name: rng.uniform(-1, 1, (FRAMES, *shape)).astype(np.float32) for name, shape in graph.inputs.items()}
    given = list(x.values()) if len(x) > 1 else next(iter(x.values()))
    found, expected = graph.run(x), model(x if by_name else given, training=False)
    if isinstance(expected, dict):
        assert sorted(expected) == list(graph.outputs)
        pairs = [(found[name] if len(expected) > 1 else found, value) for name, value in expected.items()]
    else:
        values = list(found.values()) if isinstance(found, dict) else [found]
        pairs = list(zip(values, expected if isinstance(expected, list) else [expected], strict=True))
    for ours, keras in pairs:
        assert ours.shape == keras.shape
        np.testing.assert_allclose(ours, keras, rtol=1e-4, atol=1e-5 * max(1.0, float(np.abs(keras).max())))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("name", GRAPHS)
def test_graph(name: str, suffix: str, tmp_path: Path) -> None:
    from dnn2fpga.keras_import import keras

    model = with_weights(GRAPHS[name](keras), name)
    model.save(tmp_path / f"{name}{suffix}")
    graph = read_model(tmp_path / f"{name}{suffix}")
    require_same_function(model, graph, name in CALLED_BY_NAME)


@pytest.mark.filterwarnings("ignore:The structure of `inputs`:UserWarning")
@pytest.mark.parametrize("seed", range(30))
def test_random_graph(seed: int, tmp_path: Path) -> None:
    from dnn2fpga.keras_import import keras

    model = with_weights(random_graph(keras, seed), "random")
    model.save(tmp_path / "m.keras")
    graph = read_model(tmp_path / "m.keras")
    require_same_function(model, graph)
    require_same_function(model, simplify(graph))


def test_every_join_and_operation_of_keras_is_in_the_zoo() -> None:
    from dnn2fpga.keras_import import keras

    models = [make(keras) for make in GRAPHS.values()]
    kinds = {type(one) for model in models for one in getattr(model, "operations", ())}
    found = {f"{'ops.' * ('.ops.' in kind.__module__)}{kind.__name__}" for kind in kinds}
    assert {name for name in {*MERGES, *OPERATIONS} if not name.startswith("tf.")} - {"ops.Average"} <= found


def test_random_graphs_have_all_joins() -> None:
    from dnn2fpga.keras_import import keras

    made = [random_graph(keras, seed) for seed in range(30)]
    found = {type(operation).__name__ for model in made for operation in model.operations}
    assert found >= {*MERGES} - {"Subtract"} | {"Functional", "Subtract"}
