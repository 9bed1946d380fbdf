"""Data files, and samples that stand for all of them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import two_inputs

from dnn2fpga.data import Data, load_data, save_inputs, spread
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


def test_channels_first(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((6, 3, 8, 5)))
    with pytest.raises(UserError, match=r"shape \(3, 8, 5\); put channels last with x.transpose\(0, 2, 3, 1\)"):
        load_data(tmp_path / "a.npz", network(8, 5, 3))


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


# Several inputs and outputs


def files(data: Data) -> dict[str, np.ndarray]:
    """Return the arrays by their names in a file."""
    return {f"x_{name}": x for name, x in data.x.items()} | {f"y_{name}": y for name, y in data.y.items()}


@pytest.mark.parametrize("is_folder", [False, True])
def test_several_inputs_and_labels_are_read_by_name(tmp_path: Path, is_folder: bool) -> None:
    wanted, file = two_inputs.data(), tmp_path if is_folder else tmp_path / "d.npz"
    if is_folder:
        for name, array in files(wanted).items():
            np.save(tmp_path / f"{name}.npy", array)
    else:
        np.savez(file, **files(wanted))
    data = load_data(file, two_inputs.GRAPH)
    assert [*data.inputs(two_inputs.SHAPES)] == ["image", "speed"]
    assert [*data.labels(two_inputs.OUTPUTS)] == ["kind", "angle"]
    rows = spread(60, 9)
    part = data.sample(9)
    assert len(part) == 9
    for mine, theirs in ((part.x, wanted.x), (part.y, wanted.y)):
        for name, array in mine.items():
            np.testing.assert_array_equal(array, theirs[name][rows])
    assert [len(one) for one in data.batches(25)] == [25, 25, 10]
    if is_folder:
        assert all(isinstance(array, np.memmap) for array in (*data.x.values(), *data.at(slice(3)).y.values()))


def test_labels_of_an_output_may_be_missing(tmp_path: Path) -> None:
    arrays = files(two_inputs.data())
    del arrays["y_kind"]
    np.savez(tmp_path / "d.npz", **arrays)
    data = load_data(tmp_path / "d.npz", two_inputs.GRAPH)
    assert [*data.labels(two_inputs.OUTPUTS)] == ["angle"]
    assert data.for_output("kind", two_inputs.OUTPUTS).y is None
    del arrays["y_angle"]
    np.savez(tmp_path / "d.npz", **arrays)
    assert load_data(tmp_path / "d.npz", two_inputs.GRAPH).y is None


def without(*names: str) -> dict[str, np.ndarray]:
    return {name: array for name, array in files(two_inputs.data()).items() if name not in names}


X_ALONE = np.zeros((60, 3))
REFUSED = {
    "an input is missing": (without("x_image"), "holds no array 'x_image', but x_speed, y_angle, y_kind"),
    "one array for all": (without("x_image", "x_speed") | {"x": X_ALONE}, "the inputs are called x_image, x_speed"),
    "labels of no output": (
        without("y_kind") | {"y_kinds": X_ALONE},
        "array 'y_kinds' belongs to no output: the labels",
    ),
    "labels without a name": (without("y_kind") | {"y": X_ALONE}, "array 'y' belongs to no output"),
    "another shape": (
        without() | {"x_speed": np.zeros((60, 4))},
        "input 'speed': the model takes inputs of shape (3,)",
    ),
    "fewer samples": (without() | {"x_speed": X_ALONE[1:]}, "input 'speed': there are 59 samples, but 60 of the first"),
    "fewer labels": (without() | {"y_kind": np.zeros(7)}, "output 'kind': there are 60 inputs but 7 labels"),
    "not a number": (without() | {"x_speed": X_ALONE * np.nan}, "input 'speed': the inputs hold NaN"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_the_network_is_named(tmp_path: Path, case: str) -> None:
    arrays, message = REFUSED[case]
    np.savez(tmp_path / "d.npz", **arrays)
    with pytest.raises(UserError) as caught:
        load_data(tmp_path / "d.npz", two_inputs.GRAPH)
    assert message in str(caught.value)
    assert str(tmp_path / "d.npz") in str(caught.value)


def test_labels_that_were_asked_for_must_be_there_for_one_output_at_least(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", **without(), label_angle=np.zeros(60))
    data = load_data(tmp_path / "d.npz", two_inputs.GRAPH, y_name="label")
    assert [*data.labels(two_inputs.OUTPUTS)] == ["angle"]
    with pytest.raises(UserError, match="holds no array 'truth_kind' or 'truth_angle', but"):
        load_data(tmp_path / "d.npz", two_inputs.GRAPH, y_name="truth")


def test_data_in_memory_must_fit_the_network_too() -> None:
    x = two_inputs.inputs()
    assert Data(x).require(two_inputs.GRAPH).x is x
    for wrong, message in (
        (Data(x["image"]), "arrays are needed for image, speed, not for image"),
        (Data(x, np.zeros(60)), "labels of several outputs must be given by name: kind, angle"),
        (Data(x, {"kinds": np.zeros(60)}), "there are labels for 'kinds'; the outputs are kind, angle"),
        (Data(x | {"speed": X_ALONE[:9]}), "input 'speed': there are 9 samples"),
    ):
        with pytest.raises(UserError) as caught:
            wrong.require(two_inputs.GRAPH)
        assert message in str(caught.value)


def test_one_input_may_be_named_or_not(tmp_path: Path) -> None:
    for name in ("x", "x_input"):
        np.savez(tmp_path / "d.npz", **{name: X, "y_input": np.arange(6)})
        data = load_data(tmp_path / "d.npz", IMAGES)
        np.testing.assert_array_equal(data.x, X)
        np.testing.assert_array_equal(data.y, np.arange(6))


def test_inputs_are_kept_as_they_can_be_read(tmp_path: Path) -> None:
    for graph, data in ((two_inputs.GRAPH, two_inputs.data(5)), (IMAGES, Data(X))):
        save_inputs(data, graph, tmp_path / "kept.npz")
        kept = load_data(tmp_path / "kept.npz", graph)
        assert kept.y is None
        for name, array in kept.inputs(graph.inputs).items():
            np.testing.assert_array_equal(array, data.inputs(graph.inputs)[name])
