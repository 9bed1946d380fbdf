"""The fixtures that all tests share: reproducible hypothesis runs, and the folder of public models and data sets."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Outcome
from data_folders import beside_the_data
from hypothesis import HealthCheck, settings

settings.register_profile(
    "ci", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(scope="session")
def cases() -> Path:
    """Small models and data sets that went wrong once; skips when they are not on this machine."""
    folder = beside_the_data("cases")
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing: put the cases there, or set DNN2FPGA_DATA to the data folder beside them")
    return folder


@pytest.fixture(scope="session")
def public_models() -> Path:
    """Models that others have trained, beside the data sets; skips when they are not on this machine."""
    folder = beside_the_data("models")
    if not folder.is_dir():
        pytest.skip(
            f"{folder} is missing: get jets/*.h5 (github.com/fastmachinelearning) and mlperf_tiny/*.h5 "
            "(github.com/mlcommons/tiny), or set DNN2FPGA_DATA to the data folder beside them"
        )
    return folder


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """Tiny Keras models by name, built on demand and once per session (importing TensorFlow takes seconds)."""
    from model_zoo import Zoo

    return Zoo(tmp_path_factory.mktemp("zoo"))


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny network's work folder with its bundle; tests copy it."""
    import tiny

    from dnn2fpga import flow
    from dnn2fpga.graph import files as config_files

    folder = tmp_path_factory.mktemp("generated")
    config_files.save(tiny.quantized_graph(), folder)
    flow.generate(folder)
    return folder


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("filterwarnings", "ignore:__array__ implementation:DeprecationWarning:keras")  # Keras' own


@pytest.fixture
def dnn2fpga(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Outcome]:
    """Run the command line in this process, in an empty folder."""
    from dnn2fpga.cli.app import main
    from dnn2fpga.cli.screen import console

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(console, "width", 200)

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr("sys.argv", ["dnn2fpga", *map(str, arguments)])
        capfd.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        captured = capfd.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


def pytest_unconfigure() -> None:
    # Some components live until the interpreter ends, when pytest's own filters are gone.
    warnings.simplefilter("ignore")
