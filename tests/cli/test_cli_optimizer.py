"""The optimizer on the command line: its options, its exit codes, and what it leaves."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from command_line import Run, refused
from model_zoo import Zoo

from dnn2fpga import flow, work_folder
from dnn2fpga.config import Config
from dnn2fpga.optimize.settings import Stage
from dnn2fpga.quantize.ranges import RangeMethod
from dnn2fpga.quantize.weight_sets import WeightSet

MADE = ("model.yaml", "weights.npz")
PTQ_FIELDS = {"stage": "ptq", "met": True, "target": "none", "measure": "accuracy", "test_samples": 20}


@pytest.fixture
def model(zoo: Zoo) -> Path:
    return zoo("dense_behind_flatten").path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Labels that no model can know."""
    path = tmp_path / "data.npz"
    np.savez(path, x=np.random.default_rng(0).uniform(0, 1, (20, 6, 6, 2)).astype(np.float32), y=np.arange(20) % 3)
    return path


def result_of(work: Path) -> dict[str, Any]:
    return json.loads((work / work_folder.QUANTIZATION).read_text())


def test_a_missed_target_is_exit_code_3_and_the_best_is_kept(
    dnn2fpga: Run, tmp_path: Path, model: Path, data: Path
) -> None:
    arguments = (
        "quantize",
        model,
        "--data",
        data,
        "--test",
        data,
        "--target-accuracy",
        "1",
        "--stages",
        "ptq, partial",
    )
    outcome = dnn2fpga(*arguments)
    assert outcome.code == 3
    assert "the target was not reached: the best model was kept" in outcome.out
    assert "not reached; kept is the best, from" in " ".join(outcome.out.split())  # however it was wrapped
    assert "what the optimizer tried" in outcome.out
    result = result_of(tmp_path / "work")
    assert (result["met"], result["target"], result["measure"]) == (False, "at least 100.00%", "accuracy")
    assert {one["stage"] for one in result["tries"]} == {"ptq", "partial"}
    assert result["integer_score"] == max(one["score"] for one in result["tries"])
    assert all((tmp_path / "work" / name).is_file() for name in (*MADE, work_folder.PLOT))
    assert dnn2fpga(*arguments).code == 3  # also when it is read from the finished stages


def test_a_target_that_is_reached(dnn2fpga: Run, tmp_path: Path, model: Path, data: Path) -> None:
    outcome = dnn2fpga("quantize", model, "--data", data, "--test", data, "--max-drop", "100")
    assert outcome.code == 0
    assert "reached by post-training" in " ".join(outcome.out.split())
    result = result_of(tmp_path / "work")
    expected = PTQ_FIELDS | {"target": "at most 100 points below the float model"}
    assert {key: result[key] for key in expected} == expected
    assert len(result["tries"]) == 1
    assert 0 <= result["integer_score"] <= 1
    assert result["float_megabytes"] > result["integer_megabytes"] > 0


def test_without_test_data_nothing_is_judged(dnn2fpga: Run, tmp_path: Path, model: Path, data: Path) -> None:
    assert dnn2fpga("quantize", model, "--data", data).code == 0
    result = result_of(tmp_path / "work")
    assert [result[key] for key in ("measure", "float_score", "integer_score", "test_samples")] == [None, None, None, 0]
    assert not (tmp_path / "work" / work_folder.PLOT).exists()


@pytest.mark.parametrize("target", [["--max-drop", "1"], ["--target-accuracy", "0.5"], ["--stages", "partial"]])
def test_a_target_needs_test_data(dnn2fpga: Run, tmp_path: Path, model: Path, data: Path, target: list[str]) -> None:
    pruning = ["--set", "optimization.pruning.sparsity=0.5", "--set", "optimization.pruning.epochs=0"]
    assert "give it with --test" in refused(dnn2fpga, tmp_path, "quantize", model, "--data", data, *target, *pruning)


@pytest.mark.parametrize(
    ("reports", "target", "code"), [([True], "1", 3), ([True, False], "1", 1), ([True], "0", 0), ([False], "0", 1)]
)
def test_compile_goes_on_with_the_best_model(
    dnn2fpga: Run,
    tmp_path: Path,
    model: Path,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    reports: list[bool],
    target: str,
    code: int,
) -> None:
    pretended = [SimpleNamespace(passed=passed, messages=()) for passed in reports]
    monkeypatch.setattr(flow, "verify", lambda *_, **__: pretended)
    arguments = ("--data", data, "--test", data, "--target-accuracy", target, "--stages", "ptq")
    assert dnn2fpga("compile", model, *arguments).code == code
    assert (tmp_path / "work" / "bundle" / "manifest.json").is_file()


# Settings


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """The settings with which the steps are called, which are not run."""
    found: list[Config] = []

    def step(settings: Config, *_: object) -> bool:
        found.append(settings)
        return True

    for name in ("_quantize", "_search", "_generate", "_verify", "_summary"):
        monkeypatch.setattr(f"dnn2fpga.cli.app.{name}", step)
    return found


@pytest.mark.parametrize("command", ["quantize", "search", "compile"])
def test_every_option_is_a_setting(dnn2fpga: Run, chosen: list[Config], command: str) -> None:
    given = (
        "m.keras -o out --data a.npz --test b.npz --x images --y labels --bits 5 --weight-bits 2 --activation-bits 6 "
    )
    given += "--weight-set ternary --scales free --calibration entropy --calibration-samples 9 --max-drop 0.5 "
    given += "--target-accuracy 0.75 --stages qat,ptq"
    assert dnn2fpga(command, *given.split()).code == 0
    config, q, o = chosen[0], chosen[0].quantization, chosen[0].optimization
    assert (config.model, config.output) == (Path("m.keras"), Path("out"))
    assert config.data.model_dump() == {"train": Path("a.npz"), "test": Path("b.npz"), "x": "images", "y": "labels"}
    assert (q.input_bits, q.weight_bits, q.activation_bits, q.weight_set) == (5, 2, 6, WeightSet.TERNARY)
    assert (q.calibration, q.calibration_samples, q.scales.value) == (RangeMethod.ENTROPY, 9, "free")
    assert (o.max_drop, o.target_accuracy, o.stages) == (0.5, 0.75, (Stage.TRAINING_AWARE, Stage.POST_TRAINING))


@pytest.mark.parametrize("command", ["quantize", "search", "compile", "generate", "verify"])
def test_any_setting_can_be_set(dnn2fpga: Run, tmp_path: Path, chosen: list[Config], command: str) -> None:
    (tmp_path / "dnn2fpga.yaml").write_text("optimization: {training: {epochs: 7, batch: 16}}\nverification: {seed: 3}")
    texts = ["optimization.training.epochs=2", "verification.seed=9", "quantization.layers.dense.weight_bits=3"]
    assert dnn2fpga(command, "somewhere", *(part for text in texts for part in ("--set", text))).code == 0
    config = chosen[0]
    assert (config.optimization.training.epochs, config.optimization.training.batch) == (2, 16)
    assert config.verification.seed == 9
    assert config.quantization.layers["dense"].weight_bits == 3


def test_a_text_wins_over_an_option(dnn2fpga: Run, chosen: list[Config]) -> None:
    assert dnn2fpga("quantize", "m", "--weight-bits", "4", "--set", "quantization.weight_bits=3").code == 0
    assert chosen[0].quantization.weight_bits == 3


def test_options_of_a_command_of_its_own(dnn2fpga: Run, chosen: list[Config]) -> None:
    assert dnn2fpga("search", "m", "--trials", "3", "--cost", "luts", "--train").code == 0
    assert chosen[0].search.model_dump(include={"trials", "cost", "train"}) == {
        "trials": 3,
        "cost": "luts",
        "train": True,
    }
    assert dnn2fpga("compile", "m", "--levels", "2", "--frames", "5", "--bits", "4").code == 0
    assert (chosen[-1].hardware.levels_per_register, chosen[-1].verification.frames) == (2, 5)
    assert chosen[-1].quantization.weight_bits == 4


# Data larger than memory


def test_a_folder_of_data_gives_the_same_model_as_a_file(
    dnn2fpga: Run, tmp_path: Path, model: Path, data: Path
) -> None:
    (tmp_path / "folder").mkdir()
    with np.load(data) as arrays:
        for name in arrays.files:
            np.save(tmp_path / "folder" / f"{name}.npy", arrays[name])
    for where, work in ((data, "a"), (tmp_path / "folder", "b")):
        assert dnn2fpga("quantize", model, "--data", where, "--test", where, "-o", work).code == 0
    a, b = tmp_path / "a", tmp_path / "b"
    assert all((a / name).read_bytes() == (b / name).read_bytes() for name in (*MADE, work_folder.QUANTIZATION))
    assert result_of(b)["measure"] == "accuracy"
