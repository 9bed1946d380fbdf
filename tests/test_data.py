"""Data files, and what counts as a right answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dnn2fpga.data import Data, accuracy, load_data, score, spread
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
    assert (len(a), len(a.sample(2)), len(a.sample(None))) == (6, 2, 6)
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
        ([[0.9, 0.05, 0.05], [0.2, 0.6, 0.2], [0.0, 0.0, 1.0]], [0, 1, 2]),
        ([0.5, 1.0, 2.0], None),
        ([[0.9, 0.2], [0.1, 0.7], [0.3, 0.4]], None),
        ([[1.5, -0.5], [0, 1], [1, 0]], None),
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


OUTPUTS = np.array([[2, 1], [0, 5], [3, 1], [1, 0]])


@pytest.mark.parametrize(
    ("outputs", "y", "reference", "expected"),
    [
        (OUTPUTS, [0, 1, 1, 0], -OUTPUTS, ("accuracy", 0.75)),
        (OUTPUTS, OUTPUTS + 0.5, -OUTPUTS, ("r2", 1 - 2 / 19.75)),
        (OUTPUTS, None, OUTPUTS + np.array([[0, 0], [0, 0], [0, 3], [0, 0]]), ("agreement", 0.75)),
        (OUTPUTS[:, :1], [0.5, 1.5, 2.5, 3.5], -OUTPUTS[:, :1], ("r2", 1 - 11 / 5)),
        (OUTPUTS[:, :1], None, OUTPUTS[:, :1] + 1, ("r2", 1 - 4 / 5)),
    ],
)
def test_score(outputs: np.ndarray, y: object, reference: np.ndarray, expected: tuple[str, float]) -> None:
    found = score(outputs, Data(X[:4], None if y is None else np.array(y)), reference)
    assert found.measure == expected[0]
    assert found.value == pytest.approx(expected[1], abs=1e-12)


def test_a_folder_stays_on_disk(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", np.arange(6))
    data = load_data(tmp_path, (2, 2, 1))
    for whole in (data, data.sample(None), data.sample(6), data.sample(9)):
        assert isinstance(whole.x, np.memmap)
        assert isinstance(whole.y, np.memmap)
    part = data.sample(3)
    assert part.x.tolist() == X[part.targets].tolist()
    assert [label // 2 for label in part.targets.tolist()] == [0, 1, 2]  # one of each third, in order
    (tmp_path / "y.npy").unlink()
    alone = load_data(tmp_path, (2, 2, 1))
    assert alone.sample(2).y is None
    with pytest.raises(ValueError, match="no labels"):
        _ = alone.targets


@pytest.mark.parametrize(("length", "count"), [(10, 3), (1000, 999), (60_000, 1000), (7, 1), (5, 0)])
def test_a_sample_has_one_of_every_part(length: int, count: int) -> None:
    rows = spread(length, count)
    ends = np.linspace(0, length, count + 1).astype(int)
    assert len(rows) == count
    assert ((ends[:-1] <= rows) & (rows < ends[1:])).all()
    np.testing.assert_array_equal(rows, spread(length, count))


def test_a_sample_of_everything_is_everything_in_order() -> None:
    for count in (None, 6, 7):
        assert spread(6, count).tolist() == [0, 1, 2, 3, 4, 5]
    data = Data(X, None)
    assert data.sample(6) is data


def test_another_seed_is_another_sample_and_no_period_is_met_twice() -> None:
    one, other = spread(10_000, 500, seed=1), spread(10_000, 500, seed=2)
    assert (one != other).any()
    # Data that repeats itself every 20 samples: as many of each kind as chance would give.
    assert np.bincount(one % 20, minlength=20).min() > 5


def test_a_folder_without_inputs_or_with_damaged_ones_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no array 'x', but nothing"):
        load_data(tmp_path, (2, 2, 1))
    (tmp_path / "x.npy").write_text("no numbers")
    with pytest.raises(UserError, match="cannot be read"):
        load_data(tmp_path, (2, 2, 1))
