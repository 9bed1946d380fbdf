"""The command line: bad input ends with a message and exit code 2, no traceback, nothing written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bad_models
import numpy as np
import pytest
from command_line import Run, listing, refused
from model_zoo import Zoo

from dnn2fpga.generate import bundle
from dnn2fpga.graph import files as config_files
from dnn2fpga.plan.hardware_plan import plan
from dnn2fpga.plan.settings import PlanSettings


@pytest.fixture
def built(tmp_path: Path, generated: Path) -> Path:
    """A work folder with a bundle."""
    return Path(shutil.copytree(generated, tmp_path / "built"))


@pytest.fixture
def work(tmp_path: Path, generated: Path) -> Path:
    """A work folder with nothing but configuration files."""
    return Path(shutil.copytree(generated, tmp_path / "work", ignore=shutil.ignore_patterns("bundle")))


@pytest.fixture
def model(zoo: Zoo) -> Path:
    return zoo("dense_behind_flatten").path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.npz"
    np.savez(path, x=np.random.default_rng(0).uniform(0, 1, (20, 6, 6, 2)).astype(np.float32), y=np.arange(20) % 3)
    return path


def test_missing_model(dnn2fpga: Run, tmp_path: Path, data: Path) -> None:
    assert "missing.keras: there is no such file" in refused(
        dnn2fpga, tmp_path, "quantize", "missing.keras", "--data", data
    )


def test_nothing_given(dnn2fpga: Run, tmp_path: Path) -> None:
    message = refused(dnn2fpga, tmp_path, "quantize")
    assert "no model is given" in message


def test_text_file_as_model(dnn2fpga: Run, tmp_path: Path, data: Path) -> None:
    (tmp_path / "text.keras").write_text("hello\n")
    assert "not a Keras model" in refused(dnn2fpga, tmp_path, "quantize", "text.keras", "--data", data)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_truncated_model(dnn2fpga: Run, tmp_path: Path, data: Path, zoo: Zoo, suffix: str) -> None:
    whole = zoo.save("dense_behind_flatten", suffix).read_bytes()
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(whole[: len(whole) // 2])
    assert "not a Keras model" in refused(dnn2fpga, tmp_path, "compile", path, "--data", data)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", bad_models.MODELS)
def test_model_that_cannot_be_built(
    dnn2fpga: Run, tmp_path: Path, data: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, expected = bad_models.MODELS[name]
    make().save(tmp_path / "model.keras")
    monkeypatch.setenv(bad_models.TRACE, str(tmp_path / "trace"))
    message = refused(dnn2fpga, tmp_path, "quantize", "model.keras", "--data", data)
    assert all(part in message for part in expected)


def _text(path: Path) -> None:
    path.write_text("these are not numbers\n")


DATA: dict[str, tuple[Callable[[Path], Any], str]] = {
    "text": (_text, "neither an .npz nor an .npy file"),
    "nothing": (lambda path: path.write_bytes(b""), "it is empty"),
    "truncated": (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(50)), "damaged"),
    "objects": (lambda path: np.savez(path, x=np.array([{}, []], dtype=object)), "Python objects"),
    "no samples": (lambda path: np.savez(path, x=np.zeros((0, 6, 6, 2))), "there are no samples"),
    "wrong shape": (lambda path: np.savez(path, x=np.zeros((3, 28, 28))), "takes inputs of shape (6, 6, 2)"),
    "another name": (lambda path: np.savez(path, images=np.zeros((3, 6, 6, 2))), "holds no array 'x', but images"),
    "NaN": (lambda path: np.savez(path, x=np.full((3, 6, 6, 2), np.nan)), "NaN"),
    "words": (lambda path: np.savez(path, x=np.full((3, 6, 6, 2), "one")), "must be numbers"),
    "one number": (lambda path: np.savez(path, x=np.float32(1)), "not a single number"),
    "fewer labels": (lambda path: np.savez(path, x=np.zeros((3, 6, 6, 2)), y=np.zeros(2)), "3 inputs but 2 labels"),
    "word labels": (
        lambda path: np.savez(path, x=np.zeros((2, 6, 6, 2)), y=np.array(["cat", "dog"])),
        "labels must be numbers",
    ),
}


@pytest.mark.parametrize("name", DATA)
def test_bad_training_data(dnn2fpga: Run, tmp_path: Path, model: Path, name: str) -> None:
    write, expected = DATA[name]
    write(tmp_path / "bad.npz")
    assert expected in refused(dnn2fpga, tmp_path, "quantize", model, "--data", "bad.npz")


@pytest.mark.parametrize("name", DATA)
def test_bad_test_data(dnn2fpga: Run, tmp_path: Path, model: Path, data: Path, name: str) -> None:
    write, expected = DATA[name]
    write(tmp_path / "bad.npz")
    assert expected in refused(dnn2fpga, tmp_path, "quantize", model, "--data", data, "--test", "bad.npz")


def test_missing_data(dnn2fpga: Run, tmp_path: Path, model: Path) -> None:
    assert "there is no such data file" in refused(dnn2fpga, tmp_path, "quantize", model, "--data", "none.npz")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--bits", "0"], ("weight_bits", "activation_bits", "input_bits", "greater than or equal to 1")),
        (["--bits", "17"], ("less than or equal to 16",)),
        (["--weight-bits", "0"], ("weight_bits", "greater than or equal to 1")),
        (["--scales", "lucky"], ("scales", "power_of_two", "free")),
        (["--calibration", "data.npz"], ("calibration", "min_max", "percentile")),
        (["--calibration-samples", "0"], ("calibration_samples",)),
        (["--weight-set", "quaternary"], ("weight_set", "ternary")),
        (["--max-drop", "-1"], ("max_drop", "greater than or equal to 0")),
        (["--target-accuracy", "98"], ("target_accuracy", "less than or equal to 1")),
        (["--stages", "ptq,qta"], ("optimization.stages", "ptq", "partial", "qat")),
        (["--stages", ""], ("stages",)),
        (["--set", "quantization.weight_bits"], ("--set quantization.weight_bits: must be KEY=VALUE",)),
        (["--set", "quantization.weight_bit=4"], ("'quantization.weight_bit'; did you mean 'weight_bits'?",)),
        (["--set", "optimization.training.epoch=4"], ("did you mean 'epochs'?",)),
        (["--set", "optimization.training.epochs=0"], ("optimization.training.epochs",)),
        (["--set", "model=[broken"], ("--set model: not valid YAML",)),
        (["--config", "missing.yaml"], ("missing.yaml: there is no such settings file",)),
    ],
)
def test_bad_options(
    dnn2fpga: Run, tmp_path: Path, model: Path, data: Path, arguments: list[str], expected: tuple[str, ...]
) -> None:
    message = refused(dnn2fpga, tmp_path, "quantize", model, "--data", data, *arguments)
    assert all(part in message for part in expected), message


def test_option_of_the_wrong_kind_is_a_usage_error(dnn2fpga: Run, model: Path) -> None:
    outcome = dnn2fpga("quantize", model, "--bits", "abc")
    assert outcome.code == 2
    assert "Invalid value for '--bits'" in outcome.err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("quantisation: {weight_bits: 4}", "unknown key 'quantisation'; did you mean 'quantization'?"),
        ("quantization: {weight_bit: 4}", "unknown key 'quantization.weight_bit'; did you mean 'weight_bits'?"),
        (
            "quantization: {layers: {conv: {bits: 4, weigth_bits: 3}}}",
            "'quantization.layers.conv.weigth_bits'; did you mean",
        ),
        ("quantization: {weight_bits: 0}", "quantization.weight_bits"),
        ("data: {calibration: data.npz}", "unknown key 'data.calibration'"),
        ("quantization: {scales: [1]}", "quantization.scales"),
        ("quantization: 7", "quantization"),
        ("- a list", "must hold settings by name"),
        ("model: [broken", "not valid YAML"),
        ("model: !!python/object/apply:os.system ['touch trace']", "not valid YAML"),
        ("board: {a: b}", "board"),
        ("clock_mhz: .nan", "clock_mhz"),
    ],
)
def test_bad_settings_file(dnn2fpga: Run, tmp_path: Path, model: Path, data: Path, text: str, expected: str) -> None:
    (tmp_path / "dnn2fpga.yaml").write_text(text)
    message = refused(dnn2fpga, tmp_path, "quantize", model, "--data", data)
    assert expected in message
    assert "dnn2fpga.yaml" in message


def test_unknown_layer_in_the_settings(dnn2fpga: Run, tmp_path: Path, model: Path, data: Path) -> None:
    (tmp_path / "dnn2fpga.yaml").write_text("quantization: {layers: {konv: {weight_bits: 4}, kern: {weight_bits: 3}}}")
    message = refused(dnn2fpga, tmp_path, "quantize", model, "--data", data)
    assert "konv" in message
    assert "kern" in message
    assert "there are conv2d" in message


@pytest.mark.parametrize("where", ["occupied", "occupied/deeper", "/proc/dnn2fpga"])
def test_unwritable_output(dnn2fpga: Run, tmp_path: Path, model: Path, data: Path, where: str) -> None:
    (tmp_path / "occupied").write_text("a file, not a folder")
    assert "cannot be written" in refused(dnn2fpga, tmp_path, "quantize", model, "--data", data, "-o", where)


def test_unwritable_bundle(dnn2fpga: Run, tmp_path: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bundle, "write_vectors", full)
    assert "No space left on device" in refused(dnn2fpga, tmp_path, "generate", work)


def test_missing_work_folder(dnn2fpga: Run, tmp_path: Path) -> None:
    assert "'dnn2fpga quantize' writes it" in refused(dnn2fpga, tmp_path, "generate", "nowhere")
    assert "dnn2fpga generate nowhere" in refused(dnn2fpga, tmp_path, "verify", "nowhere")
    assert "dnn2fpga generate nowhere" in refused(dnn2fpga, tmp_path, "build", "nowhere", "--board", "arty_a7_100t")


def test_missing_bundle(dnn2fpga: Run, tmp_path: Path, work: Path, data: Path) -> None:
    for arguments in (["verify", work], ["verify", work, "--test", data], ["build", work, "--board", "arty_a7_100t"]):
        assert "there is no bundle yet" in refused(dnn2fpga, tmp_path, *arguments)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "{}", '{"manifest_version": 7}', '{"boundaries": 1}'])
def test_corrupt_manifest(dnn2fpga: Run, tmp_path: Path, built: Path, content: str) -> None:
    (built / "bundle" / "manifest.json").write_text(content)
    for arguments in (["verify", built], ["build", built, "--board", "arty_a7_100t"]):
        assert "manifest" in refused(dnn2fpga, tmp_path, *arguments)


def test_damaged_samples_are_named(dnn2fpga: Run, tmp_path: Path, work: Path) -> None:
    (work / "samples.npz").write_bytes(b"PK\x03\x04 damaged")
    assert "delete it to use random test vectors" in refused(dnn2fpga, tmp_path, "generate", work)


def test_unknown_board(dnn2fpga: Run, tmp_path: Path, work: Path, model: Path, data: Path) -> None:
    for arguments in (["build", work], ["compile", model, "--data", data]):
        message = refused(dnn2fpga, tmp_path, *arguments, "--board", "arty_a7_100")
        assert "did you mean 'arty_a7_100t'?" in message
    assert "no board is chosen" in refused(dnn2fpga, tmp_path, "build", work)


@pytest.mark.parametrize("clock", ["0", "-5", "nan", "inf", "1e9"])
def test_impossible_clock(dnn2fpga: Run, tmp_path: Path, built: Path, clock: str) -> None:
    assert "clock" in refused(dnn2fpga, tmp_path, "build", built, "--board", "arty_a7_100t", "--clock", clock)


def test_quantize_and_generate_succeed_and_leave_nothing_else(
    dnn2fpga: Run, tmp_path: Path, model: Path, data: Path
) -> None:
    assert dnn2fpga("quantize", model, "--data", data, "--test", data, "-o", "work").code == 0
    assert dnn2fpga("generate", "work").code == 0
    outcome = dnn2fpga("build", "work", "--board", "pynq_z2", "--no-run")
    assert outcome.code == 0
    left = {path.name for path in (tmp_path / "work").iterdir()}
    assert left == {
        "model.yaml",
        "weights.npz",
        "samples.npz",
        "quantization.json",
        "stages",
        "generation.json",
        "plan.png",
        "bundle",
    }
    assert (tmp_path / "work" / "bundle" / "vivado" / "project.tcl").is_file()


def test_a_goal_that_cannot_be_reached(dnn2fpga: Run, tmp_path: Path, built: Path) -> None:
    assert "cannot be reached" in refused(dnn2fpga, tmp_path, "generate", built, "--interval", "3")
    tiny = ["--interval", "100000", "--set", "hardware.goal.budget.lut=50"]
    message = refused(dnn2fpga, tmp_path, "generate", built, *tiny)
    assert "50 are allowed" in message
    assert "no interval, however long, would fit" in message
    assert "fastest" in refused(dnn2fpga, tmp_path, "generate", built, "--goal", "cheapest")
    assert "pe must be 1 to" in refused(
        dnn2fpga, tmp_path, "generate", built, "--set", "hardware.engine=folded", "--set", "hardware.pe=5000"
    )


def test_a_goal_is_planned_for(dnn2fpga: Run, built: Path) -> None:
    outcome = dnn2fpga("generate", built, "--interval", "2000", "--set", "hardware.goal.budget.dsp=20")
    assert outcome.code == 0, outcome.err
    manifest = json.loads((built / "bundle" / "manifest.json").read_text())
    assert manifest["interval_cycles"] <= 2000
    assert any(b["folding"] for b in manifest["boundaries"])
    assert sum(b["resources"]["dsp"] for b in manifest["boundaries"]) <= 20


def test_failure_keeps_what_was_there(
    dnn2fpga: Run, tmp_path: Path, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = listing(built / "bundle")

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(bundle, "write_vectors", interrupted)
    outcome = dnn2fpga("generate", built)
    assert outcome.code == 130
    assert "Traceback" not in outcome.err
    assert listing(built / "bundle") == before
    assert not list(built.glob(".*"))


def test_interrupted_demo_leaves_nothing(dnn2fpga: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dnn2fpga.cli.demo._train", interrupted)
    assert dnn2fpga("demo", "-o", "somewhere").code == 130
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("chosen", "levels"), [((), 4), (("--clock", "300"), 1), (("--levels", "2"), 2)])
def test_a_board_chooses_the_pipelining(dnn2fpga: Run, work: Path, chosen: tuple[str, ...], levels: int) -> None:
    """The Arty's 100 MHz leave room for four adders in a row; command-line options take precedence."""
    assert dnn2fpga("generate", work, "--board", "arty_a7_100t", *chosen).code == 0
    settings = PlanSettings(levels_per_register=levels)
    manifest = json.loads((work / "bundle" / "manifest.json").read_text())
    assert manifest["latency_cycles"] == plan(config_files.load(work), settings).latency_cycles
