"""Columns of a matrix made from other columns: ``column = ± parent + difference`` where the difference has few digits.

The first stage of da4ml (arXiv 2507.04535) finds a minimum spanning tree of all columns; here no column is further than
one step from one that stands for itself, because every step is a sum that must wait for its parent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rtl_lib.matrix.parallel.signed_digits import canonical_signed_digits

# Above this many columns the distances need too long.
MOST_COLUMNS = 256
# The part of all digits that must disappear. Sharing finds most of what random columns have in common (six random
# matrices with savings of 5 to 24 % became 0 to 1 % smaller, and a level deeper), so it must be more than that.
WORTHWHILE = 0.3


class Derivation(NamedTuple):
    """``± parent + difference``."""

    parent: int
    negative: bool
    difference: np.ndarray


def derive(columns: Sequence[np.ndarray]) -> list[Derivation | None]:
    """Return for every column the one that it is derived from, or none; the largest savings of digits first."""
    derivations: list[Derivation | None] = [None] * len(columns)
    if not 1 < len(columns) <= MOST_COLUMNS:
        return derivations
    matrix = np.stack(columns)
    alone = _digits(matrix)
    savings = []
    for parent, column in enumerate(matrix):
        for negative in (False, True):
            saved = alone - 1 - _digits(matrix + column if negative else matrix - column)
            savings += [
                (int(saved[child]), parent, int(child), negative)
                for child in np.flatnonzero(saved > 0)
                if child != parent
            ]
    is_parent = [False] * len(columns)
    saved_digits = 0
    for digits, parent, child, negative in sorted(savings, key=lambda saving: (-saving[0], saving[1:])):
        if derivations[child] is None and derivations[parent] is None and not is_parent[child]:
            sign = -1 if negative else 1
            derivations[child] = Derivation(parent, negative, matrix[child] - sign * matrix[parent])
            is_parent[parent] = True
            saved_digits += digits
    return derivations if saved_digits >= WORTHWHILE * alone.sum() else [None] * len(columns)


def _digits(columns: np.ndarray) -> np.ndarray:
    """The number of non-zero digits of each column of ``[columns, inputs]``."""
    return np.count_nonzero(canonical_signed_digits(columns), axis=-1).sum(axis=-1)
