"""dnn2fpga.yaml and the command line say the same things; the command line wins."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

from dnn2fpga.config import Config, load_config, parsed_settings
from dnn2fpga.errors import UserError
from dnn2fpga.optimize.post_training import Quantization
from dnn2fpga.optimize.settings import Stage
from dnn2fpga.plan.goals import Aim
from dnn2fpga.plan.settings import EdgeFifo
from dnn2fpga.quantize.ranges import RangeMethod
from dnn2fpga.quantize.settings import Granularity, Scales
from dnn2fpga.task import TaskKind
from rtl_lib.core.arithmetic import Rounding
from rtl_lib.matrix.folded.multipliers import Multiplier
from rtl_lib.matrix.folded.sums import WeightMemory
from rtl_lib.matrix.matrix_product import Engine

EVERYTHING = """
model: models/net.keras
output: ../out
data: {train: data.npz, test: /absolute/test.npz, x: images, y: labels}
reading: {weights: models/net.h5, rule: reference, input_format: u8.8, requantize: true}
quantization:
  numbers: integer
  weight_bits: 4
  weight_set: additive_power_of_two
  weight_calibration: min_max
  weight_symmetry: symmetric
  granularity: per_tensor
  activation_bits: 5
  activation_symmetry: asymmetric
  activation_granularity: per_channel
  calibration: percentile
  percentile: 99.5
  scales: free
  rounding: half_even
  overflow: saturate_symmetric
  input_bits: 6
  input_calibration: percentile
  input_percentile: 99.5
  input_symmetry: asymmetric
  input_granularity: per_channel
  output_bits: 12
  input_lanes: 4
  calibration_samples: 50
  layers: {conv: {weight_bits: 3, rounding: floor}}
  inputs: {image: {bits: 12, granularity: per_channel}}
optimization:
  max_drop: 0.5
  target_accuracy: 0.9
  stages: [ptq, qat]
  partial: {policy: convolutions, kept_as: binary32, bits: 12, most_tries: 3, samples: 100}
  training:
    epochs: 3
    batch: 32
    learning_rate: 0.01
    learn_ranges: true
    teacher: float_model
    temperature: 3
    input_noise: 0.1
    mix_inputs: true
    validation: 0.2
    freeze_normalization: 0.3
    samples: 500
    seed: 4
  pruning:
    sparsity: 0.5
    layers: {conv: 0.2}
    schedule: polynomial
    every: 5
    filters: 0.25
    filters_of: {conv: 0.1}
    rank: quantization_error
    multiple: 2
    rounds: 3
    epochs: 2
search: {trials: 9, cost: luts, weight_bits: [2, 4], activation_bits: [3], samples: 70, seed: 6, train: true}
hardware:
  engine: parallel
  pe: 3
  simd: 2
  multiplier: lut
  weight_memory: block
  levels_per_register: 2
  float_units: 3
  fifo: 4
  stages: runs
  family: ecp5
  pixels: 2
  fifos:
  - {tensor: conv2d, reader: add, beats: 9}
  goal:
    aim: latency
    interval_cycles: 1000
    latency_cycles: 2000
    reuse_factor: 4
    budget: {lut: 20000, ff: 40000, dsp: 90, bram18: 100}
  layers: {dense: {engine: folded, simd: 4}}
verification: {frames: 100, stalls: burst, seed: 7, jobs: 1}
build: {seed: 5, placements: 7}
board: pynq_z2
task: regression
clock_mhz: 80
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "settings" / "mine.yaml"
    path.parent.mkdir()
    path.write_text(EVERYTHING)
    return path


def test_everything_can_be_said_in_the_file(file: Path) -> None:
    config = load_config(file, {})
    assert config.model == file.parent / "models/net.keras"
    assert config.output == file.parent / "../out"
    assert config.data.train == file.parent / "data.npz"
    assert config.data.test == Path("/absolute/test.npz")
    settings = config.quantization
    assert (settings.defaults.weight_bits, settings.defaults.activation_bits) == (4, 5)
    assert (settings.input_bits, settings.output_bits, settings.input_lanes) == (6, 12, 4)
    assert (settings.defaults.scales, settings.defaults.granularity) == (Scales.FREE, Granularity.PER_TENSOR)
    assert (settings.calibration, settings.percentile) == (RangeMethod.PERCENTILE, 99.5)
    assert (settings.layers["conv"].weight_bits, settings.layers["conv"].rounding) == (3, Rounding.FLOOR)
    assert settings.layers["conv"].activation_bits is None
    assert settings.for_input("image").input_bits == 12
    assert settings.for_input("another") == settings
    assert config.optimization.stages == (Stage.POST_TRAINING, Stage.TRAINING_AWARE)
    assert (config.optimization.max_drop, config.optimization.target_accuracy) == (0.5, 0.9)
    assert (config.optimization.partial.kept_as, config.optimization.training.samples) == ("binary32", 500)
    assert config.optimization.pruning.layers == {"conv": 0.2}
    assert (config.search.trials, config.search.weight_bits) == (9, (2, 4))
    assert (config.verification.stalls, config.clock_mhz, config.task) == ("burst", 80, TaskKind.REGRESSION)
    assert (config.build.seed, config.build.placements) == (5, 7)
    assert config.hardware.options("dense") == {
        "engine": Engine.FOLDED,
        "pe": 3,
        "simd": 4,
        "multiplier": Multiplier.LUT,
        "weight_memory": WeightMemory.BLOCK,
        "levels_per_register": 2,
        "float_units": 3,
        "fifo": 4,
    }
    assert config.hardware.fifos == (EdgeFifo(tensor="conv2d", reader="add", beats=9),)
    goal = config.hardware.goal
    assert goal is not None
    assert (goal.aim, goal.interval_cycles, goal.latency_cycles, goal.reuse_factor) == (Aim.LATENCY, 1000, 2000, 4)
    assert goal.budget.limits == {"lut": 20_000, "ff": 40_000, "dsp": 90, "bram18": 100}


def test_the_example_says_every_key_there_is() -> None:
    def compare(told: dict[str, Any], kind: type[BaseModel], where: str) -> None:
        assert set(told) == set(kind.model_fields), where
        for name, field in kind.model_fields.items():
            for inner in (field.annotation, *get_args(field.annotation)):  # also ``Inner | None``
                if isinstance(inner, type) and issubclass(inner, BaseModel) and name not in ("layers", "inputs"):
                    said = told[name]
                    compare(said[0] if isinstance(said, list) else said, inner, name)

    compare(yaml.safe_load(EVERYTHING), Config, "top")


def test_a_task_for_all_outputs_or_for_each() -> None:
    assert load_config(None, {"task": "classes"}).task is TaskKind.CLASSES
    by_output = {"kind": TaskKind.CLASSES, "angle": TaskKind.REGRESSION}
    assert load_config(None, {"task": {"kind": "classes", "angle": "regression"}}).task == by_output
    assert load_config(None, parsed_settings(["task.kind=classes", "task.angle=regression"])).task == by_output
    with pytest.raises(UserError, match=r"task\.outputs\.kind: Input should be 'binary'"):
        load_config(None, {"task": {"kind": "clases"}})


def test_the_command_line_wins_and_is_relative_to_here(file: Path) -> None:
    overrides = {"quantization.weight_bits": 7, "model": Path("other.keras"), "board": None, "data.x": "x"}
    config = load_config(file, overrides)
    assert config.quantization.weight_bits == 7
    assert config.quantization.activation_bits == 5
    assert config.model == Path("other.keras")
    assert config.board == "pynq_z2"
    assert config.data.x == "x"


def test_without_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_config(None, {}) == Config()
    Path("dnn2fpga.yaml").write_text("quantization: {weight_bits: 3}")
    assert load_config(None, {}).quantization == Quantization(weight_bits=3)
    Path("dnn2fpga.yaml").write_text("# nothing yet\n")
    assert load_config(None, {}) == Config()


def test_all_problems_at_once_each_with_the_file_and_the_key(file: Path) -> None:
    file.write_text(
        "modle: a\nquantization: {weight_bits: 99, scale: free}\nverification: {stalls: often}\nclock_mhz: -1\n"
    )
    with pytest.raises(UserError) as caught:
        load_config(file, {})
    found = caught.value.problems
    assert len(found) == 5
    assert all(problem.startswith(f"{file}: ") for problem in found)
    text = "\n".join(found)
    for part in (
        "unknown key 'modle'; did you mean 'model'?",
        "quantization.weight_bits",
        "unknown key 'quantization.scale'; did you mean 'scales'?",
        "verification.stalls",
        "clock_mhz",
    ):
        assert part in text


def test_settings_as_texts() -> None:
    texts = ["optimization.training.epochs=3", "quantization.layers.conv.weight_bits = 4", "model=a=b.keras", "data.x="]
    given = parsed_settings([*texts, "search.weight_bits=[2, 3]", "optimization.max_drop=0.5"])
    assert given == {
        "optimization.training.epochs": 3,
        "quantization.layers.conv.weight_bits": 4,
        "model": "a=b.keras",
        "data.x": None,
        "search.weight_bits": [2, 3],
        "optimization.max_drop": 0.5,
    }
    config = load_config(None, given)
    assert config.optimization.training.epochs == 3
    assert config.quantization.layers["conv"].weight_bits == 4
    assert (config.data.x, config.search.weight_bits, config.optimization.max_drop) == ("x", (2, 3), 0.5)


def test_all_texts_that_are_no_settings_are_listed() -> None:
    with pytest.raises(UserError) as caught:
        parsed_settings(["weight_bits", "a=1", "--bits"])
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["--set weight_bits", "--set --bits"]


def test_other_values_on_top_of_a_config(file: Path) -> None:
    config = load_config(file, {})
    other = config.overridden({"search.trials": 4, "hardware.levels_per_register": None})
    assert other.search.trials == 4
    assert other.overridden({"search.trials": 9}) == config
    with pytest.raises(UserError, match=r"command line: search\.trials"):
        config.overridden({"search.trials": 0})


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("optimization: {max_dorp: 1}", "max_drop"),
        ("optimization: {partial: {polici: x}}", "policy"),
        ("optimization: {training: {epoch: 1}}", "epochs"),
        ("optimization: {pruning: {sparsety: 1}}", "sparsity"),
        ("search: {trails: 1}", "trials"),
        ("data: {trian: x}", "train"),
    ],
)
def test_a_misspelt_key_is_offered_the_right_one(file: Path, text: str, meant: str) -> None:
    file.write_text(text)
    with pytest.raises(UserError, match=f"did you mean '{meant}'"):
        load_config(file, {})
