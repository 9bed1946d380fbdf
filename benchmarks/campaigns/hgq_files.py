"""Damaged and hostile files of HGQ2: whatever the campaign of Keras' files does to them, quantizers that say something
else, and widths that are none.
"""

from __future__ import annotations

from random import Random
from typing import Any

import h5py
import numpy as np

from . import model_files, model_weights
from .sample_files import Campaign, on_tree
from .seeds import Seed
from .trees import Position, positions, replaced, value_at

PLACES = ("iq_conf", "kq_conf", "bq_conf", "oq_conf", "iq_confs", "config")
VALUES: list[Any] = [
    None, True, False, 0, 1, 2, -1, 64, 0.5, 1e300, float("nan"), float("inf"), "", "kbi", "kif", "float", "dummy",
    "RND", "rnd_conv", "S_RND", "TRN_ZERO", "WRAP", "SAT", "sat_sym", "WRAP_SM", [], [0], [-1], [3], [0, 1, 2, 3],
    ["x"], [1.5], [10**30], {}, [0.25, 0.5], "x" * 100_000,
]  # fmt: skip
WIDTHS = [0, 1, -1, 2, 7, 24, 48, 49, 63, 64, 65, -64, -65, 1e9, 1e38, float("nan"), float("inf"), 0.5, 255]
EQUATIONS = [
    "bc,cd->bd", "...c,cd->...d", "bnc,cd->bnd", "bc,dc->bd", "", "->", ",->", "bc", "bc,cd->bd,ef->gh", "(((", "\\1",
    "b.c,cd->b.d", "é,é->é", "a" * 10_000, "..." * 1_000, "bc,cd->b", "bb,bd->bd",
]  # fmt: skip


def _quantizers(tree: Any) -> list[Position]:
    """Return the places of the options of quantizers."""
    places = [p for p in positions(tree) if set(p) & set(PLACES)]
    found = [p for p in places if isinstance(value_at(tree, p), dict) and "q_type" in value_at(tree, p)]
    return found or [()]


def options(tree: Any, random: Random) -> Any:
    for _ in range(random.choice([1, 1, 2, 8])):
        place = random.choice(_quantizers(tree))
        tree = replaced(tree, (*place, random.choice(list(value_at(tree, place)))), random.choice(VALUES))
    return tree


def layer_options(tree: Any, random: Random) -> Any:
    keys = ("enable_iq", "enable_oq", "enable_ebops", "equation", "bias_axes", "axes", "activation", "groups", *PLACES)
    places = [p for p in positions(tree) if p and p[-1] in keys and p[:1] == ("config",)]
    position = random.choice(places)
    return replaced(tree, position, random.choice(EQUATIONS if position[-1] == "equation" else VALUES))


def widths(file: h5py.File, random: Random) -> None:
    """Change one element, or all, in a variable of a quantizer."""
    found: list[str] = []
    file.visititems(lambda name, item: found.append(name) if "quantizer/vars/" in name else None)
    for _ in range(random.choice([1, 1, 2, 8])):
        array = file[random.choice(found)]
        value, every = random.choice(WIDTHS), array[()]
        with np.errstate(invalid="ignore", over="ignore"):
            number = np.asarray(value, np.float64).astype(array.dtype)
        if random.random() < 0.5 or not every.size:
            array[...] = number
        else:
            every.reshape(-1)[random.randrange(every.size)] = number
            array[...] = every


def _of_widths(seed: Seed, random: Random) -> model_files.Made:
    return seed.with_hdf5(model_weights.changed(seed.hdf5, widths, random)), seed.suffix


CAMPAIGN = Campaign(
    "hgq2",
    {
        "options of quantizers": on_tree(options),
        "options of layers": on_tree(layer_options),
        "widths": _of_widths,
        **model_files.DAMAGED,
    },
)

if __name__ == "__main__":
    CAMPAIGN.run()
