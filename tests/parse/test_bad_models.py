"""Models that must be refused: by name and reason, all problems at once, and without running anything in them."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import bad_models
import pytest
from model_zoo import Zoo

from dnn2fpga.errors import UserError
from dnn2fpga.parse.keras_model import read_keras_model
from dnn2fpga.passes.simplify import simplify


def refusal(path: Path) -> str:
    """What is said about a model; every line names the file or the layer."""
    with pytest.raises(UserError) as caught:
        simplify(read_keras_model(path))
    assert all(problem.strip() and "\n" not in problem for problem in caught.value.problems)
    return str(caught.value)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("name", bad_models.MODELS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_model_is_refused(name: str, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, expected = bad_models.MODELS[name]
    path, trace = tmp_path / f"{name}{suffix}", tmp_path / "trace"
    make().save(path)
    monkeypatch.setenv(bad_models.TRACE, str(trace))

    message = refusal(path)

    for part in expected:
        assert part in message
    assert not trace.exists()


def test_the_trace_is_left_when_a_lambda_does_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(bad_models.TRACE, str(tmp_path / "trace"))
    bad_models.with_lambda()
    assert (tmp_path / "trace").exists()


@pytest.mark.parametrize("cut", [0.02, 0.5, 0.95])
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_truncated_files(zoo: Zoo, suffix: str, cut: float, tmp_path: Path) -> None:
    whole = zoo.save("conv_relu", suffix).read_bytes()
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(whole[: int(len(whole) * cut)])
    assert str(path) in refusal(path)


@pytest.mark.parametrize(
    "content", [b"", b"I am a text file.\n", b"PK\x03\x04 not really", b"\x89HDF\r\n\x1a\n not really"]
)
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_files_of_another_kind(suffix: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"model{suffix}"
    path.write_bytes(content)
    assert "not a Keras model that can be read" in refusal(path)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.keras", tmp_path):
        assert "there is no such file" in refusal(path)


def bytes_flipped(content: bytes, seed: int) -> bytes:
    import numpy as np

    rng = np.random.default_rng(seed)
    spoilt = bytearray(content)
    for position in rng.integers(0, len(spoilt), 20):
        spoilt[position] ^= int(rng.integers(1, 256))
    return bytes(spoilt)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_spoilt_files_never_raise_anything_else(zoo: Zoo, suffix: str, tmp_path: Path) -> None:
    whole = zoo.save("conv_relu", suffix).read_bytes()
    path = tmp_path / f"spoilt{suffix}"
    for seed in range(40):
        path.write_bytes(bytes_flipped(whole, seed))
        with suppress(UserError):
            read_keras_model(path)


EVIL = {"module": "evil_module", "class_name": "Evil", "config": {}, "registered_name": "evil>Evil"}


def _set(key: str, value: Any) -> Any:
    def edit(config: dict[str, Any]) -> None:
        *path, last = key.split(".")
        for part in path:
            config = config[int(part) if part.isdigit() else part]
        config[last] = value  # type: ignore[index]

    return edit


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("module", "evil_module", "evil_module.Sequential"),
        ("config.dtype", EVIL, "evil_module.Evil"),
        ("config.layers.1.module", "evil_module", "evil_module.Conv2D"),
        ("config.layers.1.config.kernel_initializer", EVIL, "evil_module.Evil"),
        ("config.layers.1.config.kernel_initializer.module", "evil_module", "evil_module.GlorotUniform"),
        (
            "config.layers.1.config.bias_initializer",
            {"class_name": "function", "module": "builtins", "config": "breakpoint", "registered_name": "breakpoint"},
            "function",
        ),
        (
            "config.layers.1.config.kernel_regularizer",
            {"class_name": "__lambda__", "config": {"value": "x"}},
            "__lambda__",
        ),
        ("build_config", EVIL, "evil_module.Evil"),
        ("class_name", "evil.Sequential", "a Sequential or Functional model is needed"),
        ("config.layers", "none", "a Sequential or Functional model is needed"),
        ("config.layers", [1, 2], "describes no layers"),
        ("config.layers.1.config", None, "describes no layers"),
        ("config", None, "a Sequential or Functional model is needed"),
    ],
)
def test_edited_configurations_load_nothing(
    zoo: Zoo, key: str, value: Any, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evil_module.py").write_text(f"open({str(tmp_path / 'trace')!r}, 'w').close()\nclass Evil: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    path = bad_models.edited(zoo.save("conv_relu", ".keras"), tmp_path / "edited.keras", _set(key, value))

    assert expected in refusal(path)

    assert not (tmp_path / "trace").exists()
    assert "evil_module" not in sys.modules
