"""Boards as data: one YAML file each in `boards/`; docs/adding_a_board.md explains every key."""

import importlib
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self

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

from dnn2fpga.build.families import FAMILIES, Family
from dnn2fpga.errors import UserError
from dnn2fpga.files.shipped import shipped_folder
from dnn2fpga.files.validation import problems_of
from dnn2fpga.files.yaml_files import read_yaml

# These strings go into Tcl, so none of them may hold a character that Tcl treats specially.
_Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
_Part = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9/-]+$")]
_Site = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]*$")]
_Title = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9 .,+()/-]+$")]
_Platform = Annotated[str, StringConstraints(pattern=r"^amaranth_boards(\.[a-z][a-z0-9_]*)+\.[A-Za-z][A-Za-z0-9_]*$")]
SLOWEST_MHZ, FASTEST_MHZ = 1, 1000
_Megahertz = Annotated[float, Field(ge=SLOWEST_MHZ, le=FASTEST_MHZ, allow_inf_nan=False)]


class Interface(StrEnum):
    """The interface by which a host reaches the accelerator on a board."""

    UART = "uart"
    PROCESSING_SYSTEM = "processing_system"
    NONE = "none"  # only out of context


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Uart(_Data):
    """The serial line to the host. ``drive``: other outputs of the platform that must stay at a level for it."""

    baud: int = Field(ge=1200, le=12_000_000)
    drive: dict[_Name, bool] = Field(default_factory=dict)


class Pins(NamedTuple):
    """``platform``: the class of amaranth-boards."""

    platform: Any
    oscillator_mhz: float
    uart: Uart


class Resources(_Data):
    """The resources of the FPGA: LUTs, flip-flops, block RAMs and DSP blocks, as its family counts them
    (families.py).
    """

    lut: PositiveInt
    ff: PositiveInt
    bram: NonNegativeInt
    dsp: NonNegativeInt


class Timing(_Data):
    """Rough delays of the FPGA, from which the depth of pipelines is chosen: what a register needs (clock to output,
    setup, routing to the next logic), and one adder with the routing after it.
    """

    register_ns: float = Field(gt=0, allow_inf_nan=False)
    adder_ns: float = Field(gt=0, allow_inf_nan=False)

    def adders_within(self, clock_mhz: float) -> int:
        """Return how many adders in a row fit between two registers, at least one."""
        return max(1, int((1000 / clock_mhz - self.register_ns) / self.adder_ns))


class Board(_Data):
    """One board; docs/adding_a_board.md explains every key."""

    name: _Name
    title: _Title
    family: _Name
    part: _Part
    clock_mhz: _Megahertz  # the target, unless another is asked for
    oscillator_mhz: _Megahertz | None = None  # of the platform's default clock
    platform: _Platform | None = None
    interface: Interface
    uart: Uart | None = None
    resources: Resources
    timing: Timing
    clock_buffer: _Site | None = None

    @field_validator("family")
    @classmethod
    def _known_family(cls, family: str) -> str:
        if family not in FAMILIES:
            raise ValueError(f"must be one of {', '.join(FAMILIES)}")
        return family

    @model_validator(mode="after")
    def _has_what_its_interface_needs(self) -> Self:
        needed = ("oscillator_mhz", "platform", "uart")
        given = [name for name in needed if getattr(self, name) is not None]
        if self.interface is Interface.UART and len(given) < len(needed):
            missing = ", ".join(name for name in needed if name not in given)
            raise ValueError(f"interface 'uart' needs {missing}")
        if self.interface is not Interface.UART and given:
            raise ValueError(f"{', '.join(given)} must not be given for interface '{self.interface}'")
        return self

    @property
    def pins(self) -> Pins:
        """Return platform, oscillator and serial line of a board that has a serial line.

        :raises UserError: when this one has none.
        """
        if self.platform is None or self.oscillator_mhz is None or self.uart is None:
            raise UserError(
                f"{self.name}: has no serial line and no pins of its own (interface '{self.interface}'); boards with a "
                "processor are driven with dnn2fpga.drive.pynq"
            )
        module, name = self.platform.rsplit(".", 1)
        return Pins(getattr(importlib.import_module(module), name), self.oscillator_mhz, self.uart)

    @property
    def architecture(self) -> Family:
        return FAMILIES[self.family]

    def target_mhz(self, asked: float | None) -> float:
        """The clock to build for: the one that is asked for, or else the board's.

        :raises UserError: when it is out of every FPGA's reach.
        """
        mhz = self.clock_mhz if asked is None else asked
        if not SLOWEST_MHZ <= mhz <= FASTEST_MHZ:
            raise UserError(f"the clock must be {SLOWEST_MHZ} to {FASTEST_MHZ} MHz, not {mhz:g}")
        return mhz

    @property
    def bram18(self) -> int:
        """Block RAMs in units of 18 Kbit, as the estimates count them."""
        return self.resources.bram * self.architecture.bram_kbit // 18


_KNOWN_KEYS = {
    "": Board.model_fields,
    "uart": Uart.model_fields,
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
        board = Board.model_validate(read_yaml(file))
    except ValidationError as error:
        raise UserError(problems_of(error, file, _KNOWN_KEYS)) from error
    if board.name != file.stem:
        raise UserError(f"{file}: name must be the name of the file, '{file.stem}', not '{board.name}'")
    return board
