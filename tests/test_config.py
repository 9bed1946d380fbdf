"""dnn2fpga.yaml and the command line say the same things; the command line wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from dnn2fpga.config import Config, load_config, parsed_settings
from dnn2fpga.errors import UserError
from dnn2fpga.layers.settings import Granularity, Scales
from dnn2fpga.optimize.post_training import Quantization
from dnn2fpga.optimize.settings import Stage
from dnn2fpga.ranges import RangeMethod
from rtl_lib.arithmetic import Rounding

EVERYTHING = """
model: models/net.keras
output: ../out
data: {calibration: data.npz, test: /absolute/test.npz, x: images, y: labels}
quantization:
  weight_bits: 4
  activation_bits: 5
  input_bits: 6
  output_bits: 12
  scales: free
  granularity: per_tensor
  rounding: half_even
  overflow: saturate_symmetric
  calibration: min_max
  calibration_samples: 50
  input_lanes: 4
  layers: {conv: {weight_bits: 3, rounding: floor}}
hardware: {levels_per_register: 2}
verification: {frames: 100, stalls: burst, seed: 7, jobs: 1}
board: pynq_z2
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
    assert config.data.calibration == file.parent / "data.npz"
    assert config.data.test == Path("/absolute/test.npz")
    settings = config.quantization.settings()
    assert (settings.defaults.weight_bits, settings.defaults.activation_bits) == (4, 5)
    assert (settings.input_bits, settings.output_bits, settings.input_lanes) == (6, 12, 4)
    assert (settings.defaults.scales, settings.defaults.granularity) == (Scales.FREE, Granularity.PER_TENSOR)
    conv, other = settings.of_layer("conv", last=False), settings.of_layer("other", last=False)
    assert (conv.weight_bits, conv.activation_bits, conv.rounding) == (3, 5, Rounding.FLOOR)
    assert (other.weight_bits, other.rounding) == (4, Rounding.HALF_EVEN)
    assert settings.of_layer("other", last=True).activation_bits == 12
    assert (config.hardware.levels_per_register, config.verification.stalls, config.clock_mhz) == (2, "burst", 80)


def test_the_example_says_every_key_there_is() -> None:
    import yaml

    told = yaml.safe_load(EVERYTHING)
    assert set(told) == set(Config.model_fields)
    for group in ("data", "quantization", "hardware", "verification"):
        assert set(told[group]) == set(Config.model_fields[group].annotation.model_fields)  # type: ignore[union-attr]


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
