"""The estimate of power and energy: what it must scale with, and what it is told by a simulation."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bare_bundle
import numpy as np
import pytest
import tiny
from command_line import Outcome

from dnn2fpga.build import power
from dnn2fpga.build.boards import available_boards, load_board
from dnn2fpga.build.families import FAMILIES
from dnn2fpga.build.power import DEFAULT_TOGGLE_RATE, KINDS, estimate_power
from dnn2fpga.errors import UserError
from dnn2fpga.generate.bundle import write_bundle
from dnn2fpga.generate.manifest import Manifest, read_manifest
from dnn2fpga.generate.vectors import write_vectors
from dnn2fpga.graph import files as config_files
from dnn2fpga.graph.quantized import QuantizedGraph
from dnn2fpga.plan.hardware_plan import plan
from dnn2fpga.verify import checker
from dnn2fpga.verify.activity import measure_activity

ARTY = load_board("arty_a7_100t")
LAYERS = {
    "input": {"lut": 0.0, "ff": 10.0, "dsp": 0.0, "bram18": 0.0},
    "conv": {"lut": 1000.0, "ff": 500.0, "dsp": 4.0, "bram18": 0.0},
    "dense": {"lut": 200.0, "ff": 100.0, "dsp": 0.0, "bram18": 2.0},
}
_BOUNDARY = bare_bundle.MANIFEST["boundaries"][1] | {"busy_cycles": 100}
MANIFEST = Manifest.model_validate_json(
    json.dumps(
        bare_bundle.MANIFEST
        | {
            "interval_cycles": 400,
            "boundaries": [_BOUNDARY | {"tensor": name, "resources": used} for name, used in LAYERS.items()],
        }
    )
)


def activity(**rates: float) -> dict[str, Any]:
    layers = {name: {"bits": 8, "toggles_per_cycle": 8 * rates.get(name, 0.0)} for name in LAYERS}
    return {"frames": 2, "layers": layers}


def test_by_hand() -> None:
    found = estimate_power(MANIFEST, ARTY, 50, activity(conv=0.5, dense=0.1))
    conv = {"clock": 500 * 0.028, "ff": 500 * 0.5 * 0.13, "lut": 1000 * 0.5 * 0.25, "dsp": 4 * 0.5 * 30, "bram18": 0}
    dense = {"clock": 100 * 0.028, "ff": 100 * 0.1 * 0.13, "lut": 200 * 0.1 * 0.25, "dsp": 0, "bram18": 2 * 0.25 * 11}
    of_input = {"clock": 10 * 0.028, "ff": 0, "lut": 0, "dsp": 0, "bram18": 0}
    # picojoules a cycle at 50 MHz: microwatts
    for layer, picojoules in zip(found.layers, (of_input, conv, dense), strict=True):
        assert layer.milliwatts == pytest.approx({kind: 0.050 * picojoules[kind] for kind in KINDS})
    total = sum(sum(one.values()) for one in (of_input, conv, dense)) * 0.050
    assert found.dynamic_mw == pytest.approx(total)
    assert sum(found.dynamic_mw_by_kind.values()) == pytest.approx(total)
    assert found.static_mw == pytest.approx(60 + 0.62 * 63.4)
    assert found.frames_per_second == 125_000
    assert found.dynamic_energy_per_frame_uj == pytest.approx(total * 1e-3 * 400 / 50e6 * 1e6)
    assert found.energy_per_frame_uj == pytest.approx((total + found.static_mw) * 1e-3 * 400 / 50e6 * 1e6)
    assert json.loads(found.model_dump_json())["dynamic_mw"] == pytest.approx(total)


def test_twice_the_clock_is_twice_the_power_and_the_same_dynamic_energy() -> None:
    slow, fast = (estimate_power(MANIFEST, ARTY, clock, activity(conv=0.3)) for clock in (50, 100))
    assert fast.dynamic_mw == pytest.approx(2 * slow.dynamic_mw)
    assert fast.dynamic_energy_per_frame_uj == pytest.approx(slow.dynamic_energy_per_frame_uj)
    assert fast.static_mw == slow.static_mw
    assert fast.energy_per_frame_uj < slow.energy_per_frame_uj  # leakage has less time


def test_energy_goes_with_the_interval() -> None:
    longer = MANIFEST.model_copy(update={"interval_cycles": 800})
    one, two = (estimate_power(m, ARTY, 100, activity(conv=0.3, dense=0.3)) for m in (MANIFEST, longer))
    always = [kind for kind in KINDS if kind != "bram18"]  # which rests half of the time
    assert [two.dynamic_mw_by_kind[kind] for kind in always] == [one.dynamic_mw_by_kind[kind] for kind in always]
    assert two.dynamic_mw_by_kind["bram18"] == one.dynamic_mw_by_kind["bram18"] / 2
    assert two.frames_per_second == one.frames_per_second / 2


def test_when_nothing_toggles_only_clock_and_memories_take_power() -> None:
    found = estimate_power(MANIFEST, ARTY, 100, activity())
    assert {kind for kind, milliwatts in found.dynamic_mw_by_kind.items() if milliwatts} == {"clock", "bram18"}


def test_without_a_simulation_the_default_rate_is_used_and_said() -> None:
    same = dict.fromkeys(LAYERS, DEFAULT_TOGGLE_RATE)
    without, given = estimate_power(MANIFEST, ARTY, 100), estimate_power(MANIFEST, ARTY, 100, activity(**same))
    assert without.dynamic_mw == pytest.approx(given.dynamic_mw)
    assert "12.5% of all bits toggle in a cycle: nothing was simulated" in without.assumptions
    assert "toggle rates of the registers simulated on 2 frames; LUTs and DSP blocks alike" in given.assumptions
    for found in (without, given):
        assert found.assumptions[0].startswith(
            "an estimate, good for the order of magnitude; no constant was calibrated"
        )


def test_a_layer_without_registers_switches_as_the_others() -> None:
    rates = activity(conv=0.4)
    rates["layers"]["dense"] = {"bits": 0, "toggles_per_cycle": 0.0}
    found = estimate_power(MANIFEST, ARTY, 100, rates)
    assert [layer.toggle_rate for layer in found.layers] == pytest.approx([0, 0.4, 0.2])


def test_counted_resources_replace_the_estimates() -> None:
    counted = {name: {kind: 2 * n for kind, n in used.items()} for name, used in LAYERS.items()}
    found = estimate_power(MANIFEST, ARTY, 100, resources=counted)
    assert found.dynamic_mw == pytest.approx(2 * estimate_power(MANIFEST, ARTY, 100).dynamic_mw)
    assert "resources: as given" in found.assumptions


@pytest.mark.parametrize("name", available_boards())
def test_every_board_has_constants(name: str) -> None:
    found = estimate_power(MANIFEST, load_board(name), 10)
    assert all(found.dynamic_mw_by_kind[kind] > 0 for kind in KINDS)
    assert found.static_mw > 0


def test_a_family_without_energies_of_its_own_is_scaled_by_voltage_and_process() -> None:
    constants = power._constants()
    assert set(constants.families) == set(FAMILIES)
    assert constants.energies_pj("artix7") == pytest.approx(constants.reference.energy_pj)
    scale = 1.1**2 * 40 / 28
    assert constants.energies_pj("ecp5")["lut"] == pytest.approx(0.25 * scale)
    assert constants.energies_pj("ice40")["clock"] == 0.01


def test_the_trunk_of_the_clock_belongs_to_no_layer() -> None:
    (of_input, *_) = estimate_power(MANIFEST, load_board("icebreaker"), 12).layers
    assert of_input.milliwatts["clock"] == pytest.approx(12e-3 * (53 + 10 * 0.01))


def test_a_design_that_does_not_fit_is_said() -> None:
    huge = {name: {kind: 1000 * n for kind, n in used.items()} for name, used in LAYERS.items()}
    note = estimate_power(MANIFEST, ARTY, 100, resources=huge).assumptions[-1]
    assert note.startswith("the design does not fit: it needs 1,200,000 of 63,400 lut, ")
    assert not any("does not fit" in text for text in estimate_power(MANIFEST, ARTY, 100).assumptions)


def test_errors() -> None:
    with pytest.raises(
        UserError, match=r"power can be estimated for artix7, .*, not for 'spartan2'; add it to power\.yaml"
    ):
        estimate_power(MANIFEST, ARTY.model_copy(update={"family": "spartan2"}), 100)
    with pytest.raises(UserError, match="the clock must be a positive number of MHz, not 0"):
        estimate_power(MANIFEST, ARTY, 0)
    with pytest.raises(UserError, match="the activity must have every layer of the bundle, but conv is missing"):
        estimate_power(MANIFEST, ARTY, 100, {"frames": 1, "layers": {"input": {}, "dense": {}}})
    with pytest.raises(
        UserError, match="the resources must have every layer of the bundle, but conv, dense is missing"
    ):
        estimate_power(MANIFEST, ARTY, 100, resources={"input": LAYERS["input"]})


@pytest.fixture(scope="module")
def graph_and_bundle(tmp_path_factory: pytest.TempPathFactory) -> tuple[QuantizedGraph, Path]:
    folder = tmp_path_factory.mktemp("power")
    config_files.save(tiny.quantized_graph(), folder)
    graph = config_files.load(folder)
    write_bundle(graph, plan(graph), folder / "bundle", tiny.samples())
    return graph, folder / "bundle"


def measured(graph: QuantizedGraph, bundle: Path, q: np.ndarray) -> dict[str, Any]:
    write_vectors(graph, read_manifest(bundle / "manifest.json").pixels, q, bundle.parent / "vectors", "test")
    try:
        return measure_activity(bundle, bundle.parent / "build", vectors=bundle.parent / "vectors")
    except UserError as error:
        if "must be on PATH" in str(error) and not os.environ.get("CI"):
            pytest.skip(f"no simulator: {error}")
        raise


@pytest.mark.simulation
def test_frames_of_zeros_switch_less_than_random_ones(graph_and_bundle: tuple[QuantizedGraph, Path]) -> None:
    graph, bundle = graph_and_bundle
    manifest = read_manifest(bundle / "manifest.json")
    f = graph.input.format
    noise = np.random.default_rng(0).integers(f.minimum, f.maximum + 1, (4, *tiny.INPUT_SHAPE))
    zeros, random = (measured(graph, bundle, q) for q in (np.zeros_like(noise), noise))
    assert list(random["layers"]) == [b.tensor for b in manifest.boundaries]
    assert random["cycles"] == 4 * manifest.interval_cycles
    toggles = [sum(layer["toggles_per_cycle"] for layer in a["layers"].values()) for a in (zeros, random)]
    assert 0 < toggles[0] < 0.8 * toggles[1]  # counters of pixels continue
    assert zeros["layers"]["conv"]["toggles_per_cycle"] < random["layers"]["conv"]["toggles_per_cycle"]
    quiet, loud = (estimate_power(manifest, ARTY, 100, a) for a in (zeros, random))
    assert quiet.dynamic_mw < loud.dynamic_mw
    assert quiet.dynamic_mw_by_kind["clock"] == loud.dynamic_mw_by_kind["clock"]


@pytest.mark.simulation
def test_the_bundle_measures_itself(graph_and_bundle: tuple[QuantizedGraph, Path]) -> None:
    graph, bundle = graph_and_bundle
    measured(graph, bundle, np.zeros((1, *tiny.INPUT_SHAPE), int))  # or skip
    steps: list[tuple[str, int, int]] = []
    found = measure_activity(bundle, bundle.parent / "build", lambda *step: steps.append(step), frames=3)
    assert found["frames"] == 3
    assert steps == [("measuring activity", 0, 1), ("measuring activity", 1, 1)]
    # The same frames give the same counts.
    assert measure_activity(bundle, bundle.parent / "build", frames=3) == found


def test_what_cannot_be_measured_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"could not run: .*manifest\.json: cannot be read"):
        measure_activity(tmp_path, tmp_path / "build")
    failed = subprocess.CompletedProcess([], 2, "", "error: g++ must be on PATH")
    monkeypatch.setattr(checker, "run_program", lambda *_, **__: failed)
    with pytest.raises(UserError, match=r"^the simulation could not run: g\+\+ must be on PATH$"):
        measure_activity(tmp_path, tmp_path / "build")


def test_the_command(dnn2fpga: Callable[..., Outcome], tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    config_files.save(tiny.quantized_graph(), tmp_path / "w")
    assert dnn2fpga("generate", "w", "--board", "icebreaker").code == 0
    done = dnn2fpga("power", "w", "--board", "icebreaker", "--no-simulation")
    assert done.code == 0, done.err
    assert "icebreaker at 12 MHz, estimated" in done.out
    assert "assumed: resources: the estimates of the plan, for the family ice40" in done.out
    assert "assumed: 12.5% of all bits toggle in a cycle: nothing was simulated" in done.out
    kept = json.loads((tmp_path / "w" / "power.json").read_text())
    assert kept["dynamic_mw"] > 0
    assert dnn2fpga("power", "w").code == 2
