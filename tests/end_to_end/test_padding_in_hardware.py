"""Zeros around an image in hardware: every beat and every cycle, without stalls and with random ones."""

from __future__ import annotations

import pytest
from padded import LAYERS, SETTINGS, network
from simulated import simulate
from specimens import Specimen

from dnn2fpga.plan.settings import PlanSettings


@pytest.mark.simulation
@pytest.mark.xdist_group("random_networks")
@pytest.mark.usefixtures("simulator")
@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_that_pads(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp() / "padding"
    specimen = Specimen(network(name), SETTINGS["shifted"], PlanSettings(), "random", 3, -1.0)
    outcome = simulate(specimen, specimen.quantize(), folder / "network", folder / "build")
    assert outcome.beats > 0
