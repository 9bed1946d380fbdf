"""Finished stages on disk: read again to the bit, and only for the very model, data and settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import trainable
from judged import TINY, problem_of, tiny_data

from dnn2fpga.data import Data
from dnn2fpga.graph import files as config_files
from dnn2fpga.graph.dag import Dag, Node
from dnn2fpga.graph.float import Graph
from dnn2fpga.layers.activation import Clamp
from dnn2fpga.layers.conv2d import Conv2D
from dnn2fpga.layers.dense import Dense
from dnn2fpga.optimize.checkpoints import STAGE_FILE, Checkpoints, key_of
from dnn2fpga.optimize.post_training import Quantization, quantize
from dnn2fpga.optimize.problem import Candidate
from dnn2fpga.optimize.pruning import PruningSettings, prune
from dnn2fpga.passes.simplify import simplify

DATA = Data(np.zeros((0, 8, 8, 1), np.float32), None)


def candidates() -> list[Candidate]:
    """Return candidates of two widths, one with layers of its own settings."""
    own = Quantization(weight_bits=4, layers={"conv": {"weight_bits": 3, "numbers": "integer"}})
    problem = problem_of(test=tiny_data())
    return [
        problem.candidate(quantize(TINY, problem.statistics, one), one, "partial", "a few words", ("conv",), 0.125)
        for one in (Quantization(), own)
    ]


def test_a_stage_is_read_as_it_was_saved(tmp_path: Path) -> None:
    first, best = candidates()
    tries = (first.result, best.result)
    checkpoints = Checkpoints(tmp_path / "stages", "key")
    assert checkpoints.load("partial", "ptqpartial") is None
    checkpoints.save("partial", best, tries, "ptqpartial")
    found = Checkpoints(tmp_path / "stages", "key").load("partial", "ptqpartial")
    assert found is not None
    candidate, made = found
    assert made == tries
    assert (candidate.result, candidate.settings) == (best.result, best.settings)
    (tmp_path / "again").mkdir()
    config_files.save(candidate.model, tmp_path / "again")
    for name in (config_files.MODEL_FILE, config_files.WEIGHTS_FILE):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "stages/partial" / name).read_bytes()
    x = tiny.samples()
    assert candidate.model.predict(x).tolist() == best.model.predict(x).tolist()


def test_another_key_or_stage_finds_nothing(tmp_path: Path) -> None:
    _, best = candidates()
    Checkpoints(tmp_path, "key").save("qat", best, [best.result], "ptqqat")
    assert Checkpoints(tmp_path, "key").load("qat", "ptqqat") is not None
    assert Checkpoints(tmp_path, "key").load("qat", "qat") is None
    assert Checkpoints(tmp_path, "key").load("partial", "ptqqat") is None
    assert Checkpoints(tmp_path, "other").load("qat", "ptqqat") is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"7", b"{}", b'"key"', b'{"key": "key', b"\xff\xfe"])
def test_a_damaged_record_is_ignored_and_written_anew(tmp_path: Path, content: bytes) -> None:
    _, best = candidates()
    checkpoints = Checkpoints(tmp_path, "key")
    checkpoints.save("ptq", best, [best.result])
    (tmp_path / "ptq" / STAGE_FILE).write_bytes(content)
    assert checkpoints.load("ptq") is None
    assert checkpoints.load_arrays("ptq", TINY) is None
    checkpoints.save("ptq", best, [best.result])
    assert checkpoints.load("ptq") is not None


# A pruned graph


def arrays_of(value: Any, path: str = "") -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Everything in a layer, to the bit; written anew, so that nothing is forgotten in both."""
    found: dict[str, Any] = {}
    for field in fields(value):
        part, name = getattr(value, field.name), f"{path}/{field.name}"
        if isinstance(part, np.ndarray):
            found[name] = (part.dtype.str, part.shape, part.tobytes())
        elif is_dataclass(part):
            found |= arrays_of(part, name)
        else:
            found[name] = part
    return found


def network() -> Graph:
    """A folded batch normalization, and one that nothing absorbs."""
    layers = [
        Conv2D("conv", trainable.random_weights(3, 3, 1, 6), np.zeros(6, np.float32), padding="same"),
        trainable.batch_normalization("norm", 6),
        trainable.relu("relu"),
        trainable.batch_normalization("standing", 6, seed=1),
        *trainable.convolutional_network().layers[1:],
    ]
    return simplify(Graph.chain("net", "input", (8, 8, 1), layers, float_parameters=99, notes=("read",)))


def test_a_layer_in_two_nodes_is_read_as_one(tmp_path: Path) -> None:
    layer = Conv2D("conv", trainable.random_weights(3, 3, 1, 1), np.zeros(1, np.float32), padding="same")
    dag = Dag(("input",), (Node("once", layer, ("input",)), Node("twice", layer, ("once",))), ("twice",))
    graph = Graph("net", {"input": (8, 8, 1)}, dag)
    checkpoints = Checkpoints(tmp_path, "key")
    checkpoints.save_arrays("pruning", graph, {})
    found = checkpoints.load_arrays("pruning", graph)
    assert found is not None
    once, twice = found[0].layers
    assert once is twice
    assert arrays_of(once) == arrays_of(layer)


def test_a_pruned_graph_is_read_as_it_was_saved(tmp_path: Path) -> None:
    graph = network()
    settings = PruningSettings(sparsity=0.5, filters=0.34)
    pruned = prune(graph, DATA, settings, None, Quantization())
    names = [layer.name for layer in graph.layers]
    assert "norm" not in names  # folded
    assert "standing" in names
    checkpoints = Checkpoints(tmp_path, "key")
    checkpoints.save_arrays("pruning", pruned.graph, pruned.masks)
    found = checkpoints.load_arrays("pruning", graph)
    assert found is not None
    read, masks = found
    assert [arrays_of(layer) for layer in read.layers] == [arrays_of(layer) for layer in pruned.graph.layers]
    assert arrays_of(read.layers[0]) != arrays_of(graph.layers[0])
    assert read.layers[0].weights.shape == (3, 3, 1, 4)  # type: ignore[attr-defined]
    assert read.shapes == pruned.graph.shapes
    assert (read.notes, read.task, read.float_parameters) == (pruned.graph.notes, graph.task, 99)
    assert len(read.notes) == 3
    assert {name: (m.dtype, m.tolist()) for name, m in masks.items()} == {
        name: (m.dtype, m.tolist()) for name, m in pruned.masks.items()
    }
    assert set(masks) == {"conv", "hidden", "last"}
    x = np.random.default_rng(0).random((5, 8, 8, 1), np.float32)
    assert read.run(x).tolist() == pruned.graph.run(x).tolist()
    assert Checkpoints(tmp_path, "other").load_arrays("pruning", graph) is None


# The key


def with_layer(index: int, **changes: Any) -> Graph:
    layers = TINY.layers
    layers[index] = replace(layers[index], **changes)
    return tiny.with_layers(TINY, layers)


CONV: Any = TINY.layers[0]
BIT = CONV.weights.copy()
BIT.view(np.uint32).reshape(-1)[3] ^= 1
X, Y = tiny_data().x, np.asarray(tiny_data().y)

CHANGES: dict[str, Callable[[], tuple[Graph, list[Data | None], list[str]]]] = {
    "one bit of a weight": lambda: (with_layer(0, weights=BIT), [Data(X, Y), None], ["a"]),
    "a name": lambda: (with_layer(0, name="other"), [Data(X, Y), None], ["a"]),
    "padding": lambda: (with_layer(0, padding="valid"), [Data(X, Y), None], ["a"]),
    "a clamp": lambda: (with_layer(0, clamp=(0.0, 1.0)), [Data(X, Y), None], ["a"]),
    "a window": lambda: (with_layer(1, pool_size=(3, 3)), [Data(X, Y), None], ["a"]),
    "the task": lambda: (replace(TINY, left_out={}), [Data(X, Y), None], ["a"]),
    "the model's name": lambda: (replace(TINY, name="other"), [Data(X, Y), None], ["a"]),
    "an input": lambda: (TINY, [Data(X + np.eye(1, 36, dtype=np.float32).reshape(6, 6, 1), Y), None], ["a"]),
    "a label": lambda: (TINY, [Data(X, Y + (np.arange(40) == 7)), None], ["a"]),
    "no labels": lambda: (TINY, [Data(X, None), None], ["a"]),
    "fewer samples": lambda: (TINY, [Data(X[:39], Y[:39]), None], ["a"]),
    "test data": lambda: (TINY, [Data(X, Y), Data(X, Y)], ["a"]),
    "a setting": lambda: (TINY, [Data(X, Y), None], ["b"]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_everything_that_a_result_depends_on_is_in_the_key(name: str) -> None:
    assert key_of(*CHANGES[name]()) != key_of(TINY, [Data(X, Y), None], ["a"])


def test_the_same_gives_the_same_key_wherever_it_lies(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    mapped = Data(np.load(tmp_path / "x.npy", mmap_mode="r"), Y.copy())
    again = simplify(tiny.float_graph())
    assert key_of(again, [mapped, None], ["a"]) == key_of(TINY, [Data(X, Y), None], ["a"])


def test_layers_of_the_same_numbers_in_another_shape_are_others() -> None:
    def graph(inputs: int, outputs: int) -> Graph:
        weights = np.arange(12, dtype=np.float32).reshape(inputs, outputs)
        layers = [Dense("dense", weights, np.zeros(outputs, np.float32)), Clamp("clamp", 0, 1)]
        return Graph.chain("net", "input", (inputs,), layers)

    assert key_of(graph(4, 3), [], []) != key_of(graph(3, 4), [], [])
