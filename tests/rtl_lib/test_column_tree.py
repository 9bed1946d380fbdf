"""Columns made from other columns: exact, worth it where columns differ little, and not done where they do not."""

from __future__ import annotations

import numpy as np
import pytest

from rtl_lib.matrix.parallel import adder_solver
from rtl_lib.matrix.parallel.adder_solver import solve
from rtl_lib.matrix.parallel.column_tree import derive


def alike(rng: np.random.Generator, signs: bool) -> np.ndarray:
    """Four random columns, each with four others that differ from it (or from its opposite) in few places."""
    base = np.repeat(rng.integers(-128, 128, (24, 4)), 5, axis=1)
    changed = base + (rng.random(base.shape) < 0.1) * rng.integers(-3, 4, base.shape)
    return changed * rng.choice([-1, 1], base.shape[1]) if signs else changed


@pytest.mark.parametrize("signs", [False, True])
def test_a_column_is_its_parent_and_the_difference(signs: bool) -> None:
    weights = alike(np.random.default_rng(0), signs)
    derived = derive(list(weights.T))
    assert sum(one is not None for one in derived) >= 12
    for column, one in zip(weights.T, derived, strict=True):
        if one:
            assert derived[one.parent] is None  # one step, no chains
            np.testing.assert_array_equal((-1 if one.negative else 1) * weights.T[one.parent] + one.difference, column)


def test_columns_that_differ_little_cost_little(monkeypatch: pytest.MonkeyPatch) -> None:
    weights, inputs = alike(np.random.default_rng(1), True), [(0, 255)] * 24
    with_tree = solve(weights, inputs, np.arange(20))
    x = np.random.default_rng(2).integers(0, 256, (50, 24))
    np.testing.assert_array_equal(with_tree.evaluate(x), x @ weights + np.arange(20))
    monkeypatch.setattr(adder_solver, "derive", lambda columns: [None] * len(columns))
    assert with_tree.luts < 0.7 * solve(weights, inputs, np.arange(20)).luts


def test_random_columns_stand_for_themselves() -> None:
    assert not any(derive(list(np.random.default_rng(3).integers(-128, 128, (30, 20)).T)))
    assert derive([np.array([5])]) == [None]
