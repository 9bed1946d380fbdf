"""The command line: bad input ends with a message and exit code 2, no traceback, nothing written; start-up is fast."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bad_models
import numpy as np
import pytest
import tiny
from command_line import Outcome
from model_zoo import Zoo

from dnn2fpga import config_files, flow

Run = Callable[..., Outcome]

COMMAND = [sys.executable, "-c", "from dnn2fpga.cli import main; main()"]


def listing(folder: Path) -> dict[str, tuple[int, int] | None]:
    """Everything below a folder, hidden files too; files with size and time."""
    return {
        str(path.relative_to(folder)): None if path.is_dir() else (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
    }


def refused(run: Run, folder: Path, *arguments: object) -> str:
    """Runs a command that must be refused; returns the messages."""
    before = listing(folder)
    outcome = run(*arguments)
    assert outcome.code == 2, outcome
    assert "Traceback" not in outcome.err
    assert listing(folder) == before, "something was written"
    lines = outcome.err.strip().splitlines()
    assert lines
    assert all(line.startswith("error: ") for line in lines), outcome.err
    return outcome.err


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny network's work folder with its bundle; tests copy it."""
    folder = tmp_path_factory.mktemp("generated")
    config_files.save(tiny.quantized_graph(), folder)
    flow.generate(folder)
    return folder


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
        dnn2fpga, tmp_path, "quantize", "missing.keras", "--calibration", data
    )


def test_nothing_given(dnn2fpga: Run, tmp_path: Path) -> None:
    message = refused(dnn2fpga, tmp_path, "quantize")
    assert "no model is given" in message
    assert "no calibration data is given" in message


def test_text_file_as_model(dnn2fpga: Run, tmp_path: Path, data: Path) -> None:
    (tmp_path / "text.keras").write_text("hello\n")
    assert "not a Keras model" in refused(dnn2fpga, tmp_path, "quantize", "text.keras", "--calibration", data)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_truncated_model(dnn2fpga: Run, tmp_path: Path, data: Path, zoo: Zoo, suffix: str) -> None:
    whole = zoo.save("dense_behind_flatten", suffix).read_bytes()
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(whole[: len(whole) // 2])
    assert "not a Keras model" in refused(dnn2fpga, tmp_path, "compile", path, "--calibration", data)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", bad_models.MODELS)
def test_model_that_cannot_be_built(
    dnn2fpga: Run, tmp_path: Path, data: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, expected = bad_models.MODELS[name]
    make().save(tmp_path / "model.keras")
    monkeypatch.setenv(bad_models.TRACE, str(tmp_path / "trace"))
    message = refused(dnn2fpga, tmp_path, "quantize", "model.keras", "--calibration", data)
    assert all(part in message for part in expected)


def _text(path: Path) -> None:
    path.write_text("these are not numbers\n")


DATA: dict[str, tuple[Callable[[Path], Any], str]] = {
    "text": (_text, "neither an .npz nor an .npy file"),
    "nothing": (lambda path: path.write_bytes(b""), "it is empty"),
    "truncated": (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(50)), "damaged"),
    "objects": (lambda path: np.savez(path, x=np.array([{}, []], dtype=object)), "Python objects"),
    "no samples": (lambda path: np.savez(path, x=np.zeros((0, 6, 6, 2))), "holds no samples"),
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
def test_bad_calibration_data(dnn2fpga: Run, tmp_path: Path, model: Path, name: str) -> None:
    write, expected = DATA[name]
    write(tmp_path / "bad.npz")
    assert expected in refused(dnn2fpga, tmp_path, "quantize", model, "--calibration", "bad.npz")


@pytest.mark.parametrize("name", DATA)
def test_bad_test_data(dnn2fpga: Run, tmp_path: Path, model: Path, data: Path, name: str) -> None:
    write, expected = DATA[name]
    write(tmp_path / "bad.npz")
    assert expected in refused(dnn2fpga, tmp_path, "quantize", model, "--calibration", data, "--data", "bad.npz")


def test_missing_data(dnn2fpga: Run, tmp_path: Path, model: Path) -> None:
    assert "there is no such data file" in refused(dnn2fpga, tmp_path, "quantize", model, "--calibration", "none.npz")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--bits", "1"], ("weight_bits", "greater than or equal to 2")),
        (["--bits", "17"], ("less than or equal to 16",)),
        (["--weight-bits", "0"], ("weight_bits", "greater than or equal to 2")),
        (["--scales", "lucky"], ("scales", "power_of_two", "free")),
        (["--calibration-samples", "0"], ("calibration_samples",)),
        (["--config", "missing.yaml"], ("missing.yaml: there is no such settings file",)),
    ],
)
def test_bad_options(
    dnn2fpga: Run, tmp_path: Path, model: Path, data: Path, arguments: list[str], expected: tuple[str, ...]
) -> None:
    message = refused(dnn2fpga, tmp_path, "quantize", model, "--calibration", data, *arguments)
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
        ("quantization: {weight_bits: 1}", "quantization.weight_bits"),
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
    message = refused(dnn2fpga, tmp_path, "quantize", model, "--calibration", data)
    assert expected in message
    assert "dnn2fpga.yaml" in message


def test_unknown_layer_in_the_settings(dnn2fpga: Run, tmp_path: Path, model: Path, data: Path) -> None:
    (tmp_path / "dnn2fpga.yaml").write_text("quantization: {layers: {konv: {weight_bits: 4}, kern: {weight_bits: 3}}}")
    message = refused(dnn2fpga, tmp_path, "quantize", model, "--calibration", data)
    assert "konv" in message
    assert "kern" in message
    assert "there are conv2d" in message


@pytest.mark.parametrize("where", ["occupied", "occupied/deeper", "/proc/dnn2fpga"])
def test_unwritable_output(dnn2fpga: Run, tmp_path: Path, model: Path, data: Path, where: str) -> None:
    (tmp_path / "occupied").write_text("a file, not a folder")
    assert "cannot be written" in refused(dnn2fpga, tmp_path, "quantize", model, "--calibration", data, "-o", where)


def test_unwritable_bundle(dnn2fpga: Run, tmp_path: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dnn2fpga.generate.bundle.write_vectors", full)
    assert "No space left on device" in refused(dnn2fpga, tmp_path, "generate", work)


def test_missing_work_folder(dnn2fpga: Run, tmp_path: Path) -> None:
    assert "'dnn2fpga quantize' writes it" in refused(dnn2fpga, tmp_path, "generate", "nowhere")
    assert "dnn2fpga generate nowhere" in refused(dnn2fpga, tmp_path, "verify", "nowhere")
    assert "dnn2fpga generate nowhere" in refused(dnn2fpga, tmp_path, "build", "nowhere", "--board", "arty_a7_100t")


def test_missing_bundle(dnn2fpga: Run, tmp_path: Path, work: Path, data: Path) -> None:
    for arguments in (["verify", work], ["verify", work, "--data", data], ["build", work, "--board", "arty_a7_100t"]):
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
    for arguments in (["build", work], ["compile", model, "--calibration", data]):
        message = refused(dnn2fpga, tmp_path, *arguments, "--board", "arty_a7_100")
        assert "did you mean 'arty_a7_100t'?" in message
    assert "no board is chosen" in refused(dnn2fpga, tmp_path, "build", work)


@pytest.mark.parametrize("clock", ["0", "-5", "nan", "inf", "1e9"])
def test_impossible_clock(dnn2fpga: Run, tmp_path: Path, built: Path, clock: str) -> None:
    assert "clock" in refused(dnn2fpga, tmp_path, "build", built, "--board", "arty_a7_100t", "--clock", clock)


def test_quantize_and_generate_succeed_and_leave_nothing_else(
    dnn2fpga: Run, tmp_path: Path, model: Path, data: Path
) -> None:
    assert dnn2fpga("quantize", model, "--calibration", data, "--data", data, "-o", "work").code == 0
    assert dnn2fpga("generate", "work").code == 0
    outcome = dnn2fpga("build", "work", "--board", "pynq_z2", "--no-run")
    assert outcome.code == 0
    left = {path.name for path in (tmp_path / "work").iterdir()}
    assert left == {"model.yaml", "weights.npz", "samples.npz", "quantization.json", "generation.json", "bundle"}
    assert (tmp_path / "work" / "bundle" / "vivado" / "project.tcl").is_file()


def test_failure_keeps_what_was_there(
    dnn2fpga: Run, tmp_path: Path, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = listing(built / "bundle")

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dnn2fpga.generate.bundle.write_vectors", interrupted)
    outcome = dnn2fpga("generate", built)
    assert outcome.code == 130
    assert "Traceback" not in outcome.err
    assert listing(built / "bundle") == before
    assert not list(built.glob(".*"))


def test_interrupted_demo_leaves_nothing(dnn2fpga: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dnn2fpga.demo._train", interrupted)
    assert dnn2fpga("demo", "-o", "somewhere").code == 130
    assert list(tmp_path.iterdir()) == []


# The real program, in processes of their own.


def program(*arguments: object, cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False, **options
    )


def test_the_installed_program_refuses_too(tmp_path: Path) -> None:
    installed = shutil.which("dnn2fpga", path=str(Path(sys.executable).parent))
    assert installed, "the console script is not installed"
    (tmp_path / "text.keras").write_text("hello\n")
    np.savez(tmp_path / "data.npz", x=np.zeros((1, 4)))
    for arguments in (
        ["quantize", "missing.keras", "--calibration", "data.npz"],
        ["quantize", "text.keras", "--calibration", "data.npz"],
        ["build", ".", "--board", "nonesuch"],
        ["generate", "nowhere"],
        ["nonsense"],
    ):
        before = listing(tmp_path)
        result = subprocess.run([installed, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert result.returncode == 2, result
        assert result.stderr.strip()
        assert "Traceback" not in result.stderr
        assert listing(tmp_path) == before


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_nan_weights_in_a_process_of_its_own(tmp_path: Path) -> None:
    bad_models.nan_weights().save(tmp_path / "model.keras")
    np.savez(tmp_path / "data.npz", x=np.zeros((1, 4)))
    result = program("quantize", "model.keras", "--calibration", "data.npz", cwd=tmp_path)
    assert result.returncode == 2
    lines = result.stderr.strip().splitlines()
    assert lines
    assert all(line.startswith("error: ") for line in lines), "TensorFlow's own chatter is no message of ours"


SLOW = """
import time
import dnn2fpga.generate.bundle as bundle
from dnn2fpga.cli import main
bundle.write_vectors = lambda *_, **__: (print("now", flush=True), time.sleep(60))
main()
"""


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_interrupt_from_the_keyboard(tmp_path: Path, work: Path) -> None:
    command = [sys.executable, "-c", SLOW, "generate", str(work)]
    before = listing(tmp_path)
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    while "now" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert set(listing(tmp_path)) == set(before)


LOADED = """
import sys
from dnn2fpga.cli import main
try:
    main()
except SystemExit:
    pass
print("MODULES", *sys.modules, file=sys.stderr)
"""
HEAVY = {"tensorflow", "keras", "h5py", "sklearn", "scipy"}


def modules_after(*arguments: object, cwd: Path) -> set[str]:
    result = subprocess.run(
        [sys.executable, "-c", LOADED, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False
    )
    return set(result.stderr.rpartition("MODULES")[2].split())


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["boards"], ["quantize", "--help"]])
def test_start_up_imports_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    loaded = modules_after(*arguments, cwd=tmp_path)
    assert "dnn2fpga.cli" in loaded
    assert not loaded & (HEAVY | {"numpy", "amaranth"})


def test_nothing_behind_quantization_imports_tensorflow(tmp_path: Path, work: Path) -> None:
    for arguments in (["generate", work], ["build", work, "--board", "pynq_z2", "--no-run"], ["verify", work / "none"]):
        loaded = modules_after(*arguments, cwd=tmp_path)
        assert "dnn2fpga.flow" in loaded
        assert not loaded & {"tensorflow", "keras", "h5py", "sklearn"}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["boards"]])
def test_start_up_is_fast(arguments: list[str], tmp_path: Path) -> None:
    """Half a second is promised. Processor time, and twice as much, because other tests run at the same time."""
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert program(*arguments, cwd=tmp_path).returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    assert min(seconds) < 1.0
