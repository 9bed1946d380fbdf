"""Random graphs as simulated Verilog: every beat at every boundary, every predicted cycle, every pattern of stalls.

    python benchmarks/random_graphs.py --count 300 --seed 0 --jobs 2

As ``random_networks.py``, with networks of 5 to 20 nodes that branch (tests/graph_specimens.py): forks, joins of every
kind, shortcuts across strides, several inputs and outputs. Each is simulated without stalls and under each pattern of
stalls, in which no beat may differ and none may be missing: a design that hangs fails. The result is written to
docs/measurements/random_graphs.md.
"""

from __future__ import annotations

import sys

from hypothesis.strategies import SearchStrategy
from random_networks import Series, main

# These lie beside the tests, to which random_networks shows the way.
from graph_specimens import graph_specimens  # isort: skip
from specimens import Specimen  # isort: skip
from stalls import PATTERNS  # isort: skip


def graphs() -> SearchStrategy[Specimen]:
    """Return the strategy. It is not hypothesis' own object, which no other process can be sent."""
    return graph_specimens()


GRAPHS = Series(
    "Random graphs",
    "random_graphs",
    graphs,
    count=300,
    stalls=tuple(pattern for pattern in PATTERNS if pattern != "none"),
)

if __name__ == "__main__":
    sys.exit(main(series=GRAPHS))
