"""The Python interface: quick to import, and as docs/python_api.md shows it."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import two_inputs

import dnn2fpga
from dnn2fpga import flow

PAGE = Path(__file__).resolve().parent.parent / "docs" / "python_api.md"
FUNCTIONS = ("build", "generate", "power", "quantize", "read_model", "search", "synthesize", "verify")
HEAVY = ("numpy", "tensorflow", "keras", "pydantic", "amaranth", "yaml", "typer")


def test_importing_it_imports_nothing_heavy() -> None:
    code = f"import sys, dnn2fpga; print([name for name in {HEAVY} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_functions_are_those_of_the_flow(name: str) -> None:
    assert getattr(dnn2fpga, name) is getattr(flow, name)


def test_packages_do_not_take_the_place_of_functions() -> None:
    """Four packages have the names of functions. In a process of its own, in which nothing is imported yet."""
    code = """
import dnn2fpga
from dnn2fpga.build.boards import load_board
from dnn2fpga.generate.manifest import read_manifest
from dnn2fpga.quantize.settings import LayerSettings
from dnn2fpga.verify.verifier import verify_bundle
assert all(map(callable, (dnn2fpga.build, dnn2fpga.generate, dnn2fpga.quantize, dnn2fpga.verify)))
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_everything_after_two_arguments_is_given_by_keyword_and_described(name: str) -> None:
    function = getattr(dnn2fpga, name)
    parameters = list(inspect.signature(function).parameters.values())
    assert all(one.kind is inspect.Parameter.KEYWORD_ONLY for one in parameters[2:])
    assert all(one.annotation is not inspect.Parameter.empty for one in parameters)
    assert (function.__doc__ or "").strip()


def test_every_name_is_there_and_others_are_not() -> None:
    assert {*dnn2fpga.__all__} <= {*dir(dnn2fpga)}
    for name in dnn2fpga.__all__:
        assert getattr(dnn2fpga, name) is not None
    with pytest.raises(AttributeError, match="module 'dnn2fpga' has no attribute 'quantise'"):
        _ = dnn2fpga.quantise


def test_type_checkers_see_every_name() -> None:
    tree = ast.parse(Path(dnn2fpga.__file__).read_text(encoding="utf-8"))
    seen = {name.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for name in node.names}
    assert {*dnn2fpga.__all__} <= seen


@pytest.mark.simulation
@pytest.mark.xdist_group("readme")
def test_the_page_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dnn2fpga.keras_import import keras

    layers = keras.layers
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [keras.Input((6,)), layers.Dense(5, activation="relu"), layers.Dense(3, activation="softmax")]
    )
    model.save(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32)
    y = np.argmax(model.predict(x, verbose=0), axis=1)
    np.savez(tmp_path / "train.npz", x=x, y=y)
    np.savez(tmp_path / "test.npz", x=x[:30], y=y[:30])
    monkeypatch.chdir(tmp_path)
    names = {"np": np, "two_inputs": two_inputs.GRAPH}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 6
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert (tmp_path / "work" / "verification.json").is_file()
    assert (tmp_path / "work_of_two" / "model.yaml").is_file()
