"""A handful of random graphs as simulated Verilog; ``benchmarks/random_graphs.py`` runs hundreds like them."""

from __future__ import annotations

from pathlib import Path

import pytest
from graph_specimens import graph_specimens
from simulated import simulate
from specimens import Specimen, on_a_random_network
from stalls import PATTERNS

# In 16, 10021 and 10022, frames leave faster than the slowest layer can go on, for up to 148 frames: it has a lead at
# first. In 48 and 10061, they come in bursts of three and of seven.
GRAPHS = (0, 1, 2, 3, 4, 5, 16, 48, 10021, 10022, 10061)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all: the simulator's own runtime is compiled once."""
    return tmp_path_factory.mktemp("random")


@pytest.mark.simulation
@pytest.mark.xdist_group("random_graphs")
@pytest.mark.usefixtures("simulator")
@pytest.mark.parametrize("seed", GRAPHS)
def test_nothing_hangs_and_every_beat_and_cycle_is_right(seed: int, folder: Path) -> None:
    compared = []
    stalls = [pattern for pattern in PATTERNS if pattern != "none"]

    def check(specimen: Specimen) -> None:
        network, build = folder / "network", folder / "build"
        compared.append(simulate(specimen, specimen.quantize(), network, build, stalls).beats)

    on_a_random_network(seed, check, graph_specimens)
    assert len(compared) == 1
    assert compared[0] > 0
