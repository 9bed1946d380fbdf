"""Data files, and samples that stand for all of them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from dnn2fpga.data import Data, load_data, spread
from dnn2fpga.errors import UserError
from dnn2fpga.graph.float import Graph


def network(*shape: int) -> Graph:
    return Graph.chain("network", "input", shape, [])


IMAGES = network(2, 2, 1)
X = np.arange(24, dtype=np.uint8).reshape(6, 2, 2, 1)


def test_npz_and_npy(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", images=X, classes=np.arange(6))
    np.save(tmp_path / "b.npy", X)
    a, b = (
        load_data(tmp_path / "a.npz", IMAGES, "images", "classes"),
        load_data(tmp_path / "b.npy", IMAGES, "images"),
    )
    np.testing.assert_array_equal(a.x, X)
    np.testing.assert_array_equal(b.x, X)
    assert b.y is None
    assert a.y is not None
    assert (len(a), len(a.sample(2)), len(a.sample(None))) == (6, 2, 6)


def test_all_problems_at_once(tmp_path: Path) -> None:
    np.savez(tmp_path / "bad.npz", x=np.full((3, 5), np.nan), y=np.array(["a"]))
    with pytest.raises(UserError) as caught:
        load_data(tmp_path / "bad.npz", IMAGES)
    assert len(caught.value.problems) == 4


def test_a_folder_stays_on_disk(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", np.arange(6))
    data = load_data(tmp_path, IMAGES)
    for whole in (data, data.sample(None), data.sample(6), data.sample(9)):
        assert isinstance(whole.x, np.memmap)
        assert isinstance(whole.y, np.memmap)
    part = data.sample(3)
    assert part.x.tolist() == X[part.y].tolist()
    assert [label // 2 for label in part.y.tolist()] == [0, 1, 2]  # one of each third, in order
    (tmp_path / "y.npy").unlink()
    alone = load_data(tmp_path, IMAGES)
    assert alone.sample(2).y is None


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
        load_data(tmp_path, IMAGES)
    (tmp_path / "x.npy").write_text("no numbers")
    with pytest.raises(UserError, match="cannot be read"):
        load_data(tmp_path, IMAGES)


@pytest.mark.parametrize("name", ["pipe.npz", "pipe.npy"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(UserError, match="of numbers: it is no file"):
        load_data(tmp_path / name, network(4))


def test_labels_that_were_asked_for_must_be_there(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.zeros((2, 4)), labels=np.zeros(2))
    assert load_data(tmp_path / "d.npz", network(4)).y is None
    with pytest.raises(UserError, match="holds no array 'label', but labels, x; name the labels with --y"):
        load_data(tmp_path / "d.npz", network(4), y_name="label")


def test_inputs_too_large_for_single_precision(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.array([[1e300, 0.0]]))
    with pytest.raises(UserError, match="NaN or infinite values, in single precision at least"):
        load_data(tmp_path / "d.npz", network(2))
