"""Settings: ``dnn2fpga.yaml`` and the command line accept the same; command-line options take precedence."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag, ValidationError

from dnn2fpga.build.settings import BuildSettings
from dnn2fpga.errors import UserError
from dnn2fpga.files.described import Described
from dnn2fpga.files.validation import Count, Positive, Seed, problems_of
from dnn2fpga.files.yaml_files import parse_yaml, read_yaml
from dnn2fpga.optimize.post_training import InputOverrides, LayerOverrides, Quantization
from dnn2fpga.optimize.pruning import PruningSettings
from dnn2fpga.optimize.settings import Optimization, PartialSettings, SearchSettings, TrainingSettings
from dnn2fpga.plan.goals import Budget, PlanGoal
from dnn2fpga.plan.settings import LayerPlan, PlanSettings
from dnn2fpga.read.settings import ReadSettings
from dnn2fpga.task import TaskKind

DEFAULT_FILE = "dnn2fpga.yaml"


def _is_by_output(value: Any) -> str:
    return "outputs" if isinstance(value, dict) else "all"


# One for all outputs, or one for each by its name.
Tasks = Annotated[
    Annotated[TaskKind, Tag("all")] | Annotated[dict[str, TaskKind], Tag("outputs")],
    Discriminator(_is_by_output),
]


class DataFiles(Described):
    """Files (or folders of .npy files) and the names of the arrays in them."""

    train: Path | None = None  # calibrates, and trains where that is asked for
    test: Path | None = None
    x: str = "x"
    y: str = "y"


class Verification(Described):
    """The amount of simulation.

    :param frames: spread over the test data; absent: all.
    :param stalls: the stall pattern of the run of the test data.
    :param seed: of the stall patterns, and of the choice of frames.
    :param jobs: simulators that run at the same time.
    """

    frames: Count | None = None
    stalls: Annotated[str, Field(pattern="^(none|source|sink|random|burst|full)$")] = "none"
    seed: Seed = 1
    jobs: Annotated[int, Field(ge=1, le=1024)] = 2


class Config(Described):
    """Everything ``dnn2fpga.yaml`` may say. Paths are relative to the file."""

    model: Path | None = None
    output: Path = Path("work")
    data: DataFiles = Field(default_factory=DataFiles)
    task: Tasks | None = None  # what the outputs are for, where last layer and labels are not to decide it
    reading: ReadSettings = Field(default_factory=ReadSettings)
    quantization: Quantization = Field(default_factory=Quantization)
    optimization: Optimization = Field(default_factory=Optimization)
    search: SearchSettings = Field(default_factory=SearchSettings)
    hardware: PlanSettings = Field(default_factory=PlanSettings)
    verification: Verification = Field(default_factory=Verification)
    build: BuildSettings = Field(default_factory=BuildSettings)
    board: str | None = None
    clock_mhz: Positive | None = None

    def overridden(self, overrides: dict[str, Any]) -> Config:
        """Return the settings with other values under some dotted keys; None leaves a key as it is."""
        tree = self.model_dump(exclude_unset=True)  # what nobody set may still be chosen
        for dotted, value in overrides.items():
            if value is not None:
                _set(tree, dotted.split("."), value)
        return _validated(tree, Path("command line"))


def load_config(file: Path | None, overrides: dict[str, Any]) -> Config:
    """The settings of ``file`` (or of ``dnn2fpga.yaml`` here, if there is one) with ``overrides`` on top.

    :param overrides: by dotted key (``quantization.weight_bits``); None means not given.
    :raises UserError: for every unknown key and wrong value.
    """
    file = file or (Path(DEFAULT_FILE) if Path(DEFAULT_FILE).exists() else None)
    tree: dict[str, Any] = (read_yaml(file) or {}) if file else {}
    if not isinstance(tree, dict):
        raise UserError(f"{file}: must hold settings by name, not {type(tree).__name__}")
    _from_file_folder(tree, file.parent if file else Path())
    for dotted, value in overrides.items():
        if value is not None:
            _set(tree, dotted.split("."), value)
    return _validated(tree, file or Path("command line"))


def parsed_settings(texts: Iterable[str]) -> dict[str, Any]:
    """``KEY=VALUE`` texts by dotted key; values are YAML."""
    problems = [
        f"--set {text}: must be KEY=VALUE, e.g. quantization.weight_bits=6" for text in texts if "=" not in text
    ]
    if problems:
        raise UserError(problems)
    parts = (text.split("=", 1) for text in texts)
    return {key.strip(): parse_yaml(value, f"--set {key}") for key, value in parts}


def _validated(tree: dict[str, Any], where: Path) -> Config:
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise UserError(problems_of(error, where, _known_keys(tree))) from error


def _from_file_folder(tree: dict[str, Any], folder: Path) -> None:
    """Paths in the file are relative to the file."""
    sections = {name: section if isinstance(section := tree.get(name), dict) else {} for name in ("data", "reading")}
    paths = ((tree, ("model", "output")), (sections["data"], ("train", "test")), (sections["reading"], ("weights",)))
    for group, keys in paths:
        for key in keys:
            if isinstance(group.get(key), str):
                group[key] = str(folder / group[key])


def _set(tree: dict[str, Any], path: list[str], value: Any) -> None:
    for key in path[:-1]:
        if not isinstance(tree.get(key), dict):
            tree[key] = {}
        tree = tree[key]
    tree[path[-1]] = value


def _known_keys(tree: dict[str, Any]) -> dict[str, Iterable[str]]:
    """The keys that exist under each key, to offer one for a misspelt key."""
    named: dict[str, dict[str, Any]] = {}  # what may be said of a layer, or an input, that the user has named
    overrides = (
        ("quantization", "layers", LayerOverrides),
        ("quantization", "inputs", InputOverrides),
        ("hardware", "layers", LayerPlan),
    )
    for group, key, described in overrides:
        section = tree.get(group)
        given = section.get(key) if isinstance(section, dict) else None
        for name in given if isinstance(given, dict) else ():
            named.setdefault(str(name), {}).update(described.model_fields)
    return {
        **named,
        "": Config.model_fields,
        "data": DataFiles.model_fields,
        "reading": ReadSettings.model_fields,
        "quantization": Quantization.model_fields,
        "optimization": Optimization.model_fields,
        "partial": PartialSettings.model_fields,
        "training": TrainingSettings.model_fields,
        "pruning": PruningSettings.model_fields,
        "search": SearchSettings.model_fields,
        "hardware": PlanSettings.model_fields,
        "goal": PlanGoal.model_fields,
        "budget": Budget.model_fields,
        "verification": Verification.model_fields,
    }
