"""Settings: ``dnn2fpga.yaml`` and the command line say the same things; the command line wins."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from dnn2fpga.config_files import read_yaml
from dnn2fpga.errors import UserError
from dnn2fpga.layers.scaling import Granularity, LayerSettings, Scales
from dnn2fpga.optimize.calibration import METHODS
from dnn2fpga.optimize.post_training import QuantizationSettings
from dnn2fpga.plan.hardware_plan import PlanSettings
from dnn2fpga.quantized_graph import Described
from dnn2fpga.validation import problems_of
from rtl_lib.arithmetic import Overflow, Rounding

DEFAULT_FILE = "dnn2fpga.yaml"

Bits = Annotated[int, Field(ge=2, le=16)]
Method = Annotated[str, Field(pattern="^(" + "|".join(METHODS) + ")$")]


class LayerOverrides(Described):
    """Settings of one layer; what is not given is the model's."""

    weight_bits: Bits | None = None
    activation_bits: Bits | None = None
    scales: Scales | None = None
    granularity: Granularity | None = None
    rounding: Rounding | None = None
    overflow: Overflow | None = None


class Quantization(Described):
    """How numbers become integers."""

    weight_bits: Bits = 8
    activation_bits: Bits = 8
    input_bits: Bits = 8
    output_bits: Bits = 16
    scales: Scales = Scales.POWER_OF_TWO
    granularity: Granularity = Granularity.PER_CHANNEL
    rounding: Rounding = Rounding.HALF_UP
    overflow: Overflow = Overflow.SATURATE
    calibration: Method = "min_max"
    calibration_samples: Annotated[int, Field(ge=1)] = 1000
    input_lanes: Annotated[int, Field(ge=1)] | None = None
    layers: dict[str, LayerOverrides] = Field(default_factory=dict)

    def settings(self) -> QuantizationSettings:
        names = [field.name for field in fields(LayerSettings)]
        return QuantizationSettings(
            defaults=LayerSettings(**{name: getattr(self, name) for name in names}),
            layers={name: overrides.model_dump(exclude_none=True) for name, overrides in self.layers.items()},
            input_bits=self.input_bits,
            output_bits=self.output_bits,
            input_lanes=self.input_lanes,
        )


class DataFiles(Described):
    """Files and the names of the arrays in them."""

    calibration: Path | None = None
    test: Path | None = None
    x: str = "x"
    y: str = "y"


class Verification(Described):
    """How much is simulated."""

    frames: Annotated[int, Field(ge=1)] | None = None  # of the test data; all when absent
    stalls: Annotated[str, Field(pattern="^(none|source|sink|random|burst|full)$")] = "none"  # in the bulk run
    seed: int = 1
    jobs: Annotated[int, Field(ge=1)] = 2


class Config(Described):
    """Everything ``dnn2fpga.yaml`` may say. Paths are relative to the file."""

    model: Path | None = None
    output: Path = Path("work")
    data: DataFiles = Field(default_factory=DataFiles)
    quantization: Quantization = Field(default_factory=Quantization)
    hardware: PlanSettings = Field(default_factory=PlanSettings)
    verification: Verification = Field(default_factory=Verification)
    board: str | None = None
    clock_mhz: Annotated[float, Field(gt=0)] | None = None


def load_config(file: Path | None, overrides: dict[str, Any]) -> Config:
    """The settings of ``file`` (or of ``dnn2fpga.yaml`` here, if there is one) with ``overrides`` on top.

    :param overrides: by dotted key (``quantization.weight_bits``); None means not given.
    :raises UserError: for every unknown key and wrong value.
    """
    file = file or (Path(DEFAULT_FILE) if Path(DEFAULT_FILE).is_file() else None)
    tree: dict[str, Any] = (read_yaml(file) or {}) if file else {}
    if not isinstance(tree, dict):
        raise UserError(f"{file}: must hold settings by name, not {type(tree).__name__}")
    _from_file_folder(tree, file.parent if file else Path())
    for dotted, value in overrides.items():
        if value is not None:
            _set(tree, dotted.split("."), value)
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise UserError(problems_of(error, file or Path("command line"), _known_keys(tree))) from error


def _from_file_folder(tree: dict[str, Any], folder: Path) -> None:
    """Paths in the file are relative to the file."""
    data = tree.get("data")
    for group, keys in ((tree, ("model", "output")), (data if isinstance(data, dict) else {}, ("calibration", "test"))):
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
    quantization = tree.get("quantization")
    layers = quantization.get("layers") if isinstance(quantization, dict) else None
    return {
        **({str(name): LayerOverrides.model_fields for name in layers} if isinstance(layers, dict) else {}),
        "": Config.model_fields,
        "data": DataFiles.model_fields,
        "quantization": Quantization.model_fields,
        "hardware": PlanSettings.model_fields,
        "verification": Verification.model_fields,
    }
