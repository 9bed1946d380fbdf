"""Data files, and what counts as a right answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dnn2fpga.data import Data, accuracy, load_data
from dnn2fpga.errors import UserError

X = np.arange(24, dtype=np.uint8).reshape(6, 2, 2, 1)


def test_npz_and_npy(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", images=X, classes=np.arange(6))
    np.save(tmp_path / "b.npy", X)
    a, b = (
        load_data(tmp_path / "a.npz", (2, 2, 1), "images", "classes"),
        load_data(tmp_path / "b.npy", (2, 2, 1), "images"),
    )
    np.testing.assert_array_equal(a.x, X)
    np.testing.assert_array_equal(b.x, X)
    assert b.y is None
    assert a.y is not None
    assert (len(a), len(a.first(2)), len(a.first(None))) == (6, 2, 6)
    assert load_data(tmp_path / "a.npz", (2, 2, 1), "images", "no labels").y is None


def test_all_problems_at_once(tmp_path: Path) -> None:
    np.savez(tmp_path / "bad.npz", x=np.full((3, 5), np.nan), y=np.array(["a"]))
    with pytest.raises(UserError) as caught:
        load_data(tmp_path / "bad.npz", (2, 2, 1))
    assert len(caught.value.problems) == 4


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        ([0, 1, 2], [0, 1, 2]),
        ([[0], [1], [2]], [0, 1, 2]),
        ([0.0, 1.0, 2.0], [0, 1, 2]),
        ([[1, 0, 0], [0, 1, 0], [0, 0, 1]], [0, 1, 2]),
        ([0.5, 1.0, 2.0], None),
        ([0.0, np.nan, 2.0], None),
    ],
)
def test_classes(y: list, expected: list[int] | None) -> None:
    classes = Data(X[:3], np.array(y)).classes
    assert (None if classes is None else classes.tolist()) == expected


def test_accuracy() -> None:
    labels = np.array([0, 1, 1, 0])
    one = Data(X[:4], labels)
    assert accuracy(np.array([[2, 1], [0, 5], [3, 1], [1, 0]]), one) == 0.75
    assert accuracy(np.array([[0.1], [0.9], [0.4], [0.7]]), one) == 0.5
    assert accuracy(np.zeros((4, 2)), Data(X[:4], None)) is None
