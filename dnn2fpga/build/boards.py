"""Boards as data: one YAML file each in `boards/`; docs/adding_a_board.md explains every key."""

from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from dnn2fpga.errors import UserError
from dnn2fpga.shipped_files import shipped_folder
from dnn2fpga.validation import problems_of

# These strings go into Tcl, so none of them may hold a character that Tcl treats specially.
_Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
_Part = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]+$")]
_Port = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]*$")]
_Title = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9 .,+()/-]+$")]


class Vendor(StrEnum):
    """Who makes the FPGA, and so whose tools build for it."""

    XILINX = "xilinx"


class Source(StrEnum):
    """Where a clock or reset comes from."""

    PIN = "pin"
    PROCESSING_SYSTEM = "processing_system"


class Active(StrEnum):
    """The level at which a reset resets."""

    LOW = "low"
    HIGH = "high"


class Interface(StrEnum):
    """How a host reaches the accelerator on this board."""

    USB_UART = "usb_uart"
    PROCESSING_SYSTEM = "processing_system"


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Signal(_Data):
    source: Source
    port: _Port
    io_standard: _Port | None = None

    @model_validator(mode="after")
    def _only_pins_have_a_standard(self) -> Self:
        if self.source is Source.PIN and self.io_standard is None:
            raise ValueError("io_standard must be given for a pin")
        if self.source is Source.PROCESSING_SYSTEM and self.io_standard is not None:
            raise ValueError("io_standard must not be given for a port of the processing system")
        return self


class Clock(_Signal):
    """A clock that the board offers: `port` is a package pin or a port of the processing system."""

    mhz: float = Field(gt=0, allow_inf_nan=False)


class Reset(_Signal):
    """The board's reset: `port` as in `Clock`."""

    active: Active


class Resources(_Data):
    """What the FPGA holds: 6-input LUTs, flip-flops, 36 Kbit block RAMs, DSP blocks."""

    lut: PositiveInt
    ff: PositiveInt
    bram36: NonNegativeInt
    dsp: NonNegativeInt


class Timing(_Data):
    """Rough delays of the FPGA, from which the depth of pipelines is chosen: what a register needs (clock to output,
    setup, routing to the next logic), and one adder with the routing behind it.
    """

    register_ns: float = Field(gt=0, allow_inf_nan=False)
    adder_ns: float = Field(gt=0, allow_inf_nan=False)

    def adders_within(self, clock_mhz: float) -> int:
        """How many adders in a row fit between two registers, at least one."""
        return max(1, int((1000 / clock_mhz - self.register_ns) / self.adder_ns))


class Board(_Data):
    """One board. The first of `clocks` is the one a build uses unless a frequency is asked for."""

    name: _Name
    title: _Title
    vendor: Vendor
    family: _Name
    part: _Part
    clocks: tuple[Clock, ...]
    reset: Reset
    resources: Resources
    timing: Timing
    interface: Interface
    clock_buffer: _Port | None = None

    @field_validator("clocks")
    @classmethod
    def _at_least_one_clock(cls, clocks: tuple[Clock, ...]) -> tuple[Clock, ...]:
        if not clocks:
            raise ValueError("must list at least one clock")
        return clocks


_KNOWN_KEYS = {
    "": Board.model_fields,
    "clocks": Clock.model_fields,
    "reset": Reset.model_fields,
    "resources": Resources.model_fields,
    "timing": Timing.model_fields,
}


def available_boards() -> tuple[str, ...]:
    """The names of all boards, sorted."""
    return tuple(sorted(file.stem for file in shipped_folder("boards").glob("*.yaml")))


def load_board(name: str) -> Board:
    """Read the board `name`.

    Raises `UserError` when there is no such board, or when its file is not a valid one (all problems at once).
    """
    available = available_boards()
    if name not in available:
        close = get_close_matches(name.lower(), available, n=1)
        hint = f"; did you mean '{close[0]}'?" if close else ""
        raise UserError(f"board must be one of {', '.join(available)}, not '{name}'{hint}")
    return read_board(shipped_folder("boards") / f"{name}.yaml")


def read_board(file: Path) -> Board:
    """Read one board file; raises `UserError` with all its problems."""
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{file}: cannot be read as YAML: {error}") from error
    try:
        board = Board.model_validate(data)
    except ValidationError as error:
        raise UserError(problems_of(error, file, _KNOWN_KEYS)) from error
    if board.name != file.stem:
        raise UserError(f"{file}: name must be the name of the file, '{file.stem}', not '{board.name}'")
    return board
