"""Pruning: exactly as many zeros and filters as asked, the least important ones, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tiny
import trainable
from pydantic import ValidationError

from dnn2fpga.data import Data
from dnn2fpga.errors import UserError
from dnn2fpga.graph.float import Graph
from dnn2fpga.layers.affine import Affine
from dnn2fpga.layers.base import Normalization
from dnn2fpga.layers.conv2d import Conv2D
from dnn2fpga.layers.dense import Dense
from dnn2fpga.layers.linear import Linear
from dnn2fpga.layers.pass_through import Softmax
from dnn2fpga.layers.pooling import MaxPooling
from dnn2fpga.layers.reshape import Reshape
from dnn2fpga.optimize import fine_tuning
from dnn2fpga.optimize.calibration import calibrate
from dnn2fpga.optimize.channel_groups import with_weights
from dnn2fpga.optimize.post_training import Quantization, quantize
from dnn2fpga.optimize.pruning import (
    Pruned,
    PruningSettings,
    magnitude_mask,
    magnitude_masks,
    masked,
    prune,
    quantization_errors,
    remove_filters,
    rounds,
    zeros_kept,
)
from dnn2fpga.optimize.settings import TrainingSettings
from dnn2fpga.optimize.training_model import FloatModel
from dnn2fpga.passes.simplify import simplify
from dnn2fpga.quantize.settings import Numbers

TRAINING, TEST = trainable.digits(8, 8, 1)
TUNING = TrainingSettings(epochs=4, learning_rate=3e-3, batch=64)
NOTHING = Data(TRAINING.x[:0], None)


def exact_network(fixed_shape: bool = False) -> Graph:
    """Convolution, batch normalization, ReLU, pooling, flatten, dense, dense in small numbers: float sums are exact in
    any order.
    """
    rng = np.random.default_rng(3)

    def numbers(*shape: int) -> np.ndarray:
        return rng.integers(-2, 3, shape).astype(np.float32)

    def told_apart(channels: int) -> np.ndarray:
        """Biases that say which filters are left."""
        return np.arange(channels, dtype=np.float32)

    gamma = np.array([0.5, 1, 2, 1, 0.5, 4, 1, 2])
    ones = np.ones(8)
    normalization = Normalization(gamma, numbers(8), numbers(8), ones, 0 * ones)
    offset = (normalization.beta - normalization.mean * gamma).astype(np.float32)
    layers = [
        Conv2D("conv", numbers(3, 3, 1, 8), told_apart(8), padding="same"),
        Affine("norm", gamma.astype(np.float32), offset, normalization=normalization),
        trainable.relu("relu"),
        MaxPooling("pool", (2, 2), (2, 2), "valid"),
        Reshape("flat", (128,) if fixed_shape else None),
        Dense("hidden", numbers(128, 12), told_apart(12)),
        trainable.relu("relu_of_hidden"),
        Dense("last", numbers(12, 3), numbers(3)),
        Softmax("softmax"),
    ]
    return simplify(Graph.chain("exact", "input", (8, 8, 1), layers, float_parameters=4321))


def exact_samples() -> np.ndarray:
    return np.random.default_rng(4).integers(0, 4, (20, 8, 8, 1)).astype(np.float32)


def named(graph: Graph, name: str) -> Linear:
    return next(layer for layer in with_weights(graph) if layer.name == name)


# Zeros among the weights


@pytest.mark.parametrize("sparsity", [0.0, 0.01, 0.5, 0.75, 0.999])
@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (3, 3, 2, 5)])
def test_exactly_so_many_of_the_smallest(shape: tuple[int, ...], sparsity: float) -> None:
    weights = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    mask = magnitude_mask(weights, sparsity)
    assert mask.dtype == np.float32
    assert mask.shape == shape
    assert (mask == 0).sum() == round(sparsity * weights.size)
    assert np.abs(weights[mask == 0]).max(initial=0) <= np.abs(weights[mask == 1]).min(initial=np.inf)


def test_of_equals_the_first() -> None:
    assert magnitude_mask(np.array([[1, -1], [1, 2]]), 0.5).tolist() == [[0, 0], [1, 1]]


def test_zeros_before_and_behind_the_normalization() -> None:
    graph = exact_network()
    masks = magnitude_masks(graph, {"conv": 0.5, "last": 0.25})
    before, after = named(graph, "conv"), named(masked(graph, masks), "conv")
    assert before.unfolded is not None
    assert after.unfolded is not None
    assert np.array_equal(masks["conv"], magnitude_mask(before.unfolded.weights, 0.5))
    for old, new in ((before, after), (before.unfolded, after.unfolded)):
        assert np.array_equal(new.weights, old.weights * masks["conv"])
        assert np.array_equal(new.bias, old.bias)
    hidden, last = (named(masked(graph, masks), name) for name in ("hidden", "last"))
    assert hidden is named(graph, "hidden")
    assert np.array_equal(last.weights, named(graph, "last").weights * masks["last"])


def test_the_schedule_is_steep_first_and_ends_where_it_should() -> None:
    values = [fine_tuning.polynomial_sparsity(0.8, time) for time in (0, 0.25, 0.5, 0.75, 1)]
    assert values == pytest.approx([0, 0.4625, 0.7, 0.7875, 0.8])


# Filters


def without_readers(graph: Graph, name: str, gone: np.ndarray, pixels: int = 1) -> Graph:
    """The graph in which the next layer with weights does not read some filters."""
    names = [layer.name for layer in with_weights(graph)]
    reader = named(graph, names[names.index(name) + 1])
    weights = reader.weights.copy()
    rows = weights.reshape(pixels, -1, reader.outputs)
    rows[:, gone] = 0
    return tiny.with_layers(graph, [replace(reader, weights=weights) if one is reader else one for one in graph.layers])


@pytest.mark.parametrize("rank", ["magnitude", "quantization_error"])
def test_removing_is_not_reading(rank: Any) -> None:
    graph = exact_network()
    quantization = Quantization(weight_bits=3)
    less = remove_filters(graph, {"conv": 5, "hidden": 8}, rank, quantization)
    assert [layer.weights.shape for layer in with_weights(less)] == [(3, 3, 1, 5), (80, 8), (8, 3)]
    assert [less.shapes[node.name] for node in less.nodes] == [(8, 8, 5), (4, 4, 5), (80,), (8,), (3,)]

    def missing(name: str) -> np.ndarray:
        before, after = (named(one, name).parameters["bias"] for one in (graph, less))
        return np.flatnonzero(~np.isin(before, after))

    expected = without_readers(without_readers(graph, "conv", missing("conv"), pixels=16), "hidden", missing("hidden"))
    assert len(missing("conv")) == 3
    assert len(missing("hidden")) == 4
    x = exact_samples()
    assert np.array_equal(less.run(x), expected.run(x))
    # Further training is of the same network.
    assert np.array_equal(np.asarray(FloatModel(less)(x)), less.run(x))
    assert less.float_parameters == 4321
    assert quantize(less, calibrate(less, x), quantization).layers[0].output.shape == (8, 8, 5)


def test_channels_go_through_every_kind_of_layer() -> None:
    graph = simplify(tiny.float_graph())
    less = remove_filters(graph, {"conv": 1}, "magnitude", Quantization())
    gone = np.flatnonzero(~np.isin(named(graph, "conv").bias, named(less, "conv").bias))
    x = tiny.samples()
    expected = without_readers(graph, "conv", gone, pixels=9).run(x)
    np.testing.assert_allclose(less.run(x), expected, atol=1e-6)


def test_the_smallest_filters_go_first() -> None:
    graph = exact_network()
    norms = np.square(named(graph, "conv").weights).sum(axis=(0, 1, 2))  # as folded: what is computed
    less = remove_filters(graph, {"conv": 3}, "magnitude", Quantization())
    assert named(less, "conv").parameters["bias"].tolist() == np.sort(np.argsort(norms, kind="stable")[-3:]).tolist()


def test_the_filters_with_the_highest_quantization_error_go_first() -> None:
    weights = np.array([[1.5, 0.9, 0.0], [0.5, 0.6, 0.0], [-1.0, -0.9, 0.0], [0.0, 0.2, 0.0]], np.float32)
    first = Dense("first", weights, np.arange(3, dtype=np.float32))
    graph = Graph.chain("g", "input", (4,), [first, trainable.dense_layer("last", 3, 2)])
    # -3 to 3 steps of 1/2.
    quantization = Quantization(weight_bits=3, weight_calibration="min_max", granularity="per_tensor")  # type: ignore[arg-type]
    errors = quantization_errors(first, quantization.defaults)
    # Nearest to 0.9, 0.6, -0.9 and 0.2 are 1, 0.5, -1 and 0.
    assert errors == pytest.approx([0, (0.01 + 0.01 + 0.01 + 0.04) / 4, 0], abs=1e-6)
    two, one = (remove_filters(graph, {"first": n}, "quantization_error", quantization) for n in (2, 1))
    assert named(two, "first").bias.tolist() == [0, 2]
    assert named(one, "first").bias.tolist() == [0]  # of equal errors the smaller filter goes


def test_binary32_has_no_error_worth_ranking() -> None:
    graph = exact_network()
    quantization = Quantization(numbers=Numbers.BINARY32)
    by_error, by_norm = (
        remove_filters(graph, {"conv": 4}, rank, quantization)
        for rank in ("quantization_error", "magnitude")  # type: ignore[arg-type]
    )
    assert np.array_equal(named(by_error, "conv").weights, named(by_norm, "conv").weights)


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ({}, {}),
        ({"filters": 0.5}, {"conv": 4, "hidden": 6}),
        ({"filters": 0.5, "multiple": 3}, {"conv": 6}),  # six of 12 are a multiple already, six of eight the next
        ({"filters": 0.5, "multiple": 16}, {}),
        ({"filters": 0.99}, {"conv": 1, "hidden": 1}),
        ({"filters": 0.5, "filters_of": {"conv": 0}}, {"hidden": 6}),
        ({"filters_of": {"hidden": 0.25}}, {"hidden": 9}),
        ({"multiple": 5}, {}),
    ],
)
def test_how_many_filters_stay(changes: dict[str, Any], left: dict[str, int]) -> None:
    expected = left | ({"hidden": 6} if changes.get("multiple") == 3 else {})
    assert PruningSettings(**changes).filters_left(exact_network()) == expected


def test_rounds_lose_about_equal_parts() -> None:
    graph = exact_network()
    assert rounds(graph, {"conv": 5, "hidden": 6}, 3) == [
        {"conv": 7, "hidden": 10},
        {"conv": 6, "hidden": 8},
        {"conv": 5, "hidden": 6},
    ]
    assert rounds(graph, {"conv": 7}, 2) == [{"conv": 8}, {"conv": 7}]
    assert rounds(graph, {}, 2) == []


# All together


@pytest.fixture(scope="module")
def graph() -> Graph:
    return trainable.trained(trainable.convolutional_network(), TRAINING, epochs=6)


def accuracy(graph: Graph) -> float:
    outputs = graph.run(TEST.x)
    return graph.task.score(outputs, TEST.y, outputs).value


def zeros(pruned: Pruned) -> dict[str, float]:
    """The fraction of zeros among the trainable weights, by layer."""
    return {layer.name: float((layer.parameters["weights"] == 0).mean()) for layer in with_weights(pruned.graph)}


@pytest.mark.parametrize("schedule", ["once", "polynomial"])
def test_sparsity_is_reached_and_training_makes_up_for_it(graph: Graph, schedule: Any) -> None:
    settings = PruningSettings(sparsity=0.75, layers={"conv": 0.5, "last": 0}, schedule=schedule)
    untrained = prune(graph, NOTHING, settings, None, Quantization())
    pruned = prune(graph, TRAINING, settings, TUNING, Quantization())
    for one in (untrained, pruned):
        assert zeros(one) == pytest.approx({"conv": 27 / 54, "hidden": 0.75, "last": 0})
        assert one.masks.keys() == {"conv", "hidden"}
        assert one.graph.float_parameters == graph.float_parameters
        assert "weights pruned to zero: conv 50%, hidden 75%" in one.graph.notes
    of_float, raw, tuned = (accuracy(one) for one in (graph, untrained.graph, pruned.graph))
    print(f"float {of_float:.4f}, pruned {raw:.4f}, trained {tuned:.4f}")
    assert tuned > raw + 0.03


@pytest.mark.parametrize(("every", "moments"), [(1, [0, 1, 2, 3]), (2, [0, 2, 3]), (20, [0, 3])])
def test_a_polynomial_schedule_gets_there_whatever_its_pace(
    monkeypatch: pytest.MonkeyPatch, every: int, moments: list[int]
) -> None:
    asked: list[float] = []
    monkeypatch.setattr(
        fine_tuning, "magnitude_mask", lambda weights, part: (asked.append(part), magnitude_mask(weights, part))[1]
    )
    settings = PruningSettings(layers={"last": 0.8}, schedule="polynomial", every=every)
    four_steps = TrainingSettings(epochs=1, batch=250, validation=1 / 6)
    network, (digits, _) = trainable.dense_network(), trainable.digits(64)
    pruned = prune(network, digits, settings, four_steps, Quantization())
    assert asked == pytest.approx([0.8 * (1 - (1 - step / 3) ** 3) for step in moments])  # three of four steps
    assert (named(pruned.graph, "last").weights == 0).sum() == 192 == (pruned.masks["last"] == 0).sum()


def test_filters_go_in_rounds_with_training_between(graph: Graph) -> None:
    settings = PruningSettings(filters=0.5, rounds=2, sparsity=0.5)
    told: list[tuple[str, int, int]] = []
    untrained = prune(graph, NOTHING, settings, None, Quantization())
    pruned = prune(graph, TRAINING, settings, TUNING, Quantization(), lambda *what: told.append(what))
    for one in (untrained, pruned):
        assert [layer.weights.shape for layer in with_weights(one.graph)] == [(3, 3, 1, 3), (48, 8), (8, 10)]
        assert zeros(one) == pytest.approx({"conv": round(13.5) / 27, "hidden": 0.5, "last": 0.5})
        assert "filters left by pruning: conv 6 → 3, hidden 16 → 8" in one.graph.notes
    assert accuracy(pruned.graph) > accuracy(untrained.graph) + 0.1
    assert len({what for what, _, _ in told}) == 2
    assert sum(done == of for _, done, of in told) == 3  # two rounds, then the zeros


def test_nothing_asked_nothing_done(graph: Graph) -> None:
    pruned = prune(graph, NOTHING, PruningSettings(), TUNING, Quantization())
    assert pruned.masks == {}
    assert pruned.graph.dag == graph.dag


# Refusals


def test_all_problems_at_once() -> None:
    settings = PruningSettings(
        filters=0.5, sparsity=0.5, layers={"konv": 0.5, "relu": 0.1}, filters_of={"danse": 0.5, "last": 0.5}
    )
    quantization = Quantization(layers={"hidden": {"weight_bits": 1}, "conv": {"weight_set": "ternary"}})
    with pytest.raises(UserError) as caught:
        prune(exact_network(fixed_shape=True), NOTHING, settings, None, quantization)
    assert list(caught.value.problems) == [
        "pruning.layers.konv: there is no such layer with weights; there are conv, hidden, last",
        "pruning.layers.relu: there is no such layer with weights; there are conv, hidden, last",
        "pruning.filters_of.danse: there is no such layer with weights; there are conv, hidden, last",
        "pruning.filters_of.last: these are the model's outputs; remove filters of other layers",
        "layer 'conv' (conv2d): weight set 'ternary' has 2 bits, not 8",
        "layer 'hidden' (dense): its weights are only -1 and +1, never 0; set pruning.layers.hidden: 0, "
        "or give it 2 bits or more",
        "layer 'conv': its filters cannot be removed: a reshape to a fixed shape follows ('flat'); "
        "set pruning.filters_of.conv: 0",
    ]


def test_filters_behind_and_far_before_a_fixed_shape_may_go() -> None:
    graph = exact_network(fixed_shape=True)
    settings = PruningSettings(filters=0.5, filters_of={"conv": 0})
    pruned = prune(graph, NOTHING, settings, None, Quantization()).graph
    assert pruned.shapes[pruned.nodes[-2].name] == (6,)


@pytest.mark.parametrize(
    ("changes", "fits"),
    [
        ({"weight_bits": 1}, False),
        ({"weight_set": "binary", "weight_bits": 1}, False),
        ({"weight_set": "ternary", "weight_bits": 2}, True),
        ({"weight_set": "additive_power_of_two", "weight_bits": 4}, True),
        ({"weight_bits": 1, "weight_symmetry": "asymmetric"}, True),  # codes 0 and 1, one of them means 0
        ({"weight_bits": 1, "numbers": "binary32"}, True),
    ],
)
def test_sparsity_needs_a_zero(changes: dict[str, Any], fits: bool) -> None:
    graph, settings = exact_network(), PruningSettings(layers={"hidden": 0.5})
    quantization = Quantization(layers={"hidden": changes})
    if not fits:
        with pytest.raises(UserError, match=r"layer 'hidden' .* never 0"):
            prune(graph, NOTHING, settings, None, quantization)
        return
    pruned = prune(graph, NOTHING, settings, None, quantization)
    built = quantize(pruned.graph, calibrate(pruned.graph, exact_samples()), quantization)
    hidden = next(layer for layer in built.layers if layer.name == "hidden")
    assert not hidden.weights[pruned.masks["hidden"] == 0].any()  # type: ignore[attr-defined]


@pytest.mark.parametrize("wrong", [{"sparsity": 1.0}, {"filters": -0.1}, {"multiple": 0}, {"sparsty": 0.5}])
def test_settings_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PruningSettings(**wrong)


def test_zeros_of_a_model_that_was_pruned_elsewhere_are_kept_where_they_are_many() -> None:
    graph = trainable.convolutional_network()
    few = magnitude_masks(graph, {"conv": 0.09, "hidden": 0.11, "last": 0.5})
    kept = zeros_kept(masked(graph, few), Quantization())
    assert set(kept) == {"hidden", "last"}
    assert all((kept[name] == few[name]).all() and kept[name].dtype == np.float32 for name in kept)
    assert zeros_kept(graph, Quantization()) == {}
    binary = Quantization(layers={"last": {"weight_bits": 1, "weight_set": "binary"}})
    assert set(zeros_kept(masked(graph, few), binary)) == {"hidden"}  # -1 and +1 know no zero
