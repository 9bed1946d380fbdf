"""The Python that the README shows runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

README = Path(__file__).resolve().parent.parent / "README.md"


@pytest.mark.simulation
@pytest.mark.xdist_group("readme")
def test_the_python_example_runs_and_everything_is_equal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from dnn2fpga.keras_import import keras

    layers = keras.layers
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [keras.Input((6,)), layers.Dense(5, activation="relu"), layers.Dense(3, activation="softmax")]
    )
    model.save(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    y = np.argmax(model.predict(x, verbose=0), axis=1)
    names = {"x_train": x, "y_train": y, "x_test": x[:20], "y_test": y[:20]}
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)

    exec(compile(example, str(README), "exec"), names)

    stage, of_float, reached, latency, interval, equal = capsys.readouterr().out.split()[-6:]
    assert stage == "ptq"
    assert float(of_float) == 1.0
    assert float(reached) >= 0.9
    assert int(latency) > 0
    assert int(interval) == 1
    assert equal == "True"
