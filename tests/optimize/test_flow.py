"""The steps from model to configuration files: the same files every time, and nothing is done twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trainable
from judged import calls_of

from dnn2fpga import flow, work_folder
from dnn2fpga.data import Data
from dnn2fpga.graph.float import Graph
from dnn2fpga.optimize import loop, preparation, training_aware
from dnn2fpga.optimize.post_training import Quantization
from dnn2fpga.optimize.pruning import PruningSettings
from dnn2fpga.optimize.settings import Optimization, Stage, TrainingSettings
from dnn2fpga.quantize.ranges import RangeMethod

TRAINING, TEST = trainable.digits(64)
NETWORK = trainable.dense_network()
SHORT = TrainingSettings(epochs=1, batch=64, samples=256)
QAT = Optimization(stages=(Stage.POST_TRAINING, Stage.TRAINING_AWARE), target_accuracy=1.0, training=SHORT)
SPARSE = QAT.model_copy(update={"pruning": PruningSettings(sparsity=0.5, filters=0.25, epochs=1)})
LOW = Quantization(weight_bits=3, activation_bits=4)


def quantize(folder: Path, graph: Graph = NETWORK, data: Data = TRAINING, test: Data = TEST, **settings: Any) -> Any:
    chosen = {"quantization": LOW, "optimization": QAT} | settings
    return flow.quantize(graph, data, work=folder, test=test, **chosen)


@pytest.mark.parametrize("optimization", [QAT, SPARSE], ids=["trained", "pruned and trained"])
def test_the_same_seed_gives_the_same_files(tmp_path: Path, optimization: Optimization) -> None:
    first = quantize(tmp_path / "a", optimization=optimization)
    assert quantize(tmp_path / "b" / "deeper", optimization=optimization) == first
    assert {one.stage for one in first.tries} == {"ptq", "qat"}
    other = optimization.model_copy(update={"training": SHORT.model_copy(update={"seed": 2})})
    quantize(tmp_path / "c", optimization=other)
    for name in ("model.yaml", "weights.npz", work_folder.QUANTIZATION):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / "deeper" / name).read_bytes()
    qat = "stages/qat/weights.npz"
    assert (tmp_path / "a" / qat).read_bytes() == (tmp_path / "b" / "deeper" / qat).read_bytes()
    assert (tmp_path / "a" / qat).read_bytes() != (tmp_path / "c" / qat).read_bytes()


def test_finished_steps_are_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pruned, quantized = (
        calls_of(monkeypatch, preparation, "prune"),
        calls_of(monkeypatch, loop, "post_training_candidates"),
    )
    trained = calls_of(monkeypatch, training_aware, "train_quantized")
    first = quantize(tmp_path, optimization=SPARSE)
    files = {name: (tmp_path / name).read_bytes() for name in ("model.yaml", "weights.npz", work_folder.QUANTIZATION)}
    assert (len(pruned), len(quantized), len(trained)) == (1, 1, 1)
    assert quantize(tmp_path, optimization=SPARSE) == first
    assert (len(pruned), len(quantized), len(trained)) == (1, 1, 1)
    assert {name: (tmp_path / name).read_bytes() for name in files} == files


def test_an_interrupted_training_runs_again_behind_what_was_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pruned, quantized = (
        calls_of(monkeypatch, preparation, "prune"),
        calls_of(monkeypatch, loop, "post_training_candidates"),
    )

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training_aware, "train_quantized", interrupted)
        with pytest.raises(KeyboardInterrupt):
            quantize(tmp_path / "a", optimization=SPARSE)
    assert not (tmp_path / "a" / "model.yaml").exists()
    resumed = quantize(tmp_path / "a", optimization=SPARSE)
    assert (len(pruned), len(quantized)) == (1, 1)
    assert quantize(tmp_path / "b", optimization=SPARSE) == resumed
    assert (len(pruned), len(quantized)) == (2, 2)
    assert (tmp_path / "a" / "weights.npz").read_bytes() == (tmp_path / "b" / "weights.npz").read_bytes()


CHANGES: dict[str, dict[str, Any]] = {
    "model": {"graph": replace(NETWORK, name="other")},
    "data": {"data": TRAINING.sample(1100)},
    "labels": {"data": Data(TRAINING.x, (TRAINING.y + 1) % 10)},  # type: ignore[operator]
    "test data": {"test": TEST.sample(500)},
    "quantization": {"quantization": Quantization(weight_bits=4)},
    "settings that are the defaults, but given": {"quantization": Quantization(calibration=RangeMethod.MIN_MAX)},
    "target": {"optimization": Optimization(stages=(Stage.POST_TRAINING,), max_drop=0.5)},
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_makes_everything_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    alone = {"optimization": QAT.model_copy(update={"stages": (Stage.POST_TRAINING,)})}
    quantized = calls_of(monkeypatch, loop, "post_training_candidates")
    quantize(tmp_path, **alone)
    quantize(tmp_path, **alone)
    assert len(quantized) == 1
    quantize(tmp_path, **(alone | CHANGES[name]))
    assert len(quantized) == 2
