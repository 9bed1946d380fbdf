"""Power and energy of a design, estimated from what it consists of and how much of it switches (docs/power.md).

    dynamic power = clock · Σ (resources × activity × energy)      energy of a frame = power · interval / clock

The energies are data (``power.yaml``), of the order of magnitude and not calibrated on a board.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, computed_field

from dnn2fpga.build.boards import Board
from dnn2fpga.errors import UserError
from dnn2fpga.files.described import Described
from dnn2fpga.files.yaml_files import read_yaml
from dnn2fpga.generate.manifest import BoundaryRecord, Manifest

CONSTANTS = Path(__file__).with_name("power.yaml")
DEFAULT_TOGGLE_RATE = 0.125  # of all bits in a cycle: what Xilinx's estimator assumes, too (UG440)
KINDS = ("clock", "ff", "lut", "dsp", "bram18")

_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Static(Described):
    base: _Amount
    per_klut: _Amount  # of the device, used or not


class _Constants(Described):
    """The constants of one family, or of the reference that others are scaled from."""

    core_v: _Positive
    node_nm: _Positive
    energy_pj: dict[str, _Positive] = Field(default_factory=dict)
    clock_tree_pj: _Amount = 0.0
    static_mw: _Static = _Static(base=0, per_klut=0)
    basis: str = ""


class _File(Described):
    reference: _Constants
    families: dict[str, _Constants]

    def energies_pj(self, family: str) -> dict[str, float]:
        """Return the energy per toggle in pJ by kind: capacitance scales with the size of the process, energy with that
        and the square of the voltage.
        """
        own, reference = self.families[family], self.reference
        scale = own.core_v**2 * own.node_nm / (reference.core_v**2 * reference.node_nm)
        return {kind: own.energy_pj.get(kind, reference.energy_pj[kind] * scale) for kind in KINDS}


class LayerPower(Described):
    """Dynamic power of one layer, by kind; ``input`` has what belongs to no layer."""

    layer: str
    toggle_rate: float  # the part of the register bits that toggle in a cycle
    milliwatts: dict[str, float]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def dynamic_mw(self) -> float:
        return sum(self.milliwatts.values())


class PowerEstimate(Described):
    """Power while frames pass back to back, and the energy of one of them. An estimate, under these assumptions."""

    board: str
    clock_mhz: float
    interval_cycles: int
    static_mw: float
    layers: tuple[LayerPower, ...]
    assumptions: tuple[str, ...]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def dynamic_mw_by_kind(self) -> dict[str, float]:
        return {kind: sum(layer.milliwatts[kind] for layer in self.layers) for kind in KINDS}

    @computed_field  # type: ignore[prop-decorator]
    @property
    def dynamic_mw(self) -> float:
        return sum(layer.dynamic_mw for layer in self.layers)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def frames_per_second(self) -> float:
        return self.clock_mhz * 1e6 / self.interval_cycles

    @computed_field  # type: ignore[prop-decorator]
    @property
    def dynamic_energy_per_frame_uj(self) -> float:
        return self.dynamic_mw * 1e3 / self.frames_per_second

    @computed_field  # type: ignore[prop-decorator]
    @property
    def energy_per_frame_uj(self) -> float:
        """The energy per frame, with the static power of the whole device over the time of a frame."""
        return (self.static_mw + self.dynamic_mw) * 1e3 / self.frames_per_second


def estimate_power(
    manifest: Manifest,
    board: Board,
    clock_mhz: float,
    activity: Mapping[str, Any] | None = None,
    resources: Mapping[str, Mapping[str, float]] | None = None,
) -> PowerEstimate:
    """Estimate the power of a bundle's design on a board.

    :param activity: what ``measure_activity`` found; absent: every bit toggles at ``DEFAULT_TOGGLE_RATE``.
    :param resources: ``lut``, ``ff``, ``dsp`` and ``bram18`` of every layer (and of ``input``); absent: the estimates
        of the manifest.
    :raises UserError: when a constant, a layer or a clock is missing.
    """
    if not 0 < clock_mhz < float("inf"):
        raise UserError(f"the clock must be a positive number of MHz, not {clock_mhz}")
    constants = _constants()
    if board.family not in constants.families:
        known = ", ".join(constants.families)
        raise UserError(f"power can be estimated for {known}, not for '{board.family}'; add it to {CONSTANTS.name}")
    family, energies = constants.families[board.family], constants.energies_pj(board.family)
    boundaries = manifest.boundaries
    used = resources if resources is not None else {b.tensor: b.resources for b in boundaries}
    rates = _toggle_rates(boundaries, activity)
    _require_layers("the resources", boundaries, used)
    layers = []
    for boundary in boundaries:
        name = boundary.tensor
        busy = min(1.0, boundary.busy_cycles / manifest.interval_cycles)
        picojoules = _energy_per_cycle(used[name], rates[name], busy, energies)
        if boundary is boundaries[0]:
            picojoules["clock"] += family.clock_tree_pj
        # 1 pJ in every cycle of 1 MHz is 1 µW
        milliwatts = {kind: energy * clock_mhz / 1e3 for kind, energy in picojoules.items()}
        layers.append(LayerPower(layer=name, toggle_rate=rates[name], milliwatts=milliwatts))
    source = "as given" if resources else f"the estimates of the plan, for the family {manifest.family}"
    return PowerEstimate(
        board=board.name,
        clock_mhz=clock_mhz,
        interval_cycles=manifest.interval_cycles,
        static_mw=family.static_mw.base + family.static_mw.per_klut * board.resources.lut / 1000,
        layers=tuple(layers),
        assumptions=(*_assumptions(board, family, activity, source), *_too_large(board, used)),
    )


def _energy_per_cycle(
    used: Mapping[str, float], rate: float, busy: float, energies: Mapping[str, float]
) -> dict[str, float]:
    """Return the energy per cycle in picojoules, by kind. LUTs and DSP blocks switch as the registers around them
    do.
    """
    amounts = {
        "clock": used["ff"],
        "ff": used["ff"] * rate,
        "lut": used["lut"] * rate,
        "dsp": used["dsp"] * rate,
        "bram18": used["bram18"] * busy,
    }
    return {kind: amounts[kind] * energies[kind] for kind in KINDS}


def _toggle_rates(boundaries: Sequence[BoundaryRecord], activity: Mapping[str, Any] | None) -> dict[str, float]:
    """Return the toggle rate by layer. One without registers switches as the design does on average."""
    if activity is None:
        return {b.tensor: DEFAULT_TOGGLE_RATE for b in boundaries}
    layers = activity["layers"]
    _require_layers("the activity", boundaries, layers)
    bits = sum(layer["bits"] for layer in layers.values())
    average = sum(layer["toggles_per_cycle"] for layer in layers.values()) / bits if bits else 0.0
    return {
        name: found["toggles_per_cycle"] / found["bits"] if found["bits"] else average for name, found in layers.items()
    }


def _require_layers(what: str, boundaries: Sequence[BoundaryRecord], given: Mapping[str, Any]) -> None:
    if missing := [b.tensor for b in boundaries if b.tensor not in given]:
        raise UserError(
            f"{what} must have every layer of the bundle, but {', '.join(missing)} is missing; measure again"
        )


def _assumptions(board: Board, family: _Constants, activity: Mapping[str, Any] | None, source: str) -> tuple[str, ...]:
    if activity is None:
        rate = f"{DEFAULT_TOGGLE_RATE:.1%} of all bits toggle in a cycle: nothing was simulated"
    else:
        rate = f"toggle rates of the registers simulated on {activity['frames']} frames; LUTs and DSP blocks alike"
    return (
        "an estimate, good for the order of magnitude; no constant was calibrated on a board (docs/power.md)",
        f"energies: {family.basis}, at {family.core_v:g} V",
        f"static power: the whole device ({board.part}), at 25 °C",
        rate,
        f"resources: {source}",
        "frames come back to back, none waits",
        "left out: inputs and outputs, PLL, host link, processors, regulators, glitches",
    )


def _too_large(board: Board, used: Mapping[str, Mapping[str, float]]) -> tuple[str, ...]:
    held = {"lut": board.resources.lut, "ff": board.resources.ff, "dsp": board.resources.dsp, "bram18": board.bram18}
    needed = {kind: sum(layer[kind] for layer in used.values()) for kind in held}
    over = [f"{needed[kind]:,.0f} of {held[kind]:,} {kind}" for kind in held if needed[kind] > held[kind]]
    return (f"the design does not fit: it needs {', '.join(over)}",) if over else ()


def _constants() -> _File:
    return _File.model_validate(read_yaml(CONSTANTS))
