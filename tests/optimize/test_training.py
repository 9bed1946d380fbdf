"""Training on codes: it helps, it is exact, it is reproducible, and it refuses what it cannot do."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trainable

from dnn2fpga.data import Data
from dnn2fpga.errors import UserError
from dnn2fpga.graph.float import Graph
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.optimize.calibration import calibrate
from dnn2fpga.optimize.post_training import Quantization, choose_all, quantize
from dnn2fpga.optimize.settings import TrainingSettings
from dnn2fpga.optimize.training import Epoch, split, train
from dnn2fpga.optimize.training_model import CodeModel, FloatModel
from dnn2fpga.quantize.scaling import QuantizationChoice
from dnn2fpga.quantize.settings import Scales
from dnn2fpga.quantize.weight_sets import WeightSet
from dnn2fpga.task_reading import with_task

TRAINING, TEST = trainable.digits(64)
IMAGES, TEST_IMAGES = trainable.digits(8, 8, 1)
FEW_BITS = Quantization(weight_bits=3, activation_bits=3, input_bits=4)
SHORT = TrainingSettings(epochs=1, batch=200, validation=0)


@pytest.fixture(scope="module")
def dense() -> Graph:
    return trainable.trained(trainable.dense_network(), TRAINING, epochs=15)


@pytest.fixture(scope="module")
def convolutional() -> Graph:
    return trainable.trained(trainable.convolutional_network(), IMAGES, epochs=5)


class Trained:
    """A graph after training on codes; of the data, 300 samples calibrate."""

    def __init__(
        self, graph: Graph, data: Data, settings: TrainingSettings, quantization: Quantization = FEW_BITS, **more: Any
    ) -> None:
        graph = with_task(graph, [data])
        self.graph, self.quantization = graph, quantization
        self.statistics = calibrate(graph, data.x[:300])
        self.choices = choose_all(graph, self.statistics, quantization)
        self.model = CodeModel(graph, quantization, self.choices, settings.learn_ranges)
        self.history: list[Epoch] = train(self.model, data, settings, graph, **more)

    @property
    def new_choices(self) -> dict[str, QuantizationChoice]:
        return self.model.trained_choices()

    @property
    def before(self) -> QuantizedGraph:
        return quantize(self.graph, self.statistics, self.quantization)

    @property
    def after(self) -> QuantizedGraph:
        return quantize(self.model.trained(), self.statistics, self.quantization, self.new_choices)

    @property
    def weights(self) -> np.ndarray:
        """All numbers that training may have changed, in one row."""
        values = [np.ravel(v) for own in self.model.variables.values() for v in own.values()]
        return np.concatenate(values)

    def is_what_is_built(self, x: np.ndarray) -> bool:
        """Return whether the trained codes are the integers of the integer model."""
        ((codes, _),) = self.model.codes(x).values()
        built = self.after
        return np.array_equal(np.asarray(codes), built.run(built.input.quantize(x)))


def in_floating_point(graph: Graph, data: Data, settings: TrainingSettings) -> tuple[np.ndarray, list[Epoch]]:
    """The weights after training, in one row, and what happened."""
    model = FloatModel(graph)
    history = train(model, data, settings, with_task(graph, [data]))
    return np.concatenate([np.ravel(v) for v in model.trainable]), history


# It helps


def test_three_bits_trained_are_better_than_three_bits_rounded(dense: Graph) -> None:
    result = Trained(dense, TRAINING, TrainingSettings(epochs=10, learning_rate=2e-3))
    before, after = (
        model.task.score(model.predict(TEST.x), TEST.y, dense.run(TEST.x)).value
        for model in (result.before, result.after)
    )
    print(f"3 bits {before:.4f}, trained {after:.4f}")
    assert after > before + 0.02
    assert result.history[-1].validation < result.history[0].validation


def test_without_labels_it_comes_closer_to_the_float_model(dense: Graph) -> None:
    settings = TrainingSettings(epochs=6, learning_rate=2e-3, mix_inputs=True, input_noise=0.05)
    result = Trained(dense, Data(TRAINING.x, None), settings)
    before, after = (
        model.task.score(model.predict(TEST.x), None, dense.run(TEST.x)).value
        for model in (result.before, result.after)
    )
    print(f"agreement {before:.4f}, trained {after:.4f}")
    assert after > before + 0.02


# It is exact


EXACT = {
    "few bits": FEW_BITS,
    "free scales": Quantization(scales=Scales.FREE, weight_bits=4),
    "ternary, asymmetric channels": Quantization(
        weight_set=WeightSet.TERNARY,
        weight_bits=2,
        activation_bits=4,
        activation_granularity="per_channel",  # type: ignore[arg-type]
        activation_symmetry="asymmetric",  # type: ignore[arg-type]
    ),
}


@pytest.mark.parametrize("quantization", EXACT.values(), ids=EXACT.keys())
def test_what_is_trained_is_what_is_built(convolutional: Graph, quantization: Quantization) -> None:
    settings = SHORT.model_copy(update={"learn_ranges": True, "learning_rate": 1e-2})
    result = Trained(convolutional, IMAGES, settings, quantization)
    assert result.is_what_is_built(TEST_IMAGES.x)


def test_batch_normalization_follows_the_data_and_then_stays() -> None:
    seen: list[np.ndarray] = []
    graph = trainable.convolutional_network()
    model = FloatModel(graph)
    settings = TrainingSettings(epochs=4, batch=300, freeze_normalization=0.5)
    train(
        model,
        IMAGES,
        settings,
        graph,
        progress=lambda what, done, of: seen.append(
            np.stack([model.variables["conv"][k] for k in ("mean", "variance")])
        ),
    )
    moved = [not np.array_equal(a, b) for a, b in pairwise(seen)]
    assert moved == [True] * 7 + [False] * 8  # four steps an epoch

    layer = model.trained().layers[0]
    values = trainable_normalization(layer)
    outputs = FloatModel(Graph.chain("first", "input", (8, 8, 1), [without_normalization(layer)]))(IMAGES.x)
    observed = np.asarray(outputs).reshape(-1, 6).mean(axis=0)
    first = trainable_normalization(graph.layers[0])
    assert (np.abs(values.mean - observed) < np.abs(first.mean - observed)).all()


def trainable_normalization(layer: Any) -> Any:
    return layer.unfolded.normalization


def without_normalization(layer: Any) -> Any:
    """The convolution alone, with what it was before a batch normalization was folded in."""
    return type(layer)(layer.name, layer.unfolded.weights, layer.unfolded.bias, padding=layer.padding)


def test_learned_scales_move_and_powers_of_two_stay_powers_of_two(dense: Graph) -> None:
    settings = SHORT.model_copy(update={"learn_ranges": True, "learning_rate": 0.3})
    result = Trained(dense, TRAINING, settings)
    old, new = (
        np.concatenate([choices["first"].output.scales, choices["first"].weights.scale, choices["last"].weights.scale])
        for choices in (result.choices, result.new_choices)
    )
    assert (np.frexp(new)[0] == 0.5).all()
    assert (old != new).any()
    assert new.size == old.size
    assert result.new_choices["last"].output == result.choices["last"].output  # logits are compared: one scale


def test_calibrated_scales_stay_without_learned_ranges(dense: Graph) -> None:
    result = Trained(dense, TRAINING, SHORT)
    assert {name: choice.output for name, choice in result.new_choices.items()} == {
        name: choice.output for name, choice in result.choices.items()
    }


# Pruned weights


def test_masked_weights_stay_zero(convolutional: Graph) -> None:
    rng = np.random.default_rng(0)
    masks = {
        layer.name: (rng.random(layer.parameters["weights"].shape) < 0.5).astype(np.float32)
        for layer in convolutional.layers
        if layer.has_weights
    }
    result = Trained(convolutional, IMAGES, SHORT, masks=masks)
    for layer in result.after.layers:
        if layer.name in masks:
            assert not layer.weights[masks[layer.name] == 0].any()  # type: ignore[attr-defined]
            assert layer.weights.any()  # type: ignore[attr-defined]


# It is reproducible


def test_the_seed_decides(dense: Graph) -> None:
    noisy = SHORT.model_copy(update={"teacher": "float_model", "input_noise": 0.1, "mix_inputs": True})
    first, again, other = (
        Trained(dense, TRAINING, noisy.model_copy(update={"seed": seed})).weights for seed in (5, 5, 6)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_data_on_disk_is_as_good_as_data_in_memory(dense: Graph, tmp_path: Path) -> None:
    for name, array in (("x", TRAINING.x), ("y", TRAINING.y)):
        np.save(tmp_path / f"{name}.npy", array)
    mapped = Data(*(np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("x", "y")))
    assert isinstance(mapped.x, np.memmap)
    settings = SHORT.model_copy(update={"input_noise": 0.1})  # writes into its batches, not into the file
    from_disk, from_memory = (in_floating_point(dense, data, settings)[0] for data in (mapped, TRAINING))
    assert np.array_equal(from_disk, from_memory)
    assert np.array_equal(np.load(tmp_path / "x.npy"), TRAINING.x)


def test_validation_data_is_never_trained_on(dense: Graph) -> None:
    settings = SHORT.model_copy(update={"validation": 0.3})
    held_out, used = split(len(TRAINING), settings, np.random.default_rng(settings.seed))
    assert len(held_out) == 360
    assert sorted([*held_out, *used]) == list(range(1200))
    poisoned = Data(TRAINING.x.copy(), TRAINING.y.copy())
    poisoned.y[held_out] = (poisoned.y[held_out] + 1) % 10
    poisoned.x[held_out] *= -1
    (weights, (clean,)), (same, (bad,)) = (in_floating_point(dense, data, settings) for data in (TRAINING, poisoned))
    assert np.array_equal(weights, same)
    assert clean.loss == bad.loss
    assert bad.validation > clean.validation + 1


def test_only_so_many_samples() -> None:
    settings = TrainingSettings(samples=50, validation=0.2)
    held_out, used = split(1200, settings, np.random.default_rng(1))
    assert (len(held_out), len(used)) == (10, 40)
    assert len({*held_out, *used}) == 50


# Refusals


@pytest.mark.parametrize(
    ("data", "changes", "message"),
    [
        (TRAINING, {"mix_inputs": True}, "mix_inputs"),
        (Data(TRAINING.x, None), {"teacher": "labels"}, "teacher is 'labels'"),
        (TRAINING.sample(0), {}, "no training data left"),
        (TRAINING, {"learning_rate": 1e36}, "diverged"),
    ],
)
def test_what_cannot_be_trained(data: Data, changes: dict[str, Any], message: str) -> None:
    graph = trainable.dense_network()
    with pytest.raises(UserError, match=message):
        train(FloatModel(graph), data, SHORT.model_copy(update=changes), with_task(graph, [data]))


KILLED = """
import os, tiny
from dnn2fpga.data import Data
from dnn2fpga.optimize.settings import TrainingSettings
from dnn2fpga.optimize.training import train
from dnn2fpga.optimize.training_model import FloatModel
from dnn2fpga.passes.simplify import simplify

graph = simplify(tiny.float_graph())
settings = TrainingSettings(epochs=1, batch=4, teacher="float_model")
train(FloatModel(graph), Data(tiny.samples(), None), settings, graph,
      progress=lambda what, done, of: print("trained", flush=True) if done == of else None)
os._exit(0)
"""


def test_a_training_that_is_killed_leaves_no_files(tmp_path: Path) -> None:
    """A training that is killed leaves no files. It has a process of its own: what TensorFlow has converted once it
    does not convert again.
    """
    environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run([sys.executable, "-c", KILLED], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "trained\n", done.stderr
    assert not list(tmp_path.iterdir())
